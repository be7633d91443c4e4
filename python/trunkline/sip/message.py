"""SIP messages as values: start line, ordered header list, body.

Owns header order and names (compact forms are expanded), the building of responses, and the last gate before the wire:
nothing with CR, LF or NUL is ever written that did not come in that way.   RFC 3261 sections 7, 8.2.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.headers import (
    CSeq,
    NameAddr,
    Reason,
    Uri,
    Via,
    check_field,
    is_token,
    parse_list,
    parse_number,
    split_outside,
)
from trunkline.sip.phrases import reason_phrase

SDP = "application/sdp"

_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
}

_Value = TypeVar("_Value")


@lru_cache(maxsize=1_024)
def _known_as(name: str) -> tuple[str, str]:
    """Return a header's name in lower case, and as it is written in full."""
    full = _COMPACT.get(name.lower(), name)
    return full.lower(), full


class HeaderList:
    """Header fields in order; names compare without regard to case. Values are unfolded text.

    Bytes that are not UTF-8 survive as surrogate escapes.
    """

    __slots__ = ("_fields", "_index", "_typed")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        """Build from fields of our own; LocalProtocolError on CR, LF or NUL."""
        self._fields: list[tuple[str, str, str]] = []
        self._index: dict[str, tuple[str, ...]] | None = None
        """Values by name in lower case, made when they are first asked for after a change."""
        self._typed: dict[str, Any] = {}
        for name, value in fields:
            self.add(name, value)

    @classmethod
    def received(cls, fields: Iterable[tuple[str, str]]) -> HeaderList:
        """Build from parsed fields: they hold no line breaks, and may hold a NUL that we have to echo."""
        headers = cls()
        headers._fields = [(*_known_as(name), value) for name, value in fields]
        return headers

    def copy(self) -> HeaderList:
        """Return an independent list with the same fields."""
        twin = HeaderList()
        twin._fields = self._fields.copy()
        return twin

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        check_field(name, value)
        self._change()
        self._fields.append((name.lower(), name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""
        check_field(name, value)
        self._change()
        self._fields.insert(0, (name.lower(), name, value))

    def extend_received(self, name: str, other: HeaderList) -> None:
        """Append all fields of this name from a received list, as they came."""
        self._change()
        key = name.lower()
        self._fields.extend(entry for entry in other._fields if entry[0] == key)

    def echo(self, name: str, other: HeaderList) -> None:
        """Append the first field of this name from a received list, as it came."""
        self._change()
        key = name.lower()
        self._fields.extend([entry for entry in other._fields if entry[0] == key][:1])

    def set(self, name: str, value: str) -> None:
        """Put one field in the place of all of this name, or at the end."""
        check_field(name, value)
        self._change()
        key = name.lower()
        at = next((index for index, entry in enumerate(self._fields) if entry[0] == key), len(self._fields))
        self._fields = [entry for entry in self._fields if entry[0] != key]
        self._fields.insert(at, (key, name, value))

    def set_top_via(self, via: Via) -> None:
        """Put a Via in the place of the newest one, leaving those behind it as they came."""
        self._change()
        for index, (key, name, value) in enumerate(self._fields):
            if key == "via":
                older = split_outside(value, ",")[1:]
                self._fields[index] = (key, name, ", ".join((str(via), *older)))
                return

    def remove(self, name: str) -> None:
        """Drop all fields of this name."""
        self._change()
        key = name.lower()
        self._fields = [entry for entry in self._fields if entry[0] != key]

    def get(self, name: str) -> str | None:
        """Value of the first field of this name."""
        values = self._values(name.lower())
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """Values of all fields of this name, in order."""
        return self._values(name.lower())

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names of which there is more than one field, in lower case."""
        return tuple(key for key, values in self._by_name().items() if len(values) > 1)

    def _values(self, key: str) -> tuple[str, ...]:
        return (self._index or self._by_name()).get(key, ())

    def release(self) -> None:
        """Give back the memory of what can be derived anew: nobody is expected to ask for it soon."""
        self._index, self._typed = None, {}

    def _by_name(self) -> dict[str, tuple[str, ...]]:
        index = self._index
        if index is None:
            index = self._index = {}
            for known, _, value in self._fields:
                index[known] = (*index[known], value) if known in index else (value,)
        return index

    def _change(self) -> None:
        """Forget what was derived from the fields."""
        self._index = None
        if self._typed:
            self._typed.clear()

    def one(self, name: str, parse: Callable[[str], _Value]) -> _Value:
        """Typed value of a header that must be there exactly once; SipParseError if not. The value is remembered."""
        known = self._typed.get(name)
        if known is None:
            values = self._values(name.lower())
            if len(values) != 1:
                raise SipParseError(f"{name} is missing" if not values else f"more than one {name}")
            known = self._typed[name] = parse(values[0])
        return known

    def many(self, name: str, parse: Callable[[str], _Value]) -> tuple[_Value, ...]:
        """Typed values of a header that may be repeated. The values are remembered."""
        known = self._typed.get(name)
        if known is None:
            known = self._typed[name] = parse_list(self.get_all(name), parse)
        return known

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(name, value) for _, name, value in self._fields])

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HeaderList):
            return NotImplemented
        return [entry[::2] for entry in self._fields] == [entry[::2] for entry in other._fields]

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"HeaderList({[name for _, name, _ in self._fields]})"


class _Message:
    """What requests and responses share. Typed access raises SipParseError where the text is bad."""

    __slots__ = ()
    headers: HeaderList
    body: bytes

    @property
    def sip_call_id(self) -> str:
        """The Call-ID."""
        return self.headers.one("Call-ID", str.strip)

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""
        return self.headers.one("CSeq", CSeq.parse)

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        return self.headers.one("From", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        """The To header."""
        return self.headers.one("To", NameAddr.parse)

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Via values, the newest first."""
        return self.headers.many("Via", Via.parse)

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
        if self.headers.get("Contact") == "*":
            return ()
        return self.headers.many("Contact", NameAddr.parse)

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """All Record-Route values, in the order of the message."""
        return self.headers.many("Record-Route", NameAddr.parse)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All Reason values."""
        return self.headers.many("Reason", Reason.parse)

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
            return self.headers.many("P-Asserted-Identity", NameAddr.parse)
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
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip(" \t").lower()

    @property
    def sdp(self) -> str | None:
        """The body, if it is a session description."""
        if not self.body or self.content_type != SDP:
            return None
        return self.body.decode("utf-8", "replace")

    def option_tags(self, name: str) -> tuple[str, ...]:
        """Words of Require, Supported, Allow, ... in their order; none if they cannot be read."""
        try:
            return tuple(word for value in self.headers.get_all(name) for word in split_outside(value, ",") if word)
        except SipParseError:
            return ()

    def _headers_with_type(self, content_type: str) -> HeaderList:
        headers = self.headers.copy()
        headers.set("Content-Type", content_type)
        return headers

    def _to_bytes(self, start_line: str) -> bytes:
        if "\r" in start_line or "\n" in start_line or "\0" in start_line:
            raise LocalProtocolError("CR, LF or NUL in a start line")
        lines = [start_line]
        lines += [f"{name}: {value}" for key, name, value in self.headers._fields if key != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


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
        return replace(self, headers=self._headers_with_type(content_type), body=body)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """All Route values, the next hop first."""
        return self.headers.many("Route", NameAddr.parse)

    def response(self, status: int, reason: str | None = None, *, to_tag: str | None = None) -> Response:
        """Build a response: Via, From, To, Call-ID and CSeq as they came, and a To tag where there is none.

        RFC 3261 section 8.2.6; Timestamp goes back in a 100.
        """
        headers = HeaderList()
        headers.extend_received("Via", self.headers)
        headers.echo("From", self.headers)
        to = self.headers.get("To") or ""
        if to_tag is not None and status > 100 and self._may_be_tagged():
            to = f"{to};tag={to_tag}"
        headers._fields.append(("to", "To", to))
        headers._change()
        headers.echo("Call-ID", self.headers)
        headers.echo("CSeq", self.headers)
        if status == 100:
            headers.echo("Timestamp", self.headers)
        return Response(status, reason or reason_phrase(status), headers)

    def _may_be_tagged(self) -> bool:
        try:
            return self.to.tag is None
        except SipParseError:
            return False


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
        return replace(self, headers=self._headers_with_type(content_type), body=body)


Message = Request | Response
