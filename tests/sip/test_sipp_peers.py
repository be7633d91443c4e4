"""SIPp as a peer that misbehaves: lost and repeated messages, in both roles.

Each scenario file is named after the misbehaviour and says what the peer expects; SIPp's own verdict is part of the
test. `-nr` keeps SIPp from repeating or absorbing anything by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

import pytest

from peers import require
from sip.emulation import ANSWER, OFFER
from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import (
    EndCause,
    Event,
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteRequest,
    ReinviteAnswered,
    Transport,
    UaConfig,
)
from trunkline.sip.ua import UserAgent

pytestmark = pytest.mark.e2e
SCENARIOS = Path(__file__).parent / "scenarios"
T1_S = 0.1
"""Of our side: 64*T1 passes within a test."""

_Event = TypeVar("_Event")


@pytest.fixture(autouse=True)
def _sipp() -> None:
    require(shutil.which("sipp"), "sipp is not installed: apt-get install sip-tester")


class Phone:
    """Our user agent on loopback."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda event: None
        self.ua = UserAgent(UaConfig(t1_s=T1_S, t2_s=4 * T1_S, t4_s=5 * T1_S), SystemRandom())
        listeners = [Listener(Transport.UDP, "127.0.0.1"), Listener(Transport.TCP, "127.0.0.1")]
        self.shell = SipShell(self.ua, listeners, self._on_event)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def port(self, transport: Transport) -> int:
        return next(known.port for known in self.shell.listening if known.transport is transport)

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]

    def last(self, kind: type[_Event]) -> _Event:
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    async def until_gone(self) -> None:
        """Wait until no call and no dialog is left; transactions remember longer (timer D is 32 s at least)."""
        async with asyncio.timeout(5):
            while self.ua.load["invites"] or self.ua.load["dialogs"]:  # noqa: ASYNC110 - the peer is outside
                await asyncio.sleep(0.02)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    made = Phone()
    await made.shell.start()
    yield made
    await made.shell.stop(0.2)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_sipp(folder: Path, scenario: str, *more: str) -> str:
    """Run one call of a scenario; an empty text if SIPp is content, else what it says."""
    errors = folder / "errors.log"
    process = await asyncio.create_subprocess_exec(
        *("sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", "1", "-i", "127.0.0.1", "-nr", "-nostdin"),
        *("-trace_err", "-error_file", str(errors), "-timeout", "15", *more),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    if process.returncode == 0:
        return ""
    return f"{process.returncode}: {said.decode()}" + (errors.read_text() if errors.exists() else "")


async def call_sipp(phone: Phone, folder: Path, scenario: str, transport: Transport) -> str:
    """Start SIPp as callee, call it, and return its verdict."""
    port = free_port(socket.SOCK_STREAM if transport.is_reliable else socket.SOCK_DGRAM)
    kind = "t1" if transport.is_reliable else "u1"
    callee = asyncio.create_task(run_sipp(folder, scenario, "-p", str(port), "-t", kind))
    await wait_for_listener(port, transport)
    phone.shell.invite(InviteRequest(target_uri=f"sip:bob@127.0.0.1:{port};transport={transport}", sdp=OFFER))
    return await callee


async def wait_for_listener(port: int, transport: Transport) -> None:
    """Wait until the system lists the socket."""
    table = Path("/proc/net") / transport
    async with asyncio.timeout(5):
        while f":{port:04X} " not in table.read_text():  # noqa: ASYNC110 - the listener is another process
            await asyncio.sleep(0.02)


async def called_by_sipp(phone: Phone, folder: Path, scenario: str, transport: Transport) -> str:
    """Let SIPp call us, and return its verdict."""
    kind = "t1" if transport.is_reliable else "u1"
    port = free_port(socket.SOCK_STREAM if transport.is_reliable else socket.SOCK_DGRAM)
    return await run_sipp(folder, scenario, f"127.0.0.1:{phone.port(transport)}", "-p", str(port), "-t", kind)


UDP, TCP = Transport.UDP, Transport.TCP


# --- SIPp as callee ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "transport"),
    [
        ("callee_lost_invite", UDP),
        ("callee_lost_200", UDP),
        ("callee_lost_200", TCP),
        ("callee_repeated_200", UDP),
        ("callee_repeated_200", TCP),
        ("callee_repeated_200_after_bye", UDP),
    ],
)
async def test_call_is_answered_once_and_ended(
    phone: Phone, tmp_path: Path, scenario: str, transport: Transport
) -> None:
    def hang_up(event: Event) -> None:
        if isinstance(event, InviteAnswered):
            asyncio.get_running_loop().call_later(0.3, phone.shell.hangup, event.id)

    phone.on_event = hang_up
    assert await call_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds().count(InviteAnswered) == 1
    assert phone.events[-1] == InviteEnded(phone.last(InviteEnded).id, EndCause.LOCAL)
    await phone.until_gone()


