"""Inbound calls: from the INVITE to our answer or refusal.

Owns provisional responses, CANCEL and the limit on ringing.   RFC 3261 sections 9.2, 13.3.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.errors import InvalidCallState
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.invite.endings import reason_headers
from trunkline.sip.invite.usage import InviteUsage
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import EndCause, InviteConfirmed, InviteId

_RING_LIMIT = "ring limit"
_REPEAT_PROVISIONAL = "repeat provisional"
_PROVISIONAL_INTERVAL_S = 60.0
"""RFC 3261 section 13.3.1.1: proxies give up after three minutes without a sign of life."""


class InboundInvite(InviteUsage):
    """A call that we get."""

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
        self._transaction = transaction
        self._tag = transaction.to_tag = core.token()
        self._provisional: Response | None = None
        self.dialog = Dialog.of_uas(transaction.request, self._tag, transaction.path)

    def start(self, now: float) -> None:
        """Begin to wait for the application."""
        assert self.dialog is not None
        self._core.dialogs[self.dialog.id] = self
        self._core.timers.set(self, _RING_LIMIT, now + self._core.config.ring_limit_s)

    def ring(self, now: float, status: int, sdp: str | None) -> None:
        """Send a provisional response."""
        self._check_open()
        response = self._respond_with(status, None)
        response.headers.add("Contact", str(self._core.contact(self._transaction.path, self._contact_user)))
        if sdp is not None:
            response = response.with_body(SDP, sdp.encode())
        self._provisional = response
        self._transaction.respond(now, response)
        self._core.timers.set(self, _REPEAT_PROVISIONAL, now + _PROVISIONAL_INTERVAL_S)

    def answer(self, now: float, sdp: str) -> None:
        """Send 200."""
        self._check_open()
        self._stop_ringing()
        assert self.dialog is not None
        self.dialog.is_confirmed = True
        self._send_answer(now, self._transaction, self._respond_with(200, None), sdp)

    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """Refuse with a final response, or BYE once answered."""
        self._finish(EndCause.LOCAL, status=status)
        if self._transaction.is_answered:
            self._end_dialog(now, reason_headers(status, reason))
        else:
            self._refuse(now, status if status is not None and status >= 300 else 480, reason)

    def handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        """End the call with 487 if it is not answered yet."""
        if transaction is not self._transaction:
            super().handle_cancel(now, transaction)
        elif not transaction.is_answered:
            self._finish(EndCause.REMOTE_CANCEL)
            self._refuse(now, 487, None)

    def handle_timer(self, now: float, name: str) -> None:
        """Show that we are alive, or stop ringing."""
        if name == _REPEAT_PROVISIONAL:
            if self._provisional is not None:
                self._transaction.respond(now, self._provisional)
                self._core.timers.set(self, _REPEAT_PROVISIONAL, now + _PROVISIONAL_INTERVAL_S)
        elif name == _RING_LIMIT:
            self._finish(EndCause.NO_ANSWER, status=480)
            self._refuse(now, 480, None)
        else:
            super().handle_timer(now, name)

    def _handle_bye(self, now: float, request: Request) -> None:
        if not self._transaction.is_answered:
            self._refuse(now, 487, None)
        super()._handle_bye(now, request)

    def _handle_reinvite(self, now: float, transaction: ServerTransaction) -> None:
        if self._transaction.is_answered:
            super()._handle_reinvite(now, transaction)
        else:
            self._ask_to_retry(now, transaction)

    def _acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        if transaction is self._transaction:
            self._core.emit(InviteConfirmed(self.id, ack.sdp))
        else:
            super()._acknowledged(transaction, ack)

    def _refuse(self, now: float, status: int, reason: str | None) -> None:
        self._stop_ringing()
        self._forget_dialogs()
        self._transaction.respond(now, self._respond_with(status, reason))

    def _respond_with(self, status: int, reason: str | None) -> Response:
        response = self._core.response(self._transaction.request, status, reason, to_tag=self._tag)
        if status < 300:
            response.headers.extend_received("Record-Route", self._transaction.request.headers)
        return response

    def _stop_ringing(self) -> None:
        self._core.timers.cancel(self, _RING_LIMIT)
        self._core.timers.cancel(self, _REPEAT_PROVISIONAL)

    def _check_open(self) -> None:
        if self._is_over or self._transaction.is_answered:
            raise InvalidCallState("the call is answered or over")
