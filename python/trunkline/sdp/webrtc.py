"""Offer and answer with a browser.   RFC 8829 (JSEP), 8839 (ICE), 8842 (DTLS), 8843 (BUNDLE), 8830 (msid), 5761 (mux).

Owns the browser-side transport in SDP: ICE-lite with our host candidates in the text, so that a client that sends no
candidates and never trickles connects all the same; DTLS fingerprint and role; BUNDLE of the one audio stream. The
browser's candidates are not read: an ICE-lite agent answers checks and learns addresses from them. Header extensions
and RTCP feedback are not agreed to.
"""

from __future__ import annotations

import re
from dataclasses import replace

from trunkline.errors import NegotiationError, SdpError
from trunkline.media.types import (
    Address,
    Codec,
    Direction,
    RtcpParameters,
    StreamParameters,
    WebRtcLocal,
    WebRtcRemote,
)
from trunkline.sdp.codecs import (
    CodecPolicy,
    choose_codecs,
    codec_attributes,
    max_ptime_ms,
    offer_codecs,
    ours,
    ptime_ms,
    read_codecs,
)
from trunkline.sdp.fingerprints import read_fingerprints
from trunkline.sdp.model import Attribute, Connection, MediaDescription, SessionDescription, SessionIdentity
from trunkline.sdp.offer_answer import (
    Negotiated,
    answer_direction,
    answered_stream,
    audio_index,
    connection_to,
    matching_audio,
    rejected,
    rtcp_attributes,
    rtcp_parameters,
)
from trunkline.sdp.offer_answer import offer_again as next_offer

PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"})
"""Profiles of DTLS-SRTP. The TCP one is written when the default candidate is TCP; the last one by browsers of old."""

STREAM_ID = "trunkline"
TRACK_ID = "trunkline-audio"
OFFER_MID = "0"

_OFFERED = RtcpParameters(is_reduced_size=True)
"""What we ask for: browsers send no VoIP metrics."""

_TRANSPORT_ATTRIBUTES = frozenset(
    {"ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux", "candidate", "end-of-candidates"}
)
_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_HOST_TYPE_PREFERENCE = 126


def make_offer(
    local: WebRtcLocal, policy: CodecPolicy, identity: SessionIdentity, *, direction: Direction = Direction.SENDRECV
) -> SessionDescription:
    """Write an offer of one audio stream: `setup:actpass`, which a browser answers with `active`.   RFC 8842 5.2."""
    codecs = offer_codecs(policy)
    audio = _section(
        local, codecs, "UDP/TLS/RTP/SAVPF", mid=OFFER_MID, setup="actpass", direction=direction, rtcp=_OFFERED
    )
    return _session(identity, (audio,), bundled=(OFFER_MID,))


def offer_again(
    previous: SessionDescription, identity: SessionIdentity, *, direction: Direction = Direction.SENDRECV
) -> SessionDescription:
    """Write the next offer of a session: transport and DTLS association stay.   RFC 8829 5.2.2, RFC 8842 5.5.

    previous: our last description; if it was an answer, it named one role, and an offer names both.
    """
    again = next_offer(previous, identity, direction=direction)
    media = tuple(
        section
        if section.port == 0
        else replace(section, attributes=tuple(_either_role(attribute) for attribute in section.attributes))
        for section in again.media
    )
    return replace(again, media=media)


def _either_role(attribute: Attribute) -> Attribute:
    return Attribute("setup", "actpass") if attribute.name == "setup" else attribute


def accept_answer(offer: SessionDescription, answer: SessionDescription) -> Negotiated[WebRtcRemote]:
    """Read a browser's answer to our offer.

    Raises NegotiationError if the audio was rejected, shares no codec, or lacks mux, ICE or DTLS; SdpError if the
    answer does not fit the offer's m-lines or is malformed.
    """
    mine, theirs = matching_audio(offer, answer)
    if theirs.port == 0 or theirs.protocol not in PROTOCOLS:
        raise NegotiationError("the answer rejects the audio")
    # An answerer must choose; without a choice RFC 4145 4 makes it the active side.
    setup = _setup(answer, theirs) or "active"
    if setup not in {"active", "passive"}:
        raise NegotiationError(f"setup:{setup} in an answer")
    remote = _remote(answer, theirs, is_dtls_client=setup == "active")
    rtcp = rtcp_parameters(answer, theirs)
    return Negotiated(offer, remote, answered_stream(offer, mine, theirs, answer.direction_of(theirs), rtcp))


