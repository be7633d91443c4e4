"""Text of header fields: quoting, parameters, and the one gate that keeps line breaks out of what we write.

What reads it is `trunkline._media`'s.   RFC 3261 section 25.1.
"""

from __future__ import annotations

import re

from trunkline._media import is_token, unquote
from trunkline.errors import LocalProtocolError

Parameters = tuple[tuple[str, str | None], ...]
"""Names and raw values (with their quotes), in order; None for a name without `=`."""

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_field(name: str, value: str) -> None:
    """Refuse what would break out of a header line: LocalProtocolError on CR, LF, NUL or a name that is no token."""
    if not is_token(name):
        raise LocalProtocolError(f"not a header name: {name!r}")
    if "\r" in value or "\n" in value or "\0" in value:
        raise LocalProtocolError(f"CR, LF or NUL in a value of {name}")


def quote(text: str) -> str:
    r"""Make a quoted-string: `say "hi"` becomes `"say \"hi\""`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plain_text(text: str) -> str:
    """Make wire text fit for people and JSON: no control characters, nothing that is not UTF-8."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROL.sub(" ", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def render_parameters(parameters: Parameters) -> str:
    """Write parameters, each led by `;`."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in parameters])


class Parameterised:
    """Access to `parameters`, names without regard to case."""

    __slots__ = ()
    parameters: Parameters

    def has_parameter(self, name: str) -> bool:
        """Whether the parameter is there, with or without a value. name: in lower case."""
        return name in [key.lower() for key, _ in self.parameters]

    def parameter(self, name: str) -> str | None:
        """Value without quotes; None if absent or without a value. name: in lower case."""
        for key, value in self.parameters:
            if key == name or key.lower() == name:
                return value if value is None or '"' not in value else unquote(value)
        return None

    def _parameters_with(self, name: str, value: str | None) -> Parameters:
        kept = list(self.parameters)
        for index, (key, _) in enumerate(kept):
            if key.lower() == name:
                kept[index] = (key, value)
                return tuple(kept)
        return (*kept, (name, value))
