"""Texts of pages that speak SIP: from them to the SIP side, over trunks or to other users of the node, and to them.

Owns MESSAGE outside dialogs. Who may send and by which way is judged as for calls; what is for no page is left to
`messages`.   RFC 3428, RFC 7118.
"""

from __future__ import annotations

from functools import partial

from trunkline.calls.legs.sip_party import OutboundCall, SipAccess, message_of
from trunkline.calls.legs.texts import text_of
from trunkline.calls.messages import Messages, OnOutcome, Outcome
from trunkline.calls.model import ReceivedText
from trunkline.calls.pages.parties import Parties, Party, Wish, hop_to, sip_uri, user_of
from trunkline.calls.pages.registrations import PageRegistrations, credentials_of
from trunkline.calls.ports import Text
from trunkline.errors import LocalProtocolError, NoRoute
from trunkline.observability.logging import get_logger
from trunkline.sip.headers import SipUri
from trunkline.sip.registrar import UNHEARD, Binding
from trunkline.sip.types import MessageAnswered, MessageReceived

_FORBIDDEN = 403

_log = get_logger(__name__)


class PageTexts:
    """Takes MESSAGE of pages, and what is for them."""

    def __init__(
        self, registrations: PageRegistrations, *, parties: Parties, sip: SipAccess, messages: Messages
    ) -> None:
        self._registrations = registrations
        self._parties = parties
        self._sip = sip
        self._messages = messages
        sip.events.on_message(self._received)

    def readers_of(self, login: str) -> tuple[PageReader, ...]:
        """See `messages.Readers`: every page of a user."""
        return tuple(PageReader(self._sip, page) for page in self._registrations.of_user(login))

    def _received(self, message: MessageReceived) -> None:
        if message.path.transport.is_websocket and message.registration is None:
            self._from_page(message)
            return
        pages = self._registrations.called(user_of(message.target), message.registration)
        if pages is None:
            self._messages.received(message)
            return
        readers = [PageReader(self._sip, page) for page in pages]
        self._messages.show(readers, text_of(message), partial(self._messages.answer, message.request))

    def _from_page(self, message: MessageReceived) -> None:
        """Take a text of a page, if it is who it says: one that has registered on this flow, or has the password."""
        sender = self._parties.caller(message.sender, message.path)
        if sender is None:
            self._messages.refuse(message.request, _FORBIDDEN)
            return
        if sender.user is not None and sender.binding is None:
            reply = self._registrations.passwords.judge("MESSAGE", sender.user.login, message.headers, message.path)
            if reply is not None:
                self._sip.verbs.respond(message.request, reply.status, reason=reply.reason, headers=reply.headers)
                return
        recipient = sip_uri(message.target)
        if recipient is None:
            self._messages.refuse(message.request, NoRoute.sip_status)
        elif not self._is_shown_here(message, sender, recipient):
            self._send_out(message, sender, recipient)

    def _is_shown_here(self, message: MessageReceived, sender: Party, recipient: SipUri) -> bool:
        """Show a text to another user of the node; False if it is for none, or for one who may be found beyond."""
        if sender.user is None or recipient.host.lower() != sender.uri.host.lower():
            return False
        if not self._registrations.passwords.knows(recipient.username):
            return False
        readers = self._messages.readers_of(recipient.username, besides=message.path.connection)
        if not readers and sender.user.account is not None:
            return False
        self._messages.show(readers, text_of(message), partial(self._messages.answer, message.request))
        return True

    def _send_out(self, message: MessageReceived, sender: Party, recipient: SipUri) -> None:
        """Pass a text on to the SIP side: to the server that knows the page, or as its user may call."""
        text = Text(recipient=str(recipient), body=message.text, content_type=message.content_type)
        try:
            if sender.user is None:
                self._pass_on(message, sender, recipient, text)
                return
            wish = Wish(recipient, message.display_name)
            ways = self._parties.text_ways(sender.user, sender.uri.host, wish)
            self._messages.send_by(ways, text, partial(self._messages.answer, message.request))
        except (NoRoute, LocalProtocolError) as error:
            _log.warning("page_text_refused", error=str(error))
            self._messages.refuse(message.request, error.sip_status)

    def _pass_on(self, message: MessageReceived, sender: Party, recipient: SipUri, text: Text) -> None:
        passwords, aor = self._registrations.passwords, sender.uri.address_of_record
        credentials = credentials_of(message.headers)
        if not passwords.may_go_upstream(aor, credentials, message.path):
            self._sip.verbs.respond(message.request, _FORBIDDEN, reason=UNHEARD)
            return

        def told(outcome: Outcome) -> None:
            if credentials and outcome.challenges:
                passwords.note_upstream(aor, outcome.challenges, message.path)
            self._messages.answer(message.request, outcome)

        way = self._parties.passed_on(sender, recipient, message.display_name, credentials)
        self._messages.send_by([way], text, told)


class PageReader:
    """One page, as a place where its user reads."""

    def __init__(self, sip: SipAccess, page: Binding) -> None:
        self._sip = sip
        self._page = page

    @property
    def where(self) -> int:
        """See `messages.Reader`."""
        return self._page.path.connection

    def read(self, text: ReceivedText, on_outcome: OnOutcome) -> None:
        """Send a text to the page; a sender of this node is told as one in the page's own domain, to be answered."""
        page = self._page

        def answered(event: MessageAnswered) -> None:
            on_outcome(Outcome(event.status, event.reason))

        try:
            way = OutboundCall(
                account=None,
                target=str(page.contact),
                display_name=text.display_name,
                from_uri=text.uri or str(SipUri.of(text.sender, page.domain)),
                hop=hop_to(page),
            )
            sent = self._sip.verbs.send_message(message_of(way, text.body, text.content_type))
        except LocalProtocolError as error:
            on_outcome(Outcome(error.sip_status, str(error)))
        else:
            self._sip.events.bind_message(sent, answered)
