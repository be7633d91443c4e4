"""The gate before new requests from outside: what is looked at before anything is kept of a request.

Owns the question and the shapes of its answer; who is let in is the application's to say. Its verdict costs no state: a
refusal is written at once and forgotten.   RFC 3261 sections 8.2.7, 22.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trunkline.sip.message import Request
from trunkline.sip.types import HeaderFields, Path


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may come in. peer: who sends it, as the application calls them; empty if nobody it knows."""

    peer: str = ""


@dataclass(frozen=True, slots=True)
class Turned:
    """The request is answered and forgotten. headers: of the response, e.g. a challenge. counter: what it counts as."""

    status: int
    counter: str
    headers: HeaderFields = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """The sender is to learn nothing, not even that somebody is here. counter: what it counts as."""

    counter: str


Verdict = Admitted | Turned | Ignored


class Gate(Protocol):
    """Judges requests that belong to no call of ours, were not seen before and name no Contact that we registered."""

    def judge(self, now: float, request: Request, path: Path) -> Verdict:
        """Say what becomes of a request. now: the user agent's clock. path: remote is where it came from."""
        ...

    def may_answer(self, path: Path) -> bool:
        """Say whether whoever sends what cannot be read is told so."""
        ...
