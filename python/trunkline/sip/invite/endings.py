"""What is left to say when a transaction or a dialog ends: the ACK of a 2xx, the last BYE.

Neither belongs to a call any more: both go on underneath, whatever the application does.   RFC 3261 sections 13.2.2.4,
15; RFC 3326 (Reason).
"""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import Reason
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.phrases import reason_phrase
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import HeaderFields, Path


def reason_headers(status: int | None, text: str | None) -> HeaderFields:
    """Say in BYE or CANCEL why we end a call; nothing if there is nothing to say."""
    if status is None:
        return ()
    return (("Reason", str(Reason("SIP", status, text or reason_phrase(status)))),)


class Acknowledgement:
    """The ACK of one 2xx: sent once a route is known, and again for each copy.   RFC 3261 section 13.2.2.4.

    waits_for_answer: the 2xx holds an offer; nothing is sent before `release`.
    """

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        invite: Request,
        access: AccountAccess | None,
        *,
        waits_for_answer: bool = False,
    ) -> None:
        self._core = core
        self._dialog = dialog
        self._invite = invite
        self._access = access
        self._is_held = waits_for_answer
        self._answer: str | None = None
        self._is_asking = False
        self._ready: tuple[Path, bytes] | None = None

    def send(self, now: float) -> None:
        """Send it, or find out first where to."""
        if self._is_held:
            return
        if self._ready is not None:
            self._core.transactions.transmit(*self._ready)
        elif not self._is_asking:
            hop = self._core.hop_within(self._dialog)
            if hop is not None:
                self._is_asking = True
                self._core.ask_routes(hop, self._handle_routes)

    def release(self, now: float, answer: str | None) -> None:
        """Send it with the answer to the 2xx's offer, or without one; nothing if that was done."""
        if self._is_held:
            self._is_held, self._answer = False, answer
            self.send(now)

    def _handle_routes(self, now: float, paths: Sequence[Path]) -> None:
        self._is_asking = False
        if not paths:
            return
        request = self._dialog.request("ACK")
        request.headers.prepend_via(self._core.via(paths[0]))
        request.headers.add("CSeq", f"{self._invite.cseq.number} ACK")
        if self._access is not None and self._access.may_see(paths[0]):
            # An ACK cannot be challenged, so it repeats the credentials of its INVITE (RFC 3261 section 22.1).
            for name in ("Authorization", "Proxy-Authorization"):
                request.headers.extend_received(name, self._invite.headers)
        request.headers.add("User-Agent", self._core.config.user_agent)
        if self._answer is not None:
            request = request.with_body(SDP, self._answer.encode())
        self._ready = (paths[0], request.to_bytes())
        self.send(now)


class Farewell:
    """The last BYE of a dialog that nobody owns any more."""

    def __init__(self, core: Core, dialog: Dialog, access: AccountAccess | None, headers: HeaderFields = ()) -> None:
        self._core = core
        self._dialog = dialog
        request = dialog.request("BYE")
        for name, value in headers:
            request.headers.add(name, value)
        self._client = ClientRequest(
            core, self, request, hop=core.hop_within(dialog), next_cseq=dialog.next_cseq, access=access
        )

    @property
    def call(self) -> None:
        """None: the call is over."""

    def start(self, now: float) -> None:
        """Send the BYE."""
        self._core.dialogs[self._dialog.id] = self
        self._client.start(now)

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Accept a BYE that crossed ours; there is nothing here for anything else."""
        status = 200 if transaction.request.method == "BYE" else 481
        transaction.respond(now, self._core.response(transaction.request, status))

    def handle_ack(self, now: float, request: Request) -> None:
        """Absorb it."""

    def handle_cancel(self, now: float, transaction: ServerTransaction, cancel: Request) -> None:
        """Absorb it."""

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Forget the dialog, whatever the answer."""
        self._core.dialogs.pop(self._dialog.id, None)

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Forget the dialog."""
        self._core.dialogs.pop(self._dialog.id, None)
