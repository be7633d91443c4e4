"""How long nobody hears anything while a call changes: its codec, a hold, and who speaks at the far end.

Real descriptions and a real media plane over sockets, SIP messages told by hand, as in `test_codec_matrix`. The kernel
stamps what arrives. A gap is told by what is heard: packets that carry silence are one too.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
from harness.audio import Heard, assert_has_tone, judge, tone
from harness.codecs.libraries import FRAME_S, has
from harness.codecs.rows import ROWS, Row
from test_codec_matrix import until
from world import World

from fakes import ACCOUNT
from peers import require
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import replace_leg
from trunkline.calls.model import Call, CallEnd, CallRequest, CallState, EndReason, HoldPolicy
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route, transfer_request
from trunkline.errors import TrunklineError
from trunkline.ids import CallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import EngineSettings
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sip.types import (
    InviteAnswered,
    InviteConfirmed,
    InviteId,
    ReferAnswered,
    ReferId,
    ReinviteAnswered,
    ReinviteReceived,
)

HOST = "127.0.0.1"
LIMIT_S = 0.2
STRETCH_S = 1.0
"""How long a call stays as it is between two changes."""
TONE_S = 20
BY_NAME = {row.name: row for row in ROWS}
_SO_TIMESTAMPNS = 35


@dataclass(frozen=True, slots=True)
class Packet:
    """What arrived: when by the kernel's clock, and the fields that matter."""

    at_s: float
    payload_type: int
    timestamp: int
    source: int
    payload: bytes


