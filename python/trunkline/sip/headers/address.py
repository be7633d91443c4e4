"""Addresses in headers: From, To, Contact, routes, and Via.

RFC 3261 sections 20.10, 20.42; RFC 3581.
"""

from __future__ import annotations

from dataclasses import dataclass

from trunkline._media import parse_name_addr, parse_via
from trunkline.sip.headers.text import Parameterised, Parameters, quote, render_parameters
from trunkline.sip.headers.uri import Uri, render_host


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
        return parse_name_addr(text)

    @property
    def tag(self) -> str | None:
        """The `tag` parameter of From and To."""
        return self.parameter("tag")

    def with_parameter(self, name: str, value: str | None) -> NameAddr:
        """Return a copy with this parameter set."""
        return NameAddr(self.uri, self.display_name, self._parameters_with(name, value))

    def __str__(self) -> str:
        shown = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{shown}<{self.uri}>{render_parameters(self.parameters)}"


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
        return parse_via(text)

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
        return Via(self.transport, self.host, self.port, self._parameters_with(name, value))

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {render_host(self.host, self.port)}{render_parameters(self.parameters)}"
