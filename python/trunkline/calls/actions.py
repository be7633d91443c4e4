"""What is done about an event: the vocabulary of the machine's rows.

Owns the names only. `call_run` carries them out one by one; the facts are in the event that caused the row.
"""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What the controller does, one by one; the facts are in the event that caused it."""

    OPEN_A = "open_a"
    """Read the A-leg's offer and make its endpoint."""
    OPEN_B = "open_b"
    """Make the B-leg's endpoint."""
    DIAL_B = "dial_b"
    """Offer the call to the callee."""
    ARM_SETUP = "arm_setup"
    ARM_RING = "arm_ring"
    DISARM_RING = "disarm_ring"
    ARM_DURATION = "arm_duration"
    """Start or stop one of the clocks of `Timer`; only one of SETUP and DURATION runs."""
    RING_A = "ring_a"
    """Tell the A-leg that the callee is alerted, with a description if one was made."""
    ACCEPT_B = "accept_b"
    """Take the B-leg's answer: its endpoint learns the far side."""
    DESCRIBE_A = "describe_a"
    """Make the A-leg's answer, preferring the codec of the B-leg."""
    JOIN = "join"
    """Let media through between the endpoints."""
    CONNECT_A = "connect_a"
    """Answer the A-leg."""
    EXPECT_MEDIA = "expect_media"
    """Count the silence of both legs from now on."""
    REPORT = "report"
    """Tell clients the new status."""
    ANSWER_OFFER = "answer_offer"
    """Negotiate a leg's new offer and answer it."""
    TAKE_ANSWER = "take_answer"
    """Take a leg's answer to an offer that we made late."""
    REFUSE_OFFER = "refuse_offer"
    """A new offer that cannot be taken now."""
    SEND_DTMF = "send_dtmf"
    NOTE_DTMF = "note_dtmf"
    """Remember a digit that was heard, and send it on if nobody else does."""
    DISARM_TIMERS = "disarm_timers"
    HANG_UP_B = "hang_up_b"
    HANG_UP_A = "hang_up_a"
    """End a leg in the way that fits its state; nothing if it is over already."""
    PART = "part"
    """Undo JOIN."""
    CLOSE_ENDPOINTS = "close_endpoints"
    FORGET = "forget"
    """Take the call out of the registry and write how it ended."""
