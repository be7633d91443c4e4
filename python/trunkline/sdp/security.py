"""How the media of a SIP leg is protected: what we offer, what we take, what an answer agrees to.

Owns the policy and the attributes of SDES (RFC 4568) and of DTLS-SRTP (RFC 5763) on SIP legs, and their opportunistic
form (RFC 8643): keys beside plain RTP/AVP, which a far side that knows nothing of them ignores. Must not know codecs
or addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from trunkline.errors import NegotiationError, PlainMediaRefused
from trunkline.media.types import DtlsPeer, RtpLocal, SdesKeys, Security
from trunkline.sdp.crypto import SUITES, best_line, fresh_line, read_crypto
from trunkline.sdp.fingerprints import read_fingerprints
from trunkline.sdp.model import Attribute, MediaDescription, SessionDescription

PLAIN_PROTOCOLS: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
SDES_PROTOCOLS: Final = frozenset({"RTP/SAVP", "RTP/SAVPF"})
DTLS_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"})

OFFERED_SUITES: Final = 3
"""Lines of one offer: each is some 90 bytes of an INVITE that should fit into one datagram."""


class Protection(StrEnum):
    """Ways in which media can travel."""

    SDES = "sdes"
    DTLS = "dtls"
    PLAIN = "plain"


class MediaSecurity(StrEnum):
    """What a leg may do. Each says what an offer of ours asks for, and which offers and answers we take."""

    PLAIN = "plain"
    """Offers and takes plain RTP, nothing else."""
    OPTIONAL = "optional"
    """Offers RTP/AVP with keys beside it (RFC 8643); takes everything, the best that is offered."""
    REQUIRED = "required"
    """Offers SDES in RTP/SAVP; takes SDES and DTLS-SRTP."""
    SDES = "sdes"
    """Offers and takes SDES only."""
    DTLS = "dtls"
    """Offers and takes DTLS-SRTP only."""


_TAKEN: Final = {
    MediaSecurity.PLAIN: frozenset({Protection.PLAIN}),
    MediaSecurity.OPTIONAL: frozenset(Protection),
    MediaSecurity.REQUIRED: frozenset({Protection.SDES, Protection.DTLS}),
    MediaSecurity.SDES: frozenset({Protection.SDES}),
    MediaSecurity.DTLS: frozenset({Protection.DTLS}),
}

_NAMES: Final = {Protection.SDES: "SDES", Protection.DTLS: "DTLS-SRTP", Protection.PLAIN: "RTP/AVP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPolicy:
    """What one leg may use. suites: of SDES, best first. random_bytes: secret bytes, so many as asked for."""

    mode: MediaSecurity
    random_bytes: Callable[[int], bytes]
    suites: tuple[str, ...] = tuple(SUITES)

    def __post_init__(self) -> None:
        unknown = [name for name in self.suites if name not in SUITES]
        if unknown or not self.suites:
            raise ValueError(f"no such crypto suite: {', '.join(unknown) or 'none given'}")


@dataclass(frozen=True, slots=True)
class SecuredOffer:
    """What an offer of ours says of one stream. needs_mux: RTCP has no keys of its own, so that it shares the port."""

    protocol: str
    attributes: tuple[Attribute, ...]
    needs_mux: bool = False


@dataclass(frozen=True, slots=True)
class SecuredAnswer:
    """What an answer of ours says of one stream, and what the media plane is told; None is plain RTP."""

    security: Security | None
    attributes: tuple[Attribute, ...] = ()


def secure_offer(local: RtpLocal, policy: SecurityPolicy | None) -> SecuredOffer:
    """Return what to offer, with a new key for each suite. policy: None is plain RTP."""
    if policy is None or policy.mode is MediaSecurity.PLAIN:
        return SecuredOffer("RTP/AVP", ())
    if policy.mode is MediaSecurity.DTLS:
        return SecuredOffer("UDP/TLS/RTP/SAVP", _dtls_attributes(local, "actpass"), needs_mux=True)
    protocol = "RTP/AVP" if policy.mode is MediaSecurity.OPTIONAL else "RTP/SAVP"
    offered = policy.suites[:OFFERED_SUITES]
    lines = (fresh_line(tag, suite, policy.random_bytes) for tag, suite in enumerate(offered, start=1))
    return SecuredOffer(protocol, tuple(line.attribute() for line in lines))


def secured_index(offer: SessionDescription, policy: SecurityPolicy | None) -> int:
    """Return the place of the first audio stream that is not rejected and whose protection we take.

    Raises PlainMediaRefused if there is only plain RTP and the policy forbids it, else NegotiationError.
    """
    audio = [(i, m) for i, m in enumerate(offer.media) if m.media == "audio" and m.port]
    if not audio:
        raise NegotiationError("no audio stream")
    for index, section in audio:
        if _protection_of(offer, section, policy) is not None:
            return index
    if any(_protection_of(offer, section, None) is Protection.PLAIN for _, section in audio):
        raise PlainMediaRefused("plain RTP is refused by policy")
    taken = sorted(_NAMES[protection] for protection in _taken_by(policy))
    raise NegotiationError(f"no audio stream over {' or '.join(taken)}")


def secure_answer(
    offer: SessionDescription,
    section: MediaDescription,
    local: RtpLocal,
    policy: SecurityPolicy | None,
    current: Security | None,
) -> SecuredAnswer:
    """Answer the protection of one offered stream, which `secured_index` has found.

    current: what the leg has now. Our SDES key stays while the far side's does, so that both go on with their rollover
    counters; if it changes, ours changes too: whoever is there now may never have seen a packet of ours.
    """
    match _protection_of(offer, section, policy):
        case Protection.SDES:
            assert policy is not None
            return _answer_sdes(section, policy, current)
        case Protection.DTLS:
            # Passive, unless the far side insists: it knows its way to us, and we may not know ours to it.
            offered = _setup(offer, section) or "active"
            if offered not in {"actpass", "active", "passive"}:
                raise NegotiationError(f"setup:{offered} in an offer")
            is_client = offered != "passive"
            peer = DtlsPeer(read_fingerprints((section, offer)), is_client)
            return SecuredAnswer(peer, _dtls_attributes(local, "passive" if is_client else "active"))
        case Protection.PLAIN:
            return SecuredAnswer(None)
        case None:
            raise NegotiationError("no protection that we take")
        case other:
            assert_never(other)


def answered_security(mine: MediaDescription, answer: SessionDescription, theirs: MediaDescription) -> Security | None:
    """Return what the answer to our offered section agrees to; None is plain RTP.

    Raises NegotiationError for an answer that has no keys where we asked for some, or keys that we did not offer;
    PlainMediaRefused for plain RTP.
    """
    if theirs.has("crypto"):
        offered = {line.tag: line for line in read_crypto(mine)}
        for line in read_crypto(theirs):
            own = offered.get(line.tag)
            if own is not None and own.suite == line.suite:
                return SdesKeys(
                    suite=own.suite,
                    local_key=own.key,
                    local_salt=own.salt,
                    remote_key=line.key,
                    remote_salt=line.salt,
                )
        raise NegotiationError("the answer has no key for a crypto line of ours")
    if mine.has("fingerprint"):
        fingerprints = read_fingerprints((theirs, answer))
        # An answerer must choose; without a choice RFC 4145 4 makes it the active side.
        setup = _setup(answer, theirs) or "active"
        if fingerprints and setup in {"active", "passive"}:
            return DtlsPeer(fingerprints, setup == "active")
    if theirs.protocol not in PLAIN_PROTOCOLS:
        raise NegotiationError("the answer has no keys")
    if mine.protocol not in PLAIN_PROTOCOLS:
        raise PlainMediaRefused("plain RTP is refused by policy")
    return None


def _answer_sdes(section: MediaDescription, policy: SecurityPolicy, current: Security | None) -> SecuredAnswer:
    line = best_line(read_crypto(section), policy.suites)
    if line is None:
        raise NegotiationError("no crypto suite in common")
    own = fresh_line(line.tag, line.suite, policy.random_bytes)
    keys = SdesKeys(
        suite=line.suite, local_key=own.key, local_salt=own.salt, remote_key=line.key, remote_salt=line.salt
    )
    if isinstance(current, SdesKeys) and _far_side(current) == _far_side(keys):
        keys = current
    own = type(own)(line.tag, line.suite, keys.local_key, keys.local_salt)
    return SecuredAnswer(keys, (own.attribute(),))


def _far_side(keys: SdesKeys) -> tuple[str, bytes, bytes]:
    return keys.suite, keys.remote_key, keys.remote_salt


def _taken_by(policy: SecurityPolicy | None) -> frozenset[Protection]:
    return _TAKEN[policy.mode if policy else MediaSecurity.PLAIN]


def _protection_of(
    offer: SessionDescription, section: MediaDescription, policy: SecurityPolicy | None
) -> Protection | None:
    """Return the best protection that an offered stream has and that we take, else None."""
    taken = _taken_by(policy)
    if section.protocol in DTLS_PROTOCOLS:
        possible: tuple[Protection, ...] = (Protection.DTLS,)
    elif section.protocol in SDES_PROTOCOLS:
        possible = (Protection.SDES, Protection.DTLS)
    elif section.protocol in PLAIN_PROTOCOLS:
        possible = (Protection.SDES, Protection.DTLS, Protection.PLAIN)
    else:
        return None
    for protection in possible:
        if protection not in taken:
            continue
        match protection:
            case Protection.SDES:
                has = (
                    policy is not None
                    and section.has("crypto")
                    and best_line(read_crypto(section), policy.suites) is not None
                )
            case Protection.DTLS:
                has = (section.has("fingerprint") or offer.has("fingerprint")) and bool(
                    read_fingerprints((section, offer))
                )
            case Protection.PLAIN:
                has = True
            case other:
                assert_never(other)
        if has:
            return protection
    return None


def _dtls_attributes(local: RtpLocal, setup: str) -> tuple[Attribute, ...]:
    return Attribute("fingerprint", f"sha-256 {local.fingerprint}"), Attribute("setup", setup)


def _setup(description: SessionDescription, media: MediaDescription) -> str | None:
    value = media.value("setup") or description.value("setup")
    return value.lower() if value else None
