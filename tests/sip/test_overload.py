"""A flood of new calls: it is turned away cheaply, and calls that stand are served as before."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from sip.emulation import OFFER
from sip.phones import Phone, Start, phones
from sip.writing import request
from trunkline.sip.headers import Via
from trunkline.sip.message import Response
from trunkline.sip.parser import parse_branch, parse_message
from trunkline.sip.transports import intake as intake_module
from trunkline.sip.transports.intake import MAX_WAIT_S, RETRY_AFTER_S, Intake, refusal
from trunkline.sip.types import (
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteRequest,
    Path,
    ReinviteReceived,
    Transport,
)

UDP = Transport.UDP
PATH = Path(UDP, ("10.0.0.1", 5060), ("10.0.0.9", 5060))


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


def wire(method: str, **fields: str) -> bytes:
    data = request(method, **fields).to_bytes()  # type: ignore[arg-type]
    return data.replace(b";branch=", b";rport;branch=", 1)


def taken(intake: Intake, now: float = 0.0) -> list[bytes]:
    found = []
    while (item := intake.take(now)) is not None:
        found.append(item[0].data)
    return found


def test_calls_that_stand_go_first_and_a_cancel_stays_behind_its_invite() -> None:
    invite, cancel = wire("INVITE"), wire("CANCEL")
    bye, ack, reinvite = wire("BYE", to_tag="t"), wire("ACK", to_tag="t"), wire("INVITE", to_tag="t")
    ok = request("INVITE").response(200).to_bytes()
    intake = Intake(Counter(), lambda data: False)
    for data in (invite, cancel, bye, ack, reinvite, ok, b"\r\n\r\n"):
        assert intake.offer(0.0, data, PATH) is None
    assert taken(intake) == [bye, ack, reinvite, ok, b"\r\n\r\n", invite, cancel]
    assert len(intake) == 0


def test_new_call_that_has_waited_too_long_is_refused_with_a_time_to_come_back() -> None:
    counters: Counter[str] = Counter()
    intake = Intake(counters, lambda data: False)
    intake.offer(0.0, wire("INVITE"), PATH)
    intake.offer(0.0, wire("BYE", to_tag="t"), PATH)
    assert intake.take(9.0) is not None
    late = intake.take(MAX_WAIT_S + 0.01)
    assert late is not None
    assert late[1] is not None
    answer = parse_message(late[1])
    assert isinstance(answer, Response)
    assert (answer.status, answer.headers.get("Retry-After")) == (503, str(RETRY_AFTER_S))
    assert counters["overload"] == 1


def test_copy_of_a_call_that_was_taken_is_never_refused() -> None:
    intake = Intake(Counter(), lambda data: parse_branch(data) == ("z9hG4bK-taken", "INVITE"))
    intake.offer(0.0, wire("INVITE", branch="taken"), PATH)
    item = intake.take(9.0)
    assert item is not None
    assert item[1] is None


def test_queues_are_bounded_each_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_WAITING", 10)
    counters: Counter[str] = Counter()
    intake = Intake(counters, lambda data: False)
    answers = [intake.offer(0.0, wire("INVITE", call_id=str(number)), PATH) for number in range(15)]
    assert sum(answer is not None for answer in answers) == 5
    assert intake.offer(0.0, wire("BYE", to_tag="t"), PATH) is None, "there is room for those that stand"
    assert (len(intake), counters["overload"]) == (11, 5)


def test_senders_take_turns_so_that_one_who_floods_waits_for_himself() -> None:
    """Three hosts, one of which came first with many, from as many ports."""
    intake = Intake(Counter(), lambda data: False)
    for number in range(5):
        flood = Path(UDP, PATH.local, ("10.0.0.66", 5060 + number))
        assert intake.offer(0.0, wire("INVITE", call_id=f"flood-{number}"), flood) is None
    quiet, other = Path(UDP, PATH.local, ("10.0.0.7", 5060)), Path(UDP, PATH.local, ("10.0.0.8", 5060))
    for path, name in ((quiet, "quiet"), (other, "other")):
        intake.offer(0.0, wire("INVITE", call_id=name), path)
        intake.offer(0.0, wire("CANCEL", call_id=name), path)
    order = [(message.method, message.sip_call_id) for message in map(parse_message, taken(intake))]
    calls = [call_id for method, call_id in order if method == "INVITE"]
    assert calls == ["flood-0", "quiet", "other", "flood-1", "flood-2", "flood-3", "flood-4"]
    assert [name for name in order if name[1] == "quiet"] == [("INVITE", "quiet"), ("CANCEL", "quiet")]


def test_full_queue_of_one_sender_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_WAITING_OF_ONE", 10)
    intake = Intake(Counter(), lambda data: False)
    answers = [intake.offer(0.0, wire("INVITE", call_id=str(number)), PATH) for number in range(15)]
    assert sum(answer is not None for answer in answers) == 5
    other = Path(UDP, PATH.local, ("10.0.0.7", 5060))
    assert intake.offer(0.0, wire("INVITE", call_id="other"), other) is None
    assert len(taken(intake)) == 11
    assert intake.offer(0.0, wire("INVITE", call_id="again"), PATH) is None, "and there is room again"


def test_refusal_echoes_what_the_caller_needs_to_match_it() -> None:
    invite = request("INVITE", extra=(("Subject", "x"),), body=OFFER)
    invite.headers.prepend_via(Via("UDP", "proxy.example", parameters=(("branch", "z9hG4bKproxy"),)))
    answer = parse_message(refusal(invite.to_bytes()))
    assert isinstance(answer, Response)
    assert [str(via) for via in answer.vias] == [str(via) for via in invite.vias]
    assert (answer.sip_call_id, answer.cseq, answer.from_) == (invite.sip_call_id, invite.cseq, invite.from_)
    assert answer.to.tag
    assert answer.headers.get("Subject") is None
    compact = invite.to_bytes().replace(b"\r\nTo:", b"\r\nt :").replace(b"\r\nCall-ID:", b"\r\ni:")
    assert isinstance(parse_message(refusal(compact)), Response)


@pytest.mark.parametrize("kind", ["BYE", "INVITE"])
async def test_request_of_a_call_that_stands_overtakes_new_calls_that_came_before_it(start: Start, kind: str) -> None:
    """All of them wait in the socket when the gateway looks: what counts is what it does first."""
    bob = await start(UDP)
    bob.answer_all()
    loop = asyncio.get_running_loop()
    heard: list[bytes] = []

    class Caller(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.append(data)

    transport, _ = await loop.create_datagram_endpoint(Caller, remote_addr=("127.0.0.1", bob.port(UDP)))
    try:
        order = await _order_of_events(bob, transport, heard, kind)
    finally:
        transport.close()
    assert order.index(True) == 0, f"{order.index(True)} new calls were taken first"


async def _order_of_events(
    bob: Phone, transport: asyncio.DatagramTransport, heard: list[bytes], kind: str
) -> list[bool]:
    """Set a call up, send new calls and then one request of it; True stands for that request's event."""
    transport.sendto(wire("INVITE", host="127.0.0.1", call_id="standing", body=OFFER))
    async with asyncio.timeout(10):
        while not any(data.startswith(b"SIP/2.0 200") for data in heard):  # noqa: ASYNC110 - of many
            await asyncio.sleep(0.01)
    answer = parse_message(next(data for data in heard if data.startswith(b"SIP/2.0 200")))
    transport.sendto(wire("ACK", host="127.0.0.1", call_id="standing", to_tag=answer.to.tag))
    await bob.wait(InviteConfirmed)
    bob.on_event = lambda event: None
    bob.events.clear()
    for number in range(100):  # no await from here on, so that the gateway sees them together
        transport.sendto(wire("INVITE", host="127.0.0.1", call_id=f"new-{number}", body=OFFER))
    within = {"host": "127.0.0.1", "call_id": "standing", "to_tag": answer.to.tag, "cseq": 2}
    transport.sendto(wire(kind, **within, **({"body": OFFER} if kind == "INVITE" else {})))
    wanted = InviteEnded if kind == "BYE" else ReinviteReceived
    await bob.wait(wanted, 20)
    await bob.wait(IncomingInvite, 20)
    return [isinstance(event, wanted) for event in bob.events if isinstance(event, (wanted, IncomingInvite))]


