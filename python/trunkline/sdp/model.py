"""A session description as a value.   RFC 8866.

Owns the typed shape of an SDP and its printing. Nothing that the parser read is lost: attributes keep their order and
text, unknown line types are kept. Must not know codecs, ICE or offer/answer rules; those read attributes from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from trunkline.media.types import Direction

DIRECTIONS = frozenset(Direction)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One `a=` line. value: the text after the first colon, None for a property attribute."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line. session_id and version are text: some peers send what is not a number."""

    username: str
    session_id: str
    version: str
    network_type: str
    address_type: str
    address: str

    def __str__(self) -> str:
        return " ".join(
            (self.username, self.session_id, self.version, self.network_type, self.address_type, self.address)
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """One `c=` line. address: as written, which may be a host name or carry a multicast `/ttl`."""

    network_type: str
    address_type: str
    address: str

    def __str__(self) -> str:
        return f"{self.network_type} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """One `b=` line; the unit of value depends on the type."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class Timing:
    """One `t=` line and the `r=` lines below it, as text."""

    start_stop: str = "0 0"
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a type that RFC 8866 does not know, kept as it came."""

    kind: str
    value: str


class Attributes(tuple[Attribute, ...]):
    """Attributes that stand in many descriptions, as those of codecs do: what they are asked is looked up once."""

    @cached_property
    def by_name(self) -> dict[str, tuple[str, ...]]:
        """The stripped values of each name, in order; none for a name without a value."""
        found: dict[str, tuple[str, ...]] = {}
        for attribute in self:
            before = found.get(attribute.name, ())
            found[attribute.name] = before if attribute.value is None else (*before, attribute.value.strip())
        return found

    @cached_property
    def direction(self) -> Direction | None:
        """The first direction, else None."""
        return _direction(self)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """As text."""
        return tuple(f"a={attribute}" for attribute in self)


def _direction(attributes: Iterable[Attribute]) -> Direction | None:
    for attribute in attributes:
        if attribute.value is None and attribute.name in DIRECTIONS:
            return Direction(attribute.name)
    return None


class _HasAttributes:
    """Look-ups shared by the session level and the m-sections. Names of attributes are case-sensitive."""

    __slots__ = ()
    attributes: tuple[Attribute, ...]

    def has(self, name: str) -> bool:
        """Say whether the attribute stands here, with a value or without."""
        if isinstance(self.attributes, Attributes):
            return name in self.attributes.by_name
        return any(attribute.name == name for attribute in self.attributes)

    def value(self, name: str) -> str | None:
        """Return the stripped value of the first attribute of this name that has one, else None."""
        return next(self.values(name), None)

    def values(self, name: str) -> Iterator[str]:
        """Return the stripped values of all attributes of this name, in order."""
        if isinstance(self.attributes, Attributes):
            return iter(self.attributes.by_name.get(name, ()))
        return (each.value.strip() for each in self.attributes if each.name == name and each.value is not None)

    def direction(self) -> Direction | None:
        """Return the first direction attribute that stands here, else None.   RFC 8866 6.7."""
        return self.attributes.direction if isinstance(self.attributes, Attributes) else _direction(self.attributes)


@dataclass(frozen=True, slots=True)
class MediaDescription(_HasAttributes):
    """One m-section. formats: as written; for RTP they are payload types."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int | None = None
    title: str | None = None
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    unknown: tuple[Line, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the lines without line ends, in the order of RFC 8866 section 5."""
        port = f"{self.port}" if self.port_count is None else f"{self.port}/{self.port_count}"
        yield f"m={self.media} {port} {self.protocol} {' '.join(self.formats)}"
        if self.title is not None:
            yield f"i={self.title}"
        for connection in self.connections:
            yield f"c={connection}"
        for bandwidth in self.bandwidths:
            yield f"b={bandwidth}"
        if self.key is not None:
            yield f"k={self.key}"
        if isinstance(self.attributes, Attributes):
            yield from self.attributes.lines
        else:
            yield from (f"a={attribute}" for attribute in self.attributes)
        for line in self.unknown:
            yield f"{line.kind}={line.value}"

    def at(self, port: int) -> MediaDescription:
        """Return the same at another port. Faster than `replace`, for sections that many descriptions share."""
        return MediaDescription(
            self.media,
            port,
            self.protocol,
            self.formats,
            self.port_count,
            self.title,
            self.connections,
            self.bandwidths,
            self.key,
            self.attributes,
            self.unknown,
        )


@dataclass(frozen=True, slots=True)
class SessionDescription(_HasAttributes):
    """A whole description. `str()` prints it with CRLF line ends."""

    origin: Origin
    name: str = "-"
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    times: tuple[Timing, ...] = (Timing(),)
    zones: str | None = None
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    unknown: tuple[Line, ...] = ()
    media: tuple[MediaDescription, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the lines without line ends, in the order of RFC 8866 section 5."""
        yield "v=0"
        yield f"o={self.origin}"
        yield f"s={self.name}"
        for kind, text in (("i", self.information), ("u", self.uri)):
            if text is not None:
                yield f"{kind}={text}"
        yield from (f"e={email}" for email in self.emails)
        yield from (f"p={phone}" for phone in self.phones)
        if self.connection is not None:
            yield f"c={self.connection}"
        yield from (f"b={bandwidth}" for bandwidth in self.bandwidths)
        for timing in self.times:
            yield f"t={timing.start_stop}"
            yield from (f"r={repeat}" for repeat in timing.repeats)
        for kind, text in (("z", self.zones), ("k", self.key)):
            if text is not None:
                yield f"{kind}={text}"
        yield from (f"a={attribute}" for attribute in self.attributes)
        yield from (f"{line.kind}={line.value}" for line in self.unknown)
        for media in self.media:
            yield from media.lines()

    def __str__(self) -> str:
        return "\r\n".join(self.lines()) + "\r\n"

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return the section's first `c=`, else the session's.   RFC 8866 5.7."""
        return media.connections[0] if media.connections else self.connection

    def direction_of(self, media: MediaDescription) -> Direction:
        """Return the section's direction, else the session's, else sendrecv.   RFC 8866 6.7."""
        return media.direction() or self.direction() or Direction.SENDRECV


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """What our `o=` lines say in one session.   RFC 3264 5: both numbers fit in 63 bits.

    session_id: random, one per SDP session. version: rises by one with every changed description. address: IP literal.
    """

    session_id: int
    version: int
    address: str

    def next(self) -> SessionIdentity:
        """Return the identity of the next description in the same session."""
        return replace(self, version=self.version + 1)

    def origin(self) -> Origin:
        """Return the `o=` line."""
        address_type = "IP6" if ":" in self.address else "IP4"
        return Origin("-", str(self.session_id), str(self.version), "IN", address_type, self.address)
