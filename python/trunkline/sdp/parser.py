"""Text to session description, under limits.   RFC 8866 section 9.

Owns the grammar of lines and every limit that protects us from an SDP made to cost much. Must not judge what a
description means. Lenient where real peers are sloppy and no information is at stake: bare LF, lines in the wrong order
within a section, a missing `s=` or `t=`, line types of other worlds. Strict about what could be smuggled: a control
character is an error, never passed on.
"""

from __future__ import annotations

import re
from typing import Any

from trunkline.errors import SdpError
from trunkline.sdp.model import (
    Attribute,
    Bandwidth,
    Connection,
    Line,
    MediaDescription,
    Origin,
    SessionDescription,
    Timing,
)

MAX_BYTES = 16_384
MAX_MEDIA = 16
MAX_FORMATS = 64
MAX_ATTRIBUTES = 256
MAX_OTHER_LINES = 32
"""Lines of one section that are not attributes."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")


def parse(text: str) -> SessionDescription:
    """Read a description.

    text: up to 16,384 bytes as UTF-8, lines ended by CRLF or LF.
    Raises SdpError, naming the line, if it is malformed or over a limit. Takes time linear in the text.
    """
    if _size_bytes(text) > MAX_BYTES:
        raise SdpError(f"longer than {MAX_BYTES} bytes")
    sections = _sections(text)
    if len(sections) - 1 > MAX_MEDIA:
        raise SdpError(f"more than {MAX_MEDIA} m-lines")
    session, *media = sections
    return _session(session, tuple(_media(section) for section in media))


def number(text: str, low: int, high: int) -> int | None:
    """Read an unsigned decimal number. Returns None if it is not one, has over ten digits or is out of range."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    result = int(text)
    return result if low <= result <= high else None


def _size_bytes(text: str) -> int:
    if len(text) > MAX_BYTES:
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise SdpError("not encodable as UTF-8") from error


def _sections(text: str) -> list[list[Line]]:
    """Split into lines, and those into the session level and one list per m-line."""
    sections: list[list[Line]] = [[]]
    for position, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r")
        if not line:
            continue
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha() or not line[0].isascii():
            raise SdpError(f"line {position}: not of the form x=value")
        if _CONTROL.search(line):
            raise SdpError(f"line {position}: control character")
        if line[0] == "m":
            sections.append([])
        sections[-1].append(Line(line[0], line[2:]))
    for section in sections:
        attributes = sum(line.kind == "a" for line in section)
        if attributes > MAX_ATTRIBUTES:
            raise SdpError(f"more than {MAX_ATTRIBUTES} attributes in one section")
        if len(section) - attributes > MAX_OTHER_LINES:
            raise SdpError(f"more than {MAX_OTHER_LINES} other lines in one section")
    return sections


def _session(section: list[Line], media: tuple[MediaDescription, ...]) -> SessionDescription:
    if not section or section[0] != Line("v", "0"):
        raise SdpError("does not begin with v=0")
    fields: dict[str, Any] = {"media": media}
    emails, phones, unknown = [], [], []
    bandwidths: list[Bandwidth] = []
    attributes: list[Attribute] = []
    times: list[Timing] = []
    for line in section[1:]:
        match line.kind:
            case "o":
                _set_once(fields, "origin", _origin(line.value))
            case "s":
                _set_once(fields, "name", line.value)
            case "i":
                _set_once(fields, "information", line.value)
            case "u":
                _set_once(fields, "uri", line.value)
            case "c":
                _set_once(fields, "connection", _connection(line.value))
            case "z":
                _set_once(fields, "zones", line.value)
            case "k":
                _set_once(fields, "key", line.value)
            case "e":
                emails.append(line.value)
            case "p":
                phones.append(line.value)
            case "b":
                bandwidths.append(_bandwidth(line.value))
            case "t":
                times.append(Timing(line.value))
            case "r" if times:
                times[-1] = Timing(times[-1].start_stop, (*times[-1].repeats, line.value))
            case "a":
                attributes.append(_attribute(line.value))
            case "v" | "r":
                raise SdpError(f"{line.kind}= is out of place")
            case _:
                unknown.append(line)
    if "origin" not in fields:
        raise SdpError("no o= line")
    if times:
        fields["times"] = tuple(times)
    return SessionDescription(
        emails=tuple(emails),
        phones=tuple(phones),
        bandwidths=tuple(bandwidths),
        attributes=tuple(attributes),
        unknown=tuple(unknown),
        **fields,
    )


def _media(section: list[Line]) -> MediaDescription:
    fields = _media_line(section[0].value)
    connections: list[Connection] = []
    bandwidths: list[Bandwidth] = []
    attributes: list[Attribute] = []
    unknown: list[Line] = []
    for line in section[1:]:
        match line.kind:
            case "i":
                _set_once(fields, "title", line.value)
            case "k":
                _set_once(fields, "key", line.value)
            case "c":
                connections.append(_connection(line.value))
            case "b":
                bandwidths.append(_bandwidth(line.value))
            case "a":
                attributes.append(_attribute(line.value))
            case "v" | "o" | "s" | "t":
                raise SdpError(f"{line.kind}= is out of place")
            case _:
                unknown.append(line)
    return MediaDescription(
        connections=tuple(connections),
        bandwidths=tuple(bandwidths),
        attributes=tuple(attributes),
        unknown=tuple(unknown),
        **fields,
    )


def _media_line(value: str) -> dict[str, Any]:
    media, port_text, protocol, *formats = _words(value, at_least=4, line="m=")
    if len(formats) > MAX_FORMATS:
        raise SdpError(f"more than {MAX_FORMATS} formats in one m-line")
    first_port, slash, count_text = port_text.partition("/")
    port = number(first_port, 0, 65_535)
    port_count = number(count_text, 1, 65_535) if slash else None
    if port is None or (slash and port_count is None):
        raise SdpError("m=: bad port")
    return {
        "media": media,
        "port": port,
        "port_count": port_count,
        "protocol": protocol,
        "formats": tuple(formats),
    }


def _origin(value: str) -> Origin:
    words = _words(value, at_least=6, line="o=")
    # Some phones put a display name with spaces into the first field: the last five are what can be relied on.
    return Origin(" ".join(words[:-5]), *words[-5:])


def _connection(value: str) -> Connection:
    network_type, address_type, address, *_ = _words(value, at_least=3, line="c=")
    return Connection(network_type, address_type, address)


def _bandwidth(value: str) -> Bandwidth:
    kind, colon, amount = value.partition(":")
    if not colon:
        raise SdpError("b=: no colon")
    return Bandwidth(kind, amount)


def _attribute(value: str) -> Attribute:
    name, colon, rest = value.partition(":")
    if not _TOKEN.fullmatch(name.rstrip()):
        raise SdpError("a=: the name is not a token")
    return Attribute(name.rstrip(), rest if colon else None)


def _words(value: str, *, at_least: int, line: str) -> list[str]:
    words = [word for word in re.split(r"[ \t]+", value) if word]
    if len(words) < at_least:
        raise SdpError(f"{line}: fewer than {at_least} fields")
    return words


def _set_once(fields: dict[str, Any], name: str, value: object) -> None:
    if name in fields:
        raise SdpError(f"{name} is given twice")
    fields[name] = value
