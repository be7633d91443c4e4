"""The four transaction machines, as tables, and the timers that run in their states.

A row reads: in this state, on this input, go there and do that; what no row names is absorbed. A state's timers run
while the machine is in it and stop when it leaves.   RFC 3261 section 17, RFC 6026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
    PATIENCE = "patience"
    """Ours, for the pause of RFC 4320 section 4.1 before the 100 of a request that is no INVITE."""


class Action(StrEnum):
    """What a row does besides changing the state."""

    SEND = "send"
    """The request, or the last response."""
    SEND_ACK = "send ack"
    SEND_TRYING = "send 100"
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

# RFC 3261 figure 8 with RFC 4320 section 4.1 (a 100, but not before the client repeats itself at T2 anyway).
NON_INVITE_SERVER = Machine(
    "non-INVITE server",
    _S.TRYING,
    {
        (_S.TRYING, _I.PATIENCE): (_S.PROCEEDING, (_A.SEND_TRYING,)),
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
    {_S.TRYING: (_I.PATIENCE,), _S.COMPLETED: (_I.TIMER_J,)},
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
            case Input.PATIENCE:
                return self.t2 - self.t1  # timer E of the client has run for that long when it reaches T2
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
