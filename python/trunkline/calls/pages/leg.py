"""A leg that is a page by SIP over WebSocket: the signalling of a SIP leg, the media of a browser.

Owns what such a page has beside both: a flow that may be lost and found again, the challenges of a server that knows
the page and not us, and transfers that only the other side can do.   RFC 7118, RFC 5626 section 5, RFC 3515.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from trunkline.calls.events import LegEnded, TransferRequested
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import CallEnd, EndReason, LegKind
from trunkline.calls.sip_events import InviteEvent
from trunkline.errors import InvalidCallState, LegRejected, TrunklineError
from trunkline.ids import CallId
from trunkline.sip.types import Account, HeaderFields, IncomingInvite, InviteId, Path, ReferReceived


class PageLeg(SipLeg):
    """One call of a page.

    flow: the WebSocket on which it is reached. aor, instance: whose page, and which of them. account: by which its
    transfers are followed. onward: for a page without one, finds another way to whom it names, and takes a line there;
    it raises NoRoute or CapacityError. With neither, only the other side can call whom the page names, and it is asked
    to. call_of: finds the call of a page's dialog. on_closed: told once there is nothing left of the leg.
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
        call_of: Callable[[InviteId], CallId | None] = lambda _: None,
        on_closed: Callable[[PageLeg], None] = lambda _: None,
    ) -> None:
        super().__init__(context, sip, what, account=account, kind=LegKind.WEB)
        self.flow = flow
        self.aor = aor
        self.instance = instance
        self._onward = onward
        self._call_of = call_of
        self._on_closed = on_closed
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

    @property
    def call_id(self) -> CallId:
        """The call that it is in."""
        return self._context.call.id

    @property
    def invite(self) -> InviteId | None:
        """The page's dialog; None before it is called."""
        return self._invite

    def handle(self, event: InviteEvent) -> None:
        """As a SIP leg does; but who has no way to call whom a page names lets the other side do it.

        So does who knows the dialog that is to be replaced: it is the page's with us, and nobody else has heard of it.
        """
        if not isinstance(event, ReferReceived) or self._is_over or self._referral is not None:
            super().handle(event)
            return
        consulted = None if event.replaced is None else self._call_of(event.replaced)
        if consulted is None and (self._account is not None or self._onward is not None):
            super().handle(event)
            return
        if event.replaces is not None and consulted is None:
            self._sip.verbs.answer_refer(event.refer, 481)
            return
        self._referral = event
        self.answer_referral(202)
        side = self._context.side
        self._context.post(TransferRequested(side, event.target_uri, self._passed_on, consulted))

    def _passed_on(self, error: TrunklineError | None) -> None:
        """Tell the page how its transfer fared.   RFC 3515 section 2.4.5."""
        status = error.status if isinstance(error, LegRejected) else 200 if error is None else error.sip_status
        self.tell_referral(status, error.reason if isinstance(error, LegRejected) else "")

    def close(self) -> Awaitable[None]:
        """See `LegPort`."""
        self._on_closed(self)
        return super().close()

    def successor(self, context: LegContext) -> SipLeg:
        """Call whom the page named; over trunks if it has no account. Whom it has consulted is no trunk's to find."""
        asked = self._referral
        if self._onward is None or asked is None or asked.replaces is not None:
            return super().successor(context)
        return SipLeg(context, self._sip, replace(self._onward(asked.target_uri), referred_by=asked.referred_by))

    def hang_up(self, end: CallEnd) -> None:
        """As a SIP leg does, with the challenges that have come from the other side."""
        if end.reason is EndReason.TRANSFERRED:  # nobody waits for the page's own answer to it any more
            self.tell_referral(200, "")
        if self._challenges and self._invite is not None and not self._is_over:
            self._is_over = True
            with suppress(InvalidCallState):  # cancelled meanwhile
                self._sip.verbs.refuse(self._invite, end.status, end.phrase or None, self._challenges)
            return
        super().hang_up(end)
