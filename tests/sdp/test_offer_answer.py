"""RFC 3264 over plain RTP: directions, holds, addresses, payload types."""

import pytest

from trunkline.dtmf import DtmfMode
from trunkline.errors import NegotiationError, SdpError
from trunkline.media.types import Codec, Direction, RtcpParameters, RtpLocal, RtpRemote
from trunkline.sdp import CodecPolicy, SessionIdentity, parse
from trunkline.sdp.offer_answer import (
    accept_answer,
    answer_offer,
    check_offer,
    make_offer,
    offer_again,
    offered_audio,
)

LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c")
MUXED = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31000), 1, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")
POLICY = CodecPolicy()


def offer(*media: str, session: tuple[str, ...] = (), connection: str = "IN IP4 192.0.2.1") -> str:
    lines = ["v=0", "o=- 1 2 IN IP4 192.0.2.1", "s=-", f"c={connection}", "t=0 0", *session, *media]
    return "\r\n".join(lines) + "\r\n"


def answer_lines(text: str, **arguments: object) -> list[str]:
    negotiated = answer_offer(parse(text), LOCAL, POLICY, IDENTITY, **arguments)  # type: ignore[arg-type]
    return list(negotiated.description.media[0].lines())


S, O, R, I = Direction.SENDRECV, Direction.SENDONLY, Direction.RECVONLY, Direction.INACTIVE  # noqa: E741


@pytest.mark.parametrize(
    ("offered", "wished", "answered"),
    # RFC 3264 6.1, then what we hold ourselves.
    [(S, S, S), (O, S, R), (R, S, O), (I, S, I), (S, O, O), (O, O, I), (R, O, O), (S, I, I), (S, R, R), (R, R, I)],
)
def test_answers_directions(offered: Direction, wished: Direction, answered: Direction) -> None:
    text = offer("m=audio 4000 RTP/AVP 0", f"a={offered}")
    negotiated = answer_offer(parse(text), LOCAL, POLICY, IDENTITY, direction=wished)
    assert negotiated.audio.direction == answered
    assert f"a={answered}" in negotiated.description.media[0].lines()


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        pytest.param(offer("m=audio 4000 RTP/AVP 0", session=("a=sendonly",)), R, id="session level"),
        pytest.param(offer("m=audio 4000 RTP/AVP 0", "a=sendrecv", session=("a=inactive",)), S, id="media level wins"),
        pytest.param(offer("m=audio 4000 RTP/AVP 0", connection="IN IP4 0.0.0.0"), R, id="zero address"),
        pytest.param(
            offer("m=audio 4000 RTP/AVP 0", "a=recvonly", connection="IN IP4 0.0.0.0"), I, id="zero, recvonly"
        ),
        pytest.param(offer("m=audio 4000 RTP/AVP 0", connection="IN IP6 ::"), R, id="zero address, IPv6"),
    ],
)
def test_understands_every_style_of_hold(text: str, answered: Direction) -> None:
    assert answer_offer(parse(text), LOCAL, POLICY, IDENTITY).audio.direction == answered


@pytest.mark.parametrize(
    ("media", "remote"),
    [
        (("a=x",), RtpRemote(("192.0.2.1", 4000), ("192.0.2.1", 4001))),
        (("a=rtcp:5000",), RtpRemote(("192.0.2.1", 4000), ("192.0.2.1", 5000))),
        (("a=rtcp:5000 IN IP4 192.0.2.3",), RtpRemote(("192.0.2.1", 4000), ("192.0.2.3", 5000))),
        (("c=IN IP6 2001:DB8::1",), RtpRemote(("2001:db8::1", 4000), ("2001:db8::1", 4001))),
        (("c=IN IP6 ::ffff:192.0.2.7",), RtpRemote(("192.0.2.7", 4000), ("192.0.2.7", 4001))),
        (("a=rtcp-mux",), RtpRemote(("192.0.2.1", 4000), ("192.0.2.1", 4001))),
    ],
)
def test_reads_the_far_address(media: tuple[str, ...], remote: RtpRemote) -> None:
    text = offer("m=audio 4000 RTP/AVP 0", *media)
    assert answer_offer(parse(text), LOCAL, POLICY, IDENTITY).remote == remote


