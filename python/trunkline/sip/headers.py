"""Typed header values and URIs: text to value and back.

Owns quoting, escaping and the grammar of single values. Parsed text is kept as it came wherever it will be sent again
(URIs, parameters), so that what a peer gave us returns to it unchanged. Must not decode `%` escapes into anything that
is put on the wire: `SipUri.username` is for people and for comparison only.   RFC 3261 sections 19.1, 20, 25.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from trunkline.errors import LocalProtocolError, SipParseError

Parameters = tuple[tuple[str, str | None], ...]
"""Names and raw values (with their quotes), in order; None for a name without `=`."""

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
_HOST_PORT = re.compile(rf"({_HOST.pattern})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?")
# `#` is not in the grammar of a user part, but phones send it unescaped when a service code is dialled.
_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})+")
_PASSWORD = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*")
_URI_TEXT = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:&+$;=@,|#^{}`]|%[0-9A-Fa-f]{2}|[\x80-\U0010ffff])*")
_VIA = re.compile(
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*({_TOKEN.pattern})[ \t]+({_HOST.pattern})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?"
    r"[ \t]*(?:;(.*))?",
    re.IGNORECASE | re.DOTALL,
)
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({_TOKEN.pattern})")
_PARAMETER_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\x00-\x20\x7f"<>,;]*', re.DOTALL)
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FORBIDDEN = re.compile(r"[\r\n\x00]")

MAX_CSEQ = 2**31 - 1
"""RFC 3261 section 8.1.1.5."""


# --- text -----------------------------------------------------------------------------------------------------------


def is_token(text: str) -> bool:
    """Whether text can stand unquoted (RFC 3261 section 25.1, `token`)."""
    return _TOKEN.fullmatch(text) is not None


def check_field(name: str, value: str) -> None:
    """Refuse what would break out of a header line: LocalProtocolError on CR, LF, NUL or a name that is no token."""
    if not is_token(name):
        raise LocalProtocolError(f"not a header name: {name!r}")
    if _FORBIDDEN.search(value):
        raise LocalProtocolError(f"CR, LF or NUL in a value of {name}")


def quote(text: str) -> str:
    r"""Make a quoted-string: `say "hi"` becomes `"say \"hi\""`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """Undo `quote`; text that is not quoted is returned as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def plain_text(text: str) -> str:
    """Make wire text fit for people and JSON: no control characters, nothing that is not UTF-8."""
    return _CONTROL.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def split_outside(text: str, separator: str) -> Iterator[str]:
    """Split at a separator that stands neither in quotes nor between `<` and `>`; pieces are stripped."""
    if '"' not in text and "<" not in text:
        yield from (piece.strip(" \t") for piece in text.split(separator))
        return
    start = position = 0
    in_quotes = in_angle = False
    while position < len(text):
        char = text[position]
        if in_quotes:
            if char == "\\":
                position += 1
            elif char == '"':
                in_quotes = False
        elif char == '"':
            in_quotes = True
        elif char == "<":
            in_angle = True
        elif char == ">":
            in_angle = False
        elif char == separator and not in_angle:
            yield text[start:position].strip(" \t")
            start = position + 1
        position += 1
    if in_quotes or in_angle:
        raise SipParseError("a quote or an angle bracket is not closed")
    yield text[start:].strip(" \t")


def parse_parameters(text: str) -> Parameters:
    """Read `name=value;name...` (what follows the first `;`). Empty pieces are skipped, as many peers send them."""
    found: list[tuple[str, str | None]] = []
    for piece in split_outside(text, ";"):
        if not piece:
            continue
        name, equals, value = piece.partition("=")
        name, value = name.rstrip(" \t"), value.lstrip(" \t")
        if not is_token(name):
            raise SipParseError(f"not a parameter name: {name!r}")
        if _PARAMETER_VALUE.fullmatch(value) is None:
            raise SipParseError(f"bad value of parameter {name}")
        found.append((name, value if equals else None))
    return tuple(found)


def render_parameters(parameters: Parameters) -> str:
    """Write parameters, each led by `;`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


class _Parameterised:
    """Access to `parameters`, names without regard to case."""

    __slots__ = ()
    parameters: Parameters

    def has_parameter(self, name: str) -> bool:
        """Whether the parameter is there, with or without a value."""
        return any(key.lower() == name for key, _ in self.parameters)

    def parameter(self, name: str) -> str | None:
        """Value without quotes; None if absent or without a value. name: in lower case."""
        for key, value in self.parameters:
            if key.lower() == name:
                return None if value is None else unquote(value)
        return None

    def _parameters_with(self, name: str, value: str | None) -> Parameters:
        kept = list(self.parameters)
        for index, (key, _) in enumerate(kept):
            if key.lower() == name:
                kept[index] = (key, value)
                return tuple(kept)
        return (*kept, (name, value))


# --- URIs -----------------------------------------------------------------------------------------------------------


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    port = int(text)
    if not 0 < port < 65536:
        raise SipParseError(f"not a port: {text}")
    return port


