"""Requests within a dialog of which only the outcome counts: INFO, UPDATE, PRACK, NOTIFY.   RFC 3261 section 12.2.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. response: None if there was none; status and reason are then ours."""

    status: int
    reason: str
    response: Response | None = None

    @property
    def is_dialog_lost(self) -> bool:
        """Whether the far side no longer knows the dialog, or is gone.   RFC 3261 section 12.2.1.2, RFC 5057."""
        return self.status in (408, 481)


def _ignore(now: float, outcome: Outcome) -> None:
    """Nothing."""


class Errand:
    """One such request, from `start` to its outcome. contact_user: of our Contact, for target refreshes."""

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        request: Request,
        on_outcome: Callable[[float, Outcome], None],
        *,
        access: AccountAccess | None,
        contact_user: str | None = None,
    ) -> None:
        self._on_outcome = on_outcome
        self._client = ClientRequest(
            core,
            self,
            request,
            hop=core.hop_within(dialog),
            next_cseq=dialog.next_cseq,
            contact_user=contact_user,
            access=access,
        )

    def start(self, now: float) -> None:
        """Send the request."""
        self._client.start(now)

    @property
    def cseq(self) -> int | None:
        """Number under which it was sent last; None before a route is known."""
        sent = self._client.sent
        return None if sent is None else sent.cseq.number

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Pass the outcome on."""
        self._report(now, Outcome(response.status, response.reason, response))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Pass silence on."""
        self._report(now, Outcome(status, reason))

    def _report(self, now: float, outcome: Outcome) -> None:
        """Pass the one outcome on, and know no longer whom: who keeps its errand is not kept by it."""
        on_outcome, self._on_outcome = self._on_outcome, _ignore
        on_outcome(now, outcome)
