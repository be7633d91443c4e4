"""Texts that come in from trunks, for the web user that has the number called.

Owns the way of one MESSAGE from its trunk to its reader, by the rules of inbound calls. A rule that leads to a trunk or
to an application is about calls; texts are not sent on by it.   RFC 3428 section 7.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from trunkline.calls.messages import Messages
from trunkline.calls.model import ReceivedText
from trunkline.calls.trunks.fleet import Fleet, Source
from trunkline.errors import NoRoute
from trunkline.observability.logging import get_logger
from trunkline.sip.types import MessageReceived
from trunkline.trunks.choice import inbound_rule
from trunkline.trunks.identity import ANONYMOUS, caller_of, user_of
from trunkline.trunks.limits import Way
from trunkline.trunks.model import Destination, ToUser

_UNAVAILABLE: Final = 480

_log = get_logger(__name__)


class InboundTexts:
    """Takes every text that no registration of a browser's or a page's claims."""

    def __init__(self, fleet: Fleet, messages: Messages) -> None:
        self._fleet = fleet
        self._messages = messages

    def take(self, message: MessageReceived) -> None:
        """Show a text to the user it is for, or refuse it. It counts as an attempt to call, and holds no line."""
        source = self._fleet.source_of(message)
        if source is None:
            self._messages.refuse(message.request, NoRoute.sip_status)
            return
        limited = self._fleet.admit(source)
        if limited is not None:
            _log.warning("inbound_text_limited", trunk=source.name, limit=limited.value)
            self._messages.refuse(message.request, source.limit_status)
            return
        source.capacity.release(Way.INBOUND)
        callee = user_of(message.target)
        if source.line is not None:
            callee = source.line.trunk.numbers.inbound_callee(callee)
        try:
            users = _users_of(*inbound_rule(callee, source.name, self._fleet.directory.inbound))
        except NoRoute as error:
            self._messages.refuse(message.request, error.sip_status)
            return
        for login in users:
            if readers := self._messages.readers_of(login):
                answer = partial(self._messages.answer, message.request)
                self._messages.show(readers, _read(message, source, callee), answer)
                return
        self._messages.refuse(message.request, _UNAVAILABLE if users else NoRoute.sip_status)


def _users_of(*destinations: Destination | None) -> list[str]:
    return [each.to.login for each in destinations if each is not None and isinstance(each.to, ToUser)]


def _read(message: MessageReceived, source: Source, callee: str) -> ReceivedText:
    """Read a text by its trunk's policy: who sends it, unless that is to stay hidden."""
    sender = caller_of(
        message.sender, message.display_name, message.asserted, message.privacy, message.headers, source.identity
    )
    if source.line is not None:
        sender = sender.renumbered(source.line.trunk.numbers.inbound_caller(sender.number))
    is_hidden = sender.is_private or not sender.number
    return ReceivedText(
        id=f"sip-{message.request}",
        sender=ANONYMOUS if is_hidden else sender.number,
        recipient=callee,
        display_name="" if is_hidden else sender.display_name,
        body=message.text,
        content_type=message.content_type,
        uri="sip:anonymous@anonymous.invalid" if is_hidden else "",
    )
