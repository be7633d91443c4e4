"""Session descriptions of the far sides, and what is read from those of relays.   RFC 8866, RFC 4568, RFC 8839."""

from __future__ import annotations

import base64
import re

from benches.peers.work import Address, Identity, Security, Target

PCMU, PCMA, G729, OPUS = "0 PCMU/8000", "8 PCMA/8000", "18 G729/8000", "111 opus/48000/2"

PARAMETERS = {
    G729: "annexb=no",
    # The same bit rate for every relay.
    OPUS: "useinbandfec=0;maxaveragebitrate=24000;maxplaybackrate=8000;sprop-maxcapturerate=8000",
}


def phone_sdp(far: Address, codec: str, crypto: tuple[Security, str] | None = None) -> str:
    """One audio stream of a far side, with one payload type."""
    host, port = far
    payload_type, _, _ = codec.partition(" ")
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {'RTP/SAVP' if crypto else 'RTP/AVP'} {payload_type}",
        f"a=rtpmap:{codec}",
        *([f"a=fmtp:{payload_type} {PARAMETERS[codec]}"] if codec in PARAMETERS else []),
        "a=ptime:20",
        "a=sendrecv",
    ]
    if crypto:
        lines.append(f"a=crypto:1 {crypto[0]} inline:{crypto[1]}")
    return "\r\n".join([*lines, ""])


def media_address(text: str) -> Address:
    """Where the SDP's audio is to be sent."""
    host = re.search(r"^c=IN IP4 (\S+)", text, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
    assert host, text
    assert port, text
    return host[1], int(port[1])


def sdes_of(text: str) -> tuple[str, bytes]:
    """Suite of the SDP's first crypto attribute, and its master key and salt."""
    crypto = re.search(r"^a=crypto:\d+ (\S+) inline:([A-Za-z0-9+/]+)", text, re.MULTILINE)
    assert crypto, text
    # rtpengine leaves the padding out.
    return crypto[1], base64.b64decode(crypto[2] + "=" * (-len(crypto[2]) % 4))


def sdes_key_bytes(security: Security) -> int:
    """Bytes of a suite's master key and salt."""
    return 30 if security is Security.CM_80 else 28


def browser_offer(identity: Identity, far: Address, ssrc: int) -> str:
    """What a browser with one audio stream would offer; it begins DTLS itself."""
    host, port = far
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        f"c=IN IP4 {host}",
        "a=rtpmap:0 PCMU/8000",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        f"a=ice-ufrag:{identity.ufrag}",
        f"a=ice-pwd:{identity.pwd}",
        f"a=fingerprint:sha-256 {identity.fingerprint}",
        "a=setup:active",
        f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
        "a=end-of-candidates",
        f"a=ssrc:{ssrc} cname:bench",
    ]
    return "\r\n".join([*lines, ""])


def browser_target(answer: str) -> Target:
    """Where a browser sends by this answer, and with which credentials."""

    def field(pattern: str) -> str:
        found = re.search(pattern, answer, re.MULTILINE | re.IGNORECASE)
        assert found, answer
        return found[1]

    candidate = re.search(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.MULTILINE | re.IGNORECASE)
    assert candidate, answer
    credentials = (field(r"^a=ice-ufrag:(\S+)"), field(r"^a=ice-pwd:(\S+)"), field(r"^a=fingerprint:sha-256 (\S+)"))
    return Target((candidate[1], int(candidate[2])), ("webrtc", *credentials))
