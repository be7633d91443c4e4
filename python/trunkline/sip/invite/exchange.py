"""Where offer and answer stand in one dialog, as a table.

Owns the rule that one offer is open at a time, whatever carried it: INVITE, 18x, 2xx, ACK, PRACK or UPDATE. Knows no
message; the session descriptions are text to it.   RFC 3264 section 4, RFC 6337 section 2, RFC 3311 section 5.2.
"""

from __future__ import annotations

from enum import StrEnum

from trunkline.errors import InvalidCallState


class Phase(StrEnum):
    """Whose turn it is."""

    NONE = "none"
    """Nothing was offered yet."""
    OURS = "ours"
    """Our offer waits for their answer."""
    THEIRS = "theirs"
    """Their offer waits for our answer."""
    AGREED = "agreed"


class Step(StrEnum):
    """What was sent or came."""

    OFFER_SENT = "offer sent"
    OFFER_RECEIVED = "offer received"
    ANSWER_SENT = "answer sent"
    ANSWER_RECEIVED = "answer received"


ROWS: dict[tuple[Phase, Step], Phase] = {
    (Phase.NONE, Step.OFFER_SENT): Phase.OURS,
    (Phase.NONE, Step.OFFER_RECEIVED): Phase.THEIRS,
    (Phase.AGREED, Step.OFFER_SENT): Phase.OURS,
    (Phase.AGREED, Step.OFFER_RECEIVED): Phase.THEIRS,
    (Phase.OURS, Step.ANSWER_RECEIVED): Phase.AGREED,
    (Phase.THEIRS, Step.ANSWER_SENT): Phase.AGREED,
}
"""RFC 3264 section 4: no row lets a second offer in before the first has its answer."""


class Exchange:
    """Offer and answer of one dialog. local, remote: the descriptions agreed on last; rounds: how many were."""

    __slots__ = ("_offer", "local", "phase", "remote", "rounds")

    def __init__(self) -> None:
        self.phase = Phase.NONE
        self.local: str | None = None
        self.remote: str | None = None
        self.rounds = 0
        self._offer = ""

    def take(self, step: Step, sdp: str) -> None:
        """Note a description. InvalidCallState if it is not its turn."""
        phase = ROWS.get((self.phase, step))
        if phase is None:
            raise InvalidCallState(f"{step} while the offer is {self.phase}")
        self.phase = phase
        if phase is not Phase.AGREED:
            self._offer = sdp
            return
        self.rounds += 1
        self.local, self.remote = (self._offer, sdp) if step is Step.ANSWER_RECEIVED else (sdp, self._offer)

    def withdraw(self) -> None:
        """Forget the open offer: it was refused, cancelled or lost. The session stays as agreed."""
        if self.phase is not Phase.AGREED:
            self.phase = Phase.AGREED if self.rounds else Phase.NONE

    @property
    def collision(self) -> int | None:
        """Status for an offer of theirs that comes now, None if it is welcome.   RFC 3311 section 5.2."""
        return {Phase.OURS: 491, Phase.THEIRS: 500}.get(self.phase)

    @property
    def may_offer(self) -> bool:
        """Whether an offer of ours may go out now."""
        return self.phase in (Phase.NONE, Phase.AGREED)

    def fork(self) -> Exchange:
        """Return a copy for another dialog of the same INVITE."""
        twin = Exchange()
        twin.phase, twin._offer = self.phase, self._offer
        return twin
