"""Addresses in headers: From, To, Contact, routes, and Via.

RFC 3261 sections 20.10, 20.42; RFC 3581.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from trunkline.errors import SipParseError
from trunkline.sip.headers.text import (
    CONTROL,
    TOKEN,
    Parameterised,
    Parameters,
    parse_parameters,
    quote,
    render_parameters,
    unquote,
)
from trunkline.sip.headers.uri import HOST, LONGEST_REMEMBERED, Uri, parse_port, parse_uri, render_host

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_VIA = re.compile(
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*({TOKEN.pattern})[ \t]+({HOST.pattern})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?"
    r"[ \t]*(?:;(.*))?",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class NameAddr(Parameterised):
    """An address with an optional display name: From, To, Contact, Route.   RFC 3261 section 20.10.

    display_name: without quotes or escapes. Always written with angle brackets, so that parameters stay the header's.
    """

    uri: Uri
    display_name: str = ""
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """Read one value, in name-addr or addr-spec form."""
        return _name_addr_known(text) if len(text) <= LONGEST_REMEMBERED else _name_addr(text)

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


def _name_addr(text: str) -> NameAddr:
    text = text.strip(" \t")
    name = ""
    if text[:1] == '"':
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise SipParseError("a quote is not closed")
        name, text = unquote(quoted[0]), text[quoted.end() :].lstrip(" \t")
        if text[:1] != "<":
            raise SipParseError("a display name without an address")
    elif "<" in text:
        plain, bracket, rest = text.partition("<")
        name, text = plain.strip(" \t"), bracket + rest
        if ";" in name or '"' in name or CONTROL.search(name):
            raise SipParseError("bad display name")
    if text[:1] == "<":
        address, bracket, tail = text[1:].partition(">")
        tail = tail.strip(" \t")
        if not bracket or (tail and tail[0] != ";"):
            raise SipParseError("bad address in angle brackets")
        return NameAddr(parse_uri(address.strip(" \t")), name, parse_parameters(tail[1:]))
    address, _, tail = text.partition(";")
    if "?" in address or "," in address:
        raise SipParseError("an address that needs angle brackets has none")
    return NameAddr(parse_uri(address.rstrip(" \t")), "", parse_parameters(tail))


_name_addr_known = lru_cache(maxsize=2_048)(_name_addr)


@dataclass(frozen=True, slots=True)
class Via(Parameterised):
    """One Via value.   RFC 3261 section 20.42, RFC 3581. transport: in upper case."""

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one value."""
        return _via_known(text) if len(text) <= LONGEST_REMEMBERED else _via(text)

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


def _via(text: str) -> Via:
    found = _VIA.fullmatch(text.strip(" \t"))
    if found is None:
        raise SipParseError("bad Via")
    return Via(found[1].upper(), found[2].strip("[]"), parse_port(found[3]), parse_parameters(found[4] or ""))


_via_known = lru_cache(maxsize=2_048)(_via)