def render_host(host: str, port: int | None) -> str:
    """Write host and port; an IPv6 literal gets its brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


@dataclass(frozen=True, slots=True)
class SipUri(_Parameterised):
    """A `sip:` or `sips:` URI.   RFC 3261 section 19.1.

    user: with its `%` escapes, as on the wire; None if there is no `@`. host: without brackets. header_text: what
    follows `?`, never turned into headers.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    parameters: Parameters = ()
    password: str | None = None
    header_text: str | None = None

    @classmethod
    def of(cls, user: str | None, host: str, port: int | None = None) -> SipUri:
        """Make a `sip:` URI from plain text: escapes the user part. LocalProtocolError if the host is not one."""
        bare = host[1:-1] if host[:1] == "[" else host
        if _HOST.fullmatch(f"[{bare}]" if ":" in bare else bare) is None:
            raise LocalProtocolError(f"not a host: {host!r}")
        escaped = None if user is None else percent_quote(user, safe=_USER_SAFE, errors="surrogateescape")
        if escaped == "":
            raise LocalProtocolError("an empty user part")
        return cls("sip", escaped, bare, port)

    @property
    def username(self) -> str:
        """User part without escapes, for people and comparison; empty if there is none."""
        return percent_unquote(self.user or "", errors="replace")

    def with_parameter(self, name: str, value: str | None) -> SipUri:
        """Return a copy with this parameter set."""
        return replace(self, parameters=self._parameters_with(name, value))

    @property
    def as_target(self) -> SipUri:
        """Return it as it may stand in a request line: without headers.   RFC 3261 table 1."""
        return self if self.header_text is None else replace(self, header_text=None)

    @property
    def address_of_record(self) -> str:
        """Scheme, user and host only, host in lower case: what identifies a person."""
        user = "" if self.user is None else f"{self.user}@"
        return f"{self.scheme}:{user}{render_host(self.host.lower(), None)}"

    def __str__(self) -> str:
        user = "" if self.user is None else self.user
        if self.password is not None:
            user += f":{self.password}"
        at = "" if self.user is None else "@"
        tail = "" if self.header_text is None else f"?{self.header_text}"
        return f"{self.scheme}:{user}{at}{render_host(self.host, self.port)}{render_parameters(self.parameters)}{tail}"


@dataclass(frozen=True, slots=True)
class OpaqueUri:
    """A URI of any other scheme (`tel:`, `urn:`, `http:`), kept as text."""

    scheme: str
    rest: str

    @property
    def as_target(self) -> OpaqueUri:
        """Return it as it is."""
        return self

    @property
    def address_of_record(self) -> str:
        """The whole URI."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | OpaqueUri


def parse_uri(text: str) -> Uri:
    """Read a URI that stands alone or between angle brackets."""
    found = _SCHEME.match(text)
    if found is None:
        raise SipParseError("a URI without a scheme")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme not in ("sip", "sips"):
        if not rest or _URI_TEXT.fullmatch(rest) is None:
            raise SipParseError(f"bad {scheme} URI")
        return OpaqueUri(scheme, rest)
    userinfo, at, tail = rest.rpartition("@")
    user = password = None
    if at:
        user, colon, secret = userinfo.partition(":")
        password = secret if colon else None
        if _USER.fullmatch(user) is None or (password is not None and _PASSWORD.fullmatch(password) is None):
            raise SipParseError("bad user part of a URI")
    tail, question, header_text = tail.partition("?")
    host_port, _, parameter_text = tail.partition(";")
    where = _HOST_PORT.fullmatch(host_port)
    if where is None:
        raise SipParseError("bad host or port of a URI")
    parameters = _uri_parameters(parameter_text)
    if question and _URI_TEXT.fullmatch(header_text) is None:
        raise SipParseError("bad headers of a URI")
    host = where[1].strip("[]")
    return SipUri(scheme, user, host, _port(where[2]), parameters, password, header_text if question else None)


def _uri_parameters(text: str) -> Parameters:
    found: list[tuple[str, str | None]] = []
    for piece in text.split(";") if text else ():
        name, equals, value = piece.partition("=")
        if not name or _URI_TEXT.fullmatch(piece) is None:
            raise SipParseError("bad parameter of a URI")
        found.append((name, value if equals else None))
    return tuple(found)


# --- header values --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NameAddr(_Parameterised):
    """An address with an optional display name: From, To, Contact, Route.   RFC 3261 section 20.10.

    display_name: without quotes or escapes. Always written with angle brackets, so that parameters stay the header's.
    """

    uri: Uri
    display_name: str = ""
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one value, in name-addr or addr-spec form."""
        text = text.strip(" \t")
        name = ""
        if text[:1] == '"':
            end = _closing_quote(text)
            name, text = unquote(text[: end + 1]), text[end + 1 :].lstrip(" \t")
            if text[:1] != "<":
                raise SipParseError("a display name without an address")
        elif "<" in text:
            plain, bracket, rest = text.partition("<")
            name, text = plain.strip(" \t"), bracket + rest
            if ";" in name or '"' in name or _CONTROL.search(name):
                raise SipParseError("bad display name")
        if text[:1] == "<":
            address, bracket, tail = text[1:].partition(">")
            tail = tail.strip(" \t")
            if not bracket or (tail and tail[0] != ";"):
                raise SipParseError("bad address in angle brackets")
            return cls(parse_uri(address.strip(" \t")), name, parse_parameters(tail[1:]))
        address, _, tail = text.partition(";")
        if "?" in address or "," in address:
            raise SipParseError("an address that needs angle brackets has none")
        return cls(parse_uri(address.rstrip(" \t")), "", parse_parameters(tail))

    @property
    def tag(self) -> str | None:
        """The `tag` parameter of From and To."""
        return self.parameter("tag")

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """Return a copy with this parameter set."""
        return replace(self, parameters=self._parameters_with(name, value))

    def __str__(self) -> str:
        shown = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{shown}<{self.uri}>{render_parameters(self.parameters)}"