def answer_offer(
    offer: SessionDescription,
    local: WebRtcLocal,
    policy: CodecPolicy,
    identity: SessionIdentity,
    *,
    direction: Direction = Direction.SENDRECV,
) -> Negotiated[WebRtcRemote]:
    """Answer a browser's offer: its first audio stream is taken, each other m-line gets port 0.

    We are the DTLS server unless the browser insists. direction: what we would do with the audio.
    Raises NegotiationError if there is no usable audio stream, transport or common codec; SdpError if it is malformed.
    """
    index = audio_index(offer, PROTOCOLS)
    section = offer.media[index]
    codecs = choose_codecs(read_codecs(section), policy)
    offered_setup = _setup(offer, section) or "actpass"
    if offered_setup not in {"actpass", "active", "passive"}:
        raise NegotiationError(f"setup:{offered_setup} in an offer")
    is_dtls_client = offered_setup != "passive"
    remote = _remote(offer, section, is_dtls_client=is_dtls_client)
    agreed = answer_direction(offer.direction_of(section), direction)
    audio = StreamParameters(
        ours(codecs, policy), codecs, ptime_ms(section, codecs[0]), agreed, rtcp=rtcp_parameters(offer, section)
    )
    mine = _section(
        local,
        audio.receive,
        section.protocol,
        mid=section.value("mid"),
        setup="passive" if is_dtls_client else "active",
        direction=agreed,
        rtcp=audio.rtcp,
    )
    carrier = _carrier_of(offer, section)
    media = tuple(
        mine if i == index else _inactive(m, mine) if m is carrier else _rejected(m) for i, m in enumerate(offer.media)
    )
    is_bundled = bool(_bundle_of(offer, section))
    bundled = tuple(m.value("mid") or "" for m in (carrier, section) if m is not None) if is_bundled else ()
    return Negotiated(_session(identity, media, bundled), remote, audio)


def _session(
    identity: SessionIdentity, media: tuple[MediaDescription, ...], bundled: tuple[str, ...]
) -> SessionDescription:
    attributes = [Attribute("ice-lite"), Attribute("msid-semantic", "WMS *")]
    if bundled:
        attributes.insert(0, Attribute("group", f"BUNDLE {' '.join(bundled)}"))
    return SessionDescription(identity.origin(), attributes=tuple(attributes), media=media)


def _section(
    local: WebRtcLocal,
    codecs: tuple[Codec, ...],
    protocol: str,
    *,
    mid: str | None,
    setup: str,
    direction: Direction,
    rtcp: RtcpParameters,
) -> MediaDescription:
    attributes = (
        *_mid(mid),
        Attribute("ice-ufrag", local.ice_ufrag),
        Attribute("ice-pwd", local.ice_pwd),
        Attribute("fingerprint", f"sha-256 {local.fingerprint}"),
        Attribute("setup", setup),
        Attribute("rtcp-mux"),
        *rtcp_attributes(rtcp),
        *_candidates(local.candidates),
        *codec_attributes(codecs),
        Attribute("maxptime", str(max_ptime_ms(codecs))),
        *(_sending_source(local) if "send" in direction else ()),
        Attribute(direction.value),
    )
    first = local.candidates[0]
    return MediaDescription(
        "audio",
        first[1],
        protocol,
        tuple(str(codec.payload_type) for codec in codecs),
        connections=(connection_to(first),),
        attributes=attributes,
    )


def _rejected(offered: MediaDescription) -> MediaDescription:
    """Return the answer to a section that we do not take, in the form that browsers write.   RFC 8829 5.3.1."""
    bare = rejected(offered)
    nobody = Connection("IN", "IP4", "0.0.0.0")  # noqa: S104  nothing is bound
    return replace(bare, connections=(nobody,), attributes=(*bare.attributes, Attribute(Direction.INACTIVE.value)))


def _inactive(offered: MediaDescription, audio: MediaDescription) -> MediaDescription:
    """Return the answer to a section that must live, though nothing flows in it, because the audio's transport is its.

    One of its formats, the transport of the audio's answer, no direction.
    """
    chosen = offered.formats[:1]
    formats = tuple(
        attribute
        for attribute in offered.attributes
        if attribute.name in {"rtpmap", "fmtp"} and (attribute.value or "").split(" ")[:1] == list(chosen)
    )
    transport = tuple(attribute for attribute in audio.attributes if attribute.name in _TRANSPORT_ATTRIBUTES)
    return MediaDescription(
        offered.media,
        audio.port,
        offered.protocol,
        chosen,
        connections=audio.connections,
        attributes=(*_mid(offered.value("mid")), *transport, *formats, Attribute(Direction.INACTIVE.value)),
    )


