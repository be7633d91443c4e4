"""The test phone as a caller finds it: a real user agent on loopback; the media plane is a fake that keeps a diary."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

import pytest

from trunkline.config import DemoConfig
from trunkline.demo import DemoPhone
from trunkline.demo.call import GREETING, TEST_TONE, Pace
from trunkline.demo.numbers import NUMBERS
from trunkline.errors import MediaError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import (
    Direction,
    DtmfReceived,
    DtmfTones,
    Event,
    MediaInactive,
    PlayDone,
    Remote,
    RtpLocal,
    RtpTransport,
    Source,
    StreamParameters,
)
from trunkline.sdp import CodecPolicy, SessionIdentity, offer_answer, parse
from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import (
    Account,
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteRequest,
    Registered,
    RegistrationFailed,
    ReinviteAnswered,
    Transport,
    UaConfig,
)
from trunkline.sip.ua import UserAgent

PACE = Pace(ring_s=0.05, greeting_s=0.1, silence_s=0.05)
LOCAL = RtpLocal(("127.0.0.1", 4000), ("127.0.0.1", 4001), 1, "caller")
OFFER = str(offer_answer.make_offer(LOCAL, CodecPolicy(), SessionIdentity(1, 1, "127.0.0.1")))
EventT = TypeVar("EventT")


class FakeMedia:
    """A media plane that does nothing, and knows what it was asked to do. Implements `MediaPort`."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.open: set[EndpointId] = set()
        self.listeners: dict[MediaCallId, Callable[[Event], None]] = {}
        self.is_full = False
        self._last = 0
        self._changed = asyncio.Condition()

    def new_call(self) -> MediaCallId:
        self._last += 1
        return MediaCallId(self._last)

    async def create_endpoint(self, call: MediaCallId, transport: RtpTransport) -> tuple[EndpointId, RtpLocal]:
        if self.is_full:
            raise MediaError("no_free_port")
        self.open.add(EndpointId(call))
        port = 20_000 + 2 * call
        rtcp = port if transport.rtcp_mux else port + 1
        return EndpointId(call), RtpLocal(("127.0.0.1", port), ("127.0.0.1", rtcp), 1, "fake")

    async def set_remote(self, call: MediaCallId, _e: EndpointId, remote: Remote, audio: StreamParameters) -> None:
        await self._note("set_remote", call, remote, audio)

    async def update_endpoint(self, call: MediaCallId, _e: EndpointId, direction: Direction) -> None:
        await self._note("update_endpoint", call, direction)

    async def expect_media(self, call: MediaCallId, _e: EndpointId) -> None:
        await self._note("expect_media", call)

    async def bridge(self, call: MediaCallId, a: EndpointId, b: EndpointId) -> None:
        await self._note("bridge", call, a == b)

    async def play(self, call: MediaCallId, _e: EndpointId, source: Source) -> None:
        await self._note("play", call, source)

    async def stop_play(self, call: MediaCallId, _e: EndpointId) -> None:
        await self._note("stop_play", call)

    async def send_dtmf(self, call: MediaCallId, _e: EndpointId, digits: str, duration_ms: int = 120) -> None:
        await self._note("send_dtmf", call, digits, duration_ms)

    async def close(self, call: MediaCallId, endpoint: EndpointId) -> None:
        self.open.discard(endpoint)
        await self._note("close", call)

    def subscribe(self, call: MediaCallId, callback: Callable[[Event], None]) -> None:
        self.listeners[call] = callback

    def unsubscribe(self, call: MediaCallId) -> None:
        self.listeners.pop(call, None)

    def names(self) -> list[str]:
        return [entry[0] for entry in self.done]

    async def wait_for(self, *entry: object) -> None:
        """Wait until the last thing done is this."""
        await self.wait_until(lambda: self.done[-1:] == [entry])

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(is_so), 5)

    async def _note(self, *entry: object) -> None:
        async with self._changed:
            self.done.append(entry)
            self._changed.notify_all()


class Caller:
    """A user agent at the far end of the loopback, with its events in a queue."""

    def __init__(self, phone: DemoPhone) -> None:
        self.phone = phone
        self.events: asyncio.Queue[object] = asyncio.Queue()
        ua = UserAgent(UaConfig(user_agent="caller"), Random(5))
        self.shell = SipShell(ua, (Listener(Transport.UDP, "127.0.0.1", 0),), self.events.put_nowait)

    def account(self, **changes: object) -> Account:
        info = self.phone.info
        known: dict[str, Any] = {"login": info.login, "password": info.password, "domain": info.domain}
        return Account(**{**known, "port": info.port, **changes})

    async def register(self, **changes: object) -> object:
        self.shell.register(self.account(**changes), 60)
        return await asyncio.wait_for(self.events.get(), 5)

    def dial(self, number: str, sdp: str = OFFER) -> InviteId:
        return self.shell.invite(InviteRequest(target_uri=number, sdp=sdp, account=self.account()))

    async def expect(self, kind: type[EventT]) -> EventT:
        """Wait for an event of this kind, past others."""
        async with asyncio.timeout(5):
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event


