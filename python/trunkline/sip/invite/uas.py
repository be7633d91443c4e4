"""Inbound calls: from the INVITE to our answer or refusal.

Owns provisional responses, reliable and not, PRACK, CANCEL and the limits on ringing.   RFC 3261 sections 9.2, 13.3;
RFC 3262 sections 3, 5.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.errors import InvalidCallState, SipParseError
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import RAck
from trunkline.sip.invite.answers import ReliableProvisionals
from trunkline.sip.invite.endings import reason_headers
from trunkline.sip.invite.exchange import Exchange, Phase, Step
from trunkline.sip.invite.session import Question, Session
from trunkline.sip.invite.usage import InviteUsage
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import EndCause, HeaderFields, InviteConfirmed, InviteId, ReinviteAnswered, Reliability

_RING_LIMIT = "ring limit"
_EXPIRY = "expiry"
_REPEAT_PROVISIONAL = "repeat provisional"
_RETRY_AFTER_S = 5
"""What a caller is told that we have no room for."""
_PROVISIONAL_INTERVAL_S = 60.0
"""RFC 3261 section 13.3.1.1: proxies give up after three minutes without a sign of life."""


class InboundInvite(InviteUsage):
    """A call that we get."""

    session: Session

    def __init__(
        self,
        core: Core,
        invite_id: InviteId,
        transaction: ServerTransaction,
        *,
        contact_user: str,
        on_over: Callable[[InviteId], None],
    ) -> None:
        super().__init__(core, invite_id, contact_user=contact_user, access=None, on_over=on_over)
        request = transaction.request
        self._transaction = transaction
        self._tag = transaction.to_tag = core.token()
        self._status = 0
        self._preview: str | None = None
        self._answer: str | None = None
        """Our answer, while it waits for a PRACK."""
        self._reliable = ReliableProvisionals(core, transaction, self)
        exchange = Exchange()
        if request.sdp is not None:
            exchange.take(Step.OFFER_RECEIVED, request.sdp)
        dialog = Dialog.of_uas(request, self._tag, transaction.path)
        self.session = Session(core, self, dialog, exchange, is_call_id_ours=False)
        self.session.note_abilities(request)

    def start(self, now: float) -> None:
        """Begin to wait for the application."""
        self._core.dialogs[self.session.dialog.id] = self
        self._core.timers.set(self, _RING_LIMIT, now + self._core.config.ring_limit_s)
        expires_s = self._transaction.request.number("Expires")
        if expires_s is not None:
            self._core.timers.set(self, _EXPIRY, now + expires_s)

    # --- verbs ---

    def ring(self, now: float, status: int, sdp: str | None) -> None:
        """Send a provisional response, reliably where policy and caller want it."""
        self._check_open()
        self._status = status
        response = self._respond_with(status, None)
        response.headers.add("Contact", str(self._core.contact(self._transaction.path, self.contact_user)))
        for name, value in self._core.capabilities:
            response.headers.add(name, value)
        exchange = self.session.exchange
        is_new = exchange.phase in (Phase.THEIRS, Phase.NONE)
        if sdp is not None and is_new:
            response = response.with_body(SDP, sdp.encode())
        if self._is_reliable(has_description=sdp is not None):
            if sdp is not None and is_new:
                exchange.take(Step.ANSWER_SENT if exchange.phase is Phase.THEIRS else Step.OFFER_SENT, sdp)
            self._reliable.send(now, response)
        else:
            self._preview = sdp
            self._transaction.respond(now, response)
        self._core.timers.set(self, _REPEAT_PROVISIONAL, now + _PROVISIONAL_INTERVAL_S)

    def _is_reliable(self, *, has_description: bool) -> bool:
        request = self._transaction.request
        if "100rel" in request.option_tags("Require"):
            return True
        policy = self._core.config.reliable_provisionals
        wanted = policy is Reliability.ALWAYS or (policy is Reliability.DESCRIBED and has_description)
        return wanted and "100rel" in request.option_tags("Supported")

    def answer(self, now: float, sdp: str) -> None:
        """Send 200; after the PRACK of a description that is under way."""
        self._check_open()
        self._answer = sdp
        self._stop_ringing()
        if not self._reliable.holds_description:
            self._send_200(now)

    def _send_200(self, now: float) -> None:
        sdp, self._answer = self._answer, None
        self._reliable.stop()
        exchange = self.session.exchange
        if exchange.phase is Phase.THEIRS and self.session.question is None:
            exchange.take(Step.ANSWER_SENT, sdp or "")
        elif exchange.phase is Phase.NONE:
            exchange.take(Step.OFFER_SENT, sdp or "")
        else:  # a reliable 18x, or an UPDATE, has said it: RFC 6337 section 2.2
            sdp = None
        self.session.dialog.is_confirmed = True
        self.session.send_answer(now, self._transaction, self._respond_with(200, None), sdp)

    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """Refuse with a final response, or BYE once answered."""
        self._finish(now, EndCause.LOCAL, status=status)
        if self._transaction.is_answered:
            self._end_dialog(now, reason_headers(status, reason))
        else:
            self._refuse(now, status if status is not None and status >= 300 else 480, reason)

    def refuse(self, now: float, status: int, reason: str | None, headers: HeaderFields) -> None:
        """Refuse with a final response that has these headers besides."""
        self._check_open()
        self._finish(now, EndCause.LOCAL, status=status)
        self._refuse(now, status, reason, headers)

    # --- what the caller does ---

    def handle_cancel(self, now: float, transaction: ServerTransaction, cancel: Request) -> None:
        """End the call with 487 if it is not answered yet."""
        if transaction is not self._transaction:
            super().handle_cancel(now, transaction, cancel)
        elif not transaction.is_answered:
            status, cause = cancel.reason_cause("sip"), cancel.reason_cause("q.850")
            self._finish(now, EndCause.REMOTE_CANCEL, status=status, cause=cause)
            self._refuse(now, 487, None)

    def _handle_prack(self, now: float, transaction: ServerTransaction) -> None:
        """Stop repeating what is acknowledged; take the answer or offer that comes along.   RFC 3262 sections 3, 5."""
        request = transaction.request
        try:
            rack = RAck.parse(request.headers.get("RAck") or "")
        except SipParseError:
            transaction.respond(now, self._core.response(request, 400, "Bad RAck"))
            return
        response = self._reliable.acknowledge(now, rack)
        if response is None:
            transaction.respond(now, self._core.response(request, 481))
            return
        exchange = self.session.exchange
        if request.sdp is not None and exchange.phase is Phase.AGREED and self.session.question is None:
            self._ask_about_prack(now, transaction, request.sdp)
            return
        transaction.respond(now, self._core.response(request, 200))
        if exchange.phase is Phase.OURS and response.body:
            if request.sdp is None:
                exchange.withdraw()
            else:
                exchange.take(Step.ANSWER_RECEIVED, request.sdp)
                self._core.emit(ReinviteAnswered(self.id, request.sdp))
        self._answer_if_due(now)

    def _ask_about_prack(self, now: float, transaction: ServerTransaction, offer: str) -> None:
        def answer(now: float, sdp: str) -> None:
            transaction.respond(now, self._core.response(transaction.request, 200).with_body(SDP, sdp.encode()))
            self._answer_if_due(now)

        def refuse(now: float, status: int) -> None:
            transaction.respond(now, self._core.response(transaction.request, status))
            self._answer_if_due(now)

        self.session.exchange.take(Step.OFFER_RECEIVED, offer)
        self.session.ask(now, Question(True, answer, refuse, transaction), offer)

    def _answer_if_due(self, now: float) -> None:
        is_free = not self._reliable.holds_description and self.session.question is None
        if self._answer is not None and is_free and not self._is_over:
            self._send_200(now)

    def lose_prack(self, now: float) -> None:
        """Give the call up: the caller never acknowledged a reliable response.   RFC 3262 section 3."""
        self._finish(now, EndCause.NO_ACK, status=504)
        self._refuse(now, 504, None)

    def _handle_bye(self, now: float, request: Request) -> None:
        if not self._transaction.is_answered:
            self._refuse(now, 487, None)
        super()._handle_bye(now, request)

    def _handle_reinvite(self, now: float, session: Session, transaction: ServerTransaction) -> None:
        if self._transaction.is_answered:
            super()._handle_reinvite(now, session, transaction)
        else:
            session.ask_to_retry(now, transaction)

    def _acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        if transaction is self._transaction:
            self._core.emit(InviteConfirmed(self.id, ack.sdp))
        else:
            super()._acknowledged(transaction, ack)

    # --- time, and the end ---

    def handle_timer(self, now: float, name: str) -> None:
        """Show that we are alive, or stop ringing."""
        if name == _REPEAT_PROVISIONAL:
            self.ring(now, self._status, self._preview)
        elif name == _EXPIRY:  # the caller said how long (RFC 3261 section 13.3.1), and wants the answer of a CANCEL
            self._finish(now, EndCause.NO_ANSWER, status=487)
            self._refuse(now, 487, None)
        else:
            self._finish(now, EndCause.NO_ANSWER, status=480)
            self._refuse(now, 480, None)

    def lose(self, now: float, cause: EndCause, status: int | None = None) -> None:
        """End the call: with a refusal while it is not answered."""
        if not self._transaction.is_answered and not self._is_over:
            self._finish(now, cause, status=status)
            self._refuse(now, 500, None)
        else:
            super().lose(now, cause, status)

    def _mark_over(self, now: float) -> None:
        super()._mark_over(now)
        self._stop_ringing()
        self._reliable.stop()
        self._answer = None

    def _refuse(self, now: float, status: int, reason: str | None, headers: HeaderFields = ()) -> None:
        self._forget_dialogs()
        response = self._respond_with(status, reason)
        if status == 503:
            response.headers.add("Retry-After", str(_RETRY_AFTER_S))
        for name, value in headers:
            response.headers.add(name, value)
        self._transaction.respond(now, response)

    def _respond_with(self, status: int, reason: str | None) -> Response:
        response = self._core.response(self._transaction.request, status, reason, to_tag=self._tag)
        if status < 300:
            response.headers.extend_received("Record-Route", self._transaction.request.headers)
        return response

    def _stop_ringing(self) -> None:
        self._core.timers.cancel(self, _RING_LIMIT)
        self._core.timers.cancel(self, _EXPIRY)
        self._core.timers.cancel(self, _REPEAT_PROVISIONAL)

    def _check_open(self) -> None:
        if self._is_over or self._answer is not None or self._transaction.is_answered:
            raise InvalidCallState("the call is answered or over")
