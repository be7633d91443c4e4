"""Log lines: their shape, their context and what must never be in them.

Owns the one way by which lines are written (ours, and the standard library's, uvicorn's among them), the context that
puts `call_id`, `leg` and `node` into every line of a call, and the redactor that every line passes. Must not import
other parts of the package: this is a leaf that anyone may call.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TextIO

import structlog

REDACTED: Final = "[redacted]"

_SECRET_NAMES = frozenset(
    {
        *("password", "sip_password", "sippassword", "secret", "token", "auth_token", "authtoken", "key", "master_key"),
        *("authorization", "proxy_authorization", "proxy-authorization", "ice_pwd", "digits", "dtmf", "cookie"),
    }
)
"""Names of fields whose value is never written. DTMF digits are here because they are PINs and card numbers."""

_IDENTITY_NAMES = frozenset(
    {
        *("caller", "callee", "number", "login", "sip_login", "siplogin", "authentication_name", "target", "user"),
        *("display_name", "visible_name", "visiblename", "aor", "contact"),
    }
)
"""Names of fields that say who: written partly."""

_CORRELATION_NAMES = frozenset({"call_id", "sip_call_id", "session_id", "leg", "node", "level", "timestamp"})
"""Names of fields that are written as they are, because lines are found by them."""

_AUTHORIZATION_HEADER = re.compile(r"(\b(?:proxy-)?authorization\s*:)[^\r\n]*", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"""
    (
        \b inline :                                                         # a=crypto (RFC 4568)
      | \b a=ice-pwd :
      | \b (?:sip)? (?:password|secret|auth_?token) ["']? \s* [:=] \s*
    )
    (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s"',;&}]+ )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_USER_IN_URI = re.compile(r"(?P<scheme>\b(?:sips?|tel):)(?P<user>[^@\s<>;:\"']+)", re.IGNORECASE)
_SUSPECT = re.compile(r"authorization|inline|ice-pwd|password|secret|token|sips?:|tel:", re.IGNORECASE)
"""Without one of these none of the three has anything to find."""

_VISIBLE_HEAD = 3
_VISIBLE_TAIL = 2


def mask(identity: str) -> str:
    """Hide the middle of a number or name: `+4915112345678` becomes `+49*********78`.

    Up to five characters stay as they are: extensions and service numbers name nobody.
    """
    hidden = len(identity) - _VISIBLE_HEAD - _VISIBLE_TAIL
    if hidden <= 0:
        return identity
    return identity[:_VISIBLE_HEAD] + "*" * hidden + identity[-_VISIBLE_TAIL:]


def redact_text(text: str) -> str:
    """Clean free text (a SIP message, an SDP, a traceback): no credentials or keys, URI users masked."""
    if (":" not in text and "=" not in text) or _SUSPECT.search(text) is None:  # most values are words and addresses
        return text
    text = _AUTHORIZATION_HEADER.sub(rf"\1 {REDACTED}", text)
    text = _NAMED_SECRET.sub(rf"\1{REDACTED}", text)
    return _USER_IN_URI.sub(lambda match: match["scheme"] + mask(match["user"]), text)


class _Kind(Enum):
    """What the name of a field says about its value."""

    PLAIN = auto()
    SECRET = auto()
    IDENTITY = auto()
    CORRELATION = auto()


@lru_cache(maxsize=1_024)
def _kind_of(name: str) -> _Kind:
    lowered = name.lower()
    if lowered in _CORRELATION_NAMES:
        return _Kind.CORRELATION
    if lowered in _SECRET_NAMES:
        return _Kind.SECRET
    return _Kind.IDENTITY if lowered in _IDENTITY_NAMES else _Kind.PLAIN


_PLAIN, _SECRET, _IDENTITY, _CORRELATION = _Kind
_HARMLESS = frozenset((int, float, bool, type(None)))


def redact(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line without what must not be in one, nested values included."""
    return {name: _redacted_field(name, value) for name, value in line.items()}


def _redacted_field(name: str, value: Any) -> Any:
    kind = _kind_of(name)
    if kind is _PLAIN or value is None:
        return value if type(value) in _HARMLESS else _redacted(value)
    if kind is _CORRELATION:
        return value
    if kind is _SECRET:
        return REDACTED
    if isinstance(value, str) and "@" not in value and ":" not in value:
        return mask(value)
    return _redacted(value)


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact_text(value)
        case None | bool() | int() | float():
            return value
        case bytes():
            return redact_text(value.decode("utf-8", "replace"))
        case Mapping():
            return {name: _redacted_field(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return redact_text(repr(value))


_context: ContextVar[Mapping[str, str]] = ContextVar("log_context", default=MappingProxyType({}))


def bound(**fields: str) -> AbstractContextManager[None]:
    """Put fields (`call_id`, `leg`, `sip_call_id`) into every line that this task, and those it starts, write inside.

    Tasks take the context with them when they are made, so one `with` around a call's `TaskGroup` is enough.
    """
    return _Bound(fields)


class _Bound(AbstractContextManager[None]):
    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._token: Token[Mapping[str, str]] | None = None

    def __enter__(self) -> None:
        self._token = _context.set({**_context.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _context.reset(self._token)


_encode = json.JSONEncoder().encode


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where lines go, and from which level on. render: a line as text, given its level."""

    level: int
    node: str
    stream: TextIO
    render: Callable[[str, dict[str, Any]], str]

    def text(self, level: str, fields: Mapping[str, Any]) -> str:
        """Return a line with its context, redacted."""
        now = time.time()
        second = int(now)
        stamp = f"{_date(second)}.{int((now - second) * 1_000_000):06d}Z"
        line = {**_context.get(), "node": self.node, "level": level, "timestamp": stamp, **fields}
        return self.render(level, redact(line))

    def write(self, level: str, fields: Mapping[str, Any]) -> None:
        self.stream.write(self.text(level, fields) + "\n")
        self.stream.flush()


_lines = _Lines(logging.WARNING, "", sys.stderr, lambda _, line: _encode(line))


def _exception() -> str:
    return traceback.format_exc().rstrip()


class Logger:
    """Writes lines: an event name in the past tense and fields, never a formatted text."""

    __slots__ = ()

    def debug(self, event: str, **fields: Any) -> None:
        """Write what only a search for a fault wants to know."""
        if _lines.level <= logging.DEBUG:
            _lines.write("debug", {**fields, "event": event})

    def info(self, event: str, **fields: Any) -> None:
        """Write a step in the life of a call, or of the node."""
        if _lines.level <= logging.INFO:
            _lines.write("info", {**fields, "event": event})

    def warning(self, event: str, **fields: Any) -> None:
        """Write what a call suffered."""
        if _lines.level <= logging.WARNING:
            _lines.write("warning", {**fields, "event": event})

    def error(self, event: str, **fields: Any) -> None:
        """Write what should wake someone."""
        _lines.write("error", {**fields, "event": event})

    def exception(self, event: str, **fields: Any) -> None:
        """Write the same with the traceback of the exception that is being handled."""
        _lines.write("error", {**fields, "event": event, "exception": _exception()})


_LOGGER: Final = Logger()


def get_logger(_name: str) -> Logger:
    """Return the logger of a module: today all share one, and which module wrote a line is told by its event."""
    return _LOGGER


def configure(*, level: str, format_: str, node: str, stream: TextIO | None = None) -> None:
    """Send all log lines to one stream, in one shape. Call once at start; a second call replaces the first.

    level: `debug`, `info`, `warning` or `error`. format_: `json`, `console`, or `auto` (console on a terminal).
    stream: default standard error.
    """
    global _lines
    stream = sys.stderr if stream is None else stream
    is_console = format_ == "console" or (format_ == "auto" and stream.isatty())
    lowest = logging.getLevelNamesMapping()[level.upper()]
    _lines = _Lines(lowest, node, stream, _console(stream) if is_console else lambda _, line: _encode(line))
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(lowest)


def _console(stream: TextIO) -> Callable[[str, dict[str, Any]], str]:
    renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return lambda level, line: str(renderer(None, level, line))


class _Formatter(logging.Formatter):
    """Shapes lines of the standard library's."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields = {"event": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return _lines.text(record.levelname.lower(), fields)