def _closing_quote(text: str) -> int:
    position = 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return position
        position += 1
    raise SipParseError("a quote is not closed")


@dataclass(frozen=True, slots=True)
class Via(_Parameterised):
    """One Via value.   RFC 3261 section 20.42, RFC 3581. transport: in upper case."""

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one value."""
        found = _VIA.fullmatch(text.strip(" \t"))
        if found is None:
            raise SipParseError("bad Via")
        return cls(found[1].upper(), found[2].strip("[]"), _port(found[3]), parse_parameters(found[4] or ""))

    @property
    def branch(self) -> str | None:
        """The transaction's id when it starts with the magic cookie `z9hG4bK`."""
        return self.parameter("branch")

    @property
    def sent_by(self) -> str:
        """Host and port as one comparable text."""
        return render_host(self.host.lower(), self.port)

    def with_parameter(self, name: str, value: str | None) -> Via:
        """Return a copy with this parameter set."""
        return replace(self, parameters=self._parameters_with(name, value))

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {render_host(self.host, self.port)}{render_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method.   RFC 3261 section 20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read the value; SipParseError above 2**31 - 1."""
        found = _CSEQ.fullmatch(text.strip(" \t"))
        if found is None or int(found[1]) > MAX_CSEQ:
            raise SipParseError("bad CSeq")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class AuthValue:
    """Challenge or credentials: a scheme and its parameters.   RFC 3261 section 25.1, `challenge`, `credentials`.

    parameters: names in lower case, values without quotes.
    """

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> AuthValue:
        """Read one value of WWW-Authenticate, Proxy-Authenticate, Authorization or Proxy-Authorization."""
        scheme, _, rest = text.strip(" \t").partition(" ")
        if not is_token(scheme):
            raise SipParseError("bad authentication scheme")
        found: list[tuple[str, str]] = []
        for piece in split_outside(rest, ","):
            if not piece:
                continue
            name, equals, value = piece.partition("=")
            if not equals or not is_token(name.strip(" \t")):
                raise SipParseError("bad authentication parameter")
            found.append((name.strip(" \t").lower(), unquote(value.strip(" \t"))))
        return cls(scheme, tuple(found))

    def get(self, name: str, default: str = "") -> str:
        """Value of the first parameter of this name."""
        return next((value for key, value in self.parameters if key == name), default)

    def has(self, name: str) -> bool:
        """Whether the parameter is there."""
        return any(key == name for key, _ in self.parameters)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request was sent: protocol (`SIP`, `Q.850`), number and text.   RFC 3326."""

    protocol: str
    cause: int | None
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Reason:
        """Read one value. A cause that is no number is left out."""
        protocol, _, rest = text.strip(" \t").partition(";")
        parameters = dict(parse_parameters(rest))
        cause = parameters.get("cause") or ""
        number = int(cause) if cause.isascii() and cause.isdigit() and len(cause) <= 4 else None
        return cls(protocol.strip(" \t"), number, unquote(parameters.get("text") or ""))

    def __str__(self) -> str:
        cause = "" if self.cause is None else f";cause={self.cause}"
        return f"{self.protocol}{cause}" + (f";text={quote(self.text)}" if self.text else "")


def parse_number(text: str, *, maximum: int = 2**32 - 1) -> int:
    """Read delta-seconds and other plain numbers; SipParseError if there is anything else."""
    digits = text.strip(" \t")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        raise SipParseError("not a number")
    number = int(digits)
    if number > maximum:
        raise SipParseError("a number out of range")
    return number


_Value = TypeVar("_Value")


def parse_list(values: tuple[str, ...], parse: Callable[[str], _Value]) -> tuple[_Value, ...]:
    """Read all values of a header that may be repeated or hold several, separated by commas."""
    return tuple(parse(piece) for value in values for piece in split_outside(value, ",") if piece)
