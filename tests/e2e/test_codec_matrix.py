"""A call between every two codecs, with other people's encoders and decoders at both ends, judged by what is heard.

The descriptions, the choice of codecs and the whole media plane are real, over sockets; SIP messages are told by hand.
Many calls run at once, so that the matrix takes no longer than a few of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from harness.codecs.libraries import has
from harness.codecs.phone import Phone, talk
from harness.codecs.rows import LIBRARIES, ROWS, Row
from harness.codecs.sound import Likeness, compare
from harness.stalls import urgency
from world import World

from fakes import ACCOUNT
from peers import require
from trunkline.api.schemas_calls import CallObject
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import Call, CallEnd, CallRequest, EndReason
from trunkline.calls.routing import route
from trunkline.ids import CallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import EngineSettings
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sip.types import InviteAnswered

BATCHES = 6
ATTEMPTS = 4
UNEVEN_S = 0.006
"""A talk so uneven on loopback says nothing of codecs: the machine had something else to do, and is asked again."""
PATIENCE_S = 10.0
LEVEL_DB = 3.0
SLACK_DB = 1.5
"""What a jitter buffer, and a resampler, may add to the distance."""

PAIRS = list(itertools.combinations_with_replacement(ROWS, 2))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("batch", range(BATCHES))
async def test_every_two_codecs_understand_each_other(batch: int) -> None:
    for name in LIBRARIES:
        require(has(name), f"{name} is not installed: make test")
    for _ in range(ATTEMPTS):
        with urgency():
            faults, unevenness_s = await _talks(PAIRS[batch::BATCHES])
        print(f"batch {batch}: {len(faults)} faults, packets uneven by {unevenness_s * 1_000:.1f} ms")
        if not faults or unevenness_s < UNEVEN_S:
            break
    assert not faults, "\n" + "\n".join(faults)


async def _talks(pairs: list[tuple[Row, Row]]) -> tuple[list[str], float]:
    """Have all these calls at once. Returns what is wrong with them, and how uneven their packets were."""
    engine = MediaEngine()
    await engine.start(EngineSettings(workers=2, rtp_port_min=42_000, rtp_port_max=42_999, port_quarantine_s=0.1))
    world = World(max_calls=100, codecs=CodecPolicy(tuple(row.name for row in ROWS)), media=engine)
    try:
        async with world.controller:
            calls = [await _call(world, pair) for pair in pairs]
            unevenness_s = await asyncio.to_thread(talk, [phone for _, phones in calls for phone in phones])
            faults = [fault for call, phones in calls for fault in _faults(call, phones)]
            for call, phones in calls:
                world.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
                for phone in phones:
                    phone.socket.close()
            await until(lambda: len(world.controller.registry) == 0)
    finally:
        await engine.stop()
    return faults, unevenness_s


async def _call(world: World, pair: tuple[Row, Row]) -> tuple[Call, tuple[Phone, Phone]]:
    """Have one phone call the other; each knows one codec."""
    caller, callee = (Phone(row) for row in pair)
    number = len(world.sip.invites)
    incoming = world.incoming_invite(caller.description(), 900 + number)
    call = world.controller.start(
        CallRequest(id=CallId(f"{caller.row.name}-{callee.row.name}"), caller="bob", callee="100"),
        lambda context: SipLeg(context, world.access, incoming),
        lambda context: SipLeg(context, world.access, route("100", ACCOUNT)),
    )
    await until(lambda: len(world.sip.invites) > number)
    request, invite = world.sip.invites[number]
    callee.learn(request.sdp or "")
    world.events.handle(InviteAnswered(invite, callee.description()))
    await until(lambda: any(answer[1] == incoming.id for answer in world.sip.verbs("answer")))
    caller.learn(next(answer[2] for answer in world.sip.verbs("answer") if answer[1] == incoming.id))
    return call, (caller, callee)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for it."""
    for _ in range(round(PATIENCE_S / 0.005)):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the gateway does not come to it")


def _faults(call: Call, phones: tuple[Phone, Phone]) -> list[str]:
    """Say what is wrong with a call: what it says of itself, and what each side heard."""
    caller, callee = (phone.row for phone in phones)
    shown = CallObject.of(call, "node")
    coding = (shown.codec_caller, shown.codec_callee, shown.transcoded)
    is_transcoded = caller is not callee
    faults = []
    if coding[2] is not is_transcoded:
        faults.append(f"{call.id}: {coding}")
    for listener, speaker in (phones, phones[::-1]):
        band_hz = min(listener.row.band_hz, speaker.row.band_hz)
        types = {kind for kind, _, _ in listener.received.values()}
        if types != {listener.row.payload_type}:
            faults.append(f"{call.id}: {listener.row.name} hears payload types {types}")
            continue
        like = compare(listener.heard(), listener.row.coder.rate_hz, band_hz)
        if not _is_like(like, listener.row, speaker.row):
            faults.append(f"{call.id}: {speaker.row.name} is heard in {listener.row.name} as {like}")
    return faults


def _is_like(like: Likeness, one: Row, other: Row) -> bool:
    loss_db = one.loss_db if one is other else one.loss_db + other.loss_db
    is_near = like.distance_db <= loss_db + SLACK_DB and abs(like.level_db) <= LEVEL_DB
    return is_near and like.heard >= 0.9 and like.delay_s < 2.0