def _mid(mid: str | None) -> tuple[Attribute, ...]:
    return () if mid is None else (Attribute("mid", mid),)


def _candidates(addresses: tuple[Address, ...]) -> tuple[Attribute, ...]:
    """Return host candidates of the one component, the first preferred, and their end.   RFC 8445 5.1.2."""
    candidates = []
    for place, (host, port) in enumerate(addresses):
        priority = (_HOST_TYPE_PREFERENCE << 24) + ((65_535 - place) << 8) + 255
        candidates.append(Attribute("candidate", f"{place + 1} 1 udp {priority} {host} {port} typ host"))
    return (*candidates, Attribute("end-of-candidates"))


def _sending_source(local: WebRtcLocal) -> tuple[Attribute, ...]:
    """Return what makes a browser show our audio as a track of a stream.

    `msid` on the section is RFC 8830; the one on the source is what Safari 12 and legacy Edge read instead.
    """
    msid = f"{STREAM_ID} {TRACK_ID}"
    return (
        Attribute("msid", msid),
        Attribute("ssrc", f"{local.ssrc} cname:{local.cname}"),
        Attribute("ssrc", f"{local.ssrc} msid:{msid}"),
    )


def _bundle_of(description: SessionDescription, media: MediaDescription) -> tuple[str, ...]:
    """Return the mids of the BUNDLE group that the section is in, else none."""
    mid = media.value("mid")
    for group in description.values("group"):
        semantics, _, mids = group.partition(" ")
        if semantics == "BUNDLE" and mid in mids.split():
            return tuple(mids.split())
    return ()


def _carrier_of(description: SessionDescription, media: MediaDescription) -> MediaDescription | None:
    """Return the other section whose transport this one uses from the start, else None.

    It cannot be rejected without this one: Chromium (seen with 156, `max-bundle`, video first) fails such an answer.
    The marks are `bundle-only` (RFC 8843 6) or, in Chromium's own offers, the same ICE credentials in both.
    """
    carrier = next((other for other in _transport_sections(description, media) if other is not media), None)
    if carrier is None:
        return None
    is_shared = media.has("bundle-only") or media.value("ice-ufrag") in {None, carrier.value("ice-ufrag")}
    return carrier if is_shared else None


def _transport_sections(description: SessionDescription, media: MediaDescription) -> tuple[MediaDescription, ...]:
    """Return where to look for transport attributes: the section, then the one that speaks for its bundle.

    A bundle-only section leaves them out (RFC 8843 7.1.3, 10.1).
    """
    tagged = next(iter(_bundle_of(description, media)), None)
    return (media, *(m for m in description.media if tagged is not None and m.value("mid") == tagged))


def _transport_value(description: SessionDescription, media: MediaDescription, name: str) -> str | None:
    for section in _transport_sections(description, media):
        value = section.value(name)
        if value is not None:
            return value
    return description.value(name)


def _setup(description: SessionDescription, media: MediaDescription) -> str | None:
    value = _transport_value(description, media, "setup")
    return value.lower() if value is not None else None


def _remote(description: SessionDescription, media: MediaDescription, *, is_dtls_client: bool) -> WebRtcRemote:
    if not any(section.has("rtcp-mux") for section in _transport_sections(description, media)):
        raise NegotiationError("no rtcp-mux")
    if description.has("ice-lite"):
        raise NegotiationError("both sides are ICE-lite: nobody would send checks")
    ufrag = _transport_value(description, media, "ice-ufrag")
    pwd = _transport_value(description, media, "ice-pwd")
    if ufrag is None or pwd is None:
        raise NegotiationError("no ICE credentials")
    if not _ICE_UFRAG.fullmatch(ufrag) or not _ICE_PWD.fullmatch(pwd):
        raise SdpError("malformed ICE credentials")
    return WebRtcRemote(ufrag, pwd, _fingerprints(description, media), is_dtls_client)


def _fingerprints(description: SessionDescription, media: MediaDescription) -> tuple[tuple[str, str], ...]:
    fingerprints = read_fingerprints((*_transport_sections(description, media), description))
    if not fingerprints:
        raise NegotiationError("no DTLS fingerprint of SHA-256 or better")
    return fingerprints
