"""Text to value and back, and the limits of what is read."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import NegotiationError, SdpError
from trunkline.media.types import Direction, RtpLocal, WebRtcLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse, webrtc

HEAD = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
FULL = (
    "v=0\r\n"
    "o=jane 8496 8497 IN IP6 2001:db8::1\r\n"
    "s=Call\r\n"
    "i=about\r\n"
    "u=http://example.com/\r\n"
    "e=jane@example.com\r\n"
    "p=+1 555 0100\r\n"
    "c=IN IP6 2001:db8::1\r\n"
    "b=CT:1000\r\n"
    "t=3034423619 3042462419\r\n"
    "r=7d 1h 0 25h\r\n"
    "t=0 0\r\n"
    "z=2882844526 -1h\r\n"
    "k=prompt\r\n"
    "a=tool:x:y\r\n"
    "a=recvonly\r\n"
    "m=audio 49170/2 RTP/AVP 0 96\r\n"
    "i=speech\r\n"
    "c=IN IP4 224.2.1.1/127\r\n"
    "b=AS:64\r\n"
    "b=TIAS:64000\r\n"
    "k=clear:x\r\n"
    "a=rtpmap:96 opus/48000/2\r\n"
    "a=empty:\r\n"
    "a=x-padded: one  two \r\n"
    "y=0100000001\r\n"
    "m=application 0 TCP/MSRP *\r\n"
)


def test_prints_every_line_type_as_it_came() -> None:
    assert str(parse(FULL)) == FULL


def test_tells_an_empty_attribute_value_from_none() -> None:
    audio = parse(FULL).media[0]
    assert [a.value for a in audio.attributes if a.name == "empty"] == [""]
    assert [a.value for a in parse(FULL).attributes if a.name == "recvonly"] == [None]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD.replace("\r\n", "\n") + "m=audio 1 RTP/AVP 0", id="bare LF, no last line end"),
        pytest.param(HEAD.replace("s=-\r\n", "") + "m=audio 1 RTP/AVP 0\r\n", id="no s="),
        pytest.param(HEAD.replace("t=0 0\r\n", "") + "m=audio 1 RTP/AVP 0\r\n", id="no t="),
        pytest.param(HEAD + "\r\nm=audio 1 RTP/AVP 0\r\n\r\n", id="empty lines"),
        pytest.param(HEAD + "m=audio  1  RTP/AVP\t0 \r\n", id="spaces between fields"),
    ],
)
def test_repairs_what_real_peers_get_wrong(text: str) -> None:
    assert str(parse(text)) == HEAD + "m=audio 1 RTP/AVP 0\r\n"


def test_reads_lines_in_the_wrong_order_within_a_section() -> None:
    text = HEAD + "m=audio 1 RTP/AVP 0\r\na=sendonly\r\nb=AS:80\r\nc=IN IP4 192.0.2.9\r\n"
    assert str(parse(text)) == HEAD + "m=audio 1 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\nb=AS:80\r\na=sendonly\r\n"


def test_keeps_a_user_name_with_spaces() -> None:
    assert parse(HEAD.replace("o=- ", "o=My Phone ")).origin.username == "My Phone"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "v=0"),
        ("v=1\r\n", "v=0"),
        ("m=audio 1 RTP/AVP 0\r\n", "v=0"),
        ("v=0\r\ns=-\r\n", "no o="),
        ("v=0\r\no=- 1 2 IN IP4\r\n", "o="),
        (HEAD + "hello\r\n", "line 6"),
        (HEAD + "a\r\n", "line 6"),
        (HEAD + "s=again\r\n", "twice"),
        (HEAD + "v=0\r\n", "out of place"),
        (HEAD + "m=audio 1 RTP/AVP\r\n", "m="),
        (HEAD + "m=audio 65536 RTP/AVP 0\r\n", "port"),
        (HEAD + "m=audio -1 RTP/AVP 0\r\n", "port"),
        (HEAD + "m=audio 1/0 RTP/AVP 0\r\n", "port"),
        (HEAD + "m=audio ² RTP/AVP 0\r\n", "port"),
        (HEAD + "m=audio " + "9" * 5000 + " RTP/AVP 0\r\n", "port"),
        (HEAD + "m=audio 1 RTP/AVP 0\r\no=- 1 2 IN IP4 x\r\n", "out of place"),
        (HEAD + "a=fmtp:0 \0\r\n", "control character"),
        (HEAD + "a=x:one\rtwo\r\n", "control character"),
        (HEAD + "a=:x\r\n", "token"),
        (HEAD + "b=AS\r\n", "b="),
        (HEAD + "a=x:\ud800\r\n", "UTF-8"),
    ],
)
def test_refuses_malformed_text_and_says_where(text: str, complaint: str) -> None:
    with pytest.raises(SdpError, match=complaint):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD + "m=audio 1 RTP/AVP 0\r\n" * 17, id="17 m-lines"),
        pytest.param(HEAD + "m=audio 1 RTP/AVP " + " ".join(map(str, range(65))), id="65 formats"),
        pytest.param(HEAD + "m=audio 1 RTP/AVP 0\r\n" + "a=x\r\n" * 257, id="257 attributes of a section"),
        pytest.param(HEAD + "a=x\r\n" * 257, id="257 attributes of the session"),
        pytest.param(HEAD + "i=x\r\n" * 40, id="40 other lines"),
        pytest.param(HEAD + "a=x:" + "y" * 16_384, id="over 16 KiB"),
        pytest.param(HEAD + "a=x:" + "é" * 8_190, id="over 16 KiB as UTF-8"),
    ],
)
def test_refuses_what_is_over_a_limit_at_once(text: str) -> None:
    before = time.process_time()
    with pytest.raises(SdpError):
        parse(text)
    assert time.process_time() - before < 0.05


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD + "m=audio 1 RTP/AVP 0\r\n" * 16, id="16 m-lines"),
        pytest.param(HEAD + "m=audio 1 RTP/AVP " + " ".join(map(str, range(64))), id="64 formats"),
        pytest.param(HEAD + "m=audio 1 RTP/AVP 0\r\n" + "a=x\r\n" * 256, id="256 attributes"),
    ],
)
def test_takes_what_is_just_within_the_limits(text: str) -> None:
    assert parse(text).media


# --- properties -----------------------------------------------------------------------------------------------------

ATTRIBUTES = [
    *("rtpmap:0 PCMU/8000", "rtpmap:96 opus/48000/2", "rtpmap:97 telephone-event/48000", "rtpmap:98 x", "rtpmap:"),
    *("fmtp:96 stereo=1;=;x", "fmtp:97 0-15", "fmtp:", "ptime:0", "ptime:99999999999", "ptime:x", "maxptime:10"),
    *("mid:0", "mid:", "group:BUNDLE 0", "group:", "group:BUNDLE", "bundle-only", "rtcp-mux", "rtcp:1", "rtcp:x y"),
    *("rtcp:9 IN IP4 host", "setup:active", "setup:actpass", "setup:holdconn", "setup:", "sendonly", "inactive"),
    *("ice-ufrag:abcd", "ice-ufrag:", "ice-pwd:0123456789012345678901", "ice-lite"),
    *("fingerprint:sha-256 " + ":".join(["0a"] * 32), "fingerprint:sha-256 0a", "fingerprint:sha-1 00", "fingerprint:"),
]
MEDIA_LINES = st.sampled_from(
    [
        "m=audio 9 UDP/TLS/RTP/SAVPF 96 0 97",
        "m=audio 9 RTP/AVP 0 96 97",
        "m=audio 9 RTP/AVP 4294967296",
        "m=video 9 UDP/TLS/RTP/SAVPF 98",
        "m=audio 0 RTP/AVP 0",
    ]
)
LINES = st.one_of(
    st.sampled_from(ATTRIBUTES).map("a={}".format),
    MEDIA_LINES,
    st.sampled_from(
        ["c=IN IP4 0.0.0.0", "c=IN IP4 host", "c=IN IP6 ::ffff:1.2.3.4", "c=IN IP4 224.0.0.1", "k=x", "y=x"]
    ),
    st.text(max_size=12),
)
VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
BEGINNINGS = st.sampled_from(
    [
        HEAD.replace("c=IN IP4 192.0.2.1\r\n", ""),
        (VECTORS / "web" / "safari18_macos_sendonly.offer.sdp").read_text(),
        (VECTORS / "sip" / "opus_with_own_numbers.offer.sdp").read_text(),
    ]
)
ALMOST_SDP = st.builds(lambda head, lines: head + "\n".join(lines), BEGINNINGS, st.lists(LINES, max_size=20))

WEB_LOCAL = WebRtcLocal((("192.0.2.1", 4000),), "ufrag", "p" * 24, ":".join(["AB"] * 32), 1, "c")
SIP_LOCAL = RtpLocal(("192.0.2.1", 4000), ("192.0.2.1", 4001), 1, "c")
IDENTITY = SessionIdentity(1, 1, "192.0.2.1")


@given(st.one_of(st.text(), ALMOST_SDP))
def test_any_text_is_a_value_or_an_error_and_prints_to_itself(text: str) -> None:
    try:
        description = parse(text)
    except SdpError:
        return
    assert parse(str(description)) == description


@given(ALMOST_SDP)
def test_any_offer_is_answered_or_refused(text: str) -> None:
    for answer_offer, local in ((webrtc.answer_offer, WEB_LOCAL), (offer_answer.answer_offer, SIP_LOCAL)):
        try:
            offer = parse(text)
            negotiated = answer_offer(offer, local, CodecPolicy(), IDENTITY)  # type: ignore[operator]
        except (SdpError, NegotiationError):
            continue
        answer = parse(str(negotiated.description))
        assert answer == negotiated.description
        assert [m.media for m in answer.media] == [m.media for m in offer.media]
        assert {str(codec.payload_type) for codec in negotiated.audio.receive} <= set(
            next(m.formats for m in answer.media if m.media == "audio" and m.port)
        )


@given(ALMOST_SDP)
def test_any_answer_is_taken_or_refused(text: str) -> None:
    for module, local in ((webrtc, WEB_LOCAL), (offer_answer, SIP_LOCAL)):
        offer = module.make_offer(local, CodecPolicy(), IDENTITY)  # type: ignore[arg-type]
        try:
            negotiated = module.accept_answer(offer, parse(text))
        except (SdpError, NegotiationError):
            continue
        assert negotiated.audio.send
        assert negotiated.audio.direction in Direction


PHONE = "v=0\r\no=- 1 {n} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
CODECS = "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"


def test_what_a_phone_says_again_is_read_once_and_its_port_each_time() -> None:
    first, second = (parse(PHONE.format(n=n, port=4_000 + n) + CODECS) for n in (2, 4))
    assert [each.media[0].port for each in (first, second)] == [4_002, 4_004]
    assert first.media[0].attributes is second.media[0].attributes
    assert str(second) == PHONE.format(n=4, port=4_004) + CODECS
    assert (second.media[0].value("rtpmap"), second.media[0].has("sendonly")) == ("0 PCMU/8000", False)


@pytest.mark.parametrize("line", ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", "c=IN IP4 192.0.2.7", "a=ice-pwd:x"])
def test_neither_keys_nor_addresses_of_a_section_are_kept(line: str) -> None:
    first, second = (parse(PHONE.format(n=n, port=4_000) + CODECS + f"{line}\r\n") for n in (6, 8))
    assert first.media[0].attributes is not second.media[0].attributes
    assert line in str(second).splitlines()


def test_an_error_in_a_later_section_names_its_line() -> None:
    text = PHONE.format(n=2, port=4_000) + CODECS + "m=video 4002 RTP/AVP 31\r\na=sendrecv\r\nnonsense\r\n"
    with pytest.raises(SdpError, match="line 12: not of the form"):
        parse(text)


def test_a_line_that_could_be_cut_up_into_many_is_read_as_one() -> None:
    """In as many ways as there are subsets of its pieces: who tried them all would never come back."""
    line = "a=ptime:20" * 80
    described = parse(PHONE.format(n=2, port=4_000) + f"{line}\r\nb=AS:64\r\n")
    assert str(described).splitlines()[-2:] == ["b=AS:64", line]
