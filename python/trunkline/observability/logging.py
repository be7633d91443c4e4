"""Log lines: their shape, their context and what must never be in them.

Owns the one set-up of structlog and of the standard library's logging (uvicorn's lines included), the context that puts
`call_id`, `leg` and `node` into every line of a call, and the redactor that every line passes. Must not import other
parts of the package: this is a leaf that anyone may call.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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
    if ":" not in text and "=" not in text:  # nothing to name a secret with; most values are single words
        return text
    text = _AUTHORIZATION_HEADER.sub(rf"\1 {REDACTED}", text)
    text = _NAMED_SECRET.sub(rf"\1{REDACTED}", text)
    return _USER_IN_URI.sub(lambda match: match["scheme"] + mask(match["user"]), text)


def redact(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Redact one line, nested values included. The last processor before the renderer."""
    return {name: _redacted_field(name, value) for name, value in line.items()}


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


def _redacted_field(name: str, value: Any) -> Any:
    kind = _kind_of(name)
    if kind is _Kind.CORRELATION:
        return value
    if kind is _Kind.SECRET and value is not None:
        return REDACTED
    if kind is _Kind.IDENTITY and isinstance(value, str) and "@" not in value and ":" not in value:
        return mask(value)
    return _redacted(value)


def _redacted(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return redact_text(value)
        case bytes():
            return redact_text(value.decode("utf-8", "replace"))
        case Mapping():
            return {name: _redacted_field(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return redact_text(repr(value))


def configure(*, level: str, format_: str, node: str, stream: TextIO | None = None) -> None:
    """Send all log lines to one stream, in one shape. Call once at start; a second call replaces the first.

    level: `debug`, `info`, `warning` or `error`. format_: `json`, `console`, or `auto` (console on a terminal).
    stream: default standard error.
    """
    stream = sys.stderr if stream is None else stream
    is_console = format_ == "console" or (format_ == "auto" and stream.isatty())

    def add_node(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line.setdefault("node", node)
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_node,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty()) if is_console else structlog.processors.JSONRenderer()
    )
    # Our own lines go straight to the stream: by way of the standard library each costs twice as much.
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module. A line is an event name in the past tense and fields, never a formatted text."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def bound(**context: str) -> AbstractContextManager[Any]:
    """Put fields (`call_id`, `leg`, `sip_call_id`) into every line that this task, and those it starts, write inside.

    Tasks take the context with them when they are made, so one `with` around a call's `TaskGroup` is enough.
    """
    return structlog.contextvars.bound_contextvars(**context)
