"""Digits from one kind to another, as calls pass them on: what the media plane is told and which INFO leaves."""

import pytest
from world import World, reason, world

from fakes import phone_answer
from trunkline.calls.dtmf import DOUBLE_S
from trunkline.calls.events import DtmfMethod, DtmfRequested
from trunkline.calls.model import DTMF_KEPT, Call, Side
from trunkline.dtmf import DtmfKind, DtmfMode
from trunkline.errors import InvalidCallState, LegRejected, MediaError, TransactionTimeout, TrunklineError
from trunkline.ids import MediaCallId
from trunkline.media.types import Dtmf, DtmfReceived
from trunkline.sip.types import (
    EndCause,
    InfoAnswered,
    InfoReceived,
    InviteAnswered,
    InviteEnded,
    InviteId,
    InviteProgress,
)

CALL = MediaCallId(1)
ALL_KEYS = "0123456789*#ABCD"


async def answered(w: World, *, has_events: bool, takes_info: bool = False) -> tuple[Call, InviteId]:
    """Call a phone from a browser. has_events: the phone negotiates telephone-events."""
    call = await w.call(w.connect())
    invite, offer = w.sent_invite()
    phone = DtmfMode.AUTO if has_events else DtmfMode.INBAND
    await w.sip_says(InviteAnswered(invite, phone_answer(offer, dtmf=phone), takes_info))
    return call, invite


def dtmf_of(w: World, transport: str) -> Dtmf:
    """Return what the media plane was told of a leg."""
    audio = w.media.endpoint(transport)[1].audio
    assert audio is not None
    return audio.dtmf


def infos(w: World) -> list[bytes]:
    return [each[3] for each in w.sip.verbs("send_info")]


@pytest.mark.parametrize(
    ("mode", "has_events", "takes_info", "expected"),
    [
        (DtmfMode.AUTO, True, True, Dtmf(DtmfKind.RFC4733, hears_tones=False)),
        (DtmfMode.AUTO, False, True, Dtmf(DtmfKind.INFO, hears_tones=True)),
        (DtmfMode.AUTO, False, False, Dtmf(DtmfKind.INBAND, hears_tones=True)),
        (DtmfMode.RFC4733, True, True, Dtmf(DtmfKind.RFC4733, hears_tones=False)),
        (DtmfMode.RFC4733, False, True, Dtmf(DtmfKind.RFC4733, hears_tones=False)),
        (DtmfMode.INFO, True, False, Dtmf(DtmfKind.INFO, hears_tones=False)),
        (DtmfMode.INBAND, True, True, Dtmf(DtmfKind.INBAND, hears_tones=True)),
    ],
)
async def test_a_leg_is_set_by_the_configuration_and_by_what_its_peer_can(
    mode: DtmfMode, has_events: bool, takes_info: bool, expected: Dtmf
):
    async with world(dtmf=mode) as w:
        await answered(w, has_events=has_events, takes_info=takes_info)
        assert dtmf_of(w, "rtp") == expected
        _, offer = w.sent_invite()
        assert ("telephone-event" in offer) is mode.has_events


async def test_what_a_peer_can_is_known_from_early_media_on():
    async with world() as w:
        await w.call(w.connect())
        invite, offer = w.sent_invite()
        early = phone_answer(offer, dtmf=DtmfMode.INBAND)
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", early, True))
        assert dtmf_of(w, "rtp").sent is DtmfKind.INFO


@pytest.mark.parametrize("by", [DtmfKind.RFC4733, DtmfKind.INBAND])
async def test_a_digit_from_media_goes_to_an_info_leg_once_with_its_length(by: DtmfKind):
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        for key in ALL_KEYS:
            await w.media_says(DtmfReceived(CALL, w.media.endpoint("webrtc")[0], key, 250, by))
            await w.sip_says(InfoAnswered(invite, 200))
        assert infos(w) == [f"Signal={key}\r\nDuration=250\r\n".encode() for key in ALL_KEYS]
        assert w.media.endpoint("rtp")[1].digits == "", "no events and no tones beside it"
        assert "".join(digit.key for digit in call.digits) == ALL_KEYS


@pytest.mark.parametrize("has_events", [True, False])
async def test_a_digit_from_media_to_a_media_leg_is_not_sent_by_us(has_events: bool):
    async with world() as w:
        call, _ = await answered(w, has_events=has_events)
        await w.media_says(DtmfReceived(CALL, w.media.endpoint("rtp")[0], "5", 90, DtmfKind.INBAND))
        assert "send_dtmf" not in w.media.log
        assert infos(w) == []
        assert call.dtmf_received == "5"


