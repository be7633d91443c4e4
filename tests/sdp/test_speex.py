"""Speex in descriptions: two clocks of one name, its frames, and what is asked of a far side."""

import pytest

from trunkline.media.types import Codec, RtpLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse
from trunkline.sdp.codecs import offer_codecs, ptime_ms, read_codecs
from trunkline.sdp.speex import ours, wanted

LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")
BOTH = CodecPolicy(("speex/16000", "speex/8000"))


def speex(clock_rate: int, **parameters: str) -> Codec:
    return Codec(96, "speex", clock_rate, 1, tuple(parameters.items()))


def offer(media: str, *attributes: str) -> str:
    lines = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", media, *attributes)
    return "\r\n".join(lines) + "\r\n"


def test_offers_both_clocks_each_with_its_telephone_event() -> None:
    lines = str(offer_answer.make_offer(LOCAL, BOTH, IDENTITY)).splitlines()
    assert "m=audio 31000 RTP/AVP 98 97 101 113" in lines
    for line in (
        *("a=rtpmap:98 speex/16000", "a=fmtp:98 vbr=vad;cng=on"),
        *("a=rtpmap:97 speex/8000", 'a=fmtp:97 mode="5,any";vbr=vad;cng=on'),
        *("a=rtpmap:101 telephone-event/8000", "a=rtpmap:113 telephone-event/16000"),
    ):
        assert line in lines


def test_answers_the_clock_that_both_speak_and_obeys_what_is_asked() -> None:
    text = offer(
        "m=audio 4000 RTP/AVP 110 111 0",
        *("a=rtpmap:110 SPEEX/8000/1", 'a=fmtp:110 mode="3,any";vbr=on;cng=on'),
        *("a=rtpmap:111 speex/32000", "a=ptime:30"),
    )
    answered = offer_answer.answer_offer(parse(text), LOCAL, BOTH, IDENTITY)
    lines = str(answered.description).splitlines()
    assert "m=audio 31000 RTP/AVP 110" in lines
    assert "a=rtpmap:110 speex/8000" in lines
    assert answered.audio.send == (speex_asked := read_codecs(parse(text).media[0])[0],)
    assert speex_asked.parameters == (("mode", '"3,any"'), ("vbr", "on"), ("cng", "on"))
    assert answered.audio.ptime_ms == 20, "frames are never cut"


@pytest.mark.parametrize(
    ("lines", "ptime"),
    [
        ((), 20),
        (("a=ptime:10",), 20),
        (("a=ptime:50",), 40),
        (("a=ptime:60",), 60),
        (("a=ptime:60", "a=maxptime:30"), 20),
    ],
)
def test_packets_hold_whole_frames(lines: tuple[str, ...], ptime: int) -> None:
    media = parse(offer("m=audio 4000 RTP/AVP 97", "a=rtpmap:97 speex/8000", *lines)).media[0]
    assert ptime_ms(media, read_codecs(media)[0]) == ptime


@pytest.mark.parametrize(
    ("partners", "parameters"),
    [
        # We decode it.
        ((), ours(8_000)),
        ((Codec(0, "PCMU", 8_000),), ours(8_000)),
        ((speex(16_000, cng="off"),), ours(8_000)),
        # It is passed on, and so are the wishes of who takes it; an absent one means something too.
        ((speex(8_000),), ()),
        ((speex(8_000, cng="off", mode="4,any"),), (("mode", '"4,any"'), ("cng", "off"))),
        ((speex(8_000, vbr="on", mode='"2, 3"', penh="1"),), (("mode", '"2,3"'), ("vbr", "on"))),
        # What makes no sense is nobody's wish.
        ((speex(8_000, vbr="perhaps", mode='11"\r\na=x', cng="1"),), ()),
    ],
)
def test_asks_for_what_the_other_leg_can_use(
    partners: tuple[Codec, ...], parameters: tuple[tuple[str, str], ...]
) -> None:
    assert wanted(speex(8_000), partners) == parameters


def test_wide_band_goes_first_beside_wide_sound_and_the_same_clock_before_all() -> None:
    policy = CodecPolicy(("PCMU", "speex/8000", "speex/16000"))
    assert policy.towards((Codec(9, "G722", 8_000),)).audio[0] == "speex/16000"
    assert policy.towards((speex(8_000),)).audio[0] == "speex/8000"
    first = offer_codecs(policy.towards((speex(16_000, vbr="on"),)))[0]
    assert (first.clock_rate, first.parameters) == (16_000, (("vbr", "on"),))
