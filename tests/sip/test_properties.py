"""No order of events and timers leaves anything alive after its last timer.

Two user agents and a registrar on a network that loses, repeats, delays and cuts, driven by hypothesis.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sip.emulation import ANSWER, OFFER, Agent, Network
from trunkline.errors import InvalidCallState
from trunkline.sip.types import (
    Account,
    IncomingInvite,
    IncomingRequest,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteRequest,
    Path,
    ReferId,
    ReferReceived,
    ReferRequest,
    RegistrationId,
    ReinviteReceived,
    UaConfig,
    Unregistered,
)

ACCOUNT = Account(login="alice", password="secret", domain="10.0.0.2")
LAST_TIMER_S = 32 + 180 + 180 + 5 * 32 + 60
"""An INVITE's way, ring limit, then CANCEL or answer, then BYE, then the memory of each; news of a transfer, which may
outlive its call; and the longest delay."""

sides = st.sampled_from([0, 1])
picks = st.sampled_from([2, 2, 1, 0])


class Chaos(RuleBasedStateMachine):
    """Everything that applications and the network can do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        config = UaConfig(session_expires_s=90)
        accept = frozenset({"REGISTER"})
        self.agents = [Agent(self.network, f"10.0.0.{n}", config=config, accept=accept) for n in (1, 2)]
        self.calls: list[list[InviteId]] = [[], []]
        self.reinvites: list[list[InviteId]] = [[], []]
        self.requests: list[list[int]] = [[], []]
        self.refers: list[list[ReferId]] = [[], []]
        self.registrations: list[list[RegistrationId]] = [[], []]
        self.random = Random(0)
        self.loss = 0.0
        self.network.fate = self.fate  # type: ignore[assignment]
        for side, agent in enumerate(self.agents):
            agent.on_event = lambda event, side=side: self.note(side, event)  # type: ignore[misc]

    def fate(self, data: bytes, path: Path) -> list[float]:
        copies = self.random.choices((0, 1, 2), (self.loss, 1.0, self.loss / 2))[0]
        return [self.random.uniform(0.001, 0.001 + self.loss) for _ in range(copies)]

    def note(self, side: int, event: object) -> None:
        if isinstance(event, IncomingInvite):
            self.calls[side].append(event.id)
        elif isinstance(event, ReinviteReceived):
            self.reinvites[side].append(event.id)
        elif isinstance(event, ReferReceived):
            self.refers[side].append(event.refer)
        elif isinstance(event, IncomingRequest):
            self.requests[side].append(event.id)

    def act(self, side: int, verb: str, *arguments: object) -> object:
        agent = self.agents[side]
        try:
            return getattr(agent.ua, verb)(agent.now, *arguments)
        except InvalidCallState:
            return None
        finally:
            agent.drain()
            self.network.run(self.random.choice((0.0, 0.02, 0.02)))

    def pick(self, side: int, pick: int) -> InviteId:
        """One of the newest calls of a side."""
        calls = self.calls[side][-3:]
        return calls[pick % len(calls)] if calls else InviteId(10_000)

    # --- applications ---

    @rule(side=sides, through_account=st.booleans(), is_late=st.booleans())
    def dial(self, side: int, through_account: bool, is_late: bool) -> None:
        account = ACCOUNT if through_account and side == 0 else None
        target = f"sip:x@10.0.0.{2 - side}"
        request = InviteRequest(target_uri=target, sdp=None if is_late else OFFER, account=account, caller="c")
        self.calls[side].append(self.act(side, "invite", request))  # type: ignore[arg-type]

    @rule(side=sides, pick=picks, status=st.sampled_from([180, 183]))
    def ring(self, side: int, pick: int, status: int) -> None:
        self.act(side, "ring", self.pick(side, pick), status, ANSWER)

    @rule(side=sides, pick=picks)
    def answer(self, side: int, pick: int) -> None:
        self.act(side, "answer", self.pick(side, pick), ANSWER)

    @rule(side=sides, pick=picks, status=st.sampled_from([None, 486, 603]))
    def hangup(self, side: int, pick: int, status: int | None) -> None:
        self.act(side, "hangup", self.pick(side, pick), status)

    @rule(side=sides, pick=picks, offer=st.sampled_from([OFFER, None]))
    def reinvite(self, side: int, pick: int, offer: str | None) -> None:
        self.act(side, "reinvite", self.pick(side, pick), offer)

    @rule(side=sides, pick=picks, is_watched=st.booleans())
    def refer(self, side: int, pick: int, is_watched: bool) -> None:
        what = ReferRequest(target_uri="sip:x@10.0.0.3", is_watched=is_watched)
        self.act(side, "refer", self.pick(side, pick), what)

    @rule(side=sides, status=st.sampled_from([202, 603]))
    def answer_refer(self, side: int, status: int) -> None:
        for refer in self.refers[side]:
            self.act(side, "answer_refer", refer, status)

    @rule(side=sides, status=st.sampled_from([180, 200, 486]))
    def notify_refer(self, side: int, status: int) -> None:
        for refer in self.refers[side]:
            self.act(side, "notify_refer", refer, status)

    @rule(side=sides, is_accepted=st.booleans())
    def answer_reinvite(self, side: int, is_accepted: bool) -> None:
        while self.reinvites[side]:
            call = self.reinvites[side].pop()
            self.act(side, "answer_reinvite", call, *((ANSWER, 200) if is_accepted else (None, 488)))

    @rule(side=sides, pick=picks)
    def send_info(self, side: int, pick: int) -> None:
        self.act(side, "send_info", self.pick(side, pick), "application/dtmf", b"5")

    @rule()
    def register(self) -> None:
        self.registrations[0].append(self.act(0, "register", ACCOUNT, 60))  # type: ignore[arg-type]

    @rule(pick=picks)
    def unregister(self, pick: int) -> None:
        if self.registrations[0]:
            self.act(0, "unregister", self.registrations[0][pick % len(self.registrations[0])])

    @rule(status=st.sampled_from([200, 403, 500]))
    def answer_requests(self, status: int) -> None:
        while self.requests[1]:
            self.act(1, "respond", self.requests[1].pop(), status)

    # --- network and time ---

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.6, 3.0, 31.0, 33.0, 46.0]))
    def wait(self, seconds: float) -> None:
        self.network.run(seconds)

    @rule(loss=st.sampled_from([0.0, 0.3, 2.0]), seed=st.integers(0, 3))
    def weather(self, loss: float, seed: int) -> None:
        self.loss = loss
        self.random = Random(seed)

    @rule(side=sides, is_down=st.booleans())
    def reach(self, side: int, is_down: bool) -> None:
        address = self.agents[side].address
        (self.network.unreachable.add if is_down else self.network.unreachable.discard)(address)

    # --- what holds ---

    @invariant()
    def each_call_ends_at_most_once_and_says_nothing_after(self) -> None:
        for agent in self.agents:
            ended: set[InviteId] = set()
            for event in agent.events:
                if isinstance(event, InviteEnded | InviteFailed):
                    assert event.id not in ended
                    ended.add(event.id)
                elif isinstance(event, InviteAnswered | InviteConfirmed | ReinviteReceived):
                    assert event.id not in ended

    @invariant()
    def a_call_is_answered_at_most_once(self) -> None:
        for agent in self.agents:
            counts = Counter(event.id for event in agent.got(InviteAnswered))
            assert all(count == 1 for count in counts.values())

    def teardown(self) -> None:
        for side in (0, 1):
            for call in self.calls[side]:
                self.act(side, "hangup", call)
            for registration in self.registrations[side]:
                self.act(side, "unregister", registration)
        self.network.run(LAST_TIMER_S)
        for side, agent in enumerate(self.agents):
            assert not any(agent.ua.load.values()), agent.ua.load
            assert agent.ua.is_idle
            ended = [event.id for event in agent.events if isinstance(event, InviteEnded | InviteFailed)]
            assert sorted(ended) == sorted(set(self.calls[side]))
            gone = [event.id for event in agent.got(Unregistered)]
            assert sorted(gone) == sorted(set(self.registrations[side]))


TestChaos = pytest.mark.slow(pytest.mark.timeout(150)(Chaos.TestCase))
TestChaos.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