@dataclass(slots=True)
class Line:
    """A far side: one socket, a tone in the codec of the moment, and what it has received. gateway: None is silent."""

    row: Row
    hz: float
    gateway: tuple[str, int] | None = None
    received: list[Packet] = field(default_factory=list)
    socket: socket.socket = field(init=False)
    _sent: int = 0
    _payloads: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.prepare(self.row)

    def prepare(self, row: Row) -> None:
        """Code the tone in a codec, ahead of the time when packets have to be punctual."""
        samples = tone(self.hz, TONE_S, row.coder.rate_hz)
        self._payloads[row.name] = row.coder.encode((samples * 32_767).astype(np.int16))

    def description(self, row: Row, direction: str = "sendrecv") -> str:
        """Return an offer, or an answer, with one codec."""
        port = self.socket.getsockname()[1]
        fmtp = (f"a=fmtp:{row.payload_type} {row.fmtp}",) if row.fmtp else ()
        lines = (
            *("v=0", f"o=- 1 {self._sent + 1} IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"),
            *(f"m=audio {port} RTP/AVP {row.payload_type}", f"a=rtpmap:{row.payload_type} {row.rtpmap}"),
            *(*fmtp, "a=ptime:20", f"a={direction}"),
        )
        return "\r\n".join(lines) + "\r\n"

    def speak(self, row: Row, description: str) -> None:
        """Go on in this codec, to where the gateway's description says."""
        port = next(line.split()[1] for line in description.splitlines() if line.startswith("m=audio"))
        self.row, self.gateway = row, (HOST, int(port))

    def send(self) -> None:
        """Send the next 20 ms."""
        if self.gateway is None:
            return
        row = self.row
        header = struct.pack("!BBHII", 0x80, row.payload_type, self._sent & 0xFFFF, self._sent * row.clock, 7)
        self.socket.sendto(header + self._payloads[row.name][self._sent], self.gateway)
        self._sent += 1

    def take(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(2_048, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            _, kind, _, timestamp, source = struct.unpack_from("!BBHII", data)
            self.received.append(Packet(seconds + nanoseconds / 1e9, kind & 0x7F, timestamp, source, data[12:]))

    def longest_pause_s(self, since_s: float = 0.0) -> float:
        """Return the longest time between two packets."""
        times = [packet.at_s for packet in self.received if packet.at_s >= since_s]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def longest_silence_s(self) -> float:
        """Return the longest gap in what was heard, by the codec that it began with; lost packets are silence."""
        return self.heard(0.0).longest_gap_s

    def heard(self, since_s: float) -> Heard:
        """Judge what was heard from half a second after a time on."""
        received = [packet for packet in self.received if packet.at_s >= since_s]
        row = next(row for row in ROWS if row.payload_type == received[0].payload_type)
        frames: list[bytes | None] = []
        for earlier, later in itertools.pairwise(received):
            frames.append(earlier.payload)
            if later.source == earlier.source:
                missing = ((later.timestamp - earlier.timestamp) & 0xFFFFFFFF) // row.clock - 1
            else:  # another stream counts anew
                missing = round((later.at_s - earlier.at_s) / FRAME_S) - 1
            frames += [None] * min(max(missing, 0), 100)
        return judge(row.coder.decode(frames) / 32_768, row.coder.rate_hz, skip_s=0.5)


class Talk:
    """Lets lines speak and listen in a thread of its own, 50 times a second."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Talk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(5)
        for line in self.lines:
            line.socket.close()

    def line(self, codec: str, hz: float, *more: str) -> Line:
        """Add a far side. more: codecs that it will speak later."""
        made = Line(BY_NAME[codec], hz)
        for name in more:
            made.prepare(BY_NAME[name])
        self.lines.append(made)
        return made

    def _run(self) -> None:
        start = time.monotonic()
        for number in itertools.count(1):
            lines = list(self.lines)
            for line in lines:
                line.send()
            with selectors.DefaultSelector() as selector:
                for line in lines:
                    selector.register(line.socket, selectors.EVENT_READ, line)
                while (left := start + number * FRAME_S - time.monotonic()) > 0:
                    for key, _ in selector.select(left):
                        key.data.take()
            for line in lines:
                line.take()
            if self._is_over:
                return


@asynccontextmanager
async def talking(holds: HoldPolicy = HoldPolicy.RELAY) -> AsyncIterator[tuple[World, Talk]]:
    """A gateway with a real media plane, and lines that talk."""
    require(has("libbcg729.so.0"), "libbcg729.so.0 is not installed: make test")
    engine = MediaEngine()
    await engine.start(EngineSettings(workers=1, rtp_port_min=43_000, rtp_port_max=43_099, port_quarantine_s=0.1))
    world = World(codecs=CodecPolicy(tuple(BY_NAME)), media=engine, holds=holds)
    try:
        with Talk() as talk:
            async with world.controller:
                yield world, talk
                for call in [call for call in world.controller.find() if call.state is not CallState.ENDED]:
                    world.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
                await until(lambda: len(world.controller.registry) == 0)
    finally:
        await engine.stop()


async def connect(world: World, caller: Line, callee: Line) -> tuple[Call, InviteId]:
    """Have one line call the other; return the callee's side."""
    incoming = world.incoming_invite(caller.description(caller.row))
    call = world.controller.start(
        CallRequest(id=CallId("call"), caller="bob", callee="100"),
        lambda context: SipLeg(context, world.access, incoming),
        lambda context: SipLeg(context, world.access, route("100", ACCOUNT)),
    )
    await until(lambda: bool(world.sip.invites))
    offer, invite = world.sip.invites[0]
    callee.speak(callee.row, offer.sdp or "")
    world.events.handle(InviteAnswered(invite, callee.description(callee.row)))
    await until(lambda: bool(world.sip.verbs("answer")))
    caller.speak(caller.row, world.sip.verbs("answer")[0][2])
    await asyncio.sleep(STRETCH_S)
    return call, invite


async def offer(world: World, invite: InviteId, line: Line, row: Row, direction: str = "sendrecv") -> None:
    """Let a line offer a change, which it follows as soon as it is agreed to."""
    before = len(world.sip.verbs("answer_reinvite"))
    world.events.handle(ReinviteReceived(invite, line.description(row, direction)))
    await until(lambda: len(world.sip.verbs("answer_reinvite")) > before)
    _, _, agreed, status = world.sip.verbs("answer_reinvite")[-1]
    assert status == 200
    line.speak(row, agreed)
    await asyncio.sleep(STRETCH_S)


@pytest.mark.parametrize("codec", ["PCMA", "opus", "G729"])
async def test_codec_that_changes_in_mid_call_leaves_no_gap(codec: str) -> None:
    async with talking() as (world, talk):
        near, far = talk.line("PCMU", 1_000.0), talk.line("PCMU", 700.0, codec)
        _, invite = await connect(world, near, far)
        await offer(world, invite, far, BY_NAME[codec])
        await offer(world, invite, far, BY_NAME["PCMU"])
    assert near.longest_silence_s() <= LIMIT_S
    assert near.longest_pause_s() <= LIMIT_S
    assert far.longest_pause_s() <= LIMIT_S
    spoken = [kind for kind, _ in itertools.groupby(packet.payload_type for packet in far.received)]
    assert spoken == [0, BY_NAME[codec].payload_type, 0]


async def test_audio_is_back_at_once_when_a_hold_ends() -> None:
    async with talking(HoldPolicy.KEEP) as (world, talk):
        near, far = talk.line("PCMU", 1_000.0), talk.line("PCMU", 700.0)
        _, invite = await connect(world, near, far)
        await offer(world, invite, far, far.row, "inactive")
        resumed_at = time.time()
        await offer(world, invite, far, far.row)
    first = min(packet.at_s for packet in far.received if packet.at_s >= resumed_at)
    assert first - resumed_at <= LIMIT_S
    assert far.longest_pause_s(resumed_at) <= LIMIT_S


async def call_out(world: World, name: str, callee: Line) -> tuple[Call, InviteId]:
    """Have the gateway call a line, and play to it."""
    placed = len(world.sip.invites)
    call = world.controller.start(
        CallRequest(id=CallId(name), caller="alice", callee=name),
        PlayerLeg,
        lambda context: SipLeg(context, world.access, route("100", ACCOUNT)),
    )
    await until(lambda: len(world.sip.invites) > placed)
    request, invite = world.sip.invites[-1]
    callee.speak(callee.row, request.sdp or "")
    world.events.handle(InviteAnswered(invite, callee.description(callee.row)))
    await until(lambda: call.state is CallState.ESTABLISHED)
    return call, invite


@pytest.mark.parametrize("codec", ["PCMU", "opus"])
async def test_two_parties_that_are_joined_by_a_new_offer_notice_no_gap(codec: str) -> None:
    """An attended transfer whose first party takes no REFER; both hear the gateway until they hear each other."""
    async with talking() as (world, talk):
        first, second = talk.line("PCMU", 1_000.0), talk.line(codec, 700.0)
        call, invite = await call_out(world, "first", first)
        other, consulted = await call_out(world, "second", second)
        await asyncio.sleep(STRETCH_S)
        outcome: list[TrunklineError | None] = []
        world.controller.request(call.id, transfer_request(call.client_side, "second", outcome.append, other.id))
        await until(lambda: bool(world.sip.verbs("refer")))
        world.events.handle(ReferAnswered(invite, ReferId(1), 405, "Method Not Allowed", False))
        await until(lambda: bool(world.sip.verbs("reinvite")))
        _, asked, offered = world.sip.verbs("reinvite")[-1]
        assert asked == consulted
        second.speak(second.row, offered)
        joined_at = time.time()
        world.events.handle(ReinviteAnswered(consulted, second.description(second.row)))
        await until(lambda: outcome == [None])
        await asyncio.sleep(2 * STRETCH_S)
    for line, hz in ((first, 700.0), (second, 1_000.0)):
        assert line.longest_silence_s() <= LIMIT_S
        assert line.longest_pause_s() <= LIMIT_S
        assert_has_tone(line.heard(joined_at), hz)


@pytest.mark.parametrize("codec", ["PCMU", "opus"])
async def test_far_side_whose_place_is_taken_leaves_no_gap(codec: str) -> None:
    async with talking() as (world, talk):
        near, far = talk.line("PCMU", 1_000.0), talk.line("PCMU", 700.0)
        _, invite = await connect(world, near, far)
        newcomer = talk.line(codec, 500.0)
        world.sessions.otherwise = partial(replace_leg, world.access)
        arrival = world.incoming_invite(newcomer.description(newcomer.row), 950)
        world.events.handle(replace(arrival, replaces=invite))
        await until(lambda: len(world.sip.verbs("answer")) > 1)
        newcomer.speak(newcomer.row, world.sip.verbs("answer")[-1][2])
        world.events.handle(InviteConfirmed(arrival.id, None))
        far.gateway = None
        await asyncio.sleep(2 * STRETCH_S)
    assert near.longest_silence_s() <= LIMIT_S
    assert near.longest_pause_s() <= LIMIT_S
    assert newcomer.longest_pause_s() <= LIMIT_S
    assert newcomer.received[0].at_s - far.received[-1].at_s <= LIMIT_S
