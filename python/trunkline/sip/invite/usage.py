"""The INVITE usage: what both directions of a call share once there is a dialog.

Owns BYE, re-INVITE both ways, INFO, and the 2xx that is repeated until its ACK. `uac` and `uas` add how
a call begins. Each usage emits one terminal event; what the wire needs after it is done by `Farewell` or goes on
silently.   RFC 3261 sections 13 to 15; RFC 6086 (INFO); RFC 3326 (Reason).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.errors import InvalidCallState
from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import ReferTo, plain_text
from trunkline.sip.info import DigitGate
from trunkline.sip.invite.endings import Acknowledgement, Farewell
from trunkline.sip.invite.errand import Errand, Outcome
from trunkline.sip.invite.transfers import TRANSFER_METHODS, Transfers
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import (
    EndCause,
    HeaderFields,
    InfoAnswered,
    InfoReceived,
    InviteEnded,
    InviteId,
    ReferId,
    ReferRequest,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)

_REPEAT_ANSWER = "repeat answer"
_NO_ACK = "no ack"
_GLARE = "glare"


@dataclass(slots=True)
class _Answer:
    """A 2xx that waits for its ACK."""

    transaction: ServerTransaction
    response: Response
    interval_s: float


class InviteUsage(ABC):
    """One call. dialog: the confirmed one, or for an inbound call the one that our responses make."""

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
        self.dialog: Dialog | None = None
        self._core = core
        self._contact_user = contact_user
        self._access = access
        self._on_over = on_over
        self._is_over = False
        self._is_call_id_ours = False
        self._answer: _Answer | None = None
        self._farewell_headers: HeaderFields | None = None
        self._incoming: ServerTransaction | None = None
        self._outgoing: ClientRequest | None = None
        self._offer = ""
        self._acks: dict[tuple[str, int], Acknowledgement] = {}
        self._digits = DigitGate()
        self._transfers = Transfers(
            core, invite_id, contact_user=contact_user, access=access, on_dialog_lost=self._lose_dialog
        )

    # --- verbs ---

    @abstractmethod
    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """End the call; see `UserAgent.hangup`."""

    def reinvite(self, now: float, sdp: str) -> None:
        """Offer a changed session; see `UserAgent.reinvite`."""
        is_free = self._incoming is None and self._outgoing is None and self._answer is None
        if not is_free or self._core.timers.is_set(self, _GLARE):
            raise InvalidCallState("another INVITE is pending")
        self.confirmed_dialog()
        self._offer = sdp
        self._send_reinvite(now)

    def answer_reinvite(self, now: float, sdp: str | None, status: int) -> None:
        """Answer the peer's re-INVITE; see `UserAgent.answer_reinvite`. Nothing happens if it was withdrawn."""
        transaction, self._incoming = self._incoming, None
        if transaction is None:
            return
        response = self._core.response(transaction.request, status)
        if status < 300:
            self.confirmed_dialog().refresh_target(transaction.request, transaction.path)
            self._send_answer(now, transaction, response, sdp)
        else:
            transaction.respond(now, response)

    def send_info(self, now: float, content_type: str, body: bytes) -> None:
        """Send INFO; see `UserAgent.send_info`."""
        dialog = self.confirmed_dialog()
        request = dialog.request("INFO").with_body(content_type, body)
        Errand(self._core, dialog, request, self._info_answered, access=self._access).start(now)

    def refer(self, now: float, target: ReferTo, request: ReferRequest) -> ReferId:
        """Send REFER; see `UserAgent.refer`."""
        return self._transfers.refer(now, self.confirmed_dialog(), target, request)

    @property
    def call(self) -> InviteId:
        """Its id."""
        return self.id

    @property
    def is_confirmed(self) -> bool:
        """Whether the call is answered and not over."""
        return not self._is_over and self.dialog is not None and self.dialog.is_confirmed

    @property
    def can_be_replaced(self) -> bool:
        """Whether a new call may take its place: confirmed, or early and begun by us.   RFC 3891 section 3."""
        return self.is_confirmed

    # --- requests from the peer ---

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Answer a request within the dialog.   RFC 3261 section 12.2.2."""
        request = transaction.request
        dialog = self._dialog_of(request)
        if dialog is not None and not dialog.accept_cseq(request.cseq.number):
            transaction.respond(now, self._core.response(request, 500))
        elif request.method == "BYE":
            transaction.respond(now, self._core.response(request, 200))
            self._handle_bye(now, request)
        elif request.method == "INVITE":
            self._handle_reinvite(now, transaction)
        elif self._is_over:
            transaction.respond(now, self._core.response(request, 481))
        elif request.method == "INFO":
            self._handle_info(now, transaction)
        elif request.method in TRANSFER_METHODS and dialog is not None:
            self._transfers.handle_request(now, dialog, transaction)
        else:
            transaction.respond(now, self._core.response(request, 200))

    def handle_ack(self, now: float, request: Request) -> None:
        """Stop repeating the 2xx that this ACK belongs to."""
        answer = self._answer
        if answer is None or answer.transaction.request.cseq.number != request.cseq.number:
            return
        self._stop_answer()
        if self._farewell_headers is not None:
            self._say_farewell(now)
        elif not self._is_over:
            self._acknowledged(answer.transaction, request)

    def handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        """Withdraw a re-INVITE that is not answered yet."""
        if transaction is self._incoming:
            self._incoming = None
            transaction.respond(now, self._core.response(transaction.request, 487))

    def handle_timer(self, now: float, name: str) -> None:
        """Repeat the 2xx, give up waiting for its ACK, or try a re-INVITE again after glare."""
        if name == _GLARE:
            self._send_reinvite(now)
        elif name == _REPEAT_ANSWER and self._answer is not None:
            self._answer.transaction.respond(now, self._answer.response)
            self._answer.interval_s = min(2 * self._answer.interval_s, self._core.timing.t2)
            self._core.timers.set(self, _REPEAT_ANSWER, now + self._answer.interval_s)
        elif name == _NO_ACK:
            self._stop_answer()
            self._finish(EndCause.NO_ACK)
            self._say_farewell(now)

    # --- responses to our requests within the dialog ---

    def handle_provisional(  # noqa: B027 - not abstract: within a dialog a 1xx says nothing
        self, now: float, client: ClientRequest, response: Response
    ) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take the outcome of a re-INVITE.   RFC 3261 sections 12.2.1.2, 14.1."""
        if response.status < 300 and client.method == "INVITE":
            self._handle_reinvite_2xx(now, client, response)
        else:
            self._handle_outcome(now, client, response.status, response.reason)

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Take silence as 408."""
        self._handle_outcome(now, client, status, reason)

    def _handle_outcome(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        if client is self._outgoing:
            self._outgoing = None
        if self._is_over:
            return
        if status == 491:
            # RFC 3261 section 14.1: the owner of the Call-ID waits longer, so that one of the two goes first.
            wait = self._core.rng.randrange(210, 400) if self._is_call_id_ours else self._core.rng.randrange(200)
            self._core.timers.set(self, _GLARE, now + wait / 100)
        else:
            self._core.emit(ReinviteFailed(self.id, status, plain_text(reason)))
        if status in (408, 481):
            self._lose_dialog(now, status)

    def _info_answered(self, now: float, outcome: Outcome) -> None:
        if not self._is_over:
            self._core.emit(InfoAnswered(self.id, outcome.status))
            if outcome.is_dialog_lost:
                self._lose_dialog(now, outcome.status)

    def _lose_dialog(self, now: float, status: int) -> None:
        """End the call because its dialog is gone.   RFC 3261 section 12.2.1.2."""
        if not self._is_over:
            self._finish(EndCause.DIALOG_LOST, status=status)
            self._say_farewell(now)

    def _handle_reinvite_2xx(self, now: float, client: ClientRequest, response: Response) -> None:
        assert client.sent is not None
        dialog, key = self.dialog, ("", client.sent.cseq.number)
        if dialog is None:
            return
        is_new = key not in self._acks
        if is_new:
            dialog.refresh_target(response)
            self._acks[key] = Acknowledgement(self._core, dialog, client.sent, self._access)
        self._acks[key].send(now)
        if is_new:
            self._outgoing = None
            if not self._is_over:
                self._core.emit(ReinviteAnswered(self.id, response.sdp))

    # --- for the two directions ---

    def _acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Tell the application that a 2xx arrived; a late offer's answer comes with the ACK."""
        if not transaction.request.body:
            self._core.emit(ReinviteAnswered(self.id, ack.sdp))

    def _handle_bye(self, now: float, request: Request) -> None:
        self._drop_pending(now)
        self._stop_answer()
        self._farewell_headers = None
        self._finish(EndCause.REMOTE_BYE, status=request.reason_cause("sip"), cause=request.reason_cause("q.850"))
        self._forget_dialogs()

    def _handle_reinvite(self, now: float, transaction: ServerTransaction) -> None:
        request = transaction.request
        if self._is_over:
            transaction.respond(now, self._core.response(request, 481))
        elif self._incoming is not None:
            self._ask_to_retry(now, transaction)
        elif self.dialog is None or self._outgoing is not None or self._answer is not None:
            transaction.respond(now, self._core.response(request, 491))
        else:
            self._incoming = transaction
            transaction.respond(now, request.response(100))
            self._core.emit(ReinviteReceived(self.id, request.sdp))

    def _handle_info(self, now: float, transaction: ServerTransaction) -> None:
        verdict = self._digits.judge(now, transaction.request)
        response = self._core.response(transaction.request, verdict.status)
        for name, value in verdict.headers:
            response.headers.add(name, value)
        transaction.respond(now, response)
        if verdict.count:
            self._core.counters[verdict.count] += 1
        if verdict.digit is not None and not self._is_over:
            self._core.emit(InfoReceived(self.id, verdict.digit.key, verdict.digit.duration_ms))

    def _ask_to_retry(self, now: float, transaction: ServerTransaction) -> None:
        """Refuse an INVITE while an earlier one waits for our answer.   RFC 3261 section 14.2."""
        response = self._core.response(transaction.request, 500)
        response.headers.add("Retry-After", str(self._core.rng.randrange(11)))
        transaction.respond(now, response)

    def _dialog_of(self, request: Request) -> Dialog | None:
        """Return the dialog in which a request came."""
        return self.dialog

    def _forget_dialogs(self) -> None:
        """Take our dialogs out of the user agent's table."""
        if self.dialog is not None:
            self._core.dialogs.pop(self.dialog.id, None)

    def _send_answer(self, now: float, transaction: ServerTransaction, response: Response, sdp: str | None) -> None:
        """Send a 2xx and repeat it until its ACK, on any transport.   RFC 3261 section 13.3.1.4."""
        response.headers.add("Contact", str(self._core.contact(transaction.path, self._contact_user)))
        for name, value in self._core.capabilities:
            response.headers.add(name, value)
        if sdp is not None:
            response = response.with_body(SDP, sdp.encode())
        self._answer = _Answer(transaction, response, self._core.timing.t1)
        transaction.respond(now, response)
        self._core.timers.set(self, _REPEAT_ANSWER, now + self._core.timing.t1)
        self._core.timers.set(self, _NO_ACK, now + self._core.time_limit_s)

    def _stop_answer(self) -> None:
        self._answer = None
        self._core.timers.cancel(self, _REPEAT_ANSWER)
        self._core.timers.cancel(self, _NO_ACK)

    def _end_dialog(self, now: float, headers: HeaderFields) -> None:
        """Send BYE: at once, or after the ACK of our 2xx.   RFC 3261 section 15."""
        self._farewell_headers = headers
        if self._answer is None:
            self._say_farewell(now)

    def _say_farewell(self, now: float) -> None:
        self._drop_pending(now)
        headers, self._farewell_headers = self._farewell_headers or (), None
        if self.dialog is not None:
            Farewell(self._core, self.dialog, self._access, headers).start(now)

    def _drop_pending(self, now: float) -> None:
        """Leave no re-INVITE hanging, theirs or ours."""
        if self._incoming is not None:
            self._incoming.respond(now, self._core.response(self._incoming.request, 487))
            self._incoming = None
        if self._outgoing is not None:
            self._outgoing.cancel(now)

    def _finish(self, reason: EndCause, *, status: int | None = None, cause: int | None = None) -> None:
        """Emit the terminal event, once."""
        if not self._is_over:
            self._mark_over()
            self._core.emit(InviteEnded(self.id, reason, status, cause))

    def _mark_over(self) -> None:
        self._is_over = True
        self._core.timers.cancel(self, _GLARE)
        self._transfers.end()
        self._on_over(self.id)

    def confirmed_dialog(self) -> Dialog:
        """Return the dialog of an answered call; InvalidCallState if there is none."""
        if self._is_over or self.dialog is None or not self.dialog.is_confirmed:
            raise InvalidCallState("the call is not established")
        return self.dialog

    def _send_reinvite(self, now: float) -> None:
        request = self.confirmed_dialog().request("INVITE").with_body(SDP, self._offer.encode())
        for name, value in self._core.capabilities:
            request.headers.add(name, value)
        self._outgoing = self._send_in_dialog(now, request)

    def _send_in_dialog(self, now: float, request: Request) -> ClientRequest:
        dialog = self.confirmed_dialog()
        client = ClientRequest(
            self._core,
            self,
            request,
            hop=self._core.hop_within(dialog),
            next_cseq=dialog.next_cseq,
            contact_user=self._contact_user if request.method == "INVITE" else None,
            access=self._access,
        )
        client.start(now)
        return client
