"""The four transaction machines, as tables, and the layer that matches messages to them.

Owns retransmission, absorption of repeats and the life time of every transaction. Must not know dialogs, calls or
sockets. A row reads: in this state, on this input, go there and do that; what no row names is absorbed. A state's
timers run while the machine is in it and stop when it leaves.   RFC 3261 section 17, RFC 6026.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trunkline.errors import LocalProtocolError
from trunkline.sip.headers import CSeq
from trunkline.sip.message import HeaderList, Message, Request, Response
from trunkline.sip.timers import TimerQueue
from trunkline.sip.types import Path, Transmit

BRANCH_COOKIE = "z9hG4bK"
"""RFC 3261 section 8.1.1.7."""


class State(StrEnum):
    """States of all four machines."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """What a machine reacts to: a message in, a response of the user's, a timer, a failure of the transport."""

    REQUEST = "request"
    ACK = "ack"
    R1XX = "1xx"
    R2XX = "2xx"
    R300_699 = "300-699"
    TRANSPORT_ERROR = "transport error"
    TIMER_A = "A"
    TIMER_B = "B"
    TIMER_D = "D"
    TIMER_E = "E"
    TIMER_F = "F"
    TIMER_G = "G"
    TIMER_H = "H"
    TIMER_I = "I"
    TIMER_J = "J"
    TIMER_K = "K"
    TIMER_L = "L"
    TIMER_M = "M"


class Action(StrEnum):
    """What a row does besides changing the state."""

    SEND = "send"
    """The request, or the last response."""
    SEND_ACK = "send ack"
    DELIVER = "deliver"
    """The message goes up to the user."""
    REPORT_TIMEOUT = "report timeout"
    REPORT_ERROR = "report transport error"


_S, _I, _A = State, Input, Action
_END = State.TERMINATED
Row = tuple[State, tuple[Action, ...]]
Rows = Mapping[tuple[State, Input], Row]


@dataclass(frozen=True, slots=True)
class Machine:
    """One table. timers: those that run in each state."""

    name: str
    start: State
    rows: Rows
    timers: Mapping[State, tuple[Input, ...]]


# RFC 3261 figure 5 with RFC 6026 section 7.2 (Accepted, timer M).
INVITE_CLIENT = Machine(
    "INVITE client",
    _S.CALLING,
    {
        (_S.CALLING, _I.TIMER_A): (_S.CALLING, (_A.SEND,)),
        (_S.CALLING, _I.TIMER_B): (_END, (_A.REPORT_TIMEOUT,)),
        (_S.CALLING, _I.TRANSPORT_ERROR): (_END, (_A.REPORT_ERROR,)),
        (_S.CALLING, _I.R1XX): (_S.PROCEEDING, (_A.DELIVER,)),
        (_S.CALLING, _I.R2XX): (_S.ACCEPTED, (_A.DELIVER,)),
        (_S.CALLING, _I.R300_699): (_S.COMPLETED, (_A.SEND_ACK, _A.DELIVER)),
        (_S.PROCEEDING, _I.R1XX): (_S.PROCEEDING, (_A.DELIVER,)),
        (_S.PROCEEDING, _I.R2XX): (_S.ACCEPTED, (_A.DELIVER,)),
        (_S.PROCEEDING, _I.R300_699): (_S.COMPLETED, (_A.SEND_ACK, _A.DELIVER)),
        (_S.COMPLETED, _I.R300_699): (_S.COMPLETED, (_A.SEND_ACK,)),
        (_S.COMPLETED, _I.TRANSPORT_ERROR): (_END, ()),
        (_S.COMPLETED, _I.TIMER_D): (_END, ()),
        (_S.ACCEPTED, _I.R2XX): (_S.ACCEPTED, (_A.DELIVER,)),
        (_S.ACCEPTED, _I.TIMER_M): (_END, ()),
    },
    {_S.CALLING: (_I.TIMER_A, _I.TIMER_B), _S.COMPLETED: (_I.TIMER_D,), _S.ACCEPTED: (_I.TIMER_M,)},
)

