from __future__ import annotations

import pytest
from benches.peers.process import MissingPeerError, program
from benches.peers.sdp import browser_target, media_address, phone_sdp, sdes_of
from benches.peers.work import Security

ANSWER_OF_JANUS = """v=0
c=IN IP4 192.0.2.2
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=ice-ufrag:nYM2
a=ice-pwd:ReOXcRIqOQNXfX7d0rmegp
a=fingerprint:sha-256 8F:59
a=candidate:1 1 udp 2015363327 192.0.2.2 33502 typ host
""".replace("\n", "\r\n")


def test_an_offer_with_keys_is_read_back() -> None:
    text = phone_sdp(("127.0.0.1", 4000), "0 PCMU/8000", (Security.GCM, "QUJD"))
    assert "m=audio 4000 RTP/SAVP 0\r\n" in text
    assert media_address(text) == ("127.0.0.1", 4000)
    assert sdes_of(text) == ("AEAD_AES_128_GCM", b"ABC")


def test_where_a_browser_sends_is_in_the_answer() -> None:
    target = browser_target(ANSWER_OF_JANUS)
    assert str(target) == "192.0.2.2:33502 webrtc nYM2 ReOXcRIqOQNXfX7d0rmegp 8F:59"


def test_a_missing_peer_is_named_with_its_package() -> None:
    with pytest.raises(MissingPeerError, match=r"nonesuch.*peers\.sh bench.*nonesuch-daemon"):
        program("nonesuch", "nonesuch-daemon")
