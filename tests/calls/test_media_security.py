"""SRTP on the SIP leg of a call: what the media plane is told, what a policy refuses, and what the log never says."""

import logging
from base64 import b64encode
from itertools import count

import pytest
from world import reason, world

from fakes import browser_answer, phone_offer
from logs import logged
from trunkline.calls.model import EndReason
from trunkline.errors import MediaError
from trunkline.media.types import DtlsPeer, RtpRemote, SdesKeys
from trunkline.sdp.crypto import read_crypto
from trunkline.sdp.parser import parse
from trunkline.sdp.security import MediaSecurity, SecurityPolicy
from trunkline.sip.types import InviteAnswered, ReinviteReceived

SUITE = "AES_CM_128_HMAC_SHA1_80"
FINGERPRINT = ":".join(["CD"] * 32)


def policy(mode: MediaSecurity) -> SecurityPolicy:
    fillers = count(ord("A"))
    return SecurityPolicy(mode=mode, random_bytes=lambda length: bytes([next(fillers)]) * length)


def secured(sdp: str, *, protocol: str = "RTP/SAVP", key: bytes = b"x" * 30, tag: int = 3) -> str:
    """Return a phone's description with SDES; what it says of keys itself is left out."""
    lines = [line for line in sdp.replace("RTP/AVP", protocol).splitlines() if not line.startswith("a=crypto")]
    return "\r\n".join((*lines, f"a=crypto:{tag} {SUITE} inline:{b64encode(key).decode()}", ""))


def sip_remote(w) -> RtpRemote:
    (remote,) = [each.remote for each in w.media.live.values() if isinstance(each.remote, RtpRemote)]
    return remote


async def answered(w, offer: str):
    """Let a phone's call be answered by a browser; what we answered the phone with."""
    session = await w.registered()
    invite = await w.incoming(session, offer)
    (call,) = w.controller.find()
    session.answer(call.id, browser_answer(w.web.description()))
    await w.settle()
    return invite, call, parse(w.sip.verbs("answer")[0][2])


async def test_a_phone_with_keys_gets_ours_and_the_media_plane_both():
    async with world(security=policy(MediaSecurity.OPTIONAL)) as w:
        _, _, ours = await answered(w, secured(phone_offer()))
        (line,) = read_crypto(ours.media[0])
        keys = sip_remote(w).security
        assert isinstance(keys, SdesKeys)
        assert (line.tag, keys.local_key, keys.local_salt) == (3, line.key, line.salt)
        assert (keys.remote_key, keys.remote_salt) == (b"x" * 16, b"x" * 14)


async def test_a_reinvite_with_the_same_key_keeps_ours_and_one_with_another_gets_another():
    async with world(security=policy(MediaSecurity.OPTIONAL)) as w:
        invite, _, _ = await answered(w, secured(phone_offer()))
        before = sip_remote(w).security
        await w.sip_says(ReinviteReceived(invite, secured(phone_offer(port=26_000), tag=9)))
        assert sip_remote(w).security == before
        assert sip_remote(w).rtp[1] == 26_000
        await w.sip_says(ReinviteReceived(invite, secured(phone_offer(port=26_000), key=b"y" * 30)))
        after = sip_remote(w).security
        assert after.remote_key == b"y" * 16
        assert after.local_key != before.local_key
        await w.sip_says(ReinviteReceived(invite, None))
        (_, _, offered, _) = w.sip.verbs("answer_reinvite")[-1]
        assert [line.key for line in read_crypto(parse(offered).media[0])] == [after.local_key]


async def test_a_phone_with_a_certificate_shakes_hands_with_us_as_its_server():
    offer = phone_offer().replace("RTP/AVP", "UDP/TLS/RTP/SAVP")
    offer += f"a=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:actpass\r\n"
    async with world(security=policy(MediaSecurity.REQUIRED)) as w:
        _, _, ours = await answered(w, offer)
        assert sip_remote(w).security == DtlsPeer((("sha-256", FINGERPRINT),), is_dtls_client=True)
        assert (ours.media[0].value("setup"), ours.media[0].has("fingerprint")) == ("passive", True)


@pytest.mark.parametrize("mode", [MediaSecurity.REQUIRED, MediaSecurity.SDES, MediaSecurity.DTLS])
async def test_a_policy_that_wants_protection_refuses_a_plain_caller_with_488_before_anybody_rings(mode):
    async with world(security=policy(mode)) as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        assert w.sip.verbs("hangup") == [("hangup", invite, 488, None)]
        assert not w.sip.verbs("ring")
        (call,) = w.controller.find()
        assert reason(call) is EndReason.PLAIN_MEDIA_REFUSED
        assert "incoming" not in [each[0] for each in w.web.shown]


async def test_a_plain_reinvite_is_refused_and_the_call_goes_on_protected():
    async with world(security=policy(MediaSecurity.REQUIRED)) as w:
        invite, call, _ = await answered(w, secured(phone_offer()))
        await w.sip_says(ReinviteReceived(invite, phone_offer()))
        assert w.sip.verbs("answer_reinvite")[-1][3] == 488
        assert isinstance(sip_remote(w).security, SdesKeys)
        assert reason(call) is None


@pytest.mark.parametrize(
    ("mode", "is_protected", "end"),
    [
        (MediaSecurity.OPTIONAL, True, None),
        (MediaSecurity.OPTIONAL, False, None),
        (MediaSecurity.REQUIRED, True, None),
        (MediaSecurity.REQUIRED, False, EndReason.PLAIN_MEDIA_REFUSED),
    ],
)
async def test_a_callee_takes_our_keys_or_leaves_them_as_the_policy_allows(mode, is_protected, end):
    async with world(security=policy(mode)) as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        lines = read_crypto(parse(offer).media[0])
        answer = phone_offer("PCMU")
        if is_protected:
            answer = secured(answer, protocol=parse(offer).media[0].protocol)
        await w.sip_says(InviteAnswered(invite, answer))
        assert reason(call) is end
        if end:
            assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        elif is_protected:
            assert sip_remote(w).security.local_key == lines[2].key
        else:
            assert sip_remote(w).security is None


async def test_no_key_is_ever_logged():
    with logged("debug") as log:
        async with world(security=policy(MediaSecurity.OPTIONAL)) as w:
            invite, _, _ = await answered(w, secured(phone_offer()))
            keys = sip_remote(w).security
            await w.sip_says(ReinviteReceived(invite, secured(phone_offer(), key=b"x" * 7)))
            w.media.refusals["set_remote"] = MediaError("invalid_parameter", "refused")
            await w.sip_says(ReinviteReceived(invite, secured(phone_offer())))
            logging.getLogger("test").info("%r %s %r", keys, secured(phone_offer()), parse(secured(phone_offer())))
    text = log.getvalue()
    assert "call_ended" in text
    assert "inline:[redacted]" in text
    for secret in (keys.local_key, keys.remote_key):
        assert secret.decode() not in text
        assert b64encode(secret).decode()[:16] not in text