@pytest.mark.parametrize("scenario", ["callee_486", "callee_repeated_486"])
async def test_busy_is_reported_once(phone: Phone, tmp_path: Path, scenario: str) -> None:
    assert await call_sipp(phone, tmp_path, scenario, UDP) == ""
    failed = phone.last(InviteFailed)
    assert (failed.status, failed.reason) == (486, "Busy Here")
    assert phone.kinds().count(InviteFailed) == 1
    await phone.until_gone()


@pytest.mark.parametrize(
    ("scenario", "transport"), [("callee_no_answer", UDP), ("callee_no_answer", TCP), ("callee_late_cancel", UDP)]
)
async def test_caller_gives_up(phone: Phone, tmp_path: Path, scenario: str, transport: Transport) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id) if isinstance(event, InviteProgress) else None
    assert await call_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds().count(InviteAnswered) == 0
    assert phone.last(InviteEnded).reason is EndCause.LOCAL
    await phone.until_gone()


# --- SIPp as caller ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "transport"),
    [
        ("caller_lost_ack", UDP),
        ("caller_lost_ack", TCP),
        ("caller_repeated_ack", UDP),
        ("caller_repeated_bye", UDP),
        ("caller_late_cancel", UDP),
        ("caller_late_cancel", TCP),
    ],
)
async def test_answered_call_survives_until_the_callers_bye(
    phone: Phone, tmp_path: Path, scenario: str, transport: Transport
) -> None:
    def pick_up(event: Event) -> None:
        if isinstance(event, IncomingInvite):
            phone.shell.ring(event.id)
            phone.shell.answer(event.id, ANSWER)

    phone.on_event = pick_up
    assert await called_by_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, InviteEnded]
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()


async def test_glare_is_settled_by_offering_again(phone: Phone, tmp_path: Path) -> None:
    def act(event: Event) -> None:
        match event:
            case IncomingInvite():
                phone.shell.answer(event.id, ANSWER)
            case InviteConfirmed():
                phone.shell.reinvite(event.id, ANSWER)
            case ReinviteAnswered():
                phone.shell.hangup(event.id)

    phone.on_event = act
    assert await called_by_sipp(phone, tmp_path, "caller_glare", UDP) == ""
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, ReinviteAnswered, InviteEnded]
    await phone.until_gone()


async def test_session_that_is_not_refreshed_is_ended(phone: Phone, tmp_path: Path) -> None:
    assert await call_sipp(phone, tmp_path, "callee_session_expires", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.SESSION_EXPIRED
    await phone.until_gone()


async def test_second_answer_of_a_fork_is_acknowledged_and_ended(phone: Phone, tmp_path: Path) -> None:
    def hang_up(event: Event) -> None:
        if isinstance(event, InviteAnswered):
            asyncio.get_running_loop().call_later(1.0, phone.shell.hangup, event.id)

    phone.on_event = hang_up
    assert await call_sipp(phone, tmp_path, "callee_forked_200", UDP) == ""
    assert phone.kinds().count(InviteAnswered) == 1
    await phone.until_gone()


async def test_lost_prack_is_sent_again(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id) if isinstance(event, InviteAnswered) else None
    assert await call_sipp(phone, tmp_path, "callee_prack_lost", UDP) == ""
    assert phone.kinds().count(InviteProgress) == 1
    await phone.until_gone()


async def test_call_without_any_prack_is_refused(phone: Phone, tmp_path: Path) -> None:
    def ring(event: Event) -> None:
        if isinstance(event, IncomingInvite):
            phone.shell.ring(event.id, 183, ANSWER)

    phone.on_event = ring
    assert await called_by_sipp(phone, tmp_path, "caller_prack_lost", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.NO_ACK
    await phone.until_gone()


async def test_number_out_of_order_is_refused_and_the_call_goes_on(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_wrong_cseq", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()


async def test_stray_bye_is_answered_481(phone: Phone, tmp_path: Path) -> None:
    assert await called_by_sipp(phone, tmp_path, "caller_stray_bye", UDP) == ""
    assert phone.events == []


async def test_call_that_is_never_acknowledged_ends_with_our_bye(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_no_ack", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.NO_ACK
    await phone.until_gone()


async def test_our_486_is_what_the_caller_gets(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id, 486) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_486", UDP) == ""
    await phone.until_gone()


async def test_call_that_rings_ends_with_the_callers_cancel(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.ring(event.id) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_no_answer", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_CANCEL
    await phone.until_gone()
