"""The browser's side: ICE-lite, DTLS role, fingerprints, BUNDLE."""

from pathlib import Path

import pytest

from trunkline.errors import NegotiationError, SdpError
from trunkline.media.types import Direction, RtcpParameters, WebRtcLocal
from trunkline.sdp import CodecPolicy, Negotiated, SessionIdentity, parse
from trunkline.sdp.webrtc import accept_answer, answer_offer, make_offer

WEB = Path(__file__).parents[1] / "vectors" / "sdp" / "web"
LOCAL = WebRtcLocal((("203.0.113.1", 40000), ("2001:db8::1", 40001)), "ours", "p" * 24, ":".join(["AB"] * 32), 99, "c")
IDENTITY = SessionIdentity(7, 1, "203.0.113.1")
POLICY = CodecPolicy()
CHROMIUM = (WEB / "chromium156_audio.offer.sdp").read_text()


def answer(text: str, **arguments: object) -> Negotiated:  # type: ignore[type-arg]
    return answer_offer(parse(text), LOCAL, POLICY, IDENTITY, **arguments)  # type: ignore[arg-type]


def sections(negotiated: Negotiated) -> list[list[str]]:  # type: ignore[type-arg]
    return [list(media.lines()) for media in negotiated.description.media]


@pytest.mark.parametrize(
    ("offered", "answered", "is_dtls_client"),
    [
        ("a=setup:actpass", "a=setup:passive", True),
        ("a=setup:active", "a=setup:passive", True),
        ("a=setup:passive", "a=setup:active", False),
        ("a=setup:ACTPASS", "a=setup:passive", True),
        ("a=x-no-setup", "a=setup:passive", True),
    ],
)
def test_is_dtls_server_unless_the_browser_insists(offered: str, answered: str, is_dtls_client: bool) -> None:
    negotiated = answer(CHROMIUM.replace("a=setup:actpass", offered))
    assert answered in sections(negotiated)[0]
    assert negotiated.remote.is_dtls_client is is_dtls_client


def test_first_candidate_is_preferred_and_the_default() -> None:
    lines = sections(answer(CHROMIUM))[0]
    assert lines[0].startswith("m=audio 40000 ")
    assert lines[1] == "c=IN IP4 203.0.113.1"
    candidates = [line.split() for line in lines if line.startswith("a=candidate:")]
    assert [(c[4], c[5], c[7]) for c in candidates] == [
        ("203.0.113.1", "40000", "host"),
        ("2001:db8::1", "40001", "host"),
    ]
    assert int(candidates[0][3]) > int(candidates[1][3])
    assert "a=end-of-candidates" in lines


def test_does_not_care_whether_the_offer_has_candidates() -> None:
    trickled = CHROMIUM + "a=candidate:1 1 udp 2113937151 1f4712db.local 53171 typ host\na=candidate:nonsense\n"
    assert sections(answer(trickled)) == sections(answer(CHROMIUM))
    assert answer(trickled).remote == answer(CHROMIUM).remote


def test_agrees_to_no_extension_or_feedback() -> None:
    names = {line[2:].split(":")[0].split(" ")[0] for line in sections(answer(CHROMIUM))[0] if line.startswith("a=")}
    assert not names & {"extmap", "extmap-allow-mixed", "rtcp-fb"}


def test_agrees_to_reports_of_reduced_size_where_they_are_offered() -> None:
    agreed = answer(CHROMIUM)
    assert "a=rtcp-rsize" in sections(agreed)[0]
    assert agreed.audio.rtcp == RtcpParameters(is_reduced_size=True)
    without = answer(CHROMIUM.replace("a=rtcp-rsize\r\n", "").replace("a=rtcp-rsize\n", ""))
    assert "a=rtcp-rsize" not in sections(without)[0]
    assert without.audio.rtcp == RtcpParameters()


def test_bundles_the_audio_only_and_rejects_video_with_its_mid() -> None:
    negotiated = answer((WEB / "chromium156_audio_recvonly_video.offer.sdp").read_text())
    assert negotiated.description.value("group") == "BUNDLE 0"
    video = sections(negotiated)[1]
    assert video[0].startswith("m=video 0 UDP/TLS/RTP/SAVPF ")
    assert video[1:] == ["c=IN IP4 0.0.0.0", "a=mid:1", "a=inactive"]


def test_keeps_the_section_alive_whose_transport_the_audio_uses() -> None:
    offered = (WEB / "chromium156_video_first_max_bundle.offer.sdp").read_text()
    negotiated = answer(offered)
    video, audio = sections(negotiated)
    assert negotiated.description.value("group") == "BUNDLE 0 1"
    assert video[0] == "m=video 40000 UDP/TLS/RTP/SAVPF 96"
    assert "a=inactive" in video
    assert "a=ice-ufrag:ours" in video
    assert "a=sendrecv" in audio


def test_takes_transport_from_the_bundle_when_the_audio_is_bundle_only() -> None:
    offered = parse((WEB / "chromium156_video_first_max_bundle.offer.sdp").read_text())
    text = str(offered)
    head, video, audio = text.partition("m=video")[0], text.partition("m=video")[2].partition("m=audio")[0], ""
    audio = text.partition("m=audio")[2].replace(" 9 UDP", " 0 UDP", 1)
    kept = [line for line in audio.splitlines() if not line.startswith(("a=ice", "a=finger", "a=setup", "a=rtcp-mux"))]
    bundle_only = f"{head}m=video{video}m=audio{kept[0]}\r\n" + "\r\n".join(["a=bundle-only", *kept[1:]])
    assert answer(bundle_only).remote == answer(text).remote


