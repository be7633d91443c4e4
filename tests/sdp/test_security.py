"""SRTP on SIP legs: offers and answers side by side.   RFC 4568, 5763, 8643."""

from base64 import b64encode

import pytest

from trunkline.errors import NegotiationError, PlainMediaRefused
from trunkline.media.types import DtlsPeer, RtpLocal, SdesKeys
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.crypto import SUITES, fresh_line, read_crypto
from trunkline.sdp.model import Attribute, MediaDescription, SessionDescription, SessionIdentity
from trunkline.sdp.offer_answer import Negotiated, RtpRemote, accept_answer, answer_offer, make_offer, offer_again
from trunkline.sdp.parser import parse
from trunkline.sdp.security import MediaSecurity, SecurityPolicy

OURS = "AB:" * 31 + "AB"
THEIRS = "CD:" * 31 + "CD"
LOCAL = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31001), 1, "c", OURS)
MUXED = RtpLocal(("203.0.113.1", 31000), ("203.0.113.1", 31000), 1, "c", OURS)
IDENTITY = SessionIdentity(7000, 1, "203.0.113.1")
CODECS = CodecPolicy(("PCMA",))
SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
GCM = "AEAD_AES_256_GCM"


class Counted:
    """Different bytes with each call, so that no key comes twice."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return bytes([self.calls]) * count


def policy(mode: MediaSecurity) -> SecurityPolicy:
    return SecurityPolicy(mode=mode, random_bytes=Counted())


def inline(suite: str, filler: int = 9) -> str:
    lengths = SUITES[suite]
    return b64encode(bytes([filler]) * (lengths.key_bytes + lengths.salt_bytes)).decode()


def offer(protocol: str, *attributes: str) -> str:
    lines = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", f"m=audio 4000 {protocol} 8")
    return "".join(f"{line}\r\n" for line in (*lines, *(f"a={attribute}" for attribute in attributes)))


def crypto(tag: int, suite: str, filler: int = 9) -> str:
    return f"crypto:{tag} {suite} inline:{inline(suite, filler)}"


FINGERPRINT = f"fingerprint:sha-256 {THEIRS}"
PEER = (("sha-256", THEIRS),)


def answered(text: str, mode: MediaSecurity, local: RtpLocal = LOCAL, **more: object) -> Negotiated[RtpRemote]:
    negotiated = answer_offer(parse(text), local, CODECS, IDENTITY, security=policy(mode), **more)  # type: ignore[arg-type]
    assert parse(str(negotiated.description)) == negotiated.description
    return negotiated


def audio(description: SessionDescription) -> MediaDescription:
    return description.media[0]


@pytest.mark.parametrize("suite", SUITES)
def test_an_sdes_offer_is_answered_with_its_tag_and_suite_and_a_key_of_ours(suite: str) -> None:
    negotiated = answered(offer("RTP/SAVP", crypto(7, suite)), MediaSecurity.OPTIONAL)
    section = audio(negotiated.description)
    (line,) = read_crypto(section)
    keys = negotiated.remote.security
    assert isinstance(keys, SdesKeys)
    assert (section.protocol, line.tag, line.suite) == ("RTP/SAVP", 7, suite)
    assert (keys.suite, keys.local_key, keys.local_salt) == (suite, line.key, line.salt)
    assert keys.remote_key == bytes([9]) * SUITES[suite].key_bytes
    assert keys.remote_salt == bytes([9]) * SUITES[suite].salt_bytes
    assert keys.local_key != keys.remote_key


def test_the_best_common_suite_is_chosen_in_our_order() -> None:
    text = offer("RTP/SAVPF", crypto(1, "AES_CM_128_HMAC_SHA1_32"), crypto(2, SHA1_80), "crypto:3 F8 inline:AA")
    (line,) = read_crypto(audio(answered(text, MediaSecurity.SDES).description))
    assert (line.tag, line.suite) == (2, SHA1_80)


@pytest.mark.parametrize(
    "unusable",
    [
        f"1 {SHA1_80} inline:{inline(SHA1_80)}|2^20|1:4",
        f"1 {SHA1_80} inline:{inline(SHA1_80)}|1:4",
        f"1 {SHA1_80} inline:{inline(SHA1_80)};inline:{inline(SHA1_80)}",
        f"1 {SHA1_80} inline:{inline(SHA1_80)} UNENCRYPTED_SRTP",
        f"1 {SHA1_80} inline:{inline(SHA1_80)} KDR=1",
        f"1 {SHA1_80} inline:{inline(GCM)}",
        f"1 {SHA1_80} inline:!{inline(SHA1_80)[1:]}",
        f"1 {SHA1_80} uri:{inline(SHA1_80)}",
        f"1 F8_128_HMAC_SHA1_80 inline:{inline(SHA1_80)}",
        f"-1 {SHA1_80} inline:{inline(SHA1_80)}",
        f"1 {SHA1_80}",
        "",
    ],
)
def test_a_line_that_we_cannot_use_is_passed_over(unusable: str) -> None:
    text = offer("RTP/SAVP", f"crypto:{unusable}", crypto(2, SHA1_80))
    (line,) = read_crypto(audio(answered(text, MediaSecurity.SDES).description))
    assert line.tag == 2
    with pytest.raises(NegotiationError):
        answered(offer("RTP/SAVP", f"crypto:{unusable}"), MediaSecurity.OPTIONAL)


@pytest.mark.parametrize("ending", ["|2^31", "|1048576", " WSH=128", " -KDR=1"])
def test_lifetimes_and_hints_do_not_hinder(ending: str) -> None:
    text = offer("RTP/SAVP", crypto(1, SHA1_80) + ending)
    assert isinstance(answered(text, MediaSecurity.SDES).remote.security, SdesKeys)


def test_base64_without_its_padding_is_read() -> None:
    text = offer("RTP/SAVP", crypto(1, GCM).rstrip("="))
    assert isinstance(answered(text, MediaSecurity.SDES).remote.security, SdesKeys)


def test_our_key_stays_while_theirs_does_and_changes_with_it() -> None:
    first = answered(offer("RTP/SAVP", crypto(1, SHA1_80)), MediaSecurity.SDES).remote.security
    assert isinstance(first, SdesKeys)
    negotiated = answered(offer("RTP/SAVP", crypto(4, SHA1_80)), MediaSecurity.SDES, current=first)
    assert negotiated.remote.security == first
    (line,) = read_crypto(audio(negotiated.description))
    assert (line.tag, line.key, line.salt) == (4, first.local_key, first.local_salt)

    random_bytes = Counted()
    random_bytes.calls = 50
    other = SecurityPolicy(mode=MediaSecurity.SDES, random_bytes=random_bytes)
    text = offer("RTP/SAVP", crypto(1, SHA1_80, filler=8))
    second = answer_offer(parse(text), LOCAL, CODECS, IDENTITY, security=other, current=first).remote.security
    assert isinstance(second, SdesKeys)
    assert second.local_key != first.local_key


@pytest.mark.parametrize(("setup", "ours", "is_client"), [
    ("actpass", "passive", True),
    ("active", "passive", True),
    ("passive", "active", False),
])  # fmt: skip
@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "RTP/SAVP"])
def test_a_dtls_offer_is_answered_with_our_fingerprint_and_role(
    protocol: str, setup: str, ours: str, is_client: bool
) -> None:
    text = offer(protocol, FINGERPRINT, f"setup:{setup}", "rtcp-mux")
    negotiated = answered(text, MediaSecurity.DTLS, MUXED)
    section = audio(negotiated.description)
    assert section.protocol == protocol
    assert (section.value("fingerprint"), section.value("setup")) == (f"sha-256 {OURS}", ours)
    assert section.has("rtcp-mux")
    assert negotiated.remote.security == DtlsPeer(PEER, is_client)


def test_keys_beside_plain_rtp_are_used_where_the_policy_lets_us() -> None:
    text = offer("RTP/AVP", crypto(1, SHA1_80))
    negotiated = answered(text, MediaSecurity.OPTIONAL)
    section = audio(negotiated.description)
    assert (section.protocol, section.has("crypto")) == ("RTP/AVP", True)
    assert isinstance(negotiated.remote.security, SdesKeys)
    assert isinstance(answered(text, MediaSecurity.REQUIRED).remote.security, SdesKeys)

    plain = answered(text, MediaSecurity.PLAIN)
    assert plain.remote.security is None
    assert not audio(plain.description).has("crypto")
    assert answered(offer("RTP/AVP", "crypto:1 junk"), MediaSecurity.OPTIONAL).remote.security is None


@pytest.mark.parametrize("mode", [MediaSecurity.REQUIRED, MediaSecurity.SDES, MediaSecurity.DTLS])
def test_plain_rtp_is_refused_by_name_where_the_policy_forbids_it(mode: MediaSecurity) -> None:
    with pytest.raises(PlainMediaRefused):
        answered(offer("RTP/AVP"), mode)
    asked = make_offer(LOCAL, CODECS, IDENTITY, security=policy(mode))
    with pytest.raises(PlainMediaRefused):
        accept_answer(asked, parse(offer("RTP/AVP")))


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (MediaSecurity.PLAIN, offer("RTP/SAVP", crypto(1, SHA1_80))),
        (MediaSecurity.PLAIN, offer("UDP/TLS/RTP/SAVP", FINGERPRINT)),
        (MediaSecurity.SDES, offer("UDP/TLS/RTP/SAVP", FINGERPRINT)),
        (MediaSecurity.DTLS, offer("RTP/SAVP", crypto(1, SHA1_80))),
        (MediaSecurity.OPTIONAL, offer("UDP/TLS/RTP/SAVP", crypto(1, SHA1_80))),
        (MediaSecurity.OPTIONAL, offer("UDP/TLS/RTP/SAVP", "fingerprint:sha-1 AB:CD")),
    ],
)
def test_a_protection_that_the_policy_does_not_take_is_refused(mode: MediaSecurity, text: str) -> None:
    with pytest.raises(NegotiationError) as refusal:
        answered(text, mode)
    assert not isinstance(refusal.value, PlainMediaRefused)


@pytest.mark.parametrize(
    ("mode", "protocol"),
    [(MediaSecurity.OPTIONAL, "RTP/AVP"), (MediaSecurity.REQUIRED, "RTP/SAVP"), (MediaSecurity.SDES, "RTP/SAVP")],
)
def test_our_offer_has_a_key_for_each_suite_and_the_answer_picks_one(mode: MediaSecurity, protocol: str) -> None:
    asked = make_offer(LOCAL, CODECS, IDENTITY, security=policy(mode))
    section = audio(parse(str(asked)))
    lines = read_crypto(section)
    assert section.protocol == protocol
    assert [(line.tag, line.suite) for line in lines] == [(1, GCM), (2, "AEAD_AES_128_GCM"), (3, SHA1_80)]
    assert len({line.key for line in lines}) == 3

    keys = accept_answer(asked, parse(offer(protocol, crypto(3, SHA1_80)))).remote.security
    assert isinstance(keys, SdesKeys)
    assert (keys.local_key, keys.local_salt) == (lines[2].key, lines[2].salt)
    assert keys.remote_key == bytes([9]) * 16
    again = offer_again(asked, IDENTITY.next())
    assert read_crypto(audio(again)) == lines, "the same keys, so that rollover counters go on"


def test_an_answer_that_knows_nothing_of_the_keys_beside_plain_rtp_is_plain_rtp() -> None:
    asked = make_offer(LOCAL, CODECS, IDENTITY, security=policy(MediaSecurity.OPTIONAL))
    assert accept_answer(asked, parse(offer("RTP/AVP"))).remote.security is None


@pytest.mark.parametrize("line", [crypto(2, SHA1_80), crypto(9, SHA1_80), "crypto:3 junk"])
def test_an_answer_with_a_key_for_none_of_our_lines_is_refused(line: str) -> None:
    asked = make_offer(LOCAL, CODECS, IDENTITY, security=policy(MediaSecurity.OPTIONAL))
    with pytest.raises(NegotiationError):
        accept_answer(asked, parse(offer("RTP/AVP", line)))


@pytest.mark.parametrize(("setup", "is_client"), [("setup:active", True), ("setup:passive", False), ("ptime:20", True)])
def test_our_dtls_offer_leaves_the_role_to_the_far_side(setup: str, is_client: bool) -> None:
    asked = make_offer(LOCAL, CODECS, IDENTITY, security=policy(MediaSecurity.DTLS))
    section = audio(asked)
    assert (section.protocol, section.value("setup")) == ("UDP/TLS/RTP/SAVP", "actpass")
    assert section.has("rtcp-mux"), "there is one association, that of the RTP port"
    negotiated = accept_answer(asked, parse(offer("UDP/TLS/RTP/SAVP", FINGERPRINT, setup, "rtcp-mux")))
    assert negotiated.remote.security == DtlsPeer(PEER, is_client)
    assert negotiated.remote.rtcp_mux
    with pytest.raises(NegotiationError):
        accept_answer(asked, parse(offer("UDP/TLS/RTP/SAVP")))


def test_every_m_line_is_answered_in_its_place_and_the_protected_audio_is_taken() -> None:
    text = offer("RTP/AVP", "mid:plain")
    text += f"m=video 5000 RTP/SAVP 96\r\na=rtpmap:96 VP8/90000\r\na={crypto(1, SHA1_80)}\r\na=mid:video\r\n"
    text += f"m=audio 6000 RTP/SAVP 8\r\na={crypto(1, SHA1_80)}\r\na=mid:secure\r\n"
    text += "m=application 7000 UDP/BFCP *\r\n"
    taken = [
        (section.media, bool(section.port)) for section in answered(text, MediaSecurity.REQUIRED).description.media
    ]
    assert taken == [("audio", False), ("video", False), ("audio", True), ("application", False)]
    plain = answered(text, MediaSecurity.PLAIN).description.media
    assert [bool(section.port) for section in plain] == [True, False, False, False]
    assert [section.value("mid") for section in plain] == ["plain", "video", "secure", None]


def test_keys_are_in_no_repr() -> None:
    line = fresh_line(1, SHA1_80, lambda count: b"S" * count)
    keys = SdesKeys(suite=SHA1_80, local_key=b"SSSS", local_salt=b"SSSS", remote_key=b"SSSS", remote_salt=b"SSSS")
    assert "SSSS" not in repr(line) + repr(keys) + repr(RtpRemote(("192.0.2.1", 1), ("192.0.2.1", 2), security=keys))
    assert line.attribute() == Attribute("crypto", f"1 {SHA1_80} inline:{b64encode(b'S' * 30).decode()}")
