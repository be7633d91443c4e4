"""CN in descriptions (RFC 3389): beside codecs that need it where the policy takes it, and never as one of speech."""

import pytest

from trunkline.errors import NegotiationError
from trunkline.media.types import Codec, Direction, RtpLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, parse
from trunkline.sdp.codecs import answered_codecs, choose_codecs, offer_codecs
from trunkline.sdp.offer_answer import accept_answer, answer_offer, make_offer, offer_again

LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")
CN, PCMU, OPUS = Codec(13, "CN", 8_000), Codec(0, "PCMU", 8_000), Codec(111, "opus", 48_000, 2)
EVENTS = Codec(101, "telephone-event", 8_000)
LAWS = CodecPolicy(("PCMU", "PCMA"), takes_comfort_noise=True)
ALL = CodecPolicy(("opus", "G722", "PCMU", "PCMA", "G729"), takes_comfort_noise=True)


def offer(*media: str) -> str:
    """Return a far side's description with this audio stream: an offer, or an answer to ours."""
    lines = ("v=0", "o=- 1 2 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *media)
    return "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize(
    ("policy", "offered"),
    [
        (LAWS, "0 8 13 101"),
        (ALL, "111 9 0 8 18 13 101 110"),
        (CodecPolicy(("PCMU", "PCMA")), "0 8 101"),
        # RFC 3389 names G.722 among the codecs that need it, whose clock is that of the noise.
        (CodecPolicy(("opus", "G722"), takes_comfort_noise=True), "111 9 13 101 110"),
        (CodecPolicy(("L16/8000",), takes_comfort_noise=True), "99 13 101"),
        # Nothing here needs it: G.729, Opus and Speex leave silence out by themselves, and L16 has another clock.
        (
            CodecPolicy(("opus", "G729", "speex/8000", "L16/16000"), takes_comfort_noise=True),
            "111 18 97 100 101 113 110",
        ),
    ],
)
def test_is_offered_beside_codecs_that_need_it(policy: CodecPolicy, offered: str) -> None:
    section = make_offer(LOCAL, policy, IDENTITY).media[0]
    assert " ".join(section.formats) == offered
    assert ("a=rtpmap:13 CN/8000" in section.lines()) is ("13" in offered.split())


@pytest.mark.parametrize(
    ("policy", "media", "answered"),
    [
        (LAWS, ("m=audio 4000 RTP/AVP 8 0 13 101", "a=rtpmap:101 telephone-event/8000"), "0 8 13 101"),
        (LAWS, ("m=audio 4000 RTP/AVP 13 8", "a=rtpmap:13 cn/8000"), "8 13"),
        (LAWS, ("m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 CN/8000"), "0 98"),
        (LAWS, ("m=audio 4000 RTP/AVP 0",), "0"),
        (CodecPolicy(("PCMU",)), ("m=audio 4000 RTP/AVP 0 13",), "0"),
        # As some browsers offer it: only one of the clocks is ours.
        (ALL, ("m=audio 4000 RTP/AVP 0 106 105 13", "a=rtpmap:106 CN/32000", "a=rtpmap:105 CN/16000"), "0 13"),
        (ALL, ("m=audio 4000 RTP/AVP 0 105", "a=rtpmap:105 CN/16000"), "0"),
        (ALL, ("m=audio 4000 RTP/AVP 9 18 13",), "9 18 13"),
        (ALL, ("m=audio 4000 RTP/AVP 18 13",), "18"),
        (ALL, ("m=audio 4000 RTP/AVP 9 0 13",), "9 0 13"),
    ],
)
def test_is_answered_where_it_is_offered_beside_them(
    policy: CodecPolicy, media: tuple[str, ...], answered: str
) -> None:
    negotiated = answer_offer(parse(offer(*media)), LOCAL, policy, IDENTITY)
    assert " ".join(negotiated.description.media[0].formats) == answered
    numbers = [str(codec.payload_type) for codec in negotiated.audio.receive]
    assert numbers == [str(codec.payload_type) for codec in negotiated.audio.send] == answered.split()


def test_no_call_is_made_of_silence() -> None:
    with pytest.raises(NegotiationError, match="no common audio codec"):
        choose_codecs((CN, EVENTS), LAWS)
    with pytest.raises(NegotiationError, match="none of the offered"):
        answered_codecs(offer_codecs(LAWS), (CN, EVENTS))


@pytest.mark.parametrize(
    ("answer", "send", "receive"),
    [
        (("m=audio 4000 RTP/AVP 0 13",), (PCMU, CN), (PCMU, CN)),
        # Written first, it is not what speech is sent in.
        (("m=audio 4000 RTP/AVP 13 0",), (PCMU, CN), (CN, PCMU)),
        (("m=audio 4000 RTP/AVP 0",), (PCMU,), (PCMU,)),
        # It was offered for G.711, which this answerer does not speak.
        (("m=audio 4000 RTP/AVP 111 13", "a=rtpmap:111 opus/48000/2"), (OPUS,), (OPUS,)),
    ],
)
def test_is_used_only_if_the_answer_has_it(
    answer: tuple[str, ...], send: tuple[Codec, ...], receive: tuple[Codec, ...]
) -> None:
    audio = accept_answer(make_offer(LOCAL, ALL, IDENTITY), parse(offer(*answer))).audio
    assert [codec.payload_type for codec in audio.send] == [codec.payload_type for codec in send]
    assert [codec.payload_type for codec in audio.receive] == [codec.payload_type for codec in receive]


def test_a_far_side_that_was_not_offered_it_cannot_bring_it_in() -> None:
    ours = make_offer(LOCAL, CodecPolicy(("PCMU",)), IDENTITY)
    audio = accept_answer(ours, parse(offer("m=audio 4000 RTP/AVP 0 13"))).audio
    assert [codec.name for codec in (*audio.send, *audio.receive)] == ["PCMU", "PCMU"]


def test_stays_through_our_next_offer_and_goes_with_theirs() -> None:
    first = answer_offer(parse(offer("m=audio 4000 RTP/AVP 0 13")), LOCAL, LAWS, IDENTITY)
    held = offer_again(first.description, IDENTITY.next(), direction=Direction.SENDONLY)
    assert held.media[0].formats == ("0", "13")
    audio = accept_answer(held, parse(offer("m=audio 4000 RTP/AVP 0 13", "a=recvonly"))).audio
    assert [codec.name for codec in audio.send] == ["PCMU", "CN"]
    again = answer_offer(parse(offer("m=audio 4000 RTP/AVP 0")), LOCAL, LAWS, IDENTITY.next())
    assert again.audio.send == again.audio.receive == (PCMU,)


def test_is_no_codec_of_the_other_leg() -> None:
    assert ALL.towards((CN, EVENTS)) == ALL, "nobody has said yet what the other leg speaks"
    policy = ALL.towards((PCMU, CN, EVENTS))
    assert (policy.audio[0], policy.partners) == ("PCMU", (PCMU,))
    assert ALL.usable((CN, PCMU, EVENTS)) == (PCMU,)
    forbidding = CodecPolicy(("PCMU", "PCMA"), may_transcode=False, takes_comfort_noise=True)
    assert [codec.name for codec in offer_codecs(forbidding.towards((PCMU, CN)))] == ["PCMU", "CN", "telephone-event"]
