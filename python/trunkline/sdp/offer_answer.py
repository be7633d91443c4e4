"""Offer and answer.   RFC 3264, 3551 (profiles), 3605 (`rtcp`), 5761 (`rtcp-mux`), 5506 (reduced size), 3611 (metrics).

Owns the rules that both kinds of leg share (order and number of m-lines, rejection, directions) and the SIP side's
negotiation, to which `security` adds SRTP. `webrtc` adds the browser's transport. Must not open ports: addresses come
in, facts for the media plane go out.

One audio stream is negotiated: the first that we can take. Everything else in an offer is answered with port 0.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from trunkline.errors import LocalProtocolError, NegotiationError, SdpError
from trunkline.media.types import (
    Address,
    Codec,
    Direction,
    RtcpParameters,
    RtpLocal,
    RtpRemote,
    Security,
    StreamParameters,
    WebRtcRemote,
)
from trunkline.sdp.codecs import (
    CodecPolicy,
    answered_codecs,
    choose_codecs,
    codec_attributes,
    max_ptime_ms,
    offer_codecs,
    ours,
    ptime_ms,
    read_codecs,
    usual_ptime_ms,
)
from trunkline.sdp.model import Attribute, Attributes, Connection, MediaDescription, SessionDescription, SessionIdentity
from trunkline.sdp.parser import number
from trunkline.sdp.security import (
    DTLS_PROTOCOLS,
    PLAIN_PROTOCOLS,
    SDES_PROTOCOLS,
    SecurityPolicy,
    answered_security,
    secure_answer,
    secure_offer,
    secured_index,
)

RemoteT = TypeVar("RemoteT", WebRtcRemote, RtpRemote)

_PROTOCOLS = PLAIN_PROTOCOLS | SDES_PROTOCOLS | DTLS_PROTOCOLS

_OFFERED = RtcpParameters(sends_voip_metrics=True)
"""What we ask for: RTP/AVP knows no reduced size."""

_REVERSED = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}
_DIRECTION_NAMES = frozenset(Direction)
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Negotiated(Generic[RemoteT]):
    """What an offer and its answer agree on. description: ours, the offer or the answer, whichever we made."""

    description: SessionDescription
    remote: RemoteT
    audio: StreamParameters


def make_offer(
    local: RtpLocal,
    policy: CodecPolicy,
    identity: SessionIdentity,
    *,
    security: SecurityPolicy | None = None,
    direction: Direction = Direction.SENDRECV,
) -> SessionDescription:
    """Write an offer of one audio stream, with the codecs of the policy in its order. security: None is plain RTP."""
    codecs = offer_codecs(policy)
    secured = secure_offer(local, security)
    is_muxed = secured.needs_mux or local.rtp == local.rtcp
    says = _Says(codecs, usual_ptime_ms(codecs[0]), direction, _OFFERED, is_muxed=is_muxed)
    audio = _rtp_section(local, says, secured.protocol, secured.attributes)
    return _rtp_session(local, identity, (audio,))


def offer_again(
    previous: SessionDescription, identity: SessionIdentity, *, direction: Direction = Direction.SENDRECV
) -> SessionDescription:
    """Write the next offer of a session from our last description: same m-lines and payload types.   RFC 3264 8.

    For a re-INVITE that came without SDP, and for hold. identity: the session's, already at its next version.
    """
    media = tuple(
        section if section.port == 0 else replace(section, attributes=with_direction(section, direction))
        for section in previous.media
    )
    return replace(previous, origin=identity.origin(), media=media)


def accept_answer(offer: SessionDescription, answer: SessionDescription) -> Negotiated[RtpRemote]:
    """Read the answer to our RTP offer.

    Raises NegotiationError if the audio was rejected, shares no codec with the offer or lacks the protection that it
    asked for; SdpError if the answer does not fit the offer's m-lines.
    """
    ours_section, theirs = matching_audio(offer, answer)
    if theirs.port == 0 or theirs.protocol not in _PROTOCOLS:
        raise NegotiationError("the answer rejects the audio")
    security = answered_security(ours_section, answer, theirs)
    is_muxed = ours_section.has("rtcp-mux") and theirs.has("rtcp-mux")
    remote = _rtp_remote(answer, theirs, security, is_muxed=is_muxed)
    direction = offered_direction(answer, theirs, remote.rtp)
    audio = answered_stream(offer, ours_section, theirs, direction, rtcp_parameters(answer, theirs))
    return Negotiated(offer, remote, audio)


def answer_offer(
    offer: SessionDescription,
    local: RtpLocal,
    policy: CodecPolicy,
    identity: SessionIdentity,
    *,
    security: SecurityPolicy | None = None,
    current: Security | None = None,
    direction: Direction = Direction.SENDRECV,
) -> Negotiated[RtpRemote]:
    """Answer an RTP offer: its first usable audio stream is taken, each other m-line gets port 0.

    local: `rtp == rtcp` if its port takes both; rtcp-mux is agreed to only then. security: None is plain RTP. current:
    the protection of the leg so far. direction: what we would do.
    Raises NegotiationError if there is no usable audio stream, address or common codec; SdpError if it is malformed.
    """
    index = secured_index(offer, security)
    section = offer.media[index]
    codecs = choose_codecs(read_codecs(section), policy)
    secured = secure_answer(offer, section, local, security, current)
    is_muxed = section.has("rtcp-mux") and local.rtp == local.rtcp
    remote = _rtp_remote(offer, section, secured.security, is_muxed=is_muxed)
    local = local.towards(remote.rtp[0])
    agreed = answer_direction(offered_direction(offer, section, remote.rtp), direction)
    rtcp = rtcp_parameters(offer, section)
    audio = StreamParameters(ours(codecs, policy), codecs, ptime_ms(section, codecs[0]), agreed, rtcp=rtcp)
    says = _Says(audio.receive, audio.ptime_ms, agreed, rtcp, is_muxed=remote.rtcp_mux)
    mine = _rtp_section(local, says, section.protocol, secured.attributes)
    media = tuple(_kept_mid(section, mine) if i == index else rejected(m) for i, m in enumerate(offer.media))
    return Negotiated(_rtp_session(local, identity, media), remote, audio)


def check_offer(
    offer: SessionDescription, local: RtpLocal, policy: CodecPolicy, *, security: SecurityPolicy | None = None
) -> None:
    """Raise what `answer_offer` would, without writing an answer."""
    section = offered_audio(offer, security)
    choose_codecs(read_codecs(section), policy)
    secured = secure_answer(offer, section, local, security, None)
    _rtp_remote(offer, section, secured.security, is_muxed=section.has("rtcp-mux") and local.rtp == local.rtcp)


def offered_audio(offer: SessionDescription, security: SecurityPolicy | None = None) -> MediaDescription:
    """Return the audio stream that `answer_offer` will take. Raises NegotiationError if there is no usable one.

    Ask whether it has `rtcp-mux` before making an `RtpTransport` for the answer.
    """
    return offer.media[secured_index(offer, security)]


# --- rules shared with webrtc ---------------------------------------------------------------------------------------


def audio_index(offer: SessionDescription, protocols: frozenset[str]) -> int:
    """Return the place of the first audio stream that is not rejected and has one of these profiles."""
    audio = [(i, m) for i, m in enumerate(offer.media) if m.media == "audio" and (m.port or m.has("bundle-only"))]
    if not audio:
        raise NegotiationError("no audio stream")
    usable = [i for i, m in audio if m.protocol in protocols]
    if not usable:
        raise NegotiationError(f"no audio stream over {' or '.join(sorted(protocols))}")
    return usable[0]


def matching_audio(offer: SessionDescription, answer: SessionDescription) -> tuple[MediaDescription, MediaDescription]:
    """Return our offered audio section and the answer's at the same place: m-lines match one by one.   RFC 3264 6."""
    if len(answer.media) != len(offer.media):
        raise SdpError("the answer has another number of m-lines than the offer")
    if any(a.media != o.media for a, o in zip(answer.media, offer.media, strict=True)):
        raise SdpError("the answer's m-lines are in another order than the offer's")
    for mine, theirs in zip(offer.media, answer.media, strict=True):
        if mine.media == "audio" and mine.port:
            return mine, theirs
    raise LocalProtocolError("our offer has no audio stream")


