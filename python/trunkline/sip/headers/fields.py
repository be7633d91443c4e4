"""Header values that are neither addresses nor URIs: CSeq, authentication, Reason.

RFC 3261 sections 20.16, 25.1; RFC 3326.
"""

from __future__ import annotations

from dataclasses import dataclass

from trunkline._media import is_token, parse_cseq, parse_parameters, split_outside, unquote
from trunkline.errors import SipParseError
from trunkline.sip.headers.text import quote


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method.   RFC 3261 section 20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read the value; SipParseError above 2**31 - 1."""
        return parse_cseq(text)

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
