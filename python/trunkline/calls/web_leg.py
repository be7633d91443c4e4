"""A leg that is a browser: call verbs to messages on its socket, and its messages to call events.

Owns the browser's side of offer and answer. Knows no frame: `WebPort` does. A browser has one description a call: it
is given its answer once and never offers again (as WCS clients do).   RFC 8829, RFC 3264.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from trunkline.calls.events import DtmfMethod, LegAnswered, LegDescribed, LegEnded, LegRang, Reply
from trunkline.calls.legs.absent import NoReferrer
from trunkline.calls.media_leg import LegContext, MediaLeg
from trunkline.calls.model import (
    Call,
    CallEnd,
    CallState,
    EndReason,
    LegDirection,
    LegKind,
    ReceivedText,
    Side,
    TransferStatus,
)
from trunkline.calls.outcomes import nothing
from trunkline.calls.ports import LegPort, WebPort
from trunkline.errors import InvalidCallState, NegotiationError
from trunkline.media.types import Codec, Direction
from trunkline.sdp.negotiator import WebRtcNegotiator
from trunkline.sdp.parser import parse


class WebLeg(NoReferrer, MediaLeg):
    """One call on one browser's socket. offer: the browser's if it calls, None if it is called."""

    def __init__(self, context: LegContext, web: WebPort, offer: str | None) -> None:
        direction = LegDirection.OUTBOUND if offer is None else LegDirection.INBOUND
        super().__init__(context, LegKind.WEB, direction, WebRtcNegotiator())
        self._web = web
        self._offer_text = offer
        self._is_over = False

    @property
    def call(self) -> Call:
        """The call that the browser is in."""
        return self._context.call

    @property
    def side(self) -> Side:
        """Its side of that."""
        return self._context.side

    @property
    def is_over(self) -> bool:
        """Whether the browser has nothing to do with the call any more."""
        return self._is_over

    # --- what the browser did, as its session read it ---

    def answered(self, description: str) -> None:
        """Take the browser's answer."""
        if not self._is_over:
            self._context.post(LegAnswered(description))

    def hung_up(self, reason: EndReason) -> None:
        """Learn that the browser ended, refused or abandoned the call."""
        if not self._is_over:
            self._context.post(LegEnded(CallEnd(reason, by=self._context.side)))

    # --- LegPort ---

    @property
    def hears_of_hold(self) -> bool:
        """No: nothing is offered to it."""
        return False

    def open(self) -> Awaitable[None]:
        """See `LegPort`."""
        return self._open(self._offer_text)

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """Offer the call. The description goes first: a client may answer as soon as it hears of the call."""
        self._offer = self._sdp.offer(self._towards(preferred), self._identity)
        self._web.remote_description(self._context.call.id, str(self._offer))
        self._web.incoming_call(self._context.call)
        self._context.post(LegRang())

    def accept(self, description: str) -> Awaitable[None]:
        """Take the browser's answer; an empty one changes nothing."""
        if not description and self._negotiated is not None:
            return nothing()
        if self._offer is None or not description:
            raise NegotiationError("the browser answered without a description")
        return self._take(self._sdp.accept(self._offer, parse(description)))

    def describe(self, preferred: tuple[Codec, ...]) -> Awaitable[None]:
        """Answer the browser's offer."""
        assert self._offer is not None
        agreement = self._sdp.answer(self._offer, self._towards(preferred), self._identity)
        taken = self._take(agreement)
        self._web.remote_description(self._context.call.id, str(agreement.description))
        return taken

    def ring(self) -> None:
        """Nothing: `report` shows it."""

    def connect(self) -> None:
        """Nothing: the browser has its answer, and `report` shows the rest."""

    async def answer_offer(self, description: str) -> None:
        """Nothing: browsers do not offer again."""

    async def offer_again(self, direction: Direction) -> None:
        """Take it at once: a browser is not asked, what it is sent changes by itself."""
        self._context.post(LegDescribed(self._context.side, ""))

    def refuse_offer(self) -> None:
        """Nothing: browsers do not offer again."""

    def send_on(self, target: str, consulted: LegPort | None) -> None:
        """Refuse: a browser calls nobody by itself."""
        raise InvalidCallState("a browser cannot be transferred")

    async def send_dtmf(self, digits: str, *, method: DtmfMethod, duration_ms: int | None = None, reply: Reply) -> None:
        """Send digits to the browser as RFC 4733 events; it has no INFO."""
        await self._play_digits(digits, duration_ms)
        reply(None)

    def tell(self, text: ReceivedText, reply: Reply) -> None:
        """Show the browser a text."""
        self._web.message_received(text)
        reply(None)

    def dtmf_failed(self, info: str) -> None:
        """Say that the browser's digits could not be sent."""
        self._web.request_failed("sendDtmf", self._context.call.id, info)

    def report(self) -> None:
        """Show the call's status."""
        self._web.call_status(self._context.call)

    # --- transfers that the far side asks for ---
    #
    # WCS's SDK hands the browser's one peer connection from a call to its successor: it lays it by at a transfer event
    # of the former one, and the next call that is shown a status and has none takes it. So the successor is announced,
    # but shown no status before it is answered; after a failure its end comes last, and takes back what was laid by.

    def show_transfer(self, *, by: str = "", must_ask: bool = False) -> None:
        """See `LegPort`."""
        call = self._context.call
        if call.transfer is not None:
            self._web.transfer(call, call.transfer, incoming=True, by=by, must_ask=must_ask)

    def introduce(self, successor: Call) -> None:
        """See `LegPort`."""
        self._web.incoming_call(successor)

    def dismiss(self, successor: Call) -> None:
        """See `LegPort`."""
        self._web.call_status(successor)

    def succeeded(self, former: Call) -> None:
        """See `LegPort`."""
        self._web.transfer(former, TransferStatus.COMPLETED, incoming=True)
        self._web.call_status(former)

    def hang_up(self, end: CallEnd) -> None:
        """Show how the call ended, also to the browser that ended it: its SDK waits for that.

        To this browser it is over, even if the call itself goes on with others.
        """
        if not self._is_over:
            self._is_over = True
            call = self._context.call
            if end.reason is EndReason.TRANSFERRED:
                self._web.transfer(call, TransferStatus.COMPLETED, incoming=False)
            self._web.call_status(replace(call, state=CallState.ENDED, status=end.reason.value.status, end=end))
