"""What every leg with an endpoint does the same way: make it, set its far side, send digits, close it.

Owns the endpoint of one leg, its SDP session identity and the reading of its first offer. Knows neither SIP nor sockets
of browsers: `sip_leg` and `web_leg` build on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trunkline.calls.model import Call, Leg, LegDirection, LegKind, Side
from trunkline.calls.ports import LegContext as LegContext
from trunkline.ids import LegId
from trunkline.media.types import Codec, Local, RtpRemote, StreamParameters, WebRtcRemote
from trunkline.sdp.codecs import DEFAULT_PTIME_MS, CodecPolicy, CodecTerms, choose_dtmf
from trunkline.sdp.model import SessionDescription, SessionIdentity
from trunkline.sdp.negotiator import Agreement, Negotiator
from trunkline.sdp.parser import parse

DIGIT_MS: Final = 120
"""How long a digit lasts whose sender did not say."""


class MediaLeg:
    """A leg's endpoint. The awaited verbs raise as `LegPort` says. sdp: of the media that the far side speaks."""

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
        self._beside = replace(self._policy, may_transcode=self._context.call.may_transcode).towards(partners)
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

    async def _open(self, offer: str | None) -> None:
        """Read the far side's offer, if it made one, and make the endpoint.

        The whole negotiation is tried at once: a call that cannot have audio must fail before anybody's phone rings.
        """
        if offer:
            self._offer = parse(offer)
            self._codecs = self._policy.usable(self._sdp.offered_codecs(self._offer))
        transport = self._sdp.transport(self._offer)
        self._leg.endpoint, local = await self._context.media.create_endpoint(self._context.media_call, transport)
        self._local = local
        self._identity = replace(self._identity, address=self._sdp.opened(local))
        if self._offer is not None:
            self._sdp.answer(self._offer, self._policy, self._identity)

    async def _take(self, agreement: Agreement, *, takes_info: bool = False) -> None:
        """Tell the endpoint what was agreed on. takes_info: the far side says that it takes digits by INFO."""
        await self._set_remote(agreement.remote, agreement.audio, takes_info=takes_info)
        self._sdp.agreed(agreement)

    async def _set_remote(self, remote: WebRtcRemote | RtpRemote, audio: StreamParameters, *, takes_info: bool) -> None:
        if self._leg.endpoint is None:
            return
        dtmf = choose_dtmf(self._policy, audio.send, takes_info=takes_info)
        if self._ignores_tones:
            dtmf = replace(dtmf, hears_tones=False)
        audio = replace(audio, dtmf=dtmf)
        if self._beside.partners and not self._beside.may_transcode:
            # A packet time is a wish (RFC 8866 6.4); to meet another one than the other leg's would take transcoding.
            audio = replace(audio, ptime_ms=DEFAULT_PTIME_MS)
        await self._context.media.set_remote(self._context.media_call, self._leg.endpoint, remote, audio)
        self._negotiated = remote, audio
        self._codecs = audio.send
        sent = audio.send[0]
        self._leg.codec, self._leg.clock_rate, self._leg.ptime_ms = sent.name, sent.clock_rate, audio.ptime_ms
        self._leg.dtmf = dtmf.sent

    async def ignore_tones(self) -> None:
        """Listen to the far side's audio for digits no longer."""
        self._ignores_tones = True
        if self._negotiated is None or self._leg.endpoint is None or not self._negotiated[1].dtmf.hears_tones:
            return
        remote, audio = self._negotiated
        audio = replace(audio, dtmf=replace(audio.dtmf, hears_tones=False))
        await self._context.media.set_remote(self._context.media_call, self._leg.endpoint, remote, audio)
        self._negotiated = remote, audio

    async def _play_digits(self, digits: str, duration_ms: int | None) -> None:
        if self._leg.endpoint is not None:
            call, endpoint = self._context.media_call, self._leg.endpoint
            await self._context.media.send_dtmf(call, endpoint, digits, duration_ms or DIGIT_MS)

    def serve(self, call: Call, side: Side) -> None:
        """See `LegPort`."""
        self._context = replace(self._context, call=call, side=side)
        self._leg.id = LegId(f"{call.id}/{side}")

    async def close(self) -> None:
        """Close the endpoint; nothing if there is none."""
        endpoint, self._leg.endpoint = self._leg.endpoint, None
        if endpoint is not None:
            stats = await self._context.media.close(self._context.media_call, endpoint)
            self._leg.stats = stats or self._leg.stats