# RFC 3261 figure 6.
NON_INVITE_CLIENT = Machine(
    "non-INVITE client",
    _S.TRYING,
    {
        (_S.TRYING, _I.TIMER_E): (_S.TRYING, (_A.SEND,)),
        (_S.TRYING, _I.TIMER_F): (_END, (_A.REPORT_TIMEOUT,)),
        (_S.TRYING, _I.TRANSPORT_ERROR): (_END, (_A.REPORT_ERROR,)),
        (_S.TRYING, _I.R1XX): (_S.PROCEEDING, (_A.DELIVER,)),
        (_S.TRYING, _I.R2XX): (_S.COMPLETED, (_A.DELIVER,)),
        (_S.TRYING, _I.R300_699): (_S.COMPLETED, (_A.DELIVER,)),
        (_S.PROCEEDING, _I.TIMER_E): (_S.PROCEEDING, (_A.SEND,)),
        (_S.PROCEEDING, _I.TIMER_F): (_END, (_A.REPORT_TIMEOUT,)),
        (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_END, (_A.REPORT_ERROR,)),
        (_S.PROCEEDING, _I.R1XX): (_S.PROCEEDING, (_A.DELIVER,)),
        (_S.PROCEEDING, _I.R2XX): (_S.COMPLETED, (_A.DELIVER,)),
        (_S.PROCEEDING, _I.R300_699): (_S.COMPLETED, (_A.DELIVER,)),
        (_S.COMPLETED, _I.TIMER_K): (_END, ()),
    },
    {
        _S.TRYING: (_I.TIMER_E, _I.TIMER_F),
        _S.PROCEEDING: (_I.TIMER_E, _I.TIMER_F),
        _S.COMPLETED: (_I.TIMER_K,),
    },
)

# RFC 3261 figure 7 with RFC 6026 section 7.1 (Accepted, timer L).
INVITE_SERVER = Machine(
    "INVITE server",
    _S.PROCEEDING,
    {
        (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, (_A.SEND,)),
        (_S.PROCEEDING, _I.R1XX): (_S.PROCEEDING, (_A.SEND,)),
        (_S.PROCEEDING, _I.R2XX): (_S.ACCEPTED, (_A.SEND,)),
        (_S.PROCEEDING, _I.R300_699): (_S.COMPLETED, (_A.SEND,)),
        (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, (_A.SEND,)),
        (_S.COMPLETED, _I.TIMER_G): (_S.COMPLETED, (_A.SEND,)),
        (_S.COMPLETED, _I.ACK): (_S.CONFIRMED, ()),
        (_S.COMPLETED, _I.TIMER_H): (_END, ()),  # 17.2.1 tells the user, who has nothing to do about a lost ACK
        (_S.CONFIRMED, _I.TIMER_I): (_END, ()),
        (_S.ACCEPTED, _I.R2XX): (_S.ACCEPTED, (_A.SEND,)),
        (_S.ACCEPTED, _I.ACK): (_S.ACCEPTED, (_A.DELIVER,)),
        (_S.ACCEPTED, _I.TIMER_L): (_END, ()),
    },
    {
        _S.COMPLETED: (_I.TIMER_G, _I.TIMER_H),
        _S.CONFIRMED: (_I.TIMER_I,),
        _S.ACCEPTED: (_I.TIMER_L,),
    },
)

