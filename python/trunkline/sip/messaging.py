"""MESSAGE, both ways: text outside and inside dialogs.   RFC 3428.

Owns what a message may hold and one request from `start` to its one answer. Whom a message that comes is for, and what
it is answered, is the application's to say.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from trunkline.errors import LocalProtocolError
from trunkline.sip.client import AccountAccess, ClientRequest, challenges_of
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import plain_text
from trunkline.sip.message import Request, Response
from trunkline.sip.types import HeaderFields, Hop, MessageAnswered, MessageId, MessageRequest

METHOD: Final = "MESSAGE"
ACCEPTED: Final = (
    *("text/plain", "text/html", "message/cpim"),
    *("application/im-iscomposing+xml", "message/imdn+xml"),
)
"""Content types that the application is asked about: texts, and what tells of their writing (RFC 3994), delivery and
reading (RFC 5438)."""
MAX_BYTES: Final = 16_384
"""Of a body, both ways. What is too long for UDP goes by TCP (RFC 3428 section 8)."""


def refusal(request: Request) -> tuple[int, HeaderFields] | None:
    """Judge a message that came; status and headers if it cannot be taken.   RFC 3428 section 7."""
    if len(request.body) > MAX_BYTES:
        return 513, ()
    if request.headers.get("Content-Encoding"):
        return 415, (("Accept-Encoding", "identity"),)
    if request.body and request.content_type not in ACCEPTED:
        return 415, (("Accept", ", ".join(ACCEPTED)),)
    return None


class OutgoingMessage:
    """One MESSAGE of ours. It has no Contact: no dialog comes of it."""

    def __init__(self, core: Core, message_id: MessageId, template: Request) -> None:
        self.id = message_id
        self._core = core
        self._template = template

    def send(self, now: float, hop: Hop | None, access: AccountAccess | None) -> None:
        """Send it outside dialogs."""
        ClientRequest(self._core, self, self._template, hop=hop, next_cseq=count(1).__next__, access=access).start(now)

    def send_within(self, now: float, dialog: Dialog, access: AccountAccess | None) -> None:
        """Send it within a dialog."""
        hop = self._core.hop_within(dialog)
        client = ClientRequest(self._core, self, self._template, hop=hop, next_cseq=dialog.next_cseq, access=access)
        client.start(now)

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Tell the answer."""
        answered = MessageAnswered(self.id, response.status, plain_text(response.reason), challenges_of(response))
        self._core.emit(answered)

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Tell that there is none."""
        self._core.emit(MessageAnswered(self.id, status, plain_text(reason)))


def with_text(request: Request, message: MessageRequest) -> Request:
    """Put the text in. LocalProtocolError if it is too long, or of a type that nobody here reads."""
    if message.content_type not in ACCEPTED:
        raise LocalProtocolError("not a content type of messages")
    body = message.text.encode()
    if len(body) > MAX_BYTES:
        raise LocalProtocolError(f"a message has at most {MAX_BYTES} bytes")
    written = f"{message.content_type};charset=UTF-8" if message.content_type.startswith("text/") else None
    return request.with_body(written or message.content_type, body)