def test_agrees_to_rtcp_mux_when_its_port_takes_both() -> None:
    description = parse(offer("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
    assert offered_audio(description).has("rtcp-mux")
    negotiated = answer_offer(description, MUXED, POLICY, IDENTITY)
    assert negotiated.remote == RtpRemote(("192.0.2.1", 4000), ("192.0.2.1", 4000), rtcp_mux=True)
    assert "a=rtcp-mux" in negotiated.description.media[0].lines()


@pytest.mark.parametrize(
    "address",
    ["IN IP4 host.example", "IN IP4 224.2.1.1/127", "IN IP4 255.255.255.255", "IN IP6 ff02::1", "IN IP6 fe80::1%eth0"],
)
def test_refuses_an_address_that_rtp_cannot_be_sent_to(address: str) -> None:
    description = parse(offer("m=audio 4000 RTP/AVP 0", connection=address))
    with pytest.raises(NegotiationError, match="address"):
        answer_offer(description, LOCAL, POLICY, IDENTITY)
    with pytest.raises(NegotiationError, match="address"):
        check_offer(description, LOCAL, POLICY)


@pytest.mark.parametrize(
    ("media", "complaint"),
    [
        (("m=video 4000 RTP/AVP 96",), "no audio"),
        (("m=audio 0 RTP/AVP 0",), "no audio"),
        (("m=audio 4000 RTP/SAVP 0",), "RTP/AVP"),
        (("m=audio 4000 RTP/AVP 18",), "codec"),
        (("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/16000"), "codec"),
        (("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), "codec"),
    ],
)
def test_says_why_nothing_is_common(media: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(NegotiationError, match=complaint) as caught:
        answer_offer(parse(offer(*media)), LOCAL, POLICY, IDENTITY)
    assert caught.value.sip_status == 488
    with pytest.raises(NegotiationError, match=complaint):
        check_offer(parse(offer(*media)), LOCAL, POLICY)


@pytest.mark.parametrize("format_", ["128", "-1", "4294967296", "x"])
def test_refuses_formats_that_are_no_payload_types(format_: str) -> None:
    with pytest.raises(SdpError, match="payload type"):
        answer_offer(parse(offer(f"m=audio 4000 RTP/AVP {format_}")), LOCAL, POLICY, IDENTITY)
    with pytest.raises(SdpError, match="payload type"):
        check_offer(parse(offer(f"m=audio 4000 RTP/AVP {format_}")), LOCAL, POLICY)


def test_finds_nothing_wrong_with_an_offer_that_can_be_answered() -> None:
    check_offer(parse(offer("m=video 4000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0")), LOCAL, POLICY)


def test_answer_keeps_the_offerers_numbers_in_our_order() -> None:
    text = offer("m=audio 4000 RTP/AVP 8 0 96 97", "a=rtpmap:96 OPUS/48000/2", "a=rtpmap:97 telephone-event/48000")
    assert answer_lines(text)[0] == "m=audio 31000 RTP/AVP 96 0 8 97"


def test_shared_codec_goes_first_when_the_other_leg_has_it() -> None:
    text = offer("m=audio 4000 RTP/AVP 96 0 8", "a=rtpmap:96 opus/48000/2")
    policy = POLICY.towards((Codec(8, "PCMA", 8000), Codec(9, "G722", 8000)))
    assert policy.audio == ("PCMA", "opus", "PCMU")
    assert [c.name for c in answer_offer(parse(text), LOCAL, policy, IDENTITY).audio.send] == ["PCMA", "opus", "PCMU"]


@pytest.mark.parametrize(
    ("offered_events", "codec", "answered"),
    [
        (("101 telephone-event/8000", "110 telephone-event/48000"), "96", ["110"]),
        (("101 telephone-event/8000", "110 telephone-event/48000"), "0", ["101"]),
        (("101 telephone-event/8000", "110 telephone-event/48000"), "96 0", ["110", "101"]),
        (("101 telephone-event/8000",), "96", ["101"]),
        ((), "96", []),
    ],
)
def test_answers_events_at_the_clock_rates_of_the_audio(
    offered_events: tuple[str, ...], codec: str, answered: list[str]
) -> None:
    numbers = " ".join(event.split()[0] for event in offered_events)
    maps = ["a=rtpmap:96 opus/48000/2", *(f"a=rtpmap:{event}" for event in offered_events)]
    text = offer(f"m=audio 4000 RTP/AVP {codec} {numbers}".rstrip(), *maps)
    formats = answer_offer(parse(text), LOCAL, POLICY, IDENTITY).description.media[0].formats
    assert list(formats[len(codec.split()) :]) == answered


def test_negotiates_no_events_when_the_policy_has_none() -> None:
    text = offer("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")
    policy = CodecPolicy(dtmf=DtmfMode.INBAND)
    assert answer_offer(parse(text), LOCAL, policy, IDENTITY).description.media[0].formats == ("0",)
    assert "telephone-event" not in str(make_offer(LOCAL, policy, IDENTITY))


@pytest.mark.parametrize(
    ("attributes", "codec", "ptime_ms"),
    [
        ((), "0", 20),
        (("a=ptime:30",), "0", 30),
        (("a=ptime:30",), "96", 20),
        (("a=ptime:60",), "96", 60),
        (("a=ptime:200",), "96", 60),
        (("a=ptime:120",), "0", 120),
        (("a=ptime:200",), "0", 120),
        (("a=ptime:40", "a=maxptime:30"), "0", 30),
        (("a=maxptime:10",), "0", 10),
        (("a=fmtp:96 minptime=40",), "96", 40),
        (("a=ptime:0",), "0", 20),
        (("a=ptime:9",), "0", 20),
        (("a=ptime:99999999999999",), "0", 20),
        (("a=ptime:20.5",), "0", 20),
        (("a=ptime:25",), "0", 20),
    ],
)
def test_sends_packets_of_the_length_asked_for(attributes: tuple[str, ...], codec: str, ptime_ms: int) -> None:
    text = offer(f"m=audio 4000 RTP/AVP {codec}", "a=rtpmap:96 opus/48000/2", *attributes)
    assert answer_offer(parse(text), LOCAL, POLICY, IDENTITY).audio.ptime_ms == ptime_ms


def test_far_sides_opus_parameters_go_to_the_sender_and_ours_to_the_receiver() -> None:
    text = offer("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 Stereo=1; MaxAverageBitrate=20000;x")
    audio = answer_offer(parse(text), LOCAL, POLICY, IDENTITY).audio
    assert audio.send[0].parameters == (("stereo", "1"), ("maxaveragebitrate", "20000"), ("x", ""))
    assert audio.receive[0].parameters == (("minptime", "10"), ("useinbandfec", "1"))


# --- our offers -----------------------------------------------------------------------------------------------------

OUR_OFFER = """\
v=0
o=- 7 1 IN IP4 203.0.113.1
s=-
c=IN IP4 203.0.113.1
t=0 0
m=audio 31000 RTP/AVP 111 0 8 101 110
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtpmap:110 telephone-event/48000
a=fmtp:110 0-15
a=ptime:20
a=maxptime:120
a=rtcp-xr:voip-metrics
a=sendrecv
"""


def test_offers_all_codecs_of_the_policy() -> None:
    assert str(make_offer(LOCAL, POLICY, IDENTITY)).splitlines() == OUR_OFFER.splitlines()


@pytest.mark.parametrize(
    ("profile", "attributes", "session", "agreed", "answered"),
    [
        ("RTP/AVP", ("a=rtcp-xr:voip-metrics",), (), RtcpParameters(sends_voip_metrics=True), {"rtcp-xr"}),
        ("RTP/AVP", (), ("a=rtcp-xr:rcvr-rtt=all voip-metrics",), RtcpParameters(sends_voip_metrics=True), {"rtcp-xr"}),
        ("RTP/AVP", ("a=rtcp-xr:pkt-loss-rle",), (), RtcpParameters(), set()),
        ("RTP/AVP", ("a=rtcp-rsize",), (), RtcpParameters(), set()),
        ("RTP/AVPF", ("a=rtcp-rsize",), (), RtcpParameters(is_reduced_size=True), {"rtcp-rsize"}),
    ],
)
def test_agrees_to_the_reports_that_are_wanted(
    profile: str, attributes: tuple[str, ...], session: tuple[str, ...], agreed: RtcpParameters, answered: set[str]
) -> None:
    text = offer(f"m=audio 4000 {profile} 0", *attributes, session=session)
    negotiated = answer_offer(parse(text), LOCAL, POLICY, IDENTITY)
    assert negotiated.audio.rtcp == agreed
    (section,) = negotiated.description.media
    assert {attribute.name for attribute in section.attributes} & {"rtcp-xr", "rtcp-rsize"} == answered


def test_sends_metrics_to_an_answerer_that_wants_them() -> None:
    ours = make_offer(LOCAL, POLICY, IDENTITY)
    assert not accept_answer(ours, parse(offer("m=audio 4000 RTP/AVP 0"))).audio.rtcp.sends_voip_metrics
    wanting = offer("m=audio 4000 RTP/AVP 0", "a=rtcp-xr:voip-metrics")
    assert accept_answer(ours, parse(wanting)).audio.rtcp.sends_voip_metrics


def test_offers_what_the_rtcp_port_is_when_it_is_not_the_next() -> None:
    local = RtpLocal(("2001:db8::9", 31000), ("2001:db8::9", 31005), 1, "c")
    text = str(make_offer(local, POLICY, IDENTITY))
    assert "c=IN IP6 2001:db8::9\r\n" in text
    assert "a=rtcp:31005 IN IP6 2001:db8::9\r\n" in text
    assert "a=rtcp-mux\r\n" in str(make_offer(MUXED, POLICY, IDENTITY))


BOTH = RtpLocal(
    *(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c"),
    other_family=(("2001:db8::9", 31000), ("2001:db8::9", 31001)),
)


@pytest.mark.parametrize(
    ("connection", "ours"),
    [
        ("IN IP4 192.0.2.1", "IN IP4 203.0.113.1"),
        ("IN IP6 2001:db8::1", "IN IP6 2001:db8::9"),
        ("IN IP6 ::ffff:192.0.2.1", "IN IP4 203.0.113.1"),
    ],
)
def test_answers_with_our_address_of_the_offers_family(connection: str, ours: str) -> None:
    text = offer("m=audio 4000 RTP/AVP 0", connection=connection)
    description = answer_offer(parse(text), BOTH, POLICY, IDENTITY).description
    assert str(description.connection) == ours


def test_the_address_towards_a_name_or_the_same_family_is_the_main_one() -> None:
    assert BOTH.towards("sip.example") == BOTH.towards("192.0.2.1") == BOTH
    assert LOCAL.towards("2001:db8::1") == LOCAL, "there is no other"
    assert BOTH.towards("2001:db8::1").rtcp == ("2001:db8::9", 31001)
    assert BOTH.towards("2001:db8::1").towards("192.0.2.1") == BOTH


def test_takes_an_answer_with_other_numbers_in_its_own_order() -> None:
    ours = make_offer(LOCAL, POLICY, IDENTITY)
    media = (
        "m=audio 4000 RTP/AVP 8 96 97",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:97 telephone-event/8000",
        "a=ptime:30",
    )
    audio = accept_answer(ours, parse(offer(*media))).audio
    assert [(c.payload_type, c.name) for c in audio.send] == [(8, "PCMA"), (96, "opus"), (97, "telephone-event")]
    received = [(c.payload_type, c.name) for c in audio.receive]
    # Ours first; the answerer's own numbers too, for peers that send with them.
    assert received[:3] == [(8, "PCMA"), (111, "opus"), (101, "telephone-event")]
    assert set(received[3:]) == {(96, "opus"), (97, "telephone-event")}
    assert audio.ptime_ms == 30


def test_an_answerers_number_that_we_offered_for_another_codec_keeps_our_meaning() -> None:
    ours = make_offer(LOCAL, POLICY, IDENTITY)
    audio = accept_answer(ours, parse(offer("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 opus/48000/2"))).audio
    assert [(c.payload_type, c.name) for c in audio.receive] == [(111, "opus")]
    assert [(c.payload_type, c.name) for c in audio.send] == [(101, "opus")]


def test_answered_direction_is_turned_to_our_side() -> None:
    ours = make_offer(LOCAL, POLICY, IDENTITY)
    assert accept_answer(ours, parse(offer("m=audio 4000 RTP/AVP 0", "a=recvonly"))).audio.direction == O
    held = make_offer(LOCAL, POLICY, IDENTITY, direction=O)
    assert accept_answer(held, parse(offer("m=audio 4000 RTP/AVP 0", "a=recvonly"))).audio.direction == O
    assert accept_answer(held, parse(offer("m=audio 4000 RTP/AVP 0", "a=sendrecv"))).audio.direction == O


@pytest.mark.parametrize(
    ("media", "error"),
    [
        (("m=audio 0 RTP/AVP 0",), NegotiationError),
        (("m=audio 4000 RTP/SAVP 0",), NegotiationError),
        (("m=audio 4000 RTP/AVP 18",), NegotiationError),
        (("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), NegotiationError),
        ((), SdpError),
        (("m=video 4000 RTP/AVP 0",), SdpError),
        (("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 96"), SdpError),
    ],
)
def test_refuses_answers_that_do_not_fit_the_offer(media: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        accept_answer(make_offer(LOCAL, POLICY, IDENTITY), parse(offer(*media)))


def test_offers_again_with_the_same_lines_and_the_next_version() -> None:
    text = offer("m=video 3000 RTP/AVP 99", "m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2")
    previous = answer_offer(parse(text), LOCAL, POLICY, IDENTITY).description
    again = offer_again(previous, IDENTITY.next(), direction=O)
    before, after = str(previous).splitlines(), str(again).splitlines()
    changes = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changes == [
        ("o=- 7 1 IN IP4 203.0.113.1", "o=- 7 2 IN IP4 203.0.113.1"),
        ("a=sendrecv", "a=sendonly"),
    ]
    answer = parse(offer("m=video 0 RTP/AVP 99", "m=audio 4002 RTP/AVP 96", "a=rtpmap:96 opus/48000/2", "a=recvonly"))
    assert accept_answer(again, answer).remote.rtp == ("192.0.2.1", 4002)


@pytest.mark.parametrize(
    ("offered", "annexb", "sent"),
    # RFC 7261 3.1: absent means yes, and an answer does not widen a no.
    [
        ((), "yes", ()),
        (("a=fmtp:18 annexb=yes",), "yes", (("annexb", "yes"),)),
        (("a=fmtp:18 annexb=no",), "no", (("annexb", "no"),)),
    ],
)
def test_answers_g729_with_the_silence_suppression_that_both_take(
    offered: tuple[str, ...], annexb: str, sent: tuple[tuple[str, str], ...]
) -> None:
    text = offer("m=audio 4000 RTP/AVP 18 0", *offered)
    negotiated = answer_offer(parse(text), LOCAL, CodecPolicy(audio=("G729", "PCMU")), IDENTITY)
    lines = list(negotiated.description.media[0].lines())
    assert lines[0] == "m=audio 31000 RTP/AVP 18 0"
    assert "a=rtpmap:18 G729/8000" in lines
    assert f"a=fmtp:18 annexb={annexb}" in lines
    assert negotiated.audio.send[0] == Codec(18, "G729", 8_000, 1, sent)


@pytest.mark.parametrize("rtpmap", [(), ("a=rtpmap:9 G722/8000",), ("a=rtpmap:9 g722/8000/1",)])
def test_answers_g722_with_its_clock_of_8000_hz(rtpmap: tuple[str, ...]) -> None:
    text = offer("m=audio 4000 RTP/AVP 9 0", *rtpmap)
    negotiated = answer_offer(parse(text), LOCAL, CodecPolicy(audio=("G722", "PCMU")), IDENTITY)
    lines = list(negotiated.description.media[0].lines())
    assert lines[0] == "m=audio 31000 RTP/AVP 9 0"
    assert "a=rtpmap:9 G722/8000" in lines
    assert negotiated.audio.send[0] == Codec(9, "G722", 8_000)


def test_leaves_g722_alone_that_claims_its_sample_rate_for_a_clock() -> None:
    text = offer("m=audio 4000 RTP/AVP 96 0", "a=rtpmap:96 G722/16000")
    negotiated = answer_offer(parse(text), LOCAL, CodecPolicy(audio=("G722", "PCMU")), IDENTITY)
    assert [codec.name for codec in negotiated.audio.send] == ["PCMU"]


def test_a_policy_must_name_codecs_that_exist() -> None:
    for names in (("G728",), ()):
        with pytest.raises(ValueError, match="codec"):
            CodecPolicy(audio=names)
