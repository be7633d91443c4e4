"""Offers of real peers with the answer expected to each: the files stand side by side in tests/vectors/sdp."""

import difflib
from pathlib import Path

import pytest

from trunkline.media.types import RtpLocal, WebRtcLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse, webrtc

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
IDENTITY = SessionIdentity(7000, 1, "203.0.113.1")
WEB_POLICY = CodecPolicy()
SIP_POLICY = CodecPolicy(takes_comfort_noise=True)
"""As those of a gateway with default settings."""
WEB_LOCAL = WebRtcLocal(
    candidates=(("203.0.113.1", 40000), ("2001:db8::1", 40001)),
    ice_ufrag="ours",
    ice_pwd="ourpasswordof24character",
    fingerprint=":".join(["AB"] * 32),
    ssrc=12345,
    cname="node1",
)


def rtp_local(offer: str) -> RtpLocal:
    """As the caller makes it: one port for both if the offer allows that."""
    is_muxed = offer_answer.offered_audio(parse(offer)).has("rtcp-mux")
    return RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31000 if is_muxed else 31001), 12345, "node1")


def answer_to(offer_path: Path) -> str:
    offer = offer_path.read_text()
    if offer_path.parent.name == "web":
        return str(webrtc.answer_offer(parse(offer), WEB_LOCAL, WEB_POLICY, IDENTITY).description)
    return str(offer_answer.answer_offer(parse(offer), rtp_local(offer), SIP_POLICY, IDENTITY).description)


OFFERS = sorted(VECTORS.glob("*/*.offer.sdp"))


@pytest.mark.parametrize("offer_path", OFFERS, ids=lambda path: path.name.removesuffix(".offer.sdp"))
def test_answers_as_expected(offer_path: Path) -> None:
    expected = Path(str(offer_path).replace(".offer.", ".answer.")).read_text().splitlines()
    answer = answer_to(offer_path)
    assert answer.endswith("\r\n")
    difference = list(difflib.unified_diff(expected, answer.splitlines(), "expected", "answer", lineterm=""))
    assert not difference, "\n" + "\n".join(difference)


@pytest.mark.parametrize("offer_path", OFFERS, ids=lambda path: path.name.removesuffix(".offer.sdp"))
def test_offer_survives_parse_and_print(offer_path: Path) -> None:
    offer = offer_path.read_text()
    assert str(parse(offer)).splitlines() == [" ".join(line.split(" ")) for line in offer.splitlines()]


@pytest.mark.parametrize("offer_path", OFFERS, ids=lambda path: path.name.removesuffix(".offer.sdp"))
def test_answer_has_an_m_line_for_each_offered_in_order(offer_path: Path) -> None:
    offer, answer = parse(offer_path.read_text()), parse(answer_to(offer_path))
    assert [(m.media, m.protocol) for m in answer.media] == [(m.media, m.protocol) for m in offer.media]
    assert sum(m.media == "audio" and m.port != 0 for m in answer.media) == 1


def test_there_are_samples_of_every_kind_of_peer() -> None:
    names = {path.name.removesuffix(".offer.sdp").split("_")[0].rstrip("0123456789") for path in OFFERS}
    assert {"chromium", "firefox", "safari", "edge", "sipp"} <= names