def answered_stream(
    offer: SessionDescription,
    mine: MediaDescription,
    theirs: MediaDescription,
    answered: Direction,
    rtcp: RtcpParameters,
) -> StreamParameters:
    """Return the stream that an answer agrees to. answered: the direction as the answerer sees it."""
    receive, send = answered_codecs(read_codecs(mine), read_codecs(theirs))
    direction = answer_direction(answered, offer.direction_of(mine))
    return StreamParameters(receive, send, ptime_ms(theirs, send[0]), direction, rtcp=rtcp)


def rtcp_parameters(description: SessionDescription, media: MediaDescription) -> RtcpParameters:
    """Return how the far side wants its reports: reduced (RFC 5506, over AVPF alone), with VoIP metrics (RFC 3611 5).

    Each side says which metrics it wants to be sent, so that an answer asks for what it was asked for.
    """
    wanted = (*media.values("rtcp-xr"), *description.values("rtcp-xr"))
    return RtcpParameters(
        is_reduced_size=media.protocol.endswith("AVPF") and media.has("rtcp-rsize"),
        sends_voip_metrics=any("voip-metrics" in value.split() for value in wanted),
    )


def rtcp_attributes(rtcp: RtcpParameters) -> tuple[Attribute, ...]:
    """Return the attributes that agree to these parameters."""
    reduced = (Attribute("rtcp-rsize"),) if rtcp.is_reduced_size else ()
    metrics = (Attribute("rtcp-xr", "voip-metrics"),) if rtcp.sends_voip_metrics else ()
    return (*reduced, *metrics)


def rejected(media: MediaDescription) -> MediaDescription:
    """Return the answer to an m-line that we do not take: port 0, its formats and mid.   RFC 3264 6, RFC 5888 9.2."""
    attributes = tuple(attribute for attribute in media.attributes if attribute.name == "mid")
    return MediaDescription(media.media, 0, media.protocol, media.formats, attributes=attributes)


