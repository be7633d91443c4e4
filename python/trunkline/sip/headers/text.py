"""Text of header fields: tokens, quoted strings, lists, parameters.

Owns quoting, escaping and the one gate that keeps line breaks out of what we write.   RFC 3261 section 25.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from trunkline.errors import LocalProtocolError, SipParseError

Parameters = tuple[tuple[str, str | None], ...]
"""Names and raw values (with their quotes), in order; None for a name without `=`."""

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PARAMETER_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\x00-\x20\x7f"<>,;]*', re.DOTALL)
# Most parameters hold neither quotes nor blanks, and most values of a list stand alone: these are read at once.
_PLAIN_PARAMETERS = re.compile(
    rf"{TOKEN.pattern}(?:=[^\x00-\x20\x7f\"<>,;]*+)?+(?:;{TOKEN.pattern}(?:=[^\x00-\x20\x7f\"<>,;]*+)?+)*+"
)
_ONE_PIECE = re.compile(r'(?:[^"<,]++|"(?:[^"\\]|\\.)*+"|<[^"<>]*+>)*+', re.DOTALL)
_FORBIDDEN = re.compile(r"[\r\n\x00]")


@lru_cache(maxsize=1_024)
def is_token(text: str) -> bool:
    """Whether text can stand unquoted (RFC 3261 section 25.1, `token`)."""
    return TOKEN.fullmatch(text) is not None


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
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if "\\" in text else text[1:-1]


def plain_text(text: str) -> str:
    """Make wire text fit for people and JSON: no control characters, nothing that is not UTF-8."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator that stands neither in quotes nor between `<` and `>`; pieces are stripped."""
    if '"' not in text and "<" not in text:
        if separator not in text:
            return [text.strip(" \t")]
        return [piece.strip(" \t") for piece in text.split(separator)]
    if separator == "," and _ONE_PIECE.fullmatch(text) is not None:
        return [text.strip(" \t")]
    pieces: list[str] = []
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
            pieces.append(text[start:position].strip(" \t"))
            start = position + 1
        position += 1
    if in_quotes or in_angle:
        raise SipParseError("a quote or an angle bracket is not closed")
    pieces.append(text[start:].strip(" \t"))
    return pieces


def parse_parameters(text: str) -> Parameters:
    """Read `name=value;name...` (what follows the first `;`). Empty pieces are skipped, as many peers send them."""
    if not text:
        return ()
    if _PLAIN_PARAMETERS.fullmatch(text) is not None:
        return tuple([split_parameter(piece) for piece in text.split(";")])
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


def split_parameter(text: str) -> tuple[str, str | None]:
    """Cut `name=value` or `name` in two."""
    name, equals, value = text.partition("=")
    return name, value if equals else None


def render_parameters(parameters: Parameters) -> str:
    """Write parameters, each led by `;`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


class Parameterised:
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
    return tuple([parse(piece) for value in values for piece in split_outside(value, ",") if piece])
