"""Texts between browsers, REST and the SIP side: SIP MESSAGE with an account, and to the browser that it is for.

Owns the way of a text from one to the other, and what a peer's is answered. Nothing is kept: a text for somebody who is
not here is refused, and its sender's server may store it.   RFC 3428.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.ports import Text
from trunkline.calls.routing import dialable
from trunkline.errors import LegRejected, NoRoute, TransactionTimeout
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.types import Account, MessageAnswered, MessageReceived, MessageRequest, RegistrationId

_TIMEOUT: Final = 408
_ANSWER_LIMIT_S: Final = 40.0
"""Longer than any transaction: its own end tells why."""

_log = get_logger(__name__)


class Reader(Protocol):
    """Who shows what comes: a session."""

    def message_received(self, message: MessageReceived) -> None:
        """Show a text."""


class Messages:
    """Sends texts, and finds the reader of those that come. readers: by the registration whose Contact was used."""

    def __init__(self, sip: SipAccess, metrics: Metrics, readers: Mapping[RegistrationId, Reader]) -> None:
        self._sip = sip
        self._metrics = metrics
        self._readers = readers
        sip.events.on_message(self._received)

    def send(self, account: Account | None, text: Text, on_answer: Callable[[MessageAnswered], None]) -> None:
        """Send a text with an account; `on_answer` gets what became of it.

        NoRoute if nobody was named, or without an account; LocalProtocolError if the text cannot be sent.
        """
        if account is None:
            raise NoRoute("no SIP account to send with")
        request = MessageRequest(
            target_uri=dialable(text.recipient),
            text=text.body,
            content_type=text.content_type,
            account=account,
            display_name=text.display_name,
        )

        def answered(event: MessageAnswered) -> None:
            self._metrics.messages.labels("sent" if event.status < 300 else "not_sent").inc()
            on_answer(event)

        self._sip.events.bind_message(self._sip.verbs.send_message(request), answered)

    async def deliver(self, account: Account, text: Text) -> None:
        """Send a text and return when the far side has taken it. Raises as `send`; LegRejected, TransactionTimeout."""
        outcome: asyncio.Future[MessageAnswered] = asyncio.get_running_loop().create_future()

        def answered(event: MessageAnswered) -> None:
            if not outcome.done():
                outcome.set_result(event)

        self.send(account, text, answered)
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                event = await outcome
        except TimeoutError as late:
            raise TransactionTimeout("the SIP side did not answer in time") from late
        if event.status == _TIMEOUT:
            raise TransactionTimeout("the SIP side did not answer in time")
        if event.status >= 300:
            raise LegRejected(event.status, event.reason)

    def _received(self, message: MessageReceived) -> None:
        """Show a text to whom it is for; nobody else's: an unknown contact is answered 404."""
        reader = None if message.registration is None else self._readers.get(message.registration)
        if reader is None:
            self._metrics.messages.labels("nobody").inc()
            self._sip.verbs.respond(message.request, NoRoute.sip_status)
            return
        self._metrics.messages.labels("received").inc()
        _log.info("message_received", bytes=len(message.text))
        reader.message_received(message)
        self._sip.verbs.respond(message.request, 200)