def answer_direction(offered: Direction, wished: Direction) -> Direction:
    """Return our direction in answer to the far side's, at most what we wish.   RFC 3264 6.1."""
    possible = _REVERSED.get(offered, offered)
    sends = "send" in possible and "send" in wished
    receives = "recv" in possible and "recv" in wished
    if sends and receives:
        return Direction.SENDRECV
    if sends:
        return Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


def with_direction(media: MediaDescription, direction: Direction) -> tuple[Attribute, ...]:
    """Return the section's attributes with another direction."""
    rest = tuple(a for a in media.attributes if a.value is not None or a.name not in _DIRECTION_NAMES)
    return (*rest, Attribute(direction.value))


def connection_to(address: Address) -> Connection:
    """Return the `c=` line of an address."""
    return Connection("IN", "IP6" if ":" in address[0] else "IP4", address[0])


def offered_direction(description: SessionDescription, media: MediaDescription, rtp: Address) -> Direction:
    """Return the direction as the far side sees it, under both styles of hold.

    `c=0.0.0.0` is the old one (RFC 2543 B.5, RFC 3264 8.4): the far side wants nothing sent to it.
    """
    direction = description.direction_of(media)
    if rtp[0] not in _UNSPECIFIED:
        return direction
    return Direction.SENDONLY if "send" in direction else Direction.INACTIVE


# --- plain RTP ------------------------------------------------------------------------------------------------------


def _rtp_session(local: RtpLocal, identity: SessionIdentity, media: tuple[MediaDescription, ...]) -> SessionDescription:
    return SessionDescription(identity.origin(), connection=connection_to(local.rtp), media=media)


class _Says(NamedTuple):
    """What an m-section of ours says of its stream that is neither an address nor a secret."""

    codecs: tuple[Codec, ...]
    ptime_ms: int
    direction: Direction
    rtcp: RtcpParameters
    is_muxed: bool


def _rtp_section(local: RtpLocal, says: _Says, protocol: str, secrets: tuple[Attribute, ...]) -> MediaDescription:
    stream = _stream_attributes(says)
    if not says.is_muxed and local.rtcp != (local.rtp[0], local.rtp[1] + 1):
        secrets = (Attribute("rtcp", f"{local.rtcp[1]} {connection_to(local.rtcp)}"), *secrets)
    attributes = (*stream[:-1], *secrets, stream[-1]) if secrets else stream
    return MediaDescription("audio", local.rtp[1], protocol, _formats(says.codecs), attributes=attributes)


@lru_cache(maxsize=256)
def _stream_attributes(says: _Says) -> Attributes:
    """Return what is said of such a stream wherever it is, its direction last."""
    longest = max_ptime_ms(says.codecs)
    return Attributes(
        (
            *codec_attributes(says.codecs),
            *(Attribute("ptime", str(min(says.ptime_ms, longest))), Attribute("maxptime", str(longest))),
            *((Attribute("rtcp-mux"),) if says.is_muxed else ()),
            *rtcp_attributes(says.rtcp),
            Attribute(says.direction.value),
        )
    )


@lru_cache(maxsize=256)
def _formats(codecs: tuple[Codec, ...]) -> tuple[str, ...]:
    return tuple(str(codec.payload_type) for codec in codecs)


def _kept_mid(offered: MediaDescription, answer: MediaDescription) -> MediaDescription:
    mid = offered.value("mid")
    return replace(answer, attributes=(Attribute("mid", mid), *answer.attributes)) if mid else answer


def _rtp_remote(
    description: SessionDescription, media: MediaDescription, security: Security | None, *, is_muxed: bool
) -> RtpRemote:
    connection = description.connection_of(media)
    if connection is None:
        raise SdpError("no c= line for the audio stream")
    rtp = (_ip_literal(connection.address), media.port)
    return RtpRemote(rtp, rtp if is_muxed else _rtcp_address(media, rtp), is_muxed, security)


def _rtcp_address(media: MediaDescription, rtp: Address) -> Address:
    """Return where RTCP goes: `a=rtcp` (RFC 3605) where it is usable, else the next port (RFC 3550 11)."""
    words = (media.value("rtcp") or "").split()
    port = number(words[0], 1, 65_535) if words else None
    if port is None:
        return rtp[0], min(rtp[1] + 1, 65_535)
    return _ip_literal(words[3]) if len(words) == 4 else rtp[0], port


@lru_cache(maxsize=1_024)
def _ip_literal(text: str) -> str:
    """Return the address in its shortest form, an IPv4-mapped one as IPv4.

    Raises NegotiationError for what RTP to a peer cannot use: a host name, multicast, broadcast, a zone of theirs.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise NegotiationError("the address of the audio stream is not an IP address") from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_multicast or str(address) == "255.255.255.255" or getattr(address, "scope_id", None):
        raise NegotiationError("the address of the audio stream is not a unicast address without a zone")
    return str(address)
