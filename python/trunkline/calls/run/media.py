"""The media of a call: who is joined to whom, and what the media plane tells of the call's endpoints.

Owns the bridge of one call and the translation of media events to call events. Must not know what a leg speaks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from trunkline.calls.events import CallEvent, DtmfHeard, LegEnded, MediaFailed, MediaMissing, MediaSilent
from trunkline.calls.legs.failures import CLOSED
from trunkline.calls.model import CallEnd, EndReason, LegKind, Side
from trunkline.calls.outcomes import all_of, nothing
from trunkline.calls.ports import LegPort, MediaPort
from trunkline.dtmf import DtmfKind
from trunkline.errors import InvalidCallState, MediaError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import (
    BridgeFailed,
    DtlsStateChanged,
    DtmfReceived,
    EndpointClosed,
    Event,
    FirstPacketMissing,
    MediaInactive,
    Source,
    TapDone,
    Voice,
)
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)


class CallMedia:
    """The endpoints of one call, together. legs: the call's, as they are at the time. post: takes call events.

    player_source: what a leg hears that has nobody on the other side. hold_source: what one hears that is on hold. The
    awaited verbs raise as `MediaPort` says.
    """

    __slots__ = ("_hold_source", "_legs", "_media_call", "_player_source", "_port", "_post", "on_recorded")

    def __init__(
        self,
        port: MediaPort,
        media_call: MediaCallId,
        legs: Mapping[Side, LegPort],
        post: Callable[[CallEvent], None],
        *,
        player_source: Source,
        hold_source: Source,
    ) -> None:
        self._port = port
        self._media_call = media_call
        self._legs = legs
        self._post = post
        self._player_source = player_source
        self._hold_source = hold_source
        self.on_recorded: Callable[[TapDone], None] = lambda _: None
        """Told of recordings that have ended."""

    def listen(self) -> None:
        """Begin to take the media plane's events of this call."""
        self._port.subscribe(self._media_call, self._changed)

    def ignore(self) -> None:
        """Take no more of them."""
        self._port.unsubscribe(self._media_call)

    def join(self) -> Awaitable[None]:
        """Let media through between the legs; a leg that has nobody on the other side is played to."""
        a, b = self.endpoint(Side.A), self.endpoint(Side.B)
        if a is not None and b is not None:
            return self._port.bridge(self._media_call, a, b)
        alone = a if b is None else b
        return nothing() if alone is None else self._port.play(self._media_call, alone, self._player_source)

    async def join_again(self) -> None:
        """Join the legs after one of them was replaced, and end what played to them while they waited."""
        await self.join()
        for side in Side:
            endpoint = self.endpoint(side)
            if endpoint is not None and self.endpoint(side.other) is not None:
                await self._port.stop_play(self._media_call, endpoint)

    async def entertain(self, side: Side) -> None:
        """Play to a leg that waits, what one on hold hears; without it, it waits in silence."""
        endpoint = self.endpoint(side)
        if endpoint is not None:
            try:
                await self._port.play(self._media_call, endpoint, self._hold_source)
            except (MediaError, TimeoutError) as error:
                _log.warning("hold_music_failed", leg=side.value, error=str(error))

    async def start_music(self, held: Side) -> None:
        """Play to a held leg; to the other one as well if nobody's client is there, since the call is held for it."""
        for side in Side:
            if side is held or self._legs[side].leg.kind is LegKind.SIP:
                await self.entertain(side)

    async def stop_music(self) -> None:
        """Let the legs hear each other again, or the player."""
        endpoints = {side: endpoint for side in Side if (endpoint := self.endpoint(side)) is not None}
        for endpoint in endpoints.values():
            await self._port.stop_play(self._media_call, endpoint)
        if len(endpoints) == 1:
            await self.join()

    async def mute(self, side: Side, *, is_muted: bool) -> None:
        """Keep what a leg's far side says, or what a player would, from the other leg; or let it through again."""
        own, other = self.endpoint(side), self.endpoint(side.other)
        endpoint, voice = (own, Voice.SAYS) if own is not None else (other, Voice.HEARS)
        if endpoint is None:
            raise InvalidCallState("the call has no media yet")
        change = self._port.mute if is_muted else self._port.unmute
        await change(self._media_call, endpoint, voice)
        self._legs[side].leg.is_muted = is_muted

    def expect(self) -> Awaitable[None]:
        """Count the silence of both legs from now on."""
        endpoints = [endpoint for side in Side if (endpoint := self.endpoint(side)) is not None]
        return all_of(*[self._port.expect_media(self._media_call, endpoint) for endpoint in endpoints])

    def endpoint(self, side: Side) -> EndpointId | None:
        """Return the endpoint of a side, None if it has none now."""
        return self._legs[side].leg.endpoint

    def _changed(self, event: Event) -> None:
        """Translate an event of the media plane; those of an endpoint that we closed ourselves mean nothing."""
        if isinstance(event, TapDone):
            self.on_recorded(event)
            return
        if isinstance(event, BridgeFailed):
            self._post(MediaFailed(Side.A, EndReason.MEDIA_FAILED, event.reason))
            return
        if not isinstance(event, DtlsStateChanged | FirstPacketMissing | MediaInactive | DtmfReceived | EndpointClosed):
            return
        side = next((side for side, leg in self._legs.items() if leg.leg.endpoint == event.endpoint), None)
        if side is None:
            return
        if isinstance(event, EndpointClosed):
            self._legs[side].leg.stats = event.stats
        match event:
            case DtlsStateChanged(state="failed", detail=detail) if "fingerprint" in detail:
                self._post(MediaFailed(side, EndReason.DTLS_FINGERPRINT, detail))
            case FirstPacketMissing():
                self._post(MediaMissing(side))
            case MediaInactive():
                self._post(MediaSilent(side))
            case DtmfReceived(digit=digit):
                self._post(DtmfHeard(side, digit, event.duration_ms, DtmfKind(event.by)))
            case EndpointClosed(request=None, reason="dtls_closed"):
                # The browser closed its peer connection: it hangs up, and may not have said so yet.
                self._post(LegEnded(CallEnd(EndReason.NORMAL, by=side)))
            case EndpointClosed(request=None, reason=reason):
                self._post(MediaFailed(side, CLOSED.get(reason, EndReason.MEDIA_FAILED), reason))
            case _:
                pass
