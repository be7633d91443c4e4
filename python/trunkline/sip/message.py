"""SIP messages as values: start line, header list, body.

Owns the building of responses, and the last gate before the wire: nothing with CR, LF or NUL is ever written that did
not come in that way.   RFC 3261 sections 7, 8.2.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.bodies import Part, parts_of, type_of
from trunkline.sip.headers import (
    CSeq,
    HeaderList,
    NameAddr,
    Reason,
    Uri,
    Via,
    is_token,
    parse_number,
    split_outside,
)
from trunkline.sip.phrases import reason_phrase

SDP = "application/sdp"
_START_LINE_BYTES = 80
"""Of a request, with Content-Length, roughly."""


_LONGEST_REMEMBERED = 256


def _words(value: str) -> tuple[str, ...]:
    return tuple([word for word in split_outside(value, ",") if word])


_words_known = lru_cache(maxsize=1_024)(_words)
"""Lists of words are the same in all messages of a peer."""


class _Message:
    """What requests and responses share. Typed access raises SipParseError where the text is bad."""

    __slots__ = ()
    headers: HeaderList
    body: bytes

    @property
    def sip_call_id(self) -> str:
        """The Call-ID."""
        return self.headers.sip_call_id

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return self.headers.cseq

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        return self.headers.from_

    @property
    def to(self) -> NameAddr:
        """The To header."""
        return self.headers.to

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Via values, the newest first."""
        return self.headers.vias

    @property
    def top_via(self) -> Via:
        """The newest Via."""
        vias = self.vias
        if not vias:
            raise SipParseError("Via is missing")
        return vias[0]

    @property
    def contacts(self) -> tuple[NameAddr, ...]:
        """All Contact values; none for `*`."""
        return self.headers.contacts

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """All Record-Route values, in the order of the message."""
        return self.headers.record_routes

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All Reason values."""
        return self.headers.many("reason", Reason.parse)

    def reason_cause(self, protocol: str) -> int | None:
        """Cause of the Reason header of a protocol (lower case); None if there is none or it cannot be read."""
        try:
            return next((reason.cause for reason in self.reasons if reason.protocol.lower() == protocol), None)
        except SipParseError:
            return None

    @property
    def takes_info(self) -> bool:
        """Whether Allow names INFO."""
        return "INFO" in self.option_tags("Allow")

    @property
    def asserted_identities(self) -> tuple[NameAddr, ...]:
        """All P-Asserted-Identity values; none if they cannot be read.   RFC 3325 section 9.1."""
        try:
            return self.headers.many("p-asserted-identity", NameAddr.parse)
        except SipParseError:
            return ()

    @property
    def privacy(self) -> tuple[str, ...]:
        """Words of Privacy in lower case.   RFC 3323 section 4.2."""
        text = self.headers.get("Privacy") or ""
        return tuple(word.strip(" \t").lower() for word in text.split(";") if word.strip(" \t"))

    def number(self, name: str) -> int | None:
        """Value of a header that is a plain number (Max-Forwards, Max-Breadth); None if there is none to read."""
        try:
            return parse_number(self.headers.get(name) or "")
        except SipParseError:
            return None

    @property
    def content_type(self) -> str:
        """Type of the body in lower case, without parameters; empty if not given."""
        return type_of(self.headers.get("Content-Type") or "")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the body, see `parts_of`; none if there is no body."""
        if not self.body:
            return ()
        return parts_of(
            self.headers.get("Content-Type") or "", self.headers.get("Content-Disposition") or "", self.body
        )

    @property
    def sdp(self) -> str | None:
        """The session description in the body, None if there is none."""
        if not self.body:
            return None
        if self.content_type == SDP:
            return self.body.decode("utf-8", "replace")
        return next((part.body.decode("utf-8", "replace") for part in self.parts if part.content_type == SDP), None)

    def option_tags(self, name: str) -> tuple[str, ...]:
        """Words of Require, Supported, Allow, ... in their order; none if they cannot be read."""
        values = self.headers.get_all(name)
        try:
            if len(values) == 1 and len(values[0]) <= _LONGEST_REMEMBERED:
                return _words_known(values[0])
            return tuple([word for value in values for word in _words(value)])
        except SipParseError:
            return ()

    def _headers_with_type(self, content_type: str) -> HeaderList:
        headers = self.headers.copy()
        headers.set("Content-Type", content_type)
        return headers

    def _to_bytes(self, start_line: str) -> bytes:
        return self.headers.write(start_line, self.body)


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """A request. `to_bytes` writes Content-Length; fields of that name in `headers` do not count."""

    method: str
    uri: Uri
    headers: HeaderList = field(default_factory=HeaderList)
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Write the message. LocalProtocolError if method or URI would break the start line."""
        uri = str(self.uri)
        if not is_token(self.method) or " " in uri or "\t" in uri:
            raise LocalProtocolError("a start line that cannot be written")
        return self._to_bytes(f"{self.method} {uri} SIP/2.0")

    def with_body(self, content_type: str, body: bytes) -> Request:
        """Return a copy with this body."""
        return Request(self.method, self.uri, self._headers_with_type(content_type), body)

    @property
    def about_bytes(self) -> int:
        """About how long the message is when it is written."""
        return _START_LINE_BYTES + self.headers.about_bytes + len(self.body)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """All Route values, the next hop first."""
        return self.headers.routes

    def response(
        self, status: int, reason: str | None = None, *, to_tag: str | Callable[[], str] | None = None
    ) -> Response:
        """Build a response: Via, From, To, Call-ID and CSeq as they came, and a To tag where there is none.

        to_tag: or who makes one if it is needed.   RFC 3261 section 8.2.6; Timestamp goes back in a 100.
        """
        tag = None
        if to_tag is not None and status > 100 and self.headers.may_be_tagged:
            tag = to_tag if isinstance(to_tag, str) else to_tag()
        headers = HeaderList.of_response(self.headers, tag, with_timestamp=status == 100)
        return Response(status, reason or reason_phrase(status), headers)


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """A response; `to_bytes` as of `Request`."""

    status: int
    reason: str
    headers: HeaderList = field(default_factory=HeaderList)
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Write the message. LocalProtocolError if the reason holds CR, LF or NUL."""
        return self._to_bytes(f"SIP/2.0 {self.status} {self.reason}")

    def with_body(self, content_type: str, body: bytes) -> Response:
        """Return a copy with this body."""
        return Response(self.status, self.reason, self._headers_with_type(content_type), body)


Message = Request | Response
