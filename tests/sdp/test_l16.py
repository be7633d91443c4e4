"""L16 in descriptions: four rates of one name, one static type, packets bounded in bytes.   RFC 3551 4.5.11."""

import pytest

from trunkline.errors import NegotiationError
from trunkline.media.types import Codec, RtpLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse
from trunkline.sdp.codecs import max_ptime_ms, ptime_ms, read_codecs
from trunkline.sdp.pairing import rank

LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")
RATES = (8_000, 16_000, 44_100, 48_000)
ALL = CodecPolicy(tuple(f"L16/{rate}" for rate in RATES))


def l16(clock_rate: int) -> Codec:
    return Codec(96, "L16", clock_rate)


def offer(media: str, *attributes: str) -> str:
    lines = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", media, *attributes)
    return "\r\n".join(lines) + "\r\n"


def test_is_offered_only_where_it_is_named_at_each_rate_with_its_telephone_event() -> None:
    assert "L16" not in str(offer_answer.make_offer(LOCAL, CodecPolicy(), IDENTITY))
    lines = str(offer_answer.make_offer(LOCAL, ALL, IDENTITY)).splitlines()
    assert "m=audio 31000 RTP/AVP 99 100 11 102 101 113 112 110" in lines
    for line in (
        *("a=rtpmap:99 L16/8000", "a=rtpmap:100 L16/16000", "a=rtpmap:11 L16/44100", "a=rtpmap:102 L16/48000"),
        *("a=rtpmap:112 telephone-event/44100", "a=ptime:20", "a=maxptime:20"),
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("formats", "attributes", "chosen"),
    [
        # The static type, without an rtpmap and with one.
        ("11", (), "a=rtpmap:11 L16/44100"),
        ("97 0", ("a=rtpmap:97 l16/16000/1",), "a=rtpmap:97 L16/16000"),
        ("98 97", ("a=rtpmap:97 L16/48000", "a=rtpmap:98 L16/8000"), "a=rtpmap:98 L16/8000"),
    ],
)
def test_answers_what_both_speak(formats: str, attributes: tuple[str, ...], chosen: str) -> None:
    text = offer(f"m=audio 4000 RTP/AVP {formats}", *attributes)
    answered = offer_answer.answer_offer(parse(text), LOCAL, ALL, IDENTITY)
    maps = [line for line in str(answered.description).splitlines() if line.startswith("a=rtpmap:")]
    assert maps[0] == chosen


@pytest.mark.parametrize("formats", [("10",), ("97", "a=rtpmap:97 L16/16000/2"), ("97", "a=rtpmap:97 L16/22050")])
def test_refuses_stereo_and_other_rates(formats: tuple[str, ...]) -> None:
    text = offer(f"m=audio 4000 RTP/AVP {formats[0]}", *formats[1:])
    with pytest.raises(NegotiationError):
        offer_answer.answer_offer(parse(text), LOCAL, ALL, IDENTITY)


@pytest.mark.parametrize(
    ("clock_rate", "asked", "ptime"),
    [
        *((8_000, None, 20), (8_000, 60, 60), (8_000, 120, 70)),
        *((16_000, 20, 20), (16_000, 40, 30), (16_000, 10, 10)),
        *((44_100, None, 10), (44_100, 20, 10), (48_000, 20, 10), (48_000, 120, 10)),
    ],
)
def test_packets_of_ours_are_never_broken_up_on_their_way(clock_rate: int, asked: int | None, ptime: int) -> None:
    wish = (f"a=ptime:{asked}",) if asked else ()
    media = parse(offer("m=audio 4000 RTP/AVP 96", f"a=rtpmap:96 L16/{clock_rate}", *wish)).media[0]
    (codec,) = read_codecs(media)
    assert ptime_ms(media, codec) == ptime
    assert clock_rate * 2 * ptime // 1_000 + 32 <= 1_200


def test_says_how_long_a_packet_may_be_that_it_takes() -> None:
    assert [max_ptime_ms([l16(rate)]) for rate in RATES] == [120, 60, 20, 20]
    assert max_ptime_ms([Codec(0, "PCMU", 8_000)]) == 120
    text = offer("m=audio 4000 RTP/AVP 0 96", "a=rtpmap:96 L16/48000", "a=ptime:60")
    policy = CodecPolicy(("PCMU", "L16/48000"))
    lines = str(offer_answer.answer_offer(parse(text), LOCAL, policy, IDENTITY).description).splitlines()
    assert ("a=ptime:20" in lines, "a=maxptime:20" in lines) == (True, True)
    wide = str(offer_answer.make_offer(LOCAL, CodecPolicy(("L16/48000", "PCMU")), IDENTITY)).splitlines()
    assert "a=ptime:10" in wide, "what we would send ourselves"


def test_goes_first_beside_its_like_and_beside_sound_as_wide() -> None:
    policy = CodecPolicy(("PCMU", "opus", "L16/8000", "L16/16000", "L16/48000"))
    assert policy.towards((l16(16_000),)).audio[0] == "L16/16000"
    assert policy.towards((l16(44_100),)).audio[0] == "L16/48000", "another rate is transcoded"
    assert rank(l16(16_000), (l16(16_000),)) < rank(l16(16_000), (l16(48_000),)) < rank(l16(8_000), (l16(48_000),))
    assert policy.towards((Codec(9, "G722", 8_000),)).audio[0] == "L16/16000", "nothing is lost and nothing is computed"