class Scene:
    def __init__(self, phone: DemoPhone, media: FakeMedia, caller: Caller) -> None:
        self.phone, self.media, self.caller = phone, media, caller


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Scene]:
    media = FakeMedia()
    phone = DemoPhone(DemoConfig(callback_delay_s=0.1, **config), media, Random(4), PACE)
    await phone.start()
    caller = Caller(phone)
    await caller.shell.start()
    try:
        yield Scene(phone, media, caller)
    finally:
        await caller.shell.stop(1)
        await phone.stop()
        assert media.open == set(), "endpoints are left"
        assert media.listeners == {}, "listeners are left"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with running() as scene:
        yield scene


# --- registering ----------------------------------------------------------------------------------------------------


async def test_registers_with_the_account_that_the_page_is_told(scene: Scene) -> None:
    registered = await scene.caller.register()
    assert isinstance(registered, Registered)
    assert registered.expires_s == 60


@pytest.mark.parametrize(
    ("changes", "status"), [({"password": "wrong"}, 403), ({"login": "stranger"}, 403)], ids=["password", "user"]
)
async def test_refuses_who_it_does_not_know(scene: Scene, changes: dict[str, str], status: int) -> None:
    failed = await scene.caller.register(**changes)
    assert isinstance(failed, RegistrationFailed)
    assert failed.status == status


async def test_password_is_the_configured_one_or_a_new_one() -> None:
    async with running(password="given") as scene:
        assert scene.phone.info.password == "given"
    async with running() as scene:
        assert len(scene.phone.info.password) == 16


async def test_page_is_told_every_number(scene: Scene) -> None:
    assert scene.phone.info.numbers == NUMBERS
    assert len({entry.number for entry in NUMBERS}) == len({entry.behaviour for entry in NUMBERS}) == len(NUMBERS)


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["echo", "100"])
async def test_echo_rings_answers_and_joins_the_endpoint_with_itself(scene: Scene, number: str) -> None:
    scene.caller.dial(number)
    assert (await scene.caller.expect(InviteProgress)).status == 180
    answered = await scene.caller.expect(InviteAnswered)
    assert "m=audio 20002 RTP/AVP 0 8 101" in (answered.sdp or "")
    await scene.media.wait_for("bridge", 1, True)
    remote = scene.media.done[0][2]
    assert remote.rtp == ("127.0.0.1", 4000)


async def test_caller_hanging_up_frees_everything(scene: Scene) -> None:
    invite = scene.caller.dial("echo")
    await scene.caller.expect(InviteAnswered)
    scene.caller.shell.hangup(invite)
    await scene.media.wait_for("close", 1)
    assert scene.media.open == set()


async def test_caller_giving_up_while_it_rings_frees_everything(scene: Scene) -> None:
    invite = scene.caller.dial("noanswer")
    await scene.caller.expect(InviteProgress)
    scene.caller.shell.hangup(invite)
    await scene.caller.expect(InviteEnded)
    again = scene.caller.dial("echo")
    await scene.caller.expect(InviteProgress)
    scene.caller.shell.hangup(again)
    await scene.media.wait_for("close", 1)
    assert "set_remote" not in scene.media.names()


@pytest.mark.parametrize("number", ["tone", "101"])
async def test_tone_plays_440_hz(scene: Scene, number: str) -> None:
    scene.caller.dial(number)
    await scene.caller.expect(InviteAnswered)
    await scene.media.wait_for("play", 1, TEST_TONE)
    assert TEST_TONE.frequencies_hz == (440.0,)


async def test_digits_are_read_back_one_after_the_other(scene: Scene) -> None:
    invite = scene.caller.dial("digits")
    await scene.caller.expect(InviteAnswered)
    await scene.media.wait_for("set_remote", 1, *scene.media.done[0][2:])
    hear = scene.media.listeners[MediaCallId(1)]
    hear(DtmfReceived(MediaCallId(1), EndpointId(1), "5", 100))
    hear(DtmfReceived(MediaCallId(1), EndpointId(1), "#", 100))
    await scene.media.wait_for("play", 1, DtmfTones("5"))
    hear(PlayDone(MediaCallId(1), EndpointId(1)))
    await scene.media.wait_for("play", 1, DtmfTones("#"))
    hear(PlayDone(MediaCallId(1), EndpointId(1)))
    scene.caller.shell.send_info(invite, "application/dtmf-relay", b"Signal=d\r\nDuration=160\r\n")
    await scene.media.wait_for("play", 1, DtmfTones("D"))


