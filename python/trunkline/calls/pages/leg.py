"""A leg that is a page by SIP over WebSocket: the signalling of a SIP leg, the media of a browser.

Owns what such a page has beside both: a flow that may be lost and found again, a hold that is the call's, and the
challenges of a server that knows the page and not us.   RFC 7118, RFC 5626 section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from trunkline.calls.events import HoldRequested, LegEnded, ResumeRequested
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import CallEnd, EndReason, LegKind
from trunkline.calls.sip_leg import SipLeg
from trunkline.errors import InvalidCallState, TrunklineError
from trunkline.observability.logging import get_logger
from trunkline.sip.types import Account, HeaderFields, IncomingInvite, Path

_log = get_logger(__name__)


class PageLeg(SipLeg):
    """One call of a page.

    flow: the WebSocket on which it is reached. aor, instance: whose page, and which of them. account: by which its
    transfers are followed. onward: for a page without one, finds another way to whom it names, and takes a line there;
    it raises NoRoute or CapacityError. With neither, transfers are refused.
    """

    def __init__(
        self,
        context: LegContext,
        sip: SipAccess,
        what: OutboundCall | IncomingInvite,
        *,
        flow: Path,
        aor: str,
        instance: str,
        account: Account | None = None,
        onward: Callable[[str], OutboundCall] | None = None,
    ) -> None:
        super().__init__(context, sip, what, account=account, kind=LegKind.WEB)
        self.flow = flow
        self.aor = aor
        self.instance = instance
        self._onward = onward
        self._challenges: HeaderFields = ()

    @property
    def is_answered(self) -> bool:
        """Whether the page can still be found again: before that its INVITE has died with the WebSocket."""
        return self._context.call.answered_at is not None

    def note_challenges(self, challenges: HeaderFields) -> None:
        """Keep what the other side's server asks for: the page has the password."""
        self._challenges = challenges

    def lose(self) -> None:
        """Give the page up: its WebSocket is gone, and nobody has come back."""
        if not self._is_over:
            self._context.post(LegEnded(CallEnd(EndReason.CLIENT_GONE, by=self._context.side)))

    def move(self, flow: Path) -> None:
        """Go on with the page on another WebSocket."""
        self.flow = flow
        if self._invite is not None:
            self._sip.verbs.move(self._invite, flow)

    async def answer_offer(self, description: str) -> None:
        """Answer a re-INVITE. A page that holds us, holds the call: the other side is to hear music, not a gap."""
        was_holding = self._leg.is_holding
        await super().answer_offer(description)
        if self._leg.is_holding is was_holding:
            return
        request = HoldRequested if self._leg.is_holding else ResumeRequested
        self._context.post(request(self._context.side, _note_refusal))

    def successor(self, context: LegContext) -> SipLeg:
        """Call whom the page named; over trunks if it has no account. Whom it has consulted is no trunk's to find."""
        asked = self._referral
        if self._onward is None or asked is None or asked.replaces is not None:
            return super().successor(context)
        return SipLeg(context, self._sip, replace(self._onward(asked.target_uri), referred_by=asked.referred_by))

    def hang_up(self, end: CallEnd) -> None:
        """As a SIP leg does, with the challenges that have come from the other side."""
        if self._challenges and self._invite is not None and not self._is_over:
            self._is_over = True
            with suppress(InvalidCallState):  # cancelled meanwhile
                self._sip.verbs.refuse(self._invite, end.status, end.phrase or None, self._challenges)
            return
        super().hang_up(end)


def _note_refusal(error: TrunklineError | None) -> None:
    """Note it, no more: the page is on hold by itself, whatever the other side says of it."""
    if error is not None:
        _log.info("hold_not_passed_on", error=str(error))
