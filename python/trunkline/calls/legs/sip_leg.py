"""A leg that is a SIP dialog: call verbs to the user agent's, and its events to call events.

Owns one INVITE usage and the translation of SIP statuses to end reasons; offer and answer are `legs.sip_media`'s,
transfers `legs.sip_transfers`'. Knows no SIP message: `trunkline.sip` does.   RFC 3261 sections 13 to 15, RFC 6086
(INFO).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from trunkline.calls.events import (
    DtmfHeard,
    DtmfMethod,
    LegAnswered,
    LegDescribed,
    LegEnded,
    LegLeft,
    LegProgressed,
    LegRang,
    LegRefused,
    LegReoffered,
    LegTransferred,
    LegTried,
    Reply,
)
from trunkline.calls.info_digits import InfoDigits
from trunkline.calls.legs import texts
from trunkline.calls.legs.absent import NoClient
from trunkline.calls.legs.sip_party import (
    ENDED,
    OutboundCall,
    SipAccess,
    domain_of,
    is_elsewhere,
    request_of,
    rtp_negotiator,
)
from trunkline.calls.legs.sip_transfers import SipTransfers
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import CallEnd, EndReason, LegDirection, LegKind, ReceivedText, reason_for_status
from trunkline.calls.outcomes import nothing
from trunkline.calls.ports import LegPort
from trunkline.calls.sip_events import InviteEvent, Newcomer, RegistrationEvent
from trunkline.dtmf import DtmfKind
from trunkline.errors import (
    CapacityError,
    InvalidCallState,
    LocalProtocolError,
    MediaError,
    NegotiationError,
    NoRoute,
    SdpError,
)
from trunkline.media.types import Codec, Direction
from trunkline.observability.logging import get_logger
from trunkline.sdp.negotiator import WebRtcNegotiator
from trunkline.sip.info import RELAY
from trunkline.sip.types import (
    Account,
    EndCause,
    IncomingInvite,
    InfoAnswered,
    InfoReceived,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteTrying,
    MessageReceived,
    ReferAnswered,
    ReferProgress,
    ReferReceived,
    Registered,
    RegistrationFailed,
    RegistrationId,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)
from trunkline.trunks.model import MediaTerms

_log = get_logger(__name__)

_HUNG_UP: Final = frozenset((EndReason.NORMAL, EndReason.TERMINATED, EndReason.TRANSFERRED))


class SipLeg(NoClient, SipTransfers):
    """One call on one SIP dialog. what: an `OutboundCall` to place, or the `IncomingInvite` that started it.

    terms: of the trunk that an inbound call came from; an `OutboundCall` has its own. kind: `web` if the far side is a
    browser all the same, by SIP over WebSocket. account: whose an inbound call is; it calls whom the far side transfers
    us to.
    """

    __slots__ = (
        *("_account", "_digits", "_outbound", "_preferred", "_registration", "_what"),
        *("_has_rung", "_has_tried", "_is_question_known"),
    )

    def __init__(
        self,
        context: LegContext,
        sip: SipAccess,
        what: OutboundCall | IncomingInvite,
        terms: MediaTerms | None = None,
        kind: LegKind = LegKind.SIP,
        *,
        account: Account | None = None,
    ) -> None:
        incoming = what if isinstance(what, IncomingInvite) else None
        terms = what.terms if isinstance(what, OutboundCall) else terms or MediaTerms()
        super().__init__(
            context,
            kind,
            LegDirection.OUTBOUND if incoming is None else LegDirection.INBOUND,
            WebRtcNegotiator() if kind is LegKind.WEB else rtp_negotiator(what, context.security, terms),
            sip=sip,
            domain=domain_of(what),
            remote_offer=None if incoming is None else incoming.sdp,
            takes_info=incoming is not None and incoming.takes_info,
            terms=terms,
        )
        self._outbound = what if isinstance(what, OutboundCall) else None
        self._preferred: tuple[Codec, ...] = ()
        """What the other leg speaks."""
        self._is_question_known = False
        """Whether the user agent's next question is about an offer that has been told already."""
        self._registration: RegistrationId | None = None
        self._has_tried = False
        self._has_rung = False
        self._what = what if incoming is None else replace(incoming, sdp=None, headers=())  # an INVITE has kilobytes
        self._account = account
        self._digits: InfoDigits | None = None
        """Those that go by INFO; few calls have any."""
        if incoming is not None:
            self._invite = incoming.id
            sip.events.bind_invite(incoming.id, self.handle)

    # --- events of the user agent ---

    def handle(self, event: InviteEvent) -> None:
        """Translate one event of our INVITE usage."""
        if self._is_over:
            return
        call, post = self._context.call, self._context.post
        match event:
            case InviteTrying():
                self._has_tried = True
                call.sip_status = 100
                post(LegTried())
            case InviteProgress(_, status, _, sdp):
                self._has_tried = True
                self._is_question_known |= event.is_offer
                if self._is_late and not event.is_offer:
                    sdp = None  # a preview of what we have not been asked about
                self._takes_info |= event.takes_info
                call.sip_status = status
                if status == 180:
                    self._has_rung = True
                if sdp:
                    post(LegProgressed(sdp))
                elif status == 180:
                    post(LegRang())
            case InviteAnswered(_, sdp):
                call.sip_status = 200
                self._is_question_known |= event.is_offer
                if self._outbound is not None and self._outbound.course is not None:
                    self._outbound.course.answered()
                self._takes_info |= event.takes_info
                post(LegAnswered(sdp or ""))
            case InviteFailed(_, status, phrase):
                if self._has_redialed(status, event.retry_after_s):
                    return
                if self._outbound is not None and event.challenges:
                    self._outbound.on_challenge(event.challenges)
                self._ended(self._reason_for(status), status, phrase)
            case InviteEnded(_, EndCause.LOCAL):
                self._is_over = True
            case InviteEnded(_, EndCause.REMOTE_BYE) if self._is_sent_on:
                self._is_over = True
                self._release_registration()
                post(LegTransferred(self._context.side))
            case InviteEnded(_, EndCause.REMOTE_BYE) if self._referral is not None:
                self._is_over = True
                self._release_registration()
                post(LegLeft(self._context.side))
            case InviteEnded(_, EndCause.REMOTE_CANCEL, status, q850) if is_elsewhere(status, q850):
                self._ended(EndReason.ANSWERED_ELSEWHERE, 0, "")
            case InviteEnded(_, EndCause.REMOTE_CANCEL):
                self._ended(EndReason.CANCELLED, 0, "")
            case InviteEnded(_, cause, status):
                self._ended(ENDED[cause], status or 0, "")
            case InviteConfirmed(_, sdp) | ReinviteAnswered(_, sdp):
                # Without a description it matters only if we still wait for one: `accept` ends such a call.
                if sdp or not self._has_remote or self._reoffered is not None:
                    post(LegDescribed(self._context.side, sdp or ""))
            case ReinviteReceived() if self._is_question_known:
                self._is_question_known = False
            case ReinviteReceived(_, sdp):
                post(LegReoffered(self._context.side, sdp or ""))
            case InfoReceived(_, digit, duration_ms):
                post(DtmfHeard(self._context.side, digit, duration_ms, DtmfKind.INFO))
            case InfoAnswered(_, status):
                if self._digits is not None:
                    self._digits.answered(status)
            case MessageReceived():
                post(texts.arrived(self._sip, self._context.side, event, call.id))
            case ReferReceived() | ReferAnswered() | ReferProgress() | Newcomer():
                self._hear_of_transfer(event)
            case ReinviteFailed(_, status, phrase):
                self._reoffered = None
                post(LegRefused(self._context.side, status, phrase))

    def _ended(self, reason: EndReason, status: int, phrase: str) -> None:
        self._is_over = True
        self._release_registration()
        if status:
            self._context.call.sip_status = status
        self._context.post(LegEnded(CallEnd(reason, by=self._context.side, sip_status=status, phrase=phrase)))

    def _reason_for(self, status: int) -> EndReason:
        """Tell apart what one status means at different times: 408 and 503 may be the user agent's own.

        Silence before any response is a server that is not there; after 180 it is a callee that does not pick up.
        """
        if status == 408:
            if self._has_rung:
                return EndReason.NO_ANSWER
            return EndReason.REQUEST_TIMEOUT if self._has_tried else EndReason.SERVER_UNREACHABLE
        if status == 503 and self._has_tried:
            return EndReason.SERVER_ERROR
        reason = reason_for_status(status)
        if reason is EndReason.NO_COMMON_CODECS and self._is_narrowed:
            return EndReason.TRANSCODING_FORBIDDEN
        return reason

    def _registration_changed(self, event: RegistrationEvent) -> None:
        if self._is_over or self._invite is not None:
            return
        match event:
            case Registered():
                try:
                    self._send_invite()
                except LocalProtocolError as error:
                    self._ended(EndReason.NO_ROUTE, 0, str(error))
            case RegistrationFailed(_, status, phrase):
                self._ended(self._reason_for(status), status, phrase)

    # --- LegPort ---

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """Send INVITE with an offer; first REGISTER if the account needs it. A trunk that cannot be asked is left."""
        assert self._outbound is not None
        self._preferred = preferred
        if self._outbound.register_expires_s is None or self._outbound.account is None:
            try:
                self._send_invite()
            except (NegotiationError, LocalProtocolError):
                if not self._has_redialed(0, None):
                    raise
            return
        self._first_offer(preferred)
        verbs, events = self._sip.verbs, self._sip.events
        self._registration = verbs.register(self._outbound.account, self._outbound.register_expires_s)
        events.bind_registration(self._registration, self._registration_changed)

    def _send_invite(self) -> None:
        outbound = self._outbound
        assert outbound is not None
        if self._offer is None and not self._is_late:
            self._first_offer(self._preferred)
        self._leg.trunk = outbound.trunk
        self._invite = self._sip.verbs.invite(request_of(outbound, None if self._is_late else str(self._offer)))
        self._sip.events.bind_invite(self._invite, self.handle)

    def _has_redialed(self, status: int, retry_after_s: int | None) -> bool:
        """Try the next trunk that will take the call; False if there is none, or the failure is the callee's own.

        The endpoint stays, and with it all that the caller has been told.
        """
        course = None if self._outbound is None else self._outbound.course
        if course is None:
            return False
        while (following := course.failed(status, retry_after_s, has_rung=self._has_rung)) is not None:
            self._outbound, self._domain = following, domain_of(following)
            self._has_tried = self._has_rung = False
            self._start_over(rtp_negotiator(following, self._context.security, following.terms), following.terms)
            try:
                self._send_invite()
            except (NegotiationError, LocalProtocolError) as error:
                _log.warning("trunk_not_asked", trunk=following.trunk, error=str(error))
                status, retry_after_s = 0, None
            else:
                return True
        return False

    @property
    def _is_late(self) -> bool:
        """Whether the offer is left to the callee."""
        return self._outbound is not None and self._outbound.terms.is_late_offer

    def accept(self, description: str) -> Awaitable[None]:
        """See `SipMedia.accept`; or answer the offer that we left to the callee, once."""
        if not self._is_late or self._reoffered is not None:
            return super().accept(description)
        if self._has_remote:
            return nothing()
        return self._accept_late(self._answer_late(description, self._preferred))

    async def _accept_late(self, agreed: Awaitable[None]) -> None:
        await agreed
        self._answer_reinvite(sdp=str(self._described))

    def ring(self) -> None:
        """Send 180, or 183 with the description that early media needs."""
        if self._invite is None or self._is_over:
            return
        with suppress(InvalidCallState):  # cancelled meanwhile: the event is on its way
            if self._described is None:
                self._sip.verbs.ring(self._invite, 180)
            else:
                self._sip.verbs.ring(self._invite, 183, str(self._described))

    def connect(self) -> None:
        """Send 200."""
        if self._invite is None or self._is_over:
            return
        with suppress(InvalidCallState):  # cancelled meanwhile: the event is on its way
            self._sip.verbs.answer(self._invite, str(self._described))
            self._context.call.sip_status = 200

    async def answer_offer(self, description: str) -> None:
        """Answer a re-INVITE: new address, direction or codecs, same ports of ours.   RFC 3261 section 14.2."""
        if self._invite is None or self._is_over:
            return
        try:
            ours = await self._answer_to(description)
        except (NegotiationError, SdpError):
            self._answer_reinvite(status=488)
        except (MediaError, CapacityError, TimeoutError):
            self._answer_reinvite(status=500)
        else:
            self._answer_reinvite(sdp=str(ours))

    async def offer_again(self, direction: Direction) -> None:
        """Send re-INVITE with the description that stands, in another direction.   RFC 3264 section 8.4."""
        if self._invite is None or self._described is None or self._is_over:
            raise InvalidCallState("the SIP side has not answered")
        identity = self._identity.next()
        offer = self._sdp.offer_again(self._described, identity, direction=direction)
        self._sip.verbs.reinvite(self._invite, str(offer))
        self._identity, self._offer, self._reoffered = identity, offer, direction

    def successor(self, context: LegContext) -> SipLeg:
        """Call whom the far side named, as whoever is in this call and by the same way.   RFC 3891, RFC 3892."""
        assert self._referral is not None
        base, asked = self._outbound, self._referral
        if base is None or not (base.account or base.trunk):
            if self._account is None:
                raise NoRoute("no SIP account to call with")
            base = OutboundCall(account=self._account, target="")
        target = asked.target_uri
        if base.course is not None:
            base = base.course.onward(target)
            if asked.replaces is None:  # as the trunk writes numbers; who is to be replaced is met where they said
                target = base.target
        what = replace(base, target=target, replaces=asked.replaces, referred_by=asked.referred_by)
        return SipLeg(context, self._sip, what)

    def moved(self, context: LegContext) -> SipLeg:
        """See `LegPort`; a new offer in the same dialog asks the far side to send its media elsewhere."""
        if self._invite is None or self._described is None or self._is_over or self._leg.kind is LegKind.WEB:
            raise InvalidCallState("the call to transfer to cannot be joined")
        what = self._what if isinstance(self._what, IncomingInvite) else replace(self._what, course=None)
        return _MovedLeg(context, self._sip, what, self)

    def replacement(self, context: LegContext) -> LegPort:
        """Take the call that is to replace this leg's dialog.   RFC 3891 section 3."""
        newcomer, self._replacement = self._replacement, None
        assert newcomer is not None
        if newcomer.make is not None:
            return newcomer.make(context)
        account = self._account if self._outbound is None else self._outbound.account
        return SipLeg(context, self._sip, newcomer.invite, account=account)

    def refuse_offer(self) -> None:
        """Refuse a re-INVITE that came before the call was up: 491, try again later (RFC 3261 section 14.2)."""
        self._answer_reinvite(status=491)

    def _answer_reinvite(self, *, sdp: str | None = None, status: int = 200) -> None:
        if self._invite is not None:
            with suppress(InvalidCallState):  # the dialog ended meanwhile
                self._sip.verbs.answer_reinvite(self._invite, sdp, status)

    async def send_dtmf(self, digits: str, *, method: DtmfMethod, duration_ms: int | None = None, reply: Reply) -> None:
        """Send digits as was negotiated; or one INFO after the other, so that they stay in order."""
        if method is not DtmfMethod.INFO and self._leg.dtmf is not DtmfKind.INFO:
            await self._play_digits(digits, duration_ms)
            reply(None)
            return
        if self._digits is None:
            self._digits = InfoDigits(self._send_info)
        self._digits.add(digits, duration_ms, reply)

    def _send_info(self, body: bytes) -> None:
        if self._invite is None or self._is_over:
            raise InvalidCallState("the SIP side is not there")
        self._sip.verbs.send_info(self._invite, RELAY, body)

    def tell(self, text: ReceivedText, reply: Reply) -> None:
        """Send MESSAGE in the dialog."""
        if self._invite is None or self._is_over:
            raise InvalidCallState("the SIP side is not there")
        texts.send(self._sip, self._invite, text, reply)

    def dtmf_failed(self, info: str) -> None:
        """Nothing: a SIP peer is not told."""

    def report(self) -> None:
        """Nothing: `ring` and `connect` are what a SIP peer is told."""

    def hang_up(self, end: CallEnd) -> None:
        """CANCEL, BYE or a final response, whichever fits."""
        if self._is_over:
            return
        self._is_over = True
        self._release_registration()
        self.tell_referral(487, "")
        self.refuse_replacement(481)
        if self._invite is not None and end.reason is EndReason.ANSWERED_ELSEWHERE and self._outbound is not None:
            self._sip.verbs.hangup(self._invite, 200, "Call completed elsewhere")  # RFC 3326 section 2
        elif self._invite is not None:
            # Only a phrase that came with a status is one; ours are for logs and clients.
            self._sip.verbs.hangup(self._invite, _status_of(end), end.phrase if end.sip_status else None)

    def close(self) -> Awaitable[None]:
        """See `LegPort`; the trunk's line is given back."""
        if self._digits is not None:
            self._digits.close()
        if self._outbound is not None and self._outbound.course is not None:
            self._outbound.course.over()
        return super().close()

    def _release_registration(self) -> None:
        if self._registration is not None:
            self._sip.events.unbind_registration(self._registration)
            self._sip.verbs.unregister(self._registration)
            self._registration = None


