"""Offer and answer as a leg uses them, whichever media it speaks.

Owns the choice between `offer_answer` (RTP and SRTP) and `webrtc` (ICE, DTLS-SRTP), and what each has to remember of a
session between two negotiations. Must not know how descriptions travel: JSON and SIP carry either kind.
RFC 3264, RFC 8829.
"""

from __future__ import annotations

from typing import Protocol

from trunkline.errors import LocalProtocolError
from trunkline.media.types import (
    Codec,
    Direction,
    Local,
    RtpLocal,
    RtpRemote,
    RtpTransport,
    Security,
    Transport,
    WebRtcLocal,
    WebRtcRemote,
    WebRtcTransport,
)
from trunkline.sdp import offer_answer, webrtc
from trunkline.sdp.codecs import CodecPolicy, read_codecs
from trunkline.sdp.model import SessionDescription, SessionIdentity
from trunkline.sdp.offer_answer import Negotiated
from trunkline.sdp.security import SecurityPolicy

Agreement = Negotiated[RtpRemote] | Negotiated[WebRtcRemote]


class Negotiator(Protocol):
    """One leg's offers and answers. `opened` comes before everything but `transport` and `offered_codecs`.

    What reads a description raises NegotiationError if it cannot be met and SdpError if it is malformed.
    """

    def transport(self, offer: SessionDescription | None) -> Transport:
        """Return the endpoint to ask for. offer: the far side's, None if we make it."""
        ...

    def offered_codecs(self, offer: SessionDescription) -> tuple[Codec, ...]:
        """Return the codecs of the audio stream that `answer` will take."""
        ...

    def opened(self, local: Local) -> str:
        """Take what the endpoint says of itself; returns the address for our `o=` line."""
        ...

    def offer(self, policy: CodecPolicy, identity: SessionIdentity) -> SessionDescription:
        """Write the first offer."""
        ...

    def offer_again(
        self, previous: SessionDescription, identity: SessionIdentity, *, direction: Direction
    ) -> SessionDescription:
        """Write the next offer from our last description: same m-lines and payload types.   RFC 3264 8."""
        ...

    def accept(self, offer: SessionDescription, answer: SessionDescription) -> Agreement:
        """Read the answer to our offer."""
        ...

    def check(self, offer: SessionDescription, policy: CodecPolicy, identity: SessionIdentity) -> None:
        """Raise what `answer` would: the offer cannot be met."""

    def answer(
        self,
        offer: SessionDescription,
        policy: CodecPolicy,
        identity: SessionIdentity,
        *,
        direction: Direction = Direction.SENDRECV,
    ) -> Agreement:
        """Answer the far side's offer. direction: what we would do with the audio."""
        ...

    def agreed(self, agreement: Agreement) -> None:
        """Learn that the endpoint has taken what was agreed on."""


class RtpNegotiator:
    """Media over RTP, in the clear or secured as the policy says. security: None is plain RTP.

    towards: host of the peer; its address family is the one to offer media in.
    """

    def __init__(self, security: SecurityPolicy | None, towards: str) -> None:
        self._security = security
        self._towards = towards
        self._current: Security | None = None
        self._local: RtpLocal | None = None

    def transport(self, offer: SessionDescription | None) -> Transport:
        """Ask for one port where the far side offers to share it, else for a pair."""
        has_mux = offer is not None and offer_answer.offered_audio(offer, self._security).has("rtcp-mux")
        return RtpTransport(rtcp_mux=has_mux)

    def offered_codecs(self, offer: SessionDescription) -> tuple[Codec, ...]:
        """See `Negotiator`."""
        return read_codecs(offer_answer.offered_audio(offer, self._security))

    def opened(self, local: Local) -> str:
        """See `Negotiator`."""
        assert isinstance(local, RtpLocal)
        self._local = local.towards(self._towards)
        return self._local.rtp[0]

    def offer(self, policy: CodecPolicy, identity: SessionIdentity) -> SessionDescription:
        """See `Negotiator`."""
        return offer_answer.make_offer(self._opened, policy, identity, security=self._security)

    def offer_again(
        self, previous: SessionDescription, identity: SessionIdentity, *, direction: Direction
    ) -> SessionDescription:
        """See `Negotiator`."""
        return offer_answer.offer_again(previous, identity, direction=direction)

    def accept(self, offer: SessionDescription, answer: SessionDescription) -> Agreement:
        """See `Negotiator`."""
        return offer_answer.accept_answer(offer, answer)

    def check(self, offer: SessionDescription, policy: CodecPolicy, identity: SessionIdentity) -> None:
        """See `Negotiator`."""
        offer_answer.check_offer(offer, self._opened, policy, security=self._security)

    def answer(
        self,
        offer: SessionDescription,
        policy: CodecPolicy,
        identity: SessionIdentity,
        *,
        direction: Direction = Direction.SENDRECV,
    ) -> Agreement:
        """See `Negotiator`. Keys stay as they are where the offer allows that."""
        return offer_answer.answer_offer(
            offer,
            self._opened,
            policy,
            identity,
            security=self._security,
            current=self._current,
            direction=direction,
        )

    def agreed(self, agreement: Agreement) -> None:
        """Keep the protection: the next answer is to keep it too."""
        if isinstance(agreement.remote, RtpRemote):
            self._current = agreement.remote.security

    @property
    def _opened(self) -> RtpLocal:
        if self._local is None:
            raise LocalProtocolError("no endpoint yet")
        return self._local


class WebRtcNegotiator:
    """Media of a browser."""

    def __init__(self) -> None:
        self._local: WebRtcLocal | None = None

    def transport(self, offer: SessionDescription | None) -> Transport:
        """See `Negotiator`."""
        return WebRtcTransport()

    def offered_codecs(self, offer: SessionDescription) -> tuple[Codec, ...]:
        """See `Negotiator`."""
        return read_codecs(offer.media[offer_answer.audio_index(offer, webrtc.PROTOCOLS)])

    def opened(self, local: Local) -> str:
        """See `Negotiator`."""
        assert isinstance(local, WebRtcLocal)
        self._local = local
        return local.candidates[0][0]

    def offer(self, policy: CodecPolicy, identity: SessionIdentity) -> SessionDescription:
        """See `Negotiator`."""
        return webrtc.make_offer(self._opened, policy, identity)

    def offer_again(
        self, previous: SessionDescription, identity: SessionIdentity, *, direction: Direction
    ) -> SessionDescription:
        """See `Negotiator`."""
        return webrtc.offer_again(previous, identity, direction=direction)

    def accept(self, offer: SessionDescription, answer: SessionDescription) -> Agreement:
        """See `Negotiator`."""
        return webrtc.accept_answer(offer, answer)

    def check(self, offer: SessionDescription, policy: CodecPolicy, identity: SessionIdentity) -> None:
        """See `Negotiator`."""
        self.answer(offer, policy, identity)

    def answer(
        self,
        offer: SessionDescription,
        policy: CodecPolicy,
        identity: SessionIdentity,
        *,
        direction: Direction = Direction.SENDRECV,
    ) -> Agreement:
        """See `Negotiator`."""
        return webrtc.answer_offer(offer, self._opened, policy, identity, direction=direction)

    def agreed(self, agreement: Agreement) -> None:
        """Nothing to keep: the endpoint knows its keys."""

    @property
    def _opened(self) -> WebRtcLocal:
        if self._local is None:
            raise LocalProtocolError("no endpoint yet")
        return self._local