async def test_new_call_is_taken_before_the_flood_that_came_before_it_from_elsewhere(start: Start) -> None:
    """On the wire: 60 INVITEs of one address wait in the socket, then comes one of another."""
    bob = await start(UDP)
    flood, quiet = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with flood, quiet:
        for each, host in ((flood, "127.0.0.66"), (quiet, "127.0.0.7")):
            each.bind((host, 0))
            each.connect(("127.0.0.1", bob.port(UDP)))
        for number in range(60):
            flood.send(wire("INVITE", host="127.0.0.66", call_id=f"flood-{number}", body=OFFER))
        quiet.send(wire("INVITE", host="127.0.0.7", call_id="quiet", body=OFFER))
        async with asyncio.timeout(10):
            while sum(isinstance(event, IncomingInvite) for event in bob.events) < 61:  # noqa: ASYNC110 - of many
                await asyncio.sleep(0.01)
    came = [event.path.remote[0] for event in bob.events if isinstance(event, IncomingInvite)]
    assert came.index("127.0.0.7") < 3, f"{came.index('127.0.0.7')} of the flood were taken first"


async def test_call_that_stands_ends_in_time_under_a_flood_of_invites(start: Start) -> None:
    alice, bob = await start(UDP), await start(UDP)
    bob.answer_all()
    alice.shell.invite(InviteRequest(target_uri=bob.uri(UDP), sdp=OFFER, caller="alice"))
    call = await alice.wait(InviteAnswered)
    await bob.wait(InviteConfirmed)
    bob.on_event = lambda event: None
    refused: Counter[int] = Counter()

    loop = asyncio.get_running_loop()
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flood.setblocking(False)
    flood.connect(("127.0.0.1", bob.port(UDP)))

    def read() -> None:
        """Take all that is there: what does not fit into the kernel's buffer is lost, and those first are the 100s."""
        with suppress(BlockingIOError):
            while True:
                answer = parse_message(flood.recv(65_536))
                assert isinstance(answer, Response)
                refused[answer.status] += 1

    loop.add_reader(flood, read)
    template = wire("INVITE", host="127.0.0.1", call_id="CALL", branch="z9hG4bKBRANCH")
    numbers = iter(range(1_000_000))
    for _ in range(40):
        for _ in range(250):
            mark = str(next(numbers)).encode()
            flood.send(template.replace(b"CALL", mark).replace(b"BRANCH", mark))
        await asyncio.sleep(0)
    started = loop.time()
    alice.shell.hangup(call.id)
    async with asyncio.timeout(10):
        while not any(isinstance(event, InviteEnded) for event in bob.events):  # noqa: ASYNC110 - of thousands
            await asyncio.sleep(0.01)
    took = loop.time() - started
    async with asyncio.timeout(10):
        while not refused[503]:  # noqa: ASYNC110 - the flood's answers have no event
            await asyncio.sleep(0.01)
    loop.remove_reader(flood)
    flood.close()
    assert took < 2, "one repetition of the BYE may be needed where the kernel's buffer overflowed"
    assert bob.shell.counters["overload"] > 0
    assert bob.shell.counters["internal_errors"] == 0