async def test_a_digit_by_info_leaves_on_the_other_leg_with_its_length():
    async with world() as w:
        call, invite = await answered(w, has_events=True)
        for key in ALL_KEYS:
            await w.sip_says(InfoReceived(invite, key, 330))
        browser = w.media.endpoint("webrtc")[1]
        assert (browser.digits, set(browser.digit_ms)) == (ALL_KEYS, {330})
        assert [(digit.key, digit.duration_ms, digit.by) for digit in call.digits] == [
            (key, 330, DtmfKind.INFO) for key in ALL_KEYS
        ]


async def test_a_client_asks_for_events_and_gets_what_the_leg_can():
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        outcomes = send(w, call, "12")
        await w.settle()
        await w.sip_says(InfoAnswered(invite, 200))
        assert infos(w) == [b"Signal=1\r\nDuration=160\r\n", b"Signal=2\r\nDuration=160\r\n"]
        assert not outcomes, "the second one is not answered yet"
        await w.sip_says(InfoAnswered(invite, 200))
        assert outcomes == [None]


def send(w: World, call: Call, digits: str, method: DtmfMethod = DtmfMethod.RTP) -> list[TrunklineError | None]:
    """Have a client send digits to the SIP side; returns where the outcome will be."""
    outcomes: list[TrunklineError | None] = []
    w.controller.request(call.id, DtmfRequested(Side.B, digits, method, outcomes.append))
    return outcomes


@pytest.mark.parametrize(("status", "kind"), [(415, LegRejected), (481, LegRejected), (408, TransactionTimeout)])
async def test_a_client_is_told_why_a_digit_was_not_taken_and_the_others_still_go(
    status: int, kind: type[TrunklineError]
):
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        first, second = send(w, call, "12"), send(w, call, "3")
        await w.settle()
        for answer in (status, 200, 200):
            await w.sip_says(InfoAnswered(invite, answer))
        (error,) = first
        assert isinstance(error, kind)
        assert isinstance(error, TransactionTimeout) or getattr(error, "status", 0) == status
        assert (second, len(infos(w))) == ([None], 3), "the refusal was of the first request alone"


async def test_digits_that_wait_when_the_call_ends_are_told_to_have_failed():
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        outcomes = send(w, call, "12")
        await w.settle()
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        (error,) = outcomes
        assert isinstance(error, InvalidCallState)


async def test_digits_that_the_media_plane_refuses_are_told_to_who_sent_them():
    async with world() as w:
        call, _ = await answered(w, has_events=True, takes_info=False)
        w.media.refusals["send_dtmf"] = MediaError("unknown_endpoint")
        outcomes = send(w, call, "1")
        await w.settle()
        (error,) = outcomes
        assert isinstance(error, MediaError)
        assert reason(call) is None


@pytest.mark.parametrize("first", [DtmfKind.INBAND, DtmfKind.INFO])
async def test_a_digit_that_comes_as_a_tone_and_by_info_counts_once(first: DtmfKind):
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        phone = w.media.endpoint("rtp")[0]
        tone, info = DtmfReceived(CALL, phone, "7", 100, DtmfKind.INBAND), InfoReceived(invite, "7", 100)
        if first is DtmfKind.INBAND:
            await w.media_says(tone)
            await w.sip_says(info)
            assert w.media.endpoint("webrtc")[1].digits == "", "the media plane has pressed it already"
        else:
            await w.sip_says(info)
            await w.media_says(tone)
        assert call.dtmf_received == "7"
        assert not dtmf_of(w, "rtp").hears_tones, "a peer that sends INFO is not listened to any more"


async def test_the_same_key_pressed_twice_is_two_digits():
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        phone = w.media.endpoint("rtp")[0]
        for _ in range(2):
            await w.media_says(DtmfReceived(CALL, phone, "7", 100, DtmfKind.INBAND))
            await w.sip_says(InfoReceived(invite, "7", 100))
        await w.sip_says(InfoReceived(invite, "7", 100))
        assert call.dtmf_received == "777"
        await w.advance(DOUBLE_S + 1)
        await w.media_says(DtmfReceived(CALL, phone, "7", 100, DtmfKind.INBAND))
        assert call.dtmf_received == "7777", "so late it is no double"


async def test_info_that_is_refused_lets_the_next_digit_go_and_the_call_live():
    async with world() as w:
        call, invite = await answered(w, has_events=False, takes_info=True)
        for key in "12":
            await w.media_says(DtmfReceived(CALL, w.media.endpoint("webrtc")[0], key, 100))
        assert len(infos(w)) == 1, "one at a time"
        await w.sip_says(InfoAnswered(invite, 415))
        assert infos(w)[-1] == b"Signal=2\r\nDuration=100\r\n"
        assert reason(call) is None


async def test_digits_that_wait_for_answers_are_bounded():
    async with world() as w:
        call, _ = await answered(w, has_events=False, takes_info=True)
        for _ in range(200):
            await w.media_says(DtmfReceived(CALL, w.media.endpoint("webrtc")[0], "1", 100))
        assert len(infos(w)) == 1
        assert len(call.digits) == DTMF_KEPT
        assert reason(call) is None
