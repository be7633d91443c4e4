"""A call in which one phone leaves silence out (RFC 3389) and the other never heard of that."""

import itertools

import numpy as np
import pytest
from harness.audio import Samples, tone
from world import World

from fakes import ACCOUNT
from listening import FRAME, RATE_HZ, Phone, eventually
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import CallEnd, CallRequest, EndReason
from trunkline.calls.routing import route
from trunkline.ids import CallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import EngineSettings
from trunkline.sdp import parse
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sip.types import InviteAnswered

HOST = "127.0.9.7"
TONE_HZ = 700.0
NOISE_DBOV = -45
"""Of the noise behind the caller's voice, against a full-scale square wave, as `harness.audio` counts as well."""
NOISE_PACKETS = 60


def description(phone: Phone, *formats: str) -> str:
    host, port = phone.remote.rtp
    lines = ("v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", *formats)
    return "\r\n".join(lines).replace("PORT", str(port)) + "\r\n"


def level_dbfs(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9))


@pytest.mark.timeout(60)
async def test_who_takes_no_comfort_noise_hears_the_noise_without_end() -> None:
    engine = MediaEngine()
    await engine.start(EngineSettings(workers=1, rtp_host=HOST, rtp_port_min=21_700, rtp_port_max=21_799))
    world = World(codecs=CodecPolicy(("PCMU", "PCMA"), takes_comfort_noise=True), media=engine)
    caller, callee = await Phone.at(HOST), await Phone.at(HOST)
    try:
        async with world.controller:
            incoming = world.incoming_invite(description(caller, "m=audio PORT RTP/AVP 0 13"))
            call = world.controller.start(
                CallRequest(id=CallId("noise"), caller="bob", callee="100"),
                lambda context: SipLeg(context, world.access, incoming),
                lambda context: SipLeg(context, world.access, route("100", ACCOUNT)),
            )
            await eventually(lambda: bool(world.sip.invites))
            request, invite = world.sip.invites[0]
            assert parse(request.sdp or "").media[0].formats == ("0", "8", "13", "101"), "what the callee is offered"
            world.events.handle(InviteAnswered(invite, description(callee, "m=audio PORT RTP/AVP 0")))
            await eventually(lambda: bool(world.sip.verbs("answer")))
            answer = parse(world.sip.verbs("answer")[0][2]).media[0]
            assert answer.formats == ("0", "13"), "what the caller is answered"

            gateway = (HOST, answer.port)
            await caller.talk(gateway, tone(TONE_HZ, 0.6, RATE_HZ))
            caller.send(gateway, bytes([-NOISE_DBOV]), payload_type=13)
            before = len(callee.received)
            await eventually(lambda: len(callee.received) > before + NOISE_PACKETS)
            heard = callee.received[:]

            world.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
            await eventually(lambda: len(world.controller.registry) == 0)
    finally:
        await engine.stop()
        caller.transport.close()
        callee.transport.close()

    assert {packet.payload_type for packet in heard} == {0}, "no CN for who has not agreed to it"
    assert [(b.seq - a.seq) % 65_536 for a, b in itertools.pairwise(heard)] == [1] * (len(heard) - 1)
    samples = callee.heard()
    loud = [level_dbfs(samples[at : at + FRAME]) > -20 for at in range(0, len(samples), FRAME)]
    last = max(place for place, is_loud in enumerate(loud) if is_loud)
    assert sum(loud) >= 25, "the voice"
    noise = samples[(last + 6) * FRAME : (last + NOISE_PACKETS - 10) * FRAME]
    assert level_dbfs(noise) == pytest.approx(NOISE_DBOV, abs=6.0)
    frames = noise.reshape(-1, FRAME)
    assert all(frame.any() for frame in frames), "noise all the time, not silence"
