"""The media of one call of the test phone: an endpoint, and what has been described of it.

Owns one endpoint of the media plane from `open_link` to its end, and the SDP session that goes with it. Must not know
why something is played or when a call ends: `call` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Final

from trunkline.calls.ports import MediaPort
from trunkline.errors import LocalProtocolError, MediaError, NegotiationError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import Event, RtpLocal, RtpRemote, RtpTransport, Source
from trunkline.sdp import CodecPolicy, Negotiated, SessionDescription, SessionIdentity, offer_answer, parse

POLICY: Final = CodecPolicy(audio=("PCMU", "PCMA"))
"""G.711 only, as a plain phone has it: a browser's Opus gets transcoded."""


class Link:
    """One endpoint and its SDP session. Awaited verbs raise what the media plane raises."""

    def __init__(self, media: MediaPort, call: MediaCallId, endpoint: EndpointId, local: RtpLocal, rng: Random) -> None:
        self._media = media
        self._call = call
        self._endpoint = endpoint
        self._local = local
        self._identity = SessionIdentity(rng.getrandbits(62), 0, local.rtp[0])
        self._description: SessionDescription | None = None

    def offer(self) -> str:
        """Write an offer: the first of the session, or the next with the same streams."""
        self._identity = self._identity.next()
        self._description = (
            offer_answer.make_offer(self._local, POLICY, self._identity)
            if self._description is None
            else offer_answer.offer_again(self._description, self._identity)
        )
        return str(self._description)

    async def accept_answer(self, answer: str | None) -> None:
        """Take the answer to our last offer. Raises NegotiationError or SdpError if it is none."""
        if self._description is None:
            raise LocalProtocolError("an answer without an offer")
        if answer is None:
            raise NegotiationError("no answer to our offer")
        await self._apply(offer_answer.accept_answer(self._description, parse(answer)))

    async def accept_offer(self, offer: str) -> str:
        """Take an offer and return the answer. Raises NegotiationError or SdpError if it cannot be answered."""
        negotiated = offer_answer.answer_offer(parse(offer), self._local, POLICY, self._identity.next())
        self._identity = self._identity.next()
        await self._apply(negotiated)
        return str(negotiated.description)

    async def echo(self) -> None:
        """Send back what comes in."""
        await self._media.bridge(self._call, self._endpoint, self._endpoint)

    async def play(self, source: Source) -> None:
        """Send a source, instead of anything else, until it ends."""
        await self._media.play(self._call, self._endpoint, source)

    async def stop_play(self) -> None:
        """End what plays."""
        await self._media.stop_play(self._call, self._endpoint)

    async def _apply(self, negotiated: Negotiated[RtpRemote]) -> None:
        self._description = negotiated.description
        await self._media.set_remote(self._call, self._endpoint, negotiated.remote, negotiated.audio)


@asynccontextmanager
async def open_link(
    media: MediaPort, rng: Random, on_event: Callable[[Event], None], *, offer: str | None
) -> AsyncIterator[Link]:
    """Make an endpoint for a call, and close it at the end whatever happens.

    offer: what it is going to answer, which decides whether RTCP shares its port. on_event: gets spontaneous events.
    Raises MediaError or CapacityError if there is no endpoint to be had; SdpError or NegotiationError for a bad offer.
    """
    is_muxed = offer is not None and offer_answer.offered_audio(parse(offer)).has("rtcp-mux")
    call = media.new_call()
    media.subscribe(call, on_event)
    try:
        endpoint, local = await media.create_endpoint(call, RtpTransport(rtcp_mux=is_muxed))
        try:
            if not isinstance(local, RtpLocal):
                raise MediaError("wrong_transport", "asked for plain RTP")
            yield Link(media, call, endpoint, local, rng)
        finally:
            with suppress(MediaError, TimeoutError):
                await media.close(call, endpoint)
    finally:
        media.unsubscribe(call)
