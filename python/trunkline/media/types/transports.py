"""Both ends of a transport: what we ask for, what our SDP says of it, what the far side's SDP said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import ClassVar

Address = tuple[str, int]
"""IP literal and UDP port."""


@dataclass(frozen=True, slots=True)
class WebRtcTransport:
    """Ask for a browser-side transport: ICE-lite, DTLS-SRTP, one shared UDP port per worker."""

    kind: ClassVar[str] = "webrtc"


@dataclass(frozen=True, slots=True)
class RtpTransport:
    """Ask for a SIP-side transport with its own even/odd pair of ports (one port if `rtcp_mux`).

    Whether it carries RTP or SRTP is told with the far side's description.
    """

    kind: ClassVar[str] = "rtp"
    rtcp_mux: bool = False


Transport = WebRtcTransport | RtpTransport


@dataclass(frozen=True, slots=True)
class WebRtcLocal:
    """What our SDP says of a browser-side endpoint. fingerprint: SHA-256, upper-case hex with colons."""

    candidates: tuple[Address, ...]
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class RtpLocal:
    """What our SDP says of a SIP-side endpoint: advertised addresses.

    other_family: the addresses for RTP and RTCP of the other address family, if sockets and machine have both.
    fingerprint: of our certificate, should the far side want DTLS: SHA-256, upper-case hex with colons.
    """

    rtp: Address
    rtcp: Address
    ssrc: int
    cname: str
    fingerprint: str = ""
    other_family: tuple[Address, Address] | None = None

    def towards(self, host: str) -> RtpLocal:
        """Return this with the address of the host's family first, if there is one. A name has no family."""
        if self.other_family is None:
            return self
        try:
            wanted = ip_address(host)
        except ValueError:
            return self
        is_ipv6 = wanted.version == 6 and wanted.ipv4_mapped is None
        if is_ipv6 == (":" in self.rtp[0]):
            return self
        rtp, rtcp = self.other_family
        return replace(self, rtp=rtp, rtcp=rtcp, other_family=(self.rtp, self.rtcp))


Local = WebRtcLocal | RtpLocal


@dataclass(frozen=True, slots=True)
class WebRtcRemote:
    """What the browser's SDP said. fingerprints: (hash name in lower case, upper-case hex with colons).

    is_dtls_client: the browser is `setup:active` (as a rule it is, since we answer and offer passive).
    """

    kind: ClassVar[str] = "webrtc"
    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    is_dtls_client: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SdesKeys:
    """SRTP under keys that the signalling agreed (RFC 4568).

    suite: as in `a=crypto`, e.g. `AES_CM_128_HMAC_SHA1_80`. local: of what we send, remote: of what we receive; master
    keys and salts of the suite's lengths. Given again with the same key, a direction goes on with its rollover counter;
    with another one, it begins anew.
    """

    kind: ClassVar[str] = "sdes"
    suite: str
    local_key: bytes = field(repr=False)
    local_salt: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)
    remote_salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsPeer:
    """SRTP under keys of a DTLS handshake with the host that the SDP named (RFC 5764).

    fingerprints: (hash name in lower case, upper-case hex with colons). is_dtls_client: it is `setup:active`.
    Given again with the same facts and address, the association goes on.
    """

    kind: ClassVar[str] = "dtls"
    fingerprints: tuple[tuple[str, str], ...]
    is_dtls_client: bool


Security = SdesKeys | DtlsPeer


@dataclass(frozen=True, slots=True)
class RtpRemote:
    """What the SIP side's SDP said. `rtcp` equals `rtp` when multiplexed. security: None is plain RTP."""

    kind: ClassVar[str] = "rtp"
    rtp: Address
    rtcp: Address
    rtcp_mux: bool = False
    security: Security | None = None


Remote = WebRtcRemote | RtpRemote