@pytest.mark.parametrize(
    ("number", "status"),
    [("busy", 486), ("103", 486), ("notfound", 404), ("105", 404), ("555", 404), ("callme", 480)],
)
async def test_refuses_with_the_status_that_the_number_promises(scene: Scene, number: str, status: int) -> None:
    scene.caller.dial(number)
    assert (await scene.caller.expect(InviteFailed)).status == status
    assert scene.media.done == []


async def test_noanswer_rings_and_goes_on_ringing(scene: Scene) -> None:
    scene.caller.dial("104")
    assert (await scene.caller.expect(InviteProgress)).status == 180
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scene.caller.events.get(), 5 * PACE.ring_s)


async def test_calls_back_who_is_registered(scene: Scene) -> None:
    caller = scene.caller
    await caller.register()
    caller.dial("callme")
    await caller.expect(InviteAnswered)
    await caller.expect(InviteEnded)
    back = await caller.expect(IncomingInvite)
    assert back.display_name == "Test phone"
    assert back.caller.startswith("sip:callme@")
    offered = parse(back.sdp or "")
    local = RtpLocal(("127.0.0.1", 4100), ("127.0.0.1", 4101), 1, "caller")
    answer = offer_answer.answer_offer(offered, local, CodecPolicy(), SessionIdentity(2, 1, "127.0.0.1"))
    caller.shell.answer(back.id, str(answer.description))
    await scene.media.wait_for("stop_play", 2)
    of_second_call = [entry for entry in scene.media.done if entry[1] == 2]
    assert of_second_call[1:3] == [("bridge", 2, True), ("play", 2, GREETING)]
    caller.shell.hangup(back.id)
    await scene.media.wait_for("close", 2)


async def test_gives_up_the_call_back_when_it_is_refused(scene: Scene) -> None:
    await scene.caller.register()
    scene.caller.dial("callme")
    back = await scene.caller.expect(IncomingInvite)
    scene.caller.shell.hangup(back.id, 603)
    await scene.media.wait_for("close", 2)


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_answers_hold_within_the_call(scene: Scene) -> None:
    invite = scene.caller.dial("echo")
    await scene.caller.expect(InviteAnswered)
    await scene.media.wait_for("bridge", 1, True)
    held = offer_answer.make_offer(
        LOCAL, CodecPolicy(), SessionIdentity(1, 2, "127.0.0.1"), direction=Direction.SENDONLY
    )
    scene.caller.shell.reinvite(invite, str(held))
    answer = parse((await scene.caller.expect(ReinviteAnswered)).sdp or "")
    assert answer.media[0].direction() == Direction.RECVONLY
    assert int(answer.origin.version) == 2
    assert scene.media.done[-1][0] == "set_remote"
    assert scene.media.done[-1][3].direction == Direction.RECVONLY


@pytest.mark.parametrize("sdp", ["garbage", OFFER.replace("111 0 8 101 110", "111 110")], ids=["garbage", "no codec"])
async def test_refuses_an_offer_it_cannot_answer(scene: Scene, sdp: str) -> None:
    scene.caller.dial("echo", sdp)
    assert (await scene.caller.expect(InviteFailed)).status in {400, 488}


async def test_says_503_when_there_is_no_port(scene: Scene) -> None:
    scene.media.is_full = True
    scene.caller.dial("echo")
    assert (await scene.caller.expect(InviteFailed)).status == 503


async def test_hangs_up_when_no_media_comes(scene: Scene) -> None:
    scene.caller.dial("echo")
    await scene.caller.expect(InviteAnswered)
    await scene.media.wait_for("bridge", 1, True)
    scene.media.listeners[MediaCallId(1)](MediaInactive(MediaCallId(1), EndpointId(1), 60.0))
    await scene.caller.expect(InviteEnded)


async def test_stopping_hangs_up() -> None:
    async with running() as scene:
        scene.caller.dial("echo")
        await scene.caller.expect(InviteAnswered)
        await scene.phone.stop()
        await scene.caller.expect(InviteEnded)


async def test_several_calls_at_once_do_not_meet(scene: Scene) -> None:
    for number in ("echo", "tone", "echo"):
        scene.caller.dial(number)
    for _ in range(3):
        await scene.caller.expect(InviteAnswered)
    await scene.media.wait_until(lambda: sorted(scene.media.names())[:3] == ["bridge", "bridge", "play"])
    assert len(scene.media.open) == 3
