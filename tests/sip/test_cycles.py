"""What a call was made of is gone with its last timer: nothing of it waits for the collector of reference cycles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cycles import cycles
from sip.emulation import ANSWER, OFFER, Agent
from sip.test_invite_flows import Pair
from trunkline.sip.types import ReferReceived, ReferRequest, ReinviteReceived, Reliability, UaConfig


def hung_up(pair: Pair) -> None:
    call, _ = pair.connect()
    pair.alice.ua.hangup(pair.network.now, call)


def hung_up_by_the_callee(pair: Pair) -> None:
    _, incoming = pair.connect()
    pair.bob.ua.hangup(pair.network.now, incoming)


def refused(pair: Pair) -> None:
    _, incoming = pair.ring()
    pair.bob.ua.hangup(pair.network.now, incoming, 486)


def cancelled(pair: Pair) -> None:
    call, _ = pair.ring()
    pair.alice.ua.hangup(pair.network.now, call)


def never_answered(pair: Pair) -> None:
    pair.ring()


def nobody_there(pair: Pair) -> None:
    pair.network.fate = lambda data, path: iter(())
    pair.dial()


def changed(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.alice.ua.reinvite(pair.network.now, call, OFFER)
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.got(ReinviteReceived)
    pair.bob.ua.answer_reinvite(pair.network.now, incoming, ANSWER, 200)
    pair.bob.drain()
    pair.network.run(0.1)
    pair.alice.ua.send_info(pair.network.now, call, "application/dtmf-relay", b"Signal=5\r\nDuration=100\r\n")
    pair.alice.drain()
    pair.network.run(0.1)
    pair.alice.ua.hangup(pair.network.now, call)


def referred(pair: Pair) -> None:
    call, _ = pair.connect()
    pair.alice.ua.refer(pair.network.now, call, ReferRequest(target_uri="sip:carol@10.0.0.3"))
    pair.alice.drain()
    pair.network.run(0.1)
    pair.bob.ua.answer_refer(pair.network.now, pair.bob.last(ReferReceived).refer, 202)
    pair.bob.drain()
    pair.network.run(0.1)
    pair.alice.ua.hangup(pair.network.now, call)


def parted(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.network.fate = lambda data, path: iter(())
    pair.alice.ua.hangup(pair.network.now, call)
    pair.bob.ua.hangup(pair.network.now, incoming)


SCENES = (hung_up, hung_up_by_the_callee, refused, cancelled, never_answered, nobody_there, changed, referred, parted)


@pytest.mark.parametrize("reliability", [Reliability.REQUIRED, Reliability.ALWAYS])
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_of_a_call_is_left_to_the_collector(scene: Callable[[Pair], None], reliability: Reliability) -> None:
    pair = Pair()
    pair.bob = Agent(pair.network, "10.0.0.2", config=UaConfig(reliable_provisionals=reliability))
    with cycles() as found:
        scene(pair)
        pair.alice.drain()
        pair.bob.drain()
        pair.settle()
    assert found == []
