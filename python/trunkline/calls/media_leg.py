"""What every leg with an endpoint does the same way: make it, set its far side, send digits, close it.

Owns the endpoint of one leg, its SDP session identity and the reading of its first offer. Knows neither SIP nor sockets
of browsers: `sip_leg` and `web_leg` build on it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, Self

from trunkline.calls.model import Call, Leg, LegDirection, LegKind, Side
from trunkline.calls.outcomes import nothing
from trunkline.calls.ports import LegContext as LegContext
from trunkline.figures import EndpointStats
from trunkline.ids import EndpointId, LegId
from trunkline.media.types import Codec, Local, RtpRemote, StreamParameters, WebRtcRemote
from trunkline.sdp.codecs import DEFAULT_PTIME_MS, CodecPolicy, CodecTerms, choose_dtmf
from trunkline.sdp.model import SessionDescription, SessionIdentity
from trunkline.sdp.negotiator import Agreement, Negotiator
from trunkline.sdp.parser import parse

DIGIT_MS: Final = 120
"""How long a digit lasts whose sender did not say."""


class MediaLeg:
    """A leg's endpoint. The awaited verbs raise as `LegPort` says. sdp: of the media that the far side speaks."""

    # A call has two of these, for hours: a dictionary of so many names would take a kibibyte and a half.
    __slots__ = (
        *("_context", "_sdp", "_offer", "_local", "_policy", "_leg", "_beside", "_codecs", "_negotiated"),
        *("_ignores_tones", "_identity"),
    )

    def __init__(
        self,
        context: LegContext,
        kind: LegKind,
        direction: LegDirection,
        sdp: Negotiator,
        terms: CodecTerms | None = None,
    ) -> None:
        self._context = context
        self._sdp = sdp
        self._offer: SessionDescription | None = None
        """The offer under negotiation: ours as caller or in a late offer, theirs as callee."""
        self._local: Local | None = None
        self._policy = context.policies[kind].under(terms or CodecTerms())
        self._leg = Leg(LegId(f"{context.call.id}/{context.side}"), kind, direction)
        self._leg.may_transcode = self._policy.may_transcode
        self._beside = self._policy
        """The policy in view of the other leg."""
        self._codecs: tuple[Codec, ...] = ()
        self._negotiated: tuple[WebRtcRemote | RtpRemote, StreamParameters] | None = None
        self._ignores_tones = False
        self._identity = SessionIdentity(context.session_id, 1, "0.0.0.0")  # noqa: S104 - replaced with the endpoint's

    @property
    def leg(self) -> Leg:
        """The leg as data."""
        return self._leg

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Codecs that the far side can do, best first; empty while unknown."""
        return self._codecs

    def _towards(self, partners: tuple[Codec, ...]) -> CodecPolicy:
        """Return what the leg may use beside a leg that speaks this. Raises TranscodingForbidden if that is nothing."""
        policy, may_transcode = self._policy, self._context.call.may_transcode
        if may_transcode is not policy.may_transcode:
            policy = replace(policy, may_transcode=may_transcode)
        self._beside = policy.towards(partners)
        return self._beside

    @property
    def _is_narrowed(self) -> bool:
        """Whether fewer codecs may be used beside the other leg than the leg could, since transcoding is forbidden."""
        return len(self._beside.audio) < len(self._policy.audio)

    def _staying(self) -> CodecPolicy:
        """Return what a new offer of the far side's may choose from, the codec in use first.

        Where transcoding is forbidden it is what was agreed on, since the other leg has no more than that.
        """
        if not self._beside.may_transcode:
            return self._beside.towards(self._codecs)
        return self._beside.staying_with(self._codecs[0]) if self._codecs else self._beside

    def _open(self, offer: str | None) -> Awaitable[None]:
        """Read the far side's offer, if it made one, and make the endpoint.

        The whole negotiation is tried at once: a call that cannot have audio must fail before anybody's phone rings.
        """
        if offer:
            self._offer = parse(offer)
            self._codecs = self._policy.usable(self._sdp.offered_codecs(self._offer))
        transport = self._sdp.transport(self._offer)
        return self._opened(self._context.media.create_endpoint(self._context.media_call, transport))

    async def _opened(self, created: Awaitable[tuple[EndpointId, Local]]) -> None:
        self._leg.endpoint, local = await created
        self._local = local
        self._identity = replace(self._identity, address=self._sdp.opened(local))
        if self._offer is not None:
            self._sdp.check(self._offer, self._policy, self._identity)

    async def settle(self) -> Self:
        """See `LegPort`: it was the only one."""
        return self

    def _take(self, agreement: Agreement, *, takes_info: bool = False) -> Awaitable[None]:
        """Tell the endpoint what was agreed on. takes_info: the far side says that it takes digits by INFO.

        The leg goes by it at once: if the endpoint refuses, the call is over.
        """
        audio = self._wanted(agreement, takes_info=takes_info)
        told = self._tell(agreement.remote, audio)
        self._note(agreement, audio)
        return told

    async def _take_again(self, agreement: Agreement, *, takes_info: bool) -> None:
        """Tell it what was agreed on anew. If the endpoint refuses, what was agreed on before stands."""
        audio = self._wanted(agreement, takes_info=takes_info)
        await self._tell(agreement.remote, audio)
        self._note(agreement, audio)

    def _wanted(self, agreement: Agreement, *, takes_info: bool) -> StreamParameters:
        """Return what the endpoint is to do, in view of the other leg."""
        audio = agreement.audio
        dtmf = choose_dtmf(self._policy, audio.send, takes_info=takes_info)
        if self._ignores_tones:
            dtmf = replace(dtmf, hears_tones=False)
        # A packet time is a wish (RFC 8866 6.4); to meet another one than the other leg's would take transcoding.
        is_bound = self._beside.partners and not self._beside.may_transcode
        ptime_ms = DEFAULT_PTIME_MS if is_bound else audio.ptime_ms
        if (dtmf, ptime_ms) == (audio.dtmf, audio.ptime_ms):
            return audio
        return replace(audio, dtmf=dtmf, ptime_ms=ptime_ms)

    def _tell(self, remote: WebRtcRemote | RtpRemote, audio: StreamParameters) -> Awaitable[None]:
        if self._leg.endpoint is None:
            return nothing()
        return self._context.media.set_remote(self._context.media_call, self._leg.endpoint, remote, audio)

    def _note(self, agreement: Agreement, audio: StreamParameters) -> None:
        self._sdp.agreed(agreement)
        if self._leg.endpoint is None:
            return
        leg, sent = self._leg, audio.send[0]
        self._negotiated = agreement.remote, audio
        self._codecs = audio.send
        leg.codec, leg.clock_rate, leg.ptime_ms, leg.dtmf = sent.name, sent.clock_rate, audio.ptime_ms, audio.dtmf.sent

    async def ignore_tones(self) -> None:
        """Listen to the far side's audio for digits no longer."""
        self._ignores_tones = True
        if self._negotiated is None or self._leg.endpoint is None or not self._negotiated[1].dtmf.hears_tones:
            return
        remote, audio = self._negotiated
        audio = replace(audio, dtmf=replace(audio.dtmf, hears_tones=False))
        await self._tell(remote, audio)
        self._negotiated = remote, audio

    async def _play_digits(self, digits: str, duration_ms: int | None) -> None:
        if self._leg.endpoint is not None:
            call, endpoint = self._context.media_call, self._leg.endpoint
            await self._context.media.send_dtmf(call, endpoint, digits, duration_ms or DIGIT_MS)

    def serve(self, call: Call, side: Side) -> None:
        """See `LegPort`."""
        self._context = replace(self._context, call=call, side=side)
        self._leg.id = LegId(f"{call.id}/{side}")

    def close(self) -> Awaitable[None]:
        """See `LegPort`."""
        endpoint, self._leg.endpoint = self._leg.endpoint, None
        media, media_call = self._context.media, self._context.media_call
        return self._take_figures(None if endpoint is None else media.close(media_call, endpoint))

    async def _take_figures(self, closing: Awaitable[EndpointStats | None] | None) -> None:
        if closing is not None:
            self._leg.stats = await closing or self._leg.stats
