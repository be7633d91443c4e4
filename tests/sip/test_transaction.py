"""Each row and each timer of the four transaction machines, on a virtual clock.   RFC 3261 section 17, RFC 6026."""

from __future__ import annotations

import pytest

from sip.emulation import intervals
from sip.writing import reply, request
from trunkline.sip.message import Request, Response
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Failure,
    Input,
    Machine,
    ServerTransaction,
    State,
    Timing,
    TransactionLayer,
    server_key,
)
from trunkline.sip.types import Path, Transport

UDP = Path(Transport.UDP, ("10.0.0.1", 5060), ("10.0.0.2", 5060))
TCP = Path(Transport.TCP, ("10.0.0.1", 5060), ("10.0.0.2", 5060))
MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)


class Bench:
    """A transaction layer, its clock, and whoever uses it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = TimerQueue()
        self.layer = TransactionLayer(Timing(), self.timers, self)
        self.sent: list[tuple[float, bytes]] = []
        self.responses: list[int] = []
        self.failures: list[Failure] = []
        self.terminated = 0
        self.requests: list[ServerTransaction] = []
        self.acks: list[Request] = []

    # the users' side
    def handle_response(self, now: float, response: Response) -> None:
        self.responses.append(response.status)

    def handle_failure(self, now: float, failure: Failure) -> None:
        self.failures.append(failure)

    def handle_terminated(self) -> None:
        self.terminated += 1

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        self.requests.append(transaction)

    def handle_stray_ack(self, now: float, request: Request) -> None:
        self.acks.append(request)

    # the driver's side
    def collect(self) -> None:
        while self.layer.outbox:
            self.sent.append((round(self.now, 3), self.layer.outbox.popleft().data))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.timers.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            while (due := self.timers.pop_due(self.now)) is not None:
                due[0].handle_timer(self.now, due[1])
            self.collect()
        self.now = end
        self.collect()

    def times(self, start: str) -> list[float]:
        return [when for when, data in self.sent if data.startswith(start.encode())]

    @property
    def count(self) -> int:
        return self.layer.client_count + self.layer.server_count

    def send(self, method: str, path: Path = UDP) -> Request:
        sent = request(method)
        self.layer.send_request(self.now, sent, path, self)
        self.collect()
        return sent

    def answer(self, to: Request, status: int) -> None:
        self.layer.handle_response(self.now, reply(to, status))
        self.collect()

    def get(self, message: Request, path: Path = UDP) -> None:
        self.layer.handle_request(self.now, message, path, server_key(message))
        self.collect()

    def respond(self, status: int) -> None:
        transaction = self.requests[-1]
        transaction.respond(self.now, reply(transaction.request, status))
        self.collect()


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- INVITE client ---------------------------------------------------------------------------------------------------


def test_timer_a_doubles_and_timer_b_ends_an_unanswered_invite(bench: Bench) -> None:
    bench.send("INVITE")
    bench.run(100)
    assert bench.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.failures == [Failure.TIMEOUT]
    assert bench.count == len(bench.timers) == 0


def test_timer_b_fires_at_64_t1(bench: Bench) -> None:
    bench.send("INVITE")
    bench.run(31.999)
    assert bench.failures == []
    bench.run(0.001)
    assert bench.failures == [Failure.TIMEOUT]


def test_timer_a_does_not_run_on_a_stream_but_timer_b_does(bench: Bench) -> None:
    bench.send("INVITE", TCP)
    bench.run(32)
    assert bench.times("INVITE") == [0]
    assert bench.failures == [Failure.TIMEOUT]


def test_provisional_response_stops_retransmission_and_timer_b(bench: Bench) -> None:
    invite = bench.send("INVITE")
    bench.run(0.6)
    bench.answer(invite, 100)
    bench.answer(invite, 180)
    bench.answer(invite, 180)
    bench.run(500)
    assert bench.times("INVITE") == [0, 0.5]
    assert bench.responses == [100, 180, 180]
    assert bench.failures == []
    assert bench.count == 1


@pytest.mark.parametrize("has_rung", [False, True])
def test_2xx_comes_up_once_for_each_copy_until_timer_m(bench: Bench, has_rung: bool) -> None:
    invite = bench.send("INVITE")
    if has_rung:
        bench.answer(invite, 180)
    bench.answer(invite, 200)
    bench.run(31)
    bench.answer(invite, 200)
    assert bench.responses[-2:] == [200, 200]
    bench.run(1)
    assert bench.count == 0
    bench.answer(invite, 200)
    assert bench.responses.count(200) == 2
    assert bench.times("ACK") == []


@pytest.mark.parametrize("has_rung", [False, True])
def test_refusal_is_acknowledged_again_for_each_copy_until_timer_d(bench: Bench, has_rung: bool) -> None:
    invite = bench.send("INVITE")
    if has_rung:
        bench.answer(invite, 180)
    bench.answer(invite, 486)
    bench.run(1)
    bench.answer(invite, 486)
    bench.run(30.9)
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == 0
    assert bench.responses.count(486) == 1
    assert bench.times("ACK") == [0, 1]


def test_refusal_on_a_stream_needs_no_timer_d(bench: Bench) -> None:
    invite = bench.send("INVITE", TCP)
    bench.answer(invite, 486)
    bench.run(0)
    assert bench.count == 0
    assert len(bench.times("ACK")) == 1


def test_ack_of_a_refusal_repeats_branch_and_takes_the_to_tag(bench: Bench) -> None:
    invite = bench.send("INVITE")
    bench.answer(invite, 404)
    ack = bench.sent[-1][1].decode()
    assert f"Via: {invite.top_via}" in ack
    assert "tag=uas-tag" in ack
    assert "CSeq: 1 ACK" in ack
    assert ack.startswith(f"ACK {invite.uri} SIP/2.0")


def test_transport_error_ends_a_calling_invite(bench: Bench) -> None:
    bench.send("INVITE")
    bench.layer.handle_unreachable(bench.now, UDP)
    assert bench.failures == [Failure.TRANSPORT]
    assert bench.count == len(bench.timers) == 0


def test_transport_error_after_a_provisional_response_is_left_to_the_user(bench: Bench) -> None:
    invite = bench.send("INVITE")
    bench.answer(invite, 180)
    bench.layer.handle_unreachable(bench.now, UDP)
    assert bench.failures == []
    assert bench.count == 1


def test_transport_error_while_acknowledging_a_refusal_ends_quietly(bench: Bench) -> None:
    invite = bench.send("INVITE")
    bench.answer(invite, 486)
    bench.layer.handle_unreachable(bench.now, UDP)
    assert bench.failures == []
    assert bench.count == 0


def test_transport_error_of_another_peer_changes_nothing(bench: Bench) -> None:
    bench.send("INVITE")
    bench.layer.handle_unreachable(bench.now, Path(Transport.UDP, UDP.local, ("10.0.0.3", 5060)))
    bench.layer.handle_unreachable(bench.now, TCP)
    assert bench.failures == []


# --- non-INVITE client ----------------------------------------------------------------------------------------------


def test_timer_e_doubles_up_to_t2_and_timer_f_ends(bench: Bench) -> None:
    bench.send("OPTIONS")
    bench.run(100)
    assert bench.times("OPTIONS") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.failures == [Failure.TIMEOUT]
    assert bench.count == len(bench.timers) == 0


def test_timer_e_runs_at_t2_after_a_provisional_response_and_timer_f_goes_on(bench: Bench) -> None:
    options = bench.send("OPTIONS")
    bench.run(1)
    bench.answer(options, 100)
    bench.run(30.9)
    assert bench.times("OPTIONS") == [0, 0.5, 5, 9, 13, 17, 21, 25, 29]
    bench.run(0.1)
    assert bench.failures == [Failure.TIMEOUT]


def test_timer_e_does_not_run_on_a_stream(bench: Bench) -> None:
    bench.send("OPTIONS", TCP)
    bench.run(100)
    assert bench.times("OPTIONS") == [0]
    assert bench.failures == [Failure.TIMEOUT]


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("has_trying", [False, True])
def test_final_response_comes_up_once_and_timer_k_absorbs_copies(bench: Bench, status: int, has_trying: bool) -> None:
    options = bench.send("OPTIONS")
    if has_trying:
        bench.answer(options, 100)
        bench.answer(options, 100)
    bench.answer(options, status)
    bench.answer(options, status)
    bench.run(4.9)
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == 0
    assert bench.responses.count(status) == 1
    assert bench.times("OPTIONS") == [0]


def test_final_response_on_a_stream_needs_no_timer_k(bench: Bench) -> None:
    options = bench.send("OPTIONS", TCP)
    bench.answer(options, 200)
    bench.run(0)
    assert bench.count == 0


@pytest.mark.parametrize("has_trying", [False, True])
def test_transport_error_ends_a_request_that_waits(bench: Bench, has_trying: bool) -> None:
    options = bench.send("OPTIONS")
    if has_trying:
        bench.answer(options, 100)
    bench.layer.handle_unreachable(bench.now, UDP)
    assert bench.failures == [Failure.TRANSPORT]
    assert bench.count == 0


# --- INVITE server ---------------------------------------------------------------------------------------------------


def test_repeated_invite_gets_the_last_provisional_response_again(bench: Bench) -> None:
    invite = request("INVITE")
    bench.get(invite)
    bench.get(invite)
    assert bench.sent == []
    bench.respond(100)
    bench.respond(180)
    bench.get(invite)
    assert [data.split()[1] for _, data in bench.sent] == [b"100", b"180", b"180"]
    assert len(bench.requests) == 1


def test_refusal_is_repeated_by_timer_g_until_timer_h(bench: Bench) -> None:
    bench.get(request("INVITE"))
    bench.respond(486)
    bench.run(31.9)
    assert intervals(bench.times("SIP/2.0 486")) == [0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4]
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == len(bench.timers) == 0


def test_refusal_on_a_stream_is_not_repeated_but_waits_for_the_ack(bench: Bench) -> None:
    bench.get(request("INVITE"), TCP)
    bench.respond(486)
    bench.run(31.9)
    assert len(bench.times("SIP/2.0 486")) == 1
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == 0


def test_repeated_invite_gets_the_refusal_again(bench: Bench) -> None:
    invite = request("INVITE")
    bench.get(invite)
    bench.respond(404)
    bench.get(invite)
    assert len(bench.times("SIP/2.0 404")) == 2


def test_ack_of_a_refusal_stops_timer_g_and_timer_i_absorbs_copies(bench: Bench) -> None:
    bench.get(request("INVITE", branch="one"))
    bench.respond(486)
    bench.get(request("ACK", branch="one", to_tag="uas-tag"))
    bench.get(request("ACK", branch="one", to_tag="uas-tag"))
    bench.run(4.9)
    assert len(bench.times("SIP/2.0 486")) == 1
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == 0
    assert bench.acks == []


def test_ack_of_a_refusal_on_a_stream_ends_at_once(bench: Bench) -> None:
    bench.get(request("INVITE", branch="one"), TCP)
    bench.respond(486)
    bench.get(request("ACK", branch="one", to_tag="uas-tag"), TCP)
    bench.run(0)
    assert bench.count == 0


def test_accepted_invite_absorbs_copies_lets_the_200_repeat_and_ends_with_timer_l(bench: Bench) -> None:
    invite = request("INVITE", branch="one")
    bench.get(invite)
    bench.respond(200)
    bench.get(invite)
    assert len(bench.times("SIP/2.0 200")) == 1, "the user repeats a 2xx, not the transaction"
    bench.respond(200)
    assert len(bench.times("SIP/2.0 200")) == 2
    bench.respond(486)
    assert bench.times("SIP/2.0 486") == []
    bench.get(request("ACK", branch="one", to_tag="uas-tag"))
    assert len(bench.acks) == 1
    bench.run(31.9)
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == len(bench.timers) == 0


def test_ack_of_a_2xx_has_no_transaction_and_comes_up(bench: Bench) -> None:
    bench.get(request("INVITE"))
    bench.respond(200)
    bench.get(request("ACK", to_tag="uas-tag"))
    assert len(bench.acks) == 1


# --- non-INVITE server ----------------------------------------------------------------------------------------------


def test_repeated_request_without_response_is_absorbed(bench: Bench) -> None:
    options = request("OPTIONS")
    bench.get(options)
    bench.get(options)
    assert len(bench.requests) == 1
    assert bench.sent == []


def test_request_that_is_answered_late_gets_100_when_the_clients_timer_e_has_reached_t2(bench: Bench) -> None:
    """RFC 4320 section 4.1: not sooner, since that would slow the repetition of a request that was lost."""
    options = request("OPTIONS")
    bench.get(options)
    bench.run(3.49)
    assert bench.sent == []
    bench.run(0.02)
    bench.get(options)
    bench.respond(200)
    assert [data.split()[1] for _, data in bench.sent] == [b"100", b"100", b"200"]


def test_repeated_request_gets_the_last_response_until_timer_j(bench: Bench) -> None:
    options = request("OPTIONS")
    bench.get(options)
    bench.respond(100)
    bench.get(options)
    bench.respond(182)
    bench.respond(200)
    bench.get(options)
    bench.respond(500)
    assert [data.split()[1] for _, data in bench.sent] == [b"100", b"100", b"182", b"200", b"200"]
    bench.run(31.9)
    assert bench.count == 1
    bench.run(0.1)
    assert bench.count == len(bench.timers) == 0


@pytest.mark.parametrize("status", [200, 404])
def test_answered_request_on_a_stream_ends_at_once(bench: Bench, status: int) -> None:
    bench.get(request("OPTIONS"), TCP)
    bench.respond(status)
    bench.run(0)
    assert bench.count == 0


# --- matching --------------------------------------------------------------------------------------------------------


def test_response_matches_by_branch_and_method(bench: Bench) -> None:
    options = bench.send("OPTIONS")
    assert not bench.layer.handle_response(0, reply(request("OPTIONS"), 200))
    assert not bench.layer.handle_response(0, reply(request("INFO", branch="same"), 200))
    assert bench.layer.handle_response(0, reply(options, 200))


def test_same_branch_from_another_sender_is_another_transaction(bench: Bench) -> None:
    bench.get(request("OPTIONS", branch="same", host="10.0.0.8"))
    bench.get(request("OPTIONS", branch="same", host="10.0.0.9"))
    assert len(bench.requests) == 2


def test_cancel_is_its_own_transaction_and_finds_its_invite(bench: Bench) -> None:
    bench.get(request("INVITE", branch="one"))
    bench.get(request("CANCEL", branch="one"))
    invite, cancel = bench.requests
    assert bench.layer.invite_of(cancel.key) is invite
    assert bench.layer.invite_of(server_key(request("CANCEL", branch="two"))) is None


def test_rfc2543_peer_without_branch_is_matched_by_its_headers(bench: Bench) -> None:
    def old(method: str, to_tag: str | None = None) -> Request:
        message = request(method, to_tag=to_tag)
        message.headers.set("Via", "SIP/2.0/UDP 10.0.0.9")
        return message

    bench.get(old("INVITE"))
    bench.get(old("INVITE"))
    assert len(bench.requests) == 1
    bench.respond(486)
    bench.get(old("ACK", to_tag="uas-tag"))
    assert bench.requests[0].state is State.CONFIRMED


def test_merged_request_is_known_by_its_call_id_tag_and_cseq(bench: Bench) -> None:
    bench.get(request("INVITE", branch="left"))
    bench.get(request("INVITE", branch="right"))
    bench.get(request("INVITE", branch="other", call_id="call-2"))
    assert [bench.layer.is_merged(transaction) for transaction in bench.requests] == [False, True, False]


# --- the tables as such ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_is_reachable_and_every_timer_of_a_state_has_a_row(machine: Machine) -> None:
    reachable, grows = {machine.start}, True
    while grows:
        found = {state for (start, _), (state, _) in machine.rows.items() if start in reachable}
        grows = not found <= reachable
        reachable |= found
    named = {start for start, _ in machine.rows}
    assert named <= reachable
    assert State.TERMINATED in reachable
    for state, timers in machine.timers.items():
        for timer in timers:
            assert (state, timer) in machine.rows


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_no_row_waits_for_a_timer_that_its_state_does_not_run(machine: Machine) -> None:
    timers = {item for item in Input if item.name.startswith("TIMER_")}
    for state, item in machine.rows:
        assert item not in timers or item in machine.timers.get(state, ())