# RFC 3261 figure 8.
NON_INVITE_SERVER = Machine(
    "non-INVITE server",
    _S.TRYING,
    {
        (_S.TRYING, _I.R1XX): (_S.PROCEEDING, (_A.SEND,)),
        (_S.TRYING, _I.R2XX): (_S.COMPLETED, (_A.SEND,)),
        (_S.TRYING, _I.R300_699): (_S.COMPLETED, (_A.SEND,)),
        (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, (_A.SEND,)),
        (_S.PROCEEDING, _I.R1XX): (_S.PROCEEDING, (_A.SEND,)),
        (_S.PROCEEDING, _I.R2XX): (_S.COMPLETED, (_A.SEND,)),
        (_S.PROCEEDING, _I.R300_699): (_S.COMPLETED, (_A.SEND,)),
        (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, (_A.SEND,)),
        (_S.COMPLETED, _I.TIMER_J): (_END, ()),
    },
    {_S.COMPLETED: (_I.TIMER_J,)},
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Base values of RFC 3261 table 4, in seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    def duration(self, timer: Input, state: State, *, is_reliable: bool) -> float | None:
        """First interval of a timer on entering a state; None where it is not used (retransmission on a stream)."""
        match timer:
            case Input.TIMER_A | Input.TIMER_G:
                return None if is_reliable else self.t1
            case Input.TIMER_E:
                if is_reliable:
                    return None
                return self.t1 if state is State.TRYING else self.t2
            case Input.TIMER_D:
                return 0.0 if is_reliable else max(32.0, 64 * self.t1)
            case Input.TIMER_I | Input.TIMER_K:
                return 0.0 if is_reliable else self.t4
            case Input.TIMER_J:
                return 0.0 if is_reliable else 64 * self.t1
            case _:
                return 64 * self.t1  # B, F, H, L, M

    def next_interval(self, timer: Input, interval: float) -> float | None:
        """Interval after one has passed; None if the timer runs once."""
        match timer:
            case Input.TIMER_A:
                return 2 * interval
            case Input.TIMER_E | Input.TIMER_G:
                return min(2 * interval, self.t2)
            case _:
                return None


class Failure(StrEnum):
    """Why a client transaction ended without a final response."""

    TIMEOUT = "timeout"
    TRANSPORT = "transport"


class ClientUser(Protocol):
    """Who sent a request."""

    def handle_response(self, now: float, response: Response) -> None:
        """Take a response; a 2xx to INVITE comes once for each copy."""

    def handle_failure(self, now: float, failure: Failure) -> None:
        """Learn that no final response will come."""


class ServerUser(Protocol):
    """Who answers requests."""

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Take a request seen for the first time."""

    def handle_stray_ack(self, now: float, request: Request) -> None:
        """Take an ACK that belongs to no transaction, as those of a 2xx do."""


class CancelUser(Protocol):
    """Who answers one INVITE."""

    def handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        """Learn that the caller wants this INVITE given up; the CANCEL itself has been answered."""


class _Transaction(ABC):
    """State, timers and the table; the two sides differ in what they send and to whom they deliver."""

    def __init__(self, layer: TransactionLayer, machine: Machine, path: Path) -> None:
        self.machine = machine
        self.state = machine.start
        self.path = path
        self._layer = layer
        self._intervals: dict[Input, float] = {}

    def handle_timer(self, now: float, name: str) -> None:
        timer = Input(name)
        interval = self._layer.timing.next_interval(timer, self._intervals[timer])
        if interval is not None:
            self._run(now, timer, interval)
        self.step(now, timer)

    def step(self, now: float, item: Input, message: Message | None = None) -> None:
        """Look the input up and do what the row says."""
        row = self.machine.rows.get((self.state, item))
        if row is None:
            return
        state, actions = row
        if state is not self.state:
            self._enter(now, state)
        for action in actions:
            self._do(now, action, message)

    def begin(self, now: float) -> None:
        """Start the timers of the first state."""
        self._enter(now, self.machine.start)

    def _enter(self, now: float, state: State) -> None:
        wanted = self.machine.timers.get(state, ())
        for timer in [timer for timer in self._intervals if timer not in wanted]:
            del self._intervals[timer]
            self._layer.timers.cancel(self, timer)
        self.state = state
        for timer in wanted:
            keeps_running = timer in self._intervals and timer is not Input.TIMER_E
            interval = self._layer.timing.duration(timer, state, is_reliable=self.path.transport.is_reliable)
            if interval is not None and not keeps_running:
                self._run(now, timer, interval)
        if state is State.TERMINATED:
            self._layer.forget(self)

    def _run(self, now: float, timer: Input, interval: float) -> None:
        self._intervals[timer] = interval
        self._layer.timers.set(self, timer, now + interval)

    @abstractmethod
    def _do(self, now: float, action: Action, message: Message | None) -> None:
        """Carry one action out."""


class ClientTransaction(_Transaction):
    """A request that we sent."""

    def __init__(self, layer: TransactionLayer, request: Request, path: Path, user: ClientUser | None) -> None:
        super().__init__(layer, INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT, path)
        self.request = request
        self.key = (request.top_via.branch or "", request.method)
        self._user = user
        self._data = request.to_bytes()

    def _do(self, now: float, action: Action, message: Message | None) -> None:
        if action is Action.SEND:
            self._layer.transmit(self.path, self._data)
        elif action is Action.SEND_ACK:
            assert isinstance(message, Response)
            self._layer.transmit(self.path, failure_ack(self.request, message).to_bytes())
        elif self._user is None:
            return
        elif action is Action.DELIVER:
            assert isinstance(message, Response)
            self._user.handle_response(now, message)
        else:
            is_timeout = action is Action.REPORT_TIMEOUT
            self._user.handle_failure(now, Failure.TIMEOUT if is_timeout else Failure.TRANSPORT)

    def abandon(self, now: float) -> None:
        """Wait no longer: an INVITE that was cancelled has no timer of its own.   RFC 3261 section 9.1."""
        self._enter(now, State.TERMINATED)

    def begin(self, now: float) -> None:
        """Send the request and start."""
        super().begin(now)
        self._layer.transmit(self.path, self._data)


class ServerTransaction(_Transaction):
    """A request that we got. path: where responses go. to_tag: of our responses, once it is chosen."""

    def __init__(self, layer: TransactionLayer, request: Request, path: Path, key: tuple[str, ...]) -> None:
        super().__init__(layer, INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER, path)
        self.request = request
        self.key = key
        self.owner: CancelUser | None = None
        self.to_tag: str | None = None
        self._last: bytes | None = None

    @property
    def is_answered(self) -> bool:
        """Whether a final response was sent."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def respond(self, now: float, response: Response) -> None:
        """Send a response. A second final one is dropped, save a repeated 2xx to INVITE."""
        item = _response_input(response)
        if (self.state, item) in self.machine.rows:
            self._last = response.to_bytes()
            self.step(now, item, response)

    def _do(self, now: float, action: Action, message: Message | None) -> None:
        if action is Action.SEND:
            if self._last is not None:
                self._layer.transmit(self.path, self._last)
        elif action is Action.DELIVER:
            assert isinstance(message, Request)
            self._layer.user.handle_stray_ack(now, message)


def _response_input(response: Response) -> Input:
    if response.status < 200:
        return Input.R1XX
    return Input.R2XX if response.status < 300 else Input.R300_699


def failure_ack(request: Request, response: Response) -> Request:
    """Build the ACK of a non-2xx final response.   RFC 3261 section 17.1.1.3."""
    headers = HeaderList()
    headers.add("Via", str(request.top_via))
    headers.extend_received("Route", request.headers)
    headers.add("Max-Forwards", "70")
    headers.extend_received("From", request.headers)
    headers.extend_received("To", response.headers)
    headers.extend_received("Call-ID", request.headers)
    headers.add("CSeq", f"{request.cseq.number} ACK")
    return Request("ACK", request.uri, headers)


def server_key(request: Request) -> tuple[str, ...]:
    """Return what identifies a server transaction.   RFC 3261 section 17.2.3. An ACK has the key of its INVITE."""
    via = request.top_via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.branch or ""
    if branch.startswith(BRANCH_COOKIE) and len(branch) > len(BRANCH_COOKIE):
        return (branch, via.sent_by, method)
    # An RFC 2543 peer: no unique branch. The To tag is left out, since the ACK has one where the INVITE had none.
    from_tag = request.from_.tag or ""
    return (str(via), str(request.uri), request.sip_call_id, from_tag, str(request.cseq.number), method)


def _mark(request: Request) -> tuple[str, CSeq, str | None]:
    return request.sip_call_id, request.cseq, request.from_.tag


class TransactionLayer:
    """All transactions of one user agent, with the messages they want sent."""

    def __init__(self, timing: Timing, timers: TimerQueue, user: ServerUser) -> None:
        self.timing = timing
        self.timers = timers
        self.user = user
        self.outbox: deque[Transmit] = deque()
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[tuple[str, ...], ServerTransaction] = {}
        self._first_of: dict[tuple[str, CSeq, str | None], ServerTransaction] = {}

    @property
    def client_count(self) -> int:
        """Client transactions alive."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """Server transactions alive."""
        return len(self._servers)

    @property
    def is_quiet(self) -> bool:
        """Whether no request of ours waits for its final response."""
        waiting = (State.CALLING, State.TRYING, State.PROCEEDING)
        return not any(transaction.state in waiting for transaction in self._clients.values())

    def is_known(self, request: Request) -> bool:
        """Whether a server transaction has this request already."""
        return server_key(request) in self._servers

    def transmit(self, path: Path, data: bytes) -> None:
        """Queue bytes."""
        self.outbox.append(Transmit(path, data))

    def send_request(self, now: float, request: Request, path: Path, user: ClientUser | None) -> ClientTransaction:
        """Begin a client transaction. LocalProtocolError for ACK, which has none."""
        if request.method == "ACK":
            raise LocalProtocolError("an ACK is not a transaction")
        transaction = ClientTransaction(self, request, path, user)
        self._clients[transaction.key] = transaction
        transaction.begin(now)
        return transaction

    def handle_response(self, now: float, response: Response) -> bool:
        """Give a response to its transaction; False if there is none.   RFC 3261 section 17.1.3."""
        transaction = self._clients.get((response.top_via.branch or "", response.cseq.method))
        if transaction is None:
            return False
        transaction.step(now, _response_input(response), response)
        return True

    def handle_request(self, now: float, request: Request, path: Path) -> None:
        """Match a request, or begin a server transaction and pass it up.   RFC 3261 section 17.2.3."""
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            known.step(now, Input.ACK if request.method == "ACK" else Input.REQUEST, request)
        elif request.method == "ACK":
            self.user.handle_stray_ack(now, request)
        else:
            transaction = ServerTransaction(self, request, path, key)
            self._servers[key] = transaction
            self._first_of.setdefault(_mark(request), transaction)
            transaction.begin(now)
            self.user.handle_request(now, transaction)

    def invite_of(self, cancel: Request) -> ServerTransaction | None:
        """Find the INVITE that a CANCEL means.   RFC 3261 section 9.2."""
        return self._servers.get((*server_key(cancel)[:-1], "INVITE"))

    def is_merged(self, transaction: ServerTransaction) -> bool:
        """Whether an earlier transaction carries the same request, forked on its way.   RFC 3261 section 8.2.2.2."""
        request = transaction.request
        return request.to.tag is None and self._first_of[_mark(request)] is not transaction

    def handle_unreachable(self, now: float, path: Path) -> None:
        """Tell every client transaction towards this peer that the transport failed."""
        for transaction in list(self._clients.values()):
            if transaction.path.transport is path.transport and transaction.path.remote == path.remote:
                transaction.step(now, Input.TRANSPORT_ERROR)

    def forget(self, transaction: _Transaction) -> None:
        """Drop a terminated transaction."""
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
        elif isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            mark = _mark(transaction.request)
            if self._first_of.get(mark) is transaction:
                del self._first_of[mark]
