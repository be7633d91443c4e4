"""The SIP side's offer and answer: what one SIP leg has offered, agreed to and wishes.

Owns the descriptions of one leg and its endpoint's far side. Must not know the user agent: `sip_leg` carries the
descriptions there and back.   RFC 3264, RFC 3261 sections 13.2.1 and 14.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from trunkline.calls.media_leg import LegContext, MediaLeg
from trunkline.calls.model import LegDirection, LegKind
from trunkline.calls.outcomes import nothing
from trunkline.errors import SdpError
from trunkline.media.types import Codec, Direction
from trunkline.sdp.model import SessionDescription
from trunkline.sdp.negotiator import Agreement, Negotiator
from trunkline.sdp.parser import parse
from trunkline.trunks.model import MediaTerms


class SipMedia(MediaLeg):
    """A SIP leg's descriptions. remote_offer: the caller's, if it made one. takes_info: its Allow names INFO.

    terms: of the call or its trunk.
    """

    __slots__ = ("_described", "_has_remote", "_remote_offer", "_reoffered", "_takes_info", "_wished")

    def __init__(
        self,
        context: LegContext,
        kind: LegKind,
        direction: LegDirection,
        sdp: Negotiator,
        *,
        remote_offer: str | None = None,
        takes_info: bool = False,
        terms: MediaTerms,
    ) -> None:
        super().__init__(context, kind, direction, sdp, terms.codecs)
        self._adopt(terms)
        self._remote_offer = remote_offer
        self._takes_info = takes_info
        self._described: SessionDescription | None = None
        """What the far side has agreed to last, in our words."""
        self._wished = Direction.SENDRECV
        """What we would do with the stream."""
        self._reoffered: Direction | None = None
        """What we have asked to do with it in a new offer that is not answered yet."""
        self._has_remote = False
        """Whether the endpoint knows the far side."""

    def _adopt(self, terms: MediaTerms) -> None:
        policy = self._context.policies[self._leg.kind].under(terms.codecs)
        if terms.dtmf is not None and terms.dtmf is not policy.dtmf:
            policy = replace(policy, dtmf=terms.dtmf)
        self._policy = self._beside = policy
        self._leg.may_transcode = policy.may_transcode

    def _start_over(self, sdp: Negotiator, terms: MediaTerms) -> None:
        """Begin anew with another far side, on the endpoint that there is: the other leg notices nothing."""
        assert self._local is not None
        self._adopt(terms)
        self._sdp = sdp
        self._identity = replace(self._identity.next(), address=sdp.opened(self._local))
        self._offer = self._described = None
        self._has_remote = self._takes_info = False

    @property
    def hears_of_hold(self) -> bool:
        """Yes, by a re-INVITE."""
        return True

    def open(self) -> Awaitable[None]:
        """See `LegPort`."""
        offer, self._remote_offer = self._remote_offer, None
        return self._open(offer)

    def _first_offer(self, preferred: tuple[Codec, ...]) -> SessionDescription:
        """Make the offer of a call that we place, or whose caller leaves the offer to us."""
        self._offer = self._described = self._sdp.offer(self._towards(preferred), self._identity)
        return self._offer

    def accept(self, description: str) -> Awaitable[None]:
        """Take an answer: of a 183 or 200 to our INVITE, or of the ACK to an offer that we made in a 200.

        Raises SdpError if there is none and none came before (RFC 3261 section 13.2.1 requires one).
        """
        wished, self._reoffered = self._reoffered, None
        if wished is not None:
            self._wished, self._described = wished, self._offer
        if not description and self._has_remote:
            return nothing()
        if self._offer is None or not description:
            raise SdpError("answered without a description")
        # One that says nothing new counts too: a phone behind NAT may begin to send from elsewhere when it answers.
        agreement = self._sdp.accept(self._offer, parse(description))
        if wished is not None:
            self._note_hold(agreement.audio.direction)
        return self._agree(agreement)

    def _answer_late(self, description: str, preferred: tuple[Codec, ...]) -> Awaitable[None]:
        """Answer the offer that we left to the callee.   RFC 3261 section 13.2.1, RFC 3264."""
        if not description:
            raise SdpError("answered without a description")
        return self._answer(parse(description), preferred)

    def describe(self, preferred: tuple[Codec, ...]) -> Awaitable[None]:
        """Answer the caller's offer, or make ours if it left that to us (RFC 3261 section 13.2.1)."""
        if self._offer is None:
            self._first_offer(preferred)
            return nothing()
        return self._answer(self._offer, preferred)

    def _answer(self, offer: SessionDescription, preferred: tuple[Codec, ...]) -> Awaitable[None]:
        agreement = self._sdp.answer(offer, self._towards(preferred), self._identity)
        self._described = agreement.description
        return self._agree(agreement)

    async def _answer_to(self, description: str) -> SessionDescription:
        """Answer an offer within the call, or make ours if it is empty; what was described before stands if that fails.

        Raises NegotiationError, SdpError, MediaError, CapacityError or TimeoutError.
        """
        identity = self._identity.next()
        if description:
            agreement = self._sdp.answer(parse(description), self._staying(), identity, direction=self._wished)
            await self._take_again(agreement, takes_info=self._takes_info)
            self._has_remote = True
            self._note_hold(agreement.audio.direction)
            ours = agreement.description
        else:
            assert self._described is not None
            self._offer = ours = self._sdp.offer_again(self._described, identity, direction=self._wished)
        self._identity, self._described = identity, ours
        return ours

    def _agree(self, agreement: Agreement) -> Awaitable[None]:
        self._has_remote = True
        return self._take(agreement, takes_info=self._takes_info)

    def _note_hold(self, agreed: Direction) -> None:
        """Learn whether the far side holds us: it will not hear us, although we would speak.   RFC 3264 section 8.4."""
        self._leg.is_holding = "send" in self._wished and "send" not in agreed
        self._leg.sends_on_hold = "recv" in agreed
