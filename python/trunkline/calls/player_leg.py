"""The A-leg of a call that only the API asked for: nobody is there, so a player speaks for them.

Owns nothing but its own data: `call_run` plays the configured source out of the other leg's endpoint where it would
otherwise join two.
"""

from __future__ import annotations

from dataclasses import replace

from trunkline.calls.events import DtmfMethod, LegDescribed, Reply
from trunkline.calls.legs.absent import NoClient, NoReferrer
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import Call, CallEnd, Leg, LegDirection, LegKind, ReceivedText, Side
from trunkline.calls.ports import LegPort
from trunkline.errors import InvalidCallState
from trunkline.ids import LegId
from trunkline.media.types import Codec, Direction


class PlayerLeg(NoReferrer, NoClient):
    """A leg without a far side: every verb succeeds at once and does nothing."""

    def __init__(self, context: LegContext) -> None:
        self._context = context
        self._leg = Leg(LegId(f"{context.call.id}/{context.side}"), LegKind.PLAYER, LegDirection.INBOUND)

    @property
    def leg(self) -> Leg:
        """The leg as data; it never has an endpoint."""
        return self._leg

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """None: a player speaks what it is asked to."""
        return ()

    @property
    def hears_of_hold(self) -> bool:
        """No: nothing is offered to it."""
        return False

    async def open(self) -> None:
        """Nothing to make."""

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """Nobody to call."""

    async def settle(self) -> LegPort:
        """See `LegPort`: it was the only one."""
        return self

    async def accept(self, description: str) -> None:
        """Nothing was offered."""

    async def describe(self, preferred: tuple[Codec, ...]) -> None:
        """Nobody to answer."""

    def ring(self) -> None:
        """Nobody hears it."""

    def connect(self) -> None:
        """Nobody waits for it."""

    async def answer_offer(self, description: str) -> None:
        """Never comes."""

    async def offer_again(self, direction: Direction) -> None:
        """Take it at once: nobody has to be asked."""
        self._context.post(LegDescribed(self._context.side, ""))

    def refuse_offer(self) -> None:
        """Never comes."""

    def send_on(self, target: str, consulted: LegPort | None) -> None:
        """Refuse: nobody is there who could be sent."""
        raise InvalidCallState("nobody is there to be transferred")

    def serve(self, call: Call, side: Side) -> None:
        """See `LegPort`."""
        self._context = replace(self._context, call=call, side=side)
        self._leg.id = LegId(f"{call.id}/{side}")

    async def send_dtmf(self, digits: str, *, method: DtmfMethod, duration_ms: int | None = None, reply: Reply) -> None:
        """Nobody hears it."""
        reply(None)

    async def ignore_tones(self) -> None:
        """Nobody is heard."""

    def tell(self, text: ReceivedText, reply: Reply) -> None:
        """Refuse: nobody reads it."""
        raise InvalidCallState("nobody is there to read it")

    def dtmf_failed(self, info: str) -> None:
        """Nobody to tell."""

    def report(self) -> None:
        """Nothing: the API polls."""

    def hang_up(self, end: CallEnd) -> None:
        """Nobody to tell."""

    async def close(self) -> None:
        """Nothing to close."""