def _status_of(end: CallEnd) -> int | None:
    """Return the status that tells the far side why; None where somebody just hung up: phones show what a BYE says."""
    if end.reason in _HUNG_UP and not end.sip_status:
        return None
    return end.status if end.status >= 400 else EndReason.NORMAL.value.sip_status


class _MovedLeg(SipLeg):
    """A leg that takes the dialog of another one over into its own call, once the far side has agreed.

    Until then the dialog's events are the origin's, and nothing changes if the far side refuses. The description keeps
    the m-lines and the session of the origin's, with another address and version.   RFC 3264 section 8, RFC 3725.
    """

    def __init__(
        self, context: LegContext, sip: SipAccess, what: OutboundCall | IncomingInvite, origin: SipLeg
    ) -> None:
        super().__init__(context, sip, what, account=origin._account)
        self._origin: SipLeg | None = origin
        self._is_asking = False
        self._remote_offer = None
        self._policy = origin._policy
        self._invite = origin._invite
        self._takes_info = origin._takes_info
        self._listen(origin.handle)

    def _listen(self, taker: Callable[[InviteEvent], None]) -> None:
        assert self._invite is not None
        self._sip.events.bind_invite(self._invite, taker)

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """Offer our endpoint to the far side, in both directions."""
        origin = self._origin
        if origin is None or origin._described is None or origin._is_over or self._invite is None:
            raise InvalidCallState("the call to transfer to is over")
        self._identity = replace(origin._identity.next(), address=self._identity.address)
        fresh = self._sdp.offer(self._towards(preferred), self._identity)
        # What we have described has one audio stream that is not rejected, and nothing else that is not.
        media = tuple(fresh.media[0] if section.port else section for section in origin._described.media)
        self._offer, self._reoffered = replace(fresh, media=media), Direction.SENDRECV
        self._sip.verbs.reinvite(self._invite, str(self._offer))
        self._is_asking = True
        self._listen(self._while_asking)

    def _while_asking(self, event: InviteEvent) -> None:
        origin, post = self._origin, self._context.post
        assert origin is not None
        match event:
            case ReinviteAnswered(_, sdp):
                self._take_over(origin)
                post(LegDescribed(self._context.side, sdp or ""))
            case ReinviteFailed(_, status, phrase):
                self._is_over, self._is_asking = True, False
                self._listen(origin.handle)
                post(LegEnded(CallEnd(reason_for_status(status), self._context.side, status, phrase)))
            case InviteEnded():
                self._is_over = True
                origin.handle(event)
                post(LegEnded(CallEnd(EndReason.NORMAL, self._context.side)))
            case _:
                origin.handle(event)

    def _take_over(self, origin: SipLeg) -> None:
        """Have the dialog, and what belongs to it; the origin's call is over, without a BYE."""
        self._origin, self._is_asking = None, False
        self._outbound, origin._outbound = origin._outbound, self._outbound
        self._registration, origin._registration = origin._registration, None
        self._listen(self.handle)
        origin._ended(EndReason.NORMAL, 0, "")

    def hang_up(self, end: CallEnd) -> None:
        """Leave the dialog to the origin; but one that has been asked to come here cannot go back, and ends."""
        origin = self._origin
        if origin is None or self._is_over:
            super().hang_up(end)
        elif self._is_asking:
            self._take_over(origin)
            super().hang_up(end)
        else:
            self._is_over = True
