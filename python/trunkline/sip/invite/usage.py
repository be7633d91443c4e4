"""The INVITE usage: what both directions of a call share once there is a dialog.

Owns BYE, INFO, MESSAGE and the hand-out of requests to the parts of a call: `session` (offers), `transfers` (REFER).
`uac` and `uas` add how a call begins. Each usage emits one terminal event; what the wire needs after it is done by
`Farewell` or goes on silently.   RFC 3261 sections 12.2, 15; RFC 6086 (INFO); RFC 3428 (MESSAGE).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from weakref import proxy

from trunkline.errors import InvalidCallState
from trunkline.sip.client import AccountAccess
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import ReferTo
from trunkline.sip.info import DigitGate
from trunkline.sip.invite.endings import Farewell
from trunkline.sip.invite.errand import Errand, Outcome
from trunkline.sip.invite.session import Session
from trunkline.sip.invite.transfers import TRANSFER_METHODS, Transfers
from trunkline.sip.message import Request
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import (
    EndCause,
    HeaderFields,
    InfoAnswered,
    InfoReceived,
    InviteEnded,
    InviteId,
    Path,
    ReferId,
    ReferRequest,
    ReinviteAnswered,
)


class InviteUsage(ABC):
    """One call. session: of the confirmed dialog, or for an inbound call of the one that our responses make."""

    def __init__(
        self,
        core: Core,
        invite_id: InviteId,
        *,
        contact_user: str,
        access: AccountAccess | None,
        on_over: Callable[[InviteId], None],
    ) -> None:
        self.id = invite_id
        self.contact_user = contact_user
        self.access = access
        self.session: Session | None = None
        self._core = core
        self._on_over = on_over
        self._is_over = False
        self._farewell_headers: HeaderFields | None = None
        self._digits = DigitGate()
        this: InviteUsage = proxy(self)
        self._transfers = Transfers(
            core,
            invite_id,
            contact_user=contact_user,
            access=access,
            on_dialog_lost=lambda now, status: this.lose(now, EndCause.DIALOG_LOST, status),
        )

    # --- verbs ---

    @abstractmethod
    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """End the call; see `UserAgent.hangup`."""

    def reinvite(self, now: float, sdp: str | None) -> None:
        """Offer a changed session; see `UserAgent.reinvite`."""
        self._session_for_offer().offer(now, sdp)

    def answer_reinvite(self, now: float, sdp: str | None, status: int) -> None:
        """Answer the peer's offer; see `UserAgent.answer_reinvite`. Nothing happens if it was withdrawn."""
        for session in self._sessions():
            session.answer(now, sdp, status)

    def send_info(self, now: float, content_type: str, body: bytes) -> None:
        """Send INFO; see `UserAgent.send_info`."""
        dialog = self.confirmed_dialog()
        request = dialog.request("INFO").with_body(content_type, body)
        Errand(self._core, dialog, request, self._info_answered, access=self.access).start(now)

    def refer(self, now: float, target: ReferTo, request: ReferRequest) -> ReferId:
        """Send REFER; see `UserAgent.refer`."""
        return self._transfers.refer(now, self.confirmed_dialog(), target, request)

    def move(self, flow: Path) -> None:
        """Take another flow to the peer; see `UserAgent.move`."""
        for session in self._sessions():
            session.dialog.flow = flow

    # --- what others ask ---

    @property
    def call(self) -> InviteId:
        """Its id."""
        return self.id

    @property
    def is_over(self) -> bool:
        """Whether the terminal event was emitted."""
        return self._is_over

    @property
    def is_confirmed(self) -> bool:
        """Whether the call is answered and not over."""
        return not self._is_over and self.session is not None and self.session.dialog.is_confirmed

    @property
    def can_be_replaced(self) -> bool:
        """Whether a new call may take its place: confirmed, or early and begun by us.   RFC 3891 section 3."""
        return self.is_confirmed

    def confirmed_dialog(self) -> Dialog:
        """Return the dialog of an answered call; InvalidCallState if there is none."""
        if self.session is None or not self.is_confirmed:
            raise InvalidCallState("the call is not established")
        return self.session.dialog

    # --- requests from the peer ---

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Answer a request within the dialog.   RFC 3261 section 12.2.2."""
        request = transaction.request
        session = self._session_of(request)
        if session is None:
            transaction.respond(now, self._core.response(request, 481))
        elif not session.dialog.accept_cseq(request.cseq.number):
            transaction.respond(now, self._core.response(request, 500))
        elif request.method == "BYE":
            transaction.respond(now, self._core.response(request, 200))
            self._handle_bye(now, request)
        elif self._is_over:
            transaction.respond(now, self._core.response(request, 481))
        else:
            self._handle_method(now, session, transaction)

    def _handle_method(self, now: float, session: Session, transaction: ServerTransaction) -> None:
        request = transaction.request
        match request.method:
            case "INVITE":
                self._handle_reinvite(now, session, transaction)
            case "UPDATE":
                session.handle_update(now, transaction)
            case "PRACK":
                self._handle_prack(now, transaction)
            case "INFO":
                self._handle_info(now, transaction)
            case "MESSAGE":
                self._core.take_message(now, transaction, self.contact_user, self.id)
            case method if method in TRANSFER_METHODS:
                self._transfers.handle_request(now, session.dialog, transaction)
            case _:
                transaction.respond(now, self._core.response(request, 200))

    def handle_ack(self, now: float, request: Request) -> None:
        """Stop repeating the 2xx that this ACK belongs to."""
        session = self.session
        transaction = None if session is None else session.answers.acknowledge(request.cseq.number)
        if session is None or transaction is None:
            return
        if self._farewell_headers is not None:
            self._say_farewell(now)
        elif not self._is_over:
            session.acknowledged(transaction, request)
            self._acknowledged(transaction, request)

    def handle_cancel(self, now: float, transaction: ServerTransaction, cancel: Request) -> None:
        """Withdraw a re-INVITE that is not answered yet."""
        if self.session is not None:
            self.session.handle_cancel(now, transaction)

    def _info_answered(self, now: float, outcome: Outcome) -> None:
        if not self._is_over:
            self._core.emit(InfoAnswered(self.id, outcome.status))
            if outcome.is_dialog_lost:
                self.lose(now, EndCause.DIALOG_LOST, outcome.status)

    # --- for the two directions ---

    def _session_of(self, request: Request) -> Session | None:
        """Return the session in whose dialog a request came."""
        return self.session

    def _sessions(self) -> list[Session]:
        """All sessions, early ones too."""
        return [] if self.session is None else [self.session]

    def _session_for_offer(self) -> Session:
        """Return the session in which we may offer something; InvalidCallState if there is none."""
        if self._is_over or self.session is None:
            raise InvalidCallState("the call is not established")
        return self.session

    def _handle_reinvite(self, now: float, session: Session, transaction: ServerTransaction) -> None:
        session.handle_reinvite(now, transaction)

    def _handle_prack(self, now: float, transaction: ServerTransaction) -> None:
        """Refuse what acknowledges nothing of ours.   RFC 3262 section 3."""
        transaction.respond(now, self._core.response(transaction.request, 481))

    def _acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Tell the application that a 2xx arrived; a late offer's answer comes with the ACK."""
        if transaction.request.sdp is None:
            self._core.emit(ReinviteAnswered(self.id, ack.sdp))

    def _handle_bye(self, now: float, request: Request) -> None:
        self._finish(now, EndCause.REMOTE_BYE, status=request.reason_cause("sip"), cause=request.reason_cause("q.850"))
        if self.session is not None:
            self.session.answers.stop()
        self._farewell_headers = None
        self._forget_dialogs()

    def _handle_info(self, now: float, transaction: ServerTransaction) -> None:
        verdict = self._digits.judge(now, transaction.request)
        response = self._core.response(transaction.request, verdict.status)
        for name, value in verdict.headers:
            response.headers.add(name, value)
        transaction.respond(now, response)
        if verdict.count:
            self._core.counters[verdict.count] += 1
        if verdict.digit is not None:
            self._core.emit(InfoReceived(self.id, verdict.digit.key, verdict.digit.duration_ms))

    # --- the end ---

    def lose(self, now: float, cause: EndCause, status: int | None = None) -> None:
        """End the call with our BYE, for a reason that is not the application's."""
        if not self._is_over:
            self._finish(now, cause, status=status)
            self._end_dialog(now, ())
        elif self._farewell_headers is not None:  # hung up before the ACK, which never came
            self._say_farewell(now)

    def _end_dialog(self, now: float, headers: HeaderFields) -> None:
        """Send BYE: at once, or after the ACK of our 2xx.   RFC 3261 section 15."""
        self._farewell_headers = headers
        if self.session is None or not self.session.answers.is_waiting:
            self._say_farewell(now)

    def _say_farewell(self, now: float) -> None:
        headers, self._farewell_headers = self._farewell_headers or (), None
        if self.session is not None:
            Farewell(self._core, self.session.dialog, self.access, headers).start(now)

    def _finish(self, now: float, reason: EndCause, *, status: int | None = None, cause: int | None = None) -> None:
        """Emit the terminal event, once."""
        if not self._is_over:
            self._mark_over(now)
            self._core.emit(InviteEnded(self.id, reason, status, cause))

    def _mark_over(self, now: float) -> None:
        self._is_over = True
        for session in self._sessions():
            session.close(now)
        self._transfers.end()
        self._on_over(self.id)

    def _forget_dialogs(self) -> None:
        """Take our dialogs out of the user agent's table."""
        for session in self._sessions():
            self._core.dialogs.pop(session.dialog.id, None)
