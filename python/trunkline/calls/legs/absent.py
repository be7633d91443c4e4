"""What a leg does about transfers that it never sees: those without a far side that refers, and those without a client.

Owns nothing; a leg takes from here what `LegPort` asks of it in vain.
"""

from __future__ import annotations

from trunkline.calls.model import Call
from trunkline.calls.ports import LegContext, LegPort
from trunkline.errors import InvalidCallState, NoRoute


class NoReferrer:
    """A leg whose far side cannot transfer us, and whose place nobody else can take."""

    __slots__ = ()

    def answer_referral(self, status: int) -> None:
        """Never asked."""

    def tell_referral(self, status: int, phrase: str) -> None:
        """Nobody to tell."""

    def successor(self, context: LegContext) -> LegPort:
        """Refuse: nobody was named."""
        raise NoRoute("nobody to call")

    def moved(self, context: LegContext) -> LegPort:
        """Refuse: there is no far side that could be asked."""
        raise InvalidCallState("the call has no SIP side")

    def replacement(self, context: LegContext) -> LegPort:
        """Refuse: nobody wants to."""
        raise NoRoute("nobody called")

    def refuse_replacement(self, status: int) -> None:
        """Nobody to refuse."""


class NoClient:
    """A leg whose far side is not shown what happens in the call."""

    __slots__ = ()

    def show_transfer(self, *, by: str = "", must_ask: bool = False) -> None:
        """Nobody to show it to."""

    def introduce(self, successor: Call) -> None:
        """Nobody to show it to."""

    def dismiss(self, successor: Call) -> None:
        """Nobody to show it to."""

    def succeeded(self, former: Call) -> None:
        """Nobody to show it to."""