def test_rejects_video_first_without_its_transport() -> None:
    text = (WEB / "chromium156_video_first_max_bundle.offer.sdp").read_text()
    before, audio = text.split("m=audio")
    ufrag = next(line for line in audio.splitlines() if line.startswith("a=ice-ufrag"))
    own_transport = before + "m=audio" + audio.replace(ufrag, "a=ice-ufrag:other")
    negotiated = answer(own_transport)
    assert negotiated.description.value("group") == "BUNDLE 1"
    assert sections(negotiated)[0][0].startswith("m=video 0 ")
    assert negotiated.remote.ice_ufrag == "other"


def test_shows_a_track_only_when_it_sends() -> None:
    sending = "\n".join(sections(answer(CHROMIUM))[0])
    assert "a=msid:trunkline trunkline-audio" in sending
    assert "a=ssrc:99 cname:c" in sending
    silent = "\n".join(sections(answer(CHROMIUM, direction=Direction.RECVONLY))[0])
    assert "msid:" not in silent
    assert "ssrc:" not in silent


@pytest.mark.parametrize(
    ("old", "new", "error", "complaint"),
    [
        ("a=rtcp-mux\n", "", NegotiationError, "rtcp-mux"),
        ("a=fingerprint:", "a=x-fingerprint:", NegotiationError, "fingerprint"),
        ("a=fingerprint:sha-256", "a=fingerprint:md5", NegotiationError, "fingerprint"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:", SdpError, "fingerprint"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-384 ", SdpError, "fingerprint"),
        ("a=ice-ufrag:", "a=x:", NegotiationError, "ICE"),
        ("a=ice-ufrag:", "a=ice-ufrag:é", SdpError, "ICE"),
        ("a=ice-pwd:", "a=ice-pwd:short\na=x:", SdpError, "ICE"),
        ("a=setup:actpass", "a=setup:holdconn", NegotiationError, "holdconn"),
        ("t=0 0", "t=0 0\na=ice-lite", NegotiationError, "ICE-lite"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", NegotiationError, "SAVPF"),
        ("opus/48000/2", "ISAC/16000", None, ""),
    ],
)
def test_says_what_an_offer_lacks(old: str, new: str, error: type[Exception] | None, complaint: str) -> None:
    assert old in CHROMIUM
    text = CHROMIUM.replace(old, new)
    if error is None:
        assert answer(text).audio.send[0].name == "PCMU"
        return
    with pytest.raises(error, match=complaint):
        answer(text)


def test_passes_on_every_usable_fingerprint() -> None:
    line = next(line for line in CHROMIUM.splitlines() if line.startswith("a=fingerprint:"))
    longer = "a=fingerprint:SHA-384 " + ":".join(["0f"] * 48)
    text = CHROMIUM.replace(line, f"{line}\n{longer}\na=fingerprint:sha-1 {':'.join(['00'] * 20)}")
    remote = answer(text).remote
    assert remote.fingerprints == (("sha-256", line.split()[1]), ("sha-384", ":".join(["0F"] * 48)))


# --- our offers -----------------------------------------------------------------------------------------------------


def test_offers_actpass_with_everything_in_one_description() -> None:
    text = str(make_offer(LOCAL, POLICY, IDENTITY))
    for line in ("a=ice-lite", "a=group:BUNDLE 0", "a=mid:0", "a=setup:actpass", "a=rtcp-mux", "a=end-of-candidates"):
        assert f"{line}\r\n" in text
    assert "m=audio 40000 UDP/TLS/RTP/SAVPF 111 0 8 101 110\r\n" in text


FIREFOX_ANSWER = """\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 8688107669075303336 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {fingerprint}
a=group:BUNDLE 0
a=ice-options:trickle
m=audio 9 UDP/TLS/RTP/SAVPF 111 0 101
c=IN IP4 0.0.0.0
a=sendrecv
a=fmtp:111 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=ice-pwd:1d73bbde6179e65a897aeab852607eb3
a=ice-ufrag:a08e9bd6
a=mid:0
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:active
""".format(fingerprint=":".join(["CD"] * 32))


def test_takes_a_browsers_answer() -> None:
    negotiated = accept_answer(make_offer(LOCAL, POLICY, IDENTITY), parse(FIREFOX_ANSWER))
    assert negotiated.remote.ice_ufrag == "a08e9bd6"
    assert negotiated.remote.fingerprints == (("sha-256", ":".join(["CD"] * 32)),)
    assert negotiated.remote.is_dtls_client
    assert [c.payload_type for c in negotiated.audio.send] == [111, 0, 101]
    assert negotiated.audio.direction == Direction.SENDRECV


def test_a_passive_answer_makes_us_the_dtls_client() -> None:
    answer_text = FIREFOX_ANSWER.replace("setup:active", "setup:passive")
    assert not accept_answer(make_offer(LOCAL, POLICY, IDENTITY), parse(answer_text)).remote.is_dtls_client


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("m=audio 9", "m=audio 0", NegotiationError),
        ("setup:active", "setup:actpass", NegotiationError),
        ("a=rtcp-mux\n", "", NegotiationError),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", NegotiationError),
        ("m=audio", "m=video", SdpError),
    ],
)
def test_refuses_answers_that_do_not_fit_the_offer(old: str, new: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        accept_answer(make_offer(LOCAL, POLICY, IDENTITY), parse(FIREFOX_ANSWER.replace(old, new)))
