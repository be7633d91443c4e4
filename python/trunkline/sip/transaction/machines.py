"""Transactions, client and server: state, timers and what each action of the tables sends.

Must not know dialogs, calls or sockets; `layer` finds the transaction of a message.   RFC 3261 section 17, RFC 6026.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Protocol

from trunkline.sip.headers import HeaderList
from trunkline.sip.message import Message, Request, Response
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction.tables import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Input,
    Machine,
    State,
    Timing,
)
from trunkline.sip.types import Path, Transport


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

    def handle_terminated(self) -> None:
        """Learn that nothing more will come at all."""


class ServerUser(Protocol):
    """Who answers requests."""

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Take a request seen for the first time."""

    def handle_stray_ack(self, now: float, request: Request) -> None:
        """Take an ACK that belongs to no transaction, as those of a 2xx do."""


class CancelUser(Protocol):
    """Who answers one INVITE."""

    def handle_cancel(self, now: float, transaction: ServerTransaction, cancel: Request) -> None:
        """Learn that the caller wants this INVITE given up; the CANCEL itself has been answered."""


class Home(Protocol):
    """What a transaction needs of its layer."""

    timing: Timing
    timers: TimerQueue
    user: ServerUser

    def first_intervals(self, machine: Machine, state: State, transport: Transport) -> tuple[tuple[Input, float], ...]:
        """Return the timers that start when a machine enters a state, and how long each runs."""

    def transmit(self, path: Path, data: bytes) -> None:
        """Queue bytes."""

    def forget(self, transaction: Transaction) -> None:
        """Drop a terminated transaction."""


class Transaction(ABC):
    """State, timers and the table; the two sides differ in what they send and to whom they deliver."""

    def __init__(self, layer: Home, machine: Machine, path: Path) -> None:
        self.machine = machine
        self.state = machine.start
        self.path = path
        self._layer = layer
        self._intervals: dict[Input, float] = {}

    def handle_timer(self, now: float, name: str) -> None:
        """Run a timer of the table; those that repeat are set again first."""
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
        if state is State.TERMINATED:
            self.release()

    def begin(self, now: float) -> None:
        """Start the timers of the first state."""
        self._enter(now, self.machine.start)

    def _enter(self, now: float, state: State) -> None:
        running = self._intervals
        if running:
            wanted = self.machine.timers.get(state, ())
            for timer in [timer for timer in running if timer not in wanted]:
                del running[timer]
                self._layer.timers.cancel(self, timer)
        self.state = state
        for timer, interval in self._layer.first_intervals(self.machine, state, self.path.transport):
            if timer not in running or timer is Input.TIMER_E:
                self._run(now, timer, interval)
        if state is State.TERMINATED:
            self._layer.forget(self)

    def _run(self, now: float, timer: Input, interval: float) -> None:
        self._intervals[timer] = interval
        self._layer.timers.set(self, timer, now + interval)

    @abstractmethod
    def release(self) -> None:
        """Give back what only a living transaction needs, after its last action: its call may keep it for hours."""

    @abstractmethod
    def _do(self, now: float, action: Action, message: Message | None) -> None:
        """Carry one action out."""


class ClientTransaction(Transaction):
    """A request that we sent. trouble: what the transport said when it failed."""

    def __init__(self, layer: Home, request: Request, path: Path, user: ClientUser | None) -> None:
        super().__init__(layer, INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT, path)
        self.request = request
        self.key = (request.top_via.branch or "", request.method)
        self.trouble = ""
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

    def release(self) -> None:
        """Drop the bytes that were repeated, and tell the user that nothing more comes."""
        self._data = b""
        self.request.headers.release()
        user, self._user = self._user, None
        if user is not None:
            user.handle_terminated()

    def abandon(self, now: float) -> None:
        """Wait no longer: an INVITE that was cancelled has no timer of its own.   RFC 3261 section 9.1."""
        self._enter(now, State.TERMINATED)
        self.release()

    def begin(self, now: float) -> None:
        """Send the request and start."""
        super().begin(now)
        self._layer.transmit(self.path, self._data)


class ServerTransaction(Transaction):
    """A request that we got. path: where responses go. to_tag: of our responses, once it is chosen."""

    def __init__(self, layer: Home, request: Request, path: Path, key: tuple[str, ...]) -> None:
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

    def release(self) -> None:
        """Drop the bytes that were repeated; and what an INVITE said, since its call goes on and answers it no more."""
        self._last = self.owner = None
        self.request.headers.release()
        if self.machine is INVITE_SERVER:
            self.request = Request(self.request.method, self.request.uri)

    def respond(self, now: float, response: Response) -> None:
        """Send a response. A second final one is dropped, save a repeated 2xx to INVITE."""
        item = response_input(response)
        if (self.state, item) in self.machine.rows:
            self._last = response.to_bytes()
            self.step(now, item, response)

    def _do(self, now: float, action: Action, message: Message | None) -> None:
        if action is Action.SEND:
            if self._last is not None:
                self._layer.transmit(self.path, self._last)
        elif action is Action.SEND_TRYING:
            self._last = self.request.response(100).to_bytes()
            self._layer.transmit(self.path, self._last)
        elif action is Action.DELIVER:
            assert isinstance(message, Request)
            self._layer.user.handle_stray_ack(now, message)


def response_input(response: Response) -> Input:
    """Return the input that a response is."""
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
