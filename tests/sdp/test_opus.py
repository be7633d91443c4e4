"""Opus parameters: what is asked of a far side in view of the other leg, and what is passed on between two."""

import pytest

from trunkline.media.types import Codec, RtpLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse
from trunkline.sdp.codecs import offer_codecs, ours
from trunkline.sdp.opus import OURS, wanted

BITRATE = 24_000
LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")


def opus(**parameters: str) -> Codec:
    return Codec(96, "opus", 48_000, 2, tuple((name.replace("_", "-"), value) for name, value in parameters.items()))


NARROW = (("maxplaybackrate", "8000"), ("sprop-maxcapturerate", "8000"), ("maxaveragebitrate", "24000"))
WIDE = (("maxplaybackrate", "16000"), ("sprop-maxcapturerate", "16000"), ("maxaveragebitrate", "24000"))


@pytest.mark.parametrize(
    ("partners", "parameters"),
    [
        # Nobody knows yet who hears it.
        ((), OURS),
        # It becomes something narrower.
        ((Codec(0, "PCMU", 8_000), Codec(18, "G729", 8_000)), (*OURS, *NARROW)),
        ((Codec(0, "PCMU", 8_000), Codec(9, "G722", 8_000)), (*OURS, *WIDE)),
        ((Codec(97, "L16", 16_000),), (*OURS, *WIDE)),
        # It is passed on, and so are the wishes and words of who takes it.
        ((opus(),), (("minptime", "10"),)),
        (
            (opus(stereo="1", cbr="1", usedtx="1", useinbandfec="0", maxaveragebitrate="64000", sprop_stereo="1"),),
            (
                *(("minptime", "10"), ("useinbandfec", "0"), ("usedtx", "1"), ("cbr", "1"), ("stereo", "1")),
                *(("sprop-stereo", "1"), ("maxaveragebitrate", "64000")),
            ),
        ),
        (
            (opus(maxplaybackrate="16000", sprop_maxcapturerate="48000"), Codec(0, "PCMU", 8_000)),
            (("minptime", "10"), ("maxplaybackrate", "16000"), ("sprop-maxcapturerate", "48000")),
        ),
        # What makes no sense is nobody's wish; what we do not know is not ours to promise.
        ((opus(stereo="2", cbr="yes", maxaveragebitrate="5", maxplaybackrate="44", x_google="1"),), OURS[:1]),
    ],
)
def test_asks_for_what_the_other_leg_can_use(
    partners: tuple[Codec, ...], parameters: tuple[tuple[str, str], ...]
) -> None:
    assert wanted(partners, BITRATE) == parameters


def test_offers_and_answers_carry_the_parameters() -> None:
    policy = CodecPolicy(opus_bitrate_bps=16_000).towards((Codec(0, "PCMU", 8_000),))
    made = offer_answer.make_offer(LOCAL, policy, IDENTITY)
    line = (
        "a=fmtp:111 minptime=10;useinbandfec=1;maxplaybackrate=8000;sprop-maxcapturerate=8000;maxaveragebitrate=16000"
    )
    assert line in str(made).splitlines()
    text = str(made).replace(line, "a=fmtp:111 stereo=1")
    answered = offer_answer.answer_offer(parse(text), LOCAL, policy, IDENTITY)
    assert line in str(answered.description).splitlines()
    opus_sent = next(codec for codec in answered.audio.send if codec.name == "opus")
    assert opus_sent.parameters == (("stereo", "1"),), "what the far side asks for is what the encoder obeys"


def test_silence_suppression_of_g729_is_forbidden_to_one_side_if_it_is_to_the_other() -> None:
    forbids = Codec(18, "G729", 8_000, 1, (("annexb", "no"),))
    policy = CodecPolicy(("G729",))
    assert [codec.parameters for codec in offer_codecs(policy.towards((forbids,)))[:1]] == [(("annexb", "no"),)]
    allows = Codec(18, "G729", 8_000)
    assert ours((allows,), policy.towards((allows,)))[0].parameters == (("annexb", "yes"),)
    assert ours((allows,), policy.towards((forbids,)))[0].parameters == (("annexb", "no"),)
