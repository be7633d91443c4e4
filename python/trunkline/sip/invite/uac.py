"""Outbound calls: INVITE until it is answered, refused or given up.

Owns early dialogs, CANCEL and the forks that answer besides the first.   RFC 3261 sections 9.1, 13.2; RFC 3960.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import plain_text
from trunkline.sip.invite.endings import Acknowledgement, Farewell, reason_headers
from trunkline.sip.invite.usage import InviteUsage
from trunkline.sip.message import Request, Response
from trunkline.sip.types import (
    EndCause,
    Hop,
    InviteAnswered,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
)


class OutboundInvite(InviteUsage):
    """A call that we make. request: without Via, CSeq and Contact."""

    def __init__(
        self,
        core: Core,
        invite_id: InviteId,
        request: Request,
        *,
        hop: Hop | None,
        contact_user: str,
        access: AccountAccess | None,
        on_over: Callable[[InviteId], None],
    ) -> None:
        super().__init__(core, invite_id, contact_user=contact_user, access=access, on_over=on_over)
        self._is_call_id_ours = True
        self._early: dict[str, Dialog] = {}
        self._is_trying = False
        self._cseq = 0
        self._initial = ClientRequest(
            core, self, request, hop=hop, next_cseq=self._next_cseq, contact_user=contact_user, access=access
        )

    def start(self, now: float) -> None:
        """Send the INVITE."""
        self._initial.start(now)

    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """CANCEL, or BYE once there is a dialog."""
        headers = reason_headers(status, reason)
        self._finish(EndCause.LOCAL, status=status)
        if self.dialog is not None:
            self._end_dialog(now, headers)
        else:
            self._initial.cancel(now, headers)

    @property
    def can_be_replaced(self) -> bool:
        """An early dialog may be replaced where we are the caller."""
        return not self._is_over

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Report progress of the first INVITE."""
        if client is not self._initial or self._is_over or self.dialog is not None:
            return
        if not self._is_trying:
            self._is_trying = True
            self._core.emit(InviteTrying(self.id))
        if response.status == 100:
            return
        tag = response.to.tag
        if tag is not None and tag not in self._early and client.sent is not None:
            self._early[tag] = dialog = Dialog.of_uac(client.sent, response, client.path)
            self._core.dialogs[dialog.id] = self
        phrase = plain_text(response.reason)
        self._core.emit(InviteProgress(self.id, response.status, phrase, response.sdp, response.takes_info))

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take the answer: acknowledge it, and end what nobody wants."""
        if client is not self._initial:
            super().handle_final(now, client, response)
        elif response.status < 300:
            self._handle_2xx(now, response)
        else:
            self._fail(response.status, response.reason, response.reason_cause("q.850"))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Fail the call if it was the first INVITE."""
        if client is not self._initial:
            super().handle_no_response(now, client, status, reason)
        else:
            self._fail(status, reason, None)

    def _handle_2xx(self, now: float, response: Response) -> None:
        """Acknowledge each 2xx; keep the first dialog, end any other with BYE.   RFC 3261 section 13.2.2.4."""
        sent = self._initial.sent
        assert sent is not None
        key = (response.to.tag or "", sent.cseq.number)
        known = self._acks.get(key)
        if known is not None:
            known.send(now)
            return
        dialog = Dialog.of_uac(sent, response, self._initial.path)
        ack = self._acks[key] = Acknowledgement(self._core, dialog, sent, self._access)
        ack.send(now)
        if self._is_over or self.dialog is not None:
            Farewell(self._core, dialog, self._access).start(now)
            return
        self._forget_early()
        early = self._early.pop(response.to.tag or "", None)
        dialog.remote_cseq = None if early is None else early.remote_cseq
        self.dialog = dialog
        self._core.dialogs[dialog.id] = self
        self._core.emit(InviteAnswered(self.id, response.sdp, response.takes_info))

    def _fail(self, status: int, reason: str, cause: int | None) -> None:
        if not self._is_over:
            self._mark_over()
            self._core.emit(InviteFailed(self.id, status, plain_text(reason), cause))

    def _mark_over(self) -> None:
        super()._mark_over()
        self._forget_early()

    def _forget_early(self) -> None:
        for dialog in self._early.values():
            self._core.dialogs.pop(dialog.id, None)

    def _dialog_of(self, request: Request) -> Dialog | None:
        return self.dialog or self._early.get(request.from_.tag or "")

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq
