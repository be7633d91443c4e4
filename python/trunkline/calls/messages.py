"""Texts between users, REST and the SIP side: SIP MESSAGE out, and in to wherever the user reads that it is for.

Owns the way of a text from one to the other, and what a peer's is answered. Nothing is kept: a text for somebody who is
not here is refused, and its sender's server may store it.   RFC 3428.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from trunkline.calls.events import Reply, TextPassed
from trunkline.calls.legs.fork import rank_of
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess, message_of
from trunkline.calls.legs.texts import text_of
from trunkline.calls.model import Call, ReceivedText
from trunkline.calls.ports import Text
from trunkline.calls.routing import route
from trunkline.errors import LegRejected, LocalProtocolError, NoRoute, TransactionTimeout
from trunkline.ids import CallId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.types import (
    Account,
    HeaderFields,
    IncomingRequestId,
    MessageAnswered,
    MessageReceived,
    RegistrationId,
)

_TIMEOUT: Final = 408
_UNAVAILABLE: Final = 480
_CHALLENGES: Final = (401, 407)
_ELSEWHERE: Final = frozenset((405, 408, 415, 500, 501, 502, 503, 504))
"""Refusals that are about the way, and not about whom the text is for: another way may do."""
_ANSWER_LIMIT_S: Final = 40.0
"""Longer than any transaction: its own end tells why."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a text. status: of SIP; 408 and 503 may be ours. challenges: as of `MessageAnswered`."""

    status: int
    phrase: str = ""
    challenges: HeaderFields = ()


OnOutcome = Callable[[Outcome], None]


class Reader(Protocol):
    """A place where a user reads texts: a browser, or a page by SIP."""

    @property
    def where(self) -> str | int:
        """Which connection it is on, so that nobody is sent what was written there."""
        ...

    def read(self, text: ReceivedText, on_outcome: OnOutcome) -> None:
        """Show a text; `on_outcome` gets whether it was taken."""


class Readers(Protocol):
    """Users of one kind that are here."""

    def readers_of(self, login: str) -> Sequence[Reader]:
        """Return where a user reads now. login: alone, or as `login@domain`."""
        ...


class Messages:
    """Sends texts, and finds the reader of those that come. by_registration: whose Contact was used."""

    def __init__(self, sip: SipAccess, metrics: Metrics, by_registration: Mapping[RegistrationId, Reader]) -> None:
        self.users: tuple[Readers, ...] = ()
        """Asked where a user reads. Set, as the next, once all are there."""
        self.otherwise: Callable[[MessageReceived], None] | None = None
        """Takes texts that no registration claims; without it they are refused."""
        self._sip = sip
        self._metrics = metrics
        self._by_registration = by_registration
        sip.events.on_message(self.received)

    # --- out ---

    def send(self, account: Account | None, text: Text, on_outcome: OnOutcome) -> None:
        """Send a text with an account; `on_outcome` gets what became of it.

        NoRoute if nobody was named, or without an account; LocalProtocolError if the text cannot be sent.
        """
        if account is None:
            raise NoRoute("no SIP account to send with")
        self.send_by([route(text.recipient, account, text.display_name)], text, on_outcome)

    def send_by(self, ways: Sequence[OutboundCall], text: Text, on_outcome: OnOutcome) -> None:
        """Send a text as calls would go, by the first of these ways that takes texts. Raises as `send`."""
        if not ways:
            raise NoRoute("no way leads there")
        way, *others = ways

        def answered(event: MessageAnswered) -> None:
            if others and event.status in _ELSEWHERE:
                try:
                    self.send_by(others, text, on_outcome)
                except LocalProtocolError as error:
                    on_outcome(Outcome(error.sip_status, str(error)))
                return
            self._metrics.messages.labels("sent" if event.status < 300 else "not_sent").inc()
            # Only a server that knows the sender, and not us, asks for a password that the sender has.
            on_outcome(Outcome(event.status, event.reason, event.challenges if way.account is None else ()))

        sent = self._sip.verbs.send_message(message_of(way, text.body, text.content_type))
        self._sip.events.bind_message(sent, answered)

    async def deliver(self, account: Account, text: Text) -> None:
        """Send a text and return when the far side has taken it. Raises as `send`; LegRejected, TransactionTimeout."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answered(told: Outcome) -> None:
            if not outcome.done():
                outcome.set_result(told)

        self.send(account, text, answered)
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                told = await outcome
        except TimeoutError as late:
            raise TransactionTimeout("the SIP side did not answer in time") from late
        if told.status == _TIMEOUT:
            raise TransactionTimeout("the SIP side did not answer in time")
        if told.status >= 300:
            raise LegRejected(told.status, told.phrase)

    # --- in, and from one user of the node to another ---

    def readers_of(self, login: str, besides: str | int = "") -> list[Reader]:
        """Return where a user reads now. besides: the connection that the text came on."""
        found = (reader for users in self.users for reader in users.readers_of(login))
        return [reader for reader in found if reader.where != besides]

    def show(self, readers: Sequence[Reader], text: ReceivedText, on_outcome: OnOutcome) -> None:
        """Show a text at all places of a user; the first that takes it makes the outcome, or all refusals together."""
        self._metrics.messages.labels("received" if readers else "nobody").inc()
        if not readers:
            on_outcome(Outcome(_UNAVAILABLE, "Temporarily Unavailable"))
            return
        _log.info("message_received", bytes=len(text.body), places=len(readers))
        delivery = _Delivery(len(readers), on_outcome)
        for reader in readers:
            reader.read(text, delivery.told)

    def received(self, message: MessageReceived) -> None:
        """Show a text to whom it is for; nobody else's: an unknown contact is answered 404."""
        reader = None if message.registration is None else self._by_registration.get(message.registration)
        if reader is not None:
            self.show([reader], text_of(message), partial(self.answer, message.request))
        elif self.otherwise is not None:
            self.otherwise(message)
        else:
            self.refuse(message.request, NoRoute.sip_status)

    def refuse(self, request: IncomingRequestId, status: int) -> None:
        """Answer a text that nobody gets."""
        self._metrics.messages.labels("nobody").inc()
        self._sip.verbs.respond(request, status)

    def answer(self, request: IncomingRequestId, outcome: Outcome) -> None:
        """Tell the sender of a text what became of it."""
        if outcome.status < 300:
            self._sip.verbs.respond(request, outcome.status)
        elif outcome.status in _CHALLENGES and not outcome.challenges:  # it was our password that would not do
            self._sip.verbs.respond(request, 403)
        else:
            self._sip.verbs.respond(request, outcome.status, reason=outcome.phrase or None, headers=outcome.challenges)


class _Delivery:
    """One text on its way to several places, until one has taken it or all have refused."""

    def __init__(self, waiting: int, on_outcome: OnOutcome) -> None:
        self._waiting = waiting
        self._on_outcome = on_outcome
        self._refusals: list[Outcome] = []
        self._is_taken = False

    def told(self, outcome: Outcome) -> None:
        """Learn from one place."""
        self._waiting -= 1
        if self._is_taken:
            return
        if outcome.status < 300:
            self._is_taken = True
            self._on_outcome(outcome)
            return
        self._refusals.append(outcome)
        if not self._waiting:
            self._on_outcome(min(self._refusals, key=lambda refusal: rank_of(refusal.status)))


def received_from(text: Text, message_id: str, sender: str, call: CallId | None = None) -> ReceivedText:
    """Return a text of a user of the node's as another one is shown it. sender: its login."""
    return ReceivedText(
        id=message_id,
        sender=sender,
        recipient=text.recipient,
        display_name=text.display_name,
        body=text.body,
        content_type=text.content_type,
        call=call,
    )


def within(call: Call, text: Text, message_id: str, reply: Reply) -> TextPassed:
    """Return the wish of a call's client that the other side reads a text; `reply` gets the outcome."""
    sender = call.request.callee if call.request.incoming else call.request.caller
    return TextPassed(call.client_side, received_from(text, message_id, sender, call.id), reply)
