"""Text to session description, under limits.   RFC 8866 section 9.

Owns the grammar of lines and every limit that protects us from an SDP made to cost much. Must not judge what a
description means. Lenient where real peers are sloppy and no information is at stake: bare LF, lines in the wrong order
within a section, a missing `s=` or `t=`, line types of other worlds. Strict about what could be smuggled: a control
character is an error, never passed on.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from trunkline.errors import SdpError
from trunkline.sdp.model import (
    Attribute,
    Attributes,
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

_REMEMBERED = re.compile(
    r"(?:a=(?:rtpmap:|fmtp:|ptime:|maxptime:|silenceSupp:|rtcp-xr|rtcp-mux|sendrecv|sendonly|recvonly|inactive)"
    r"[^\n]*(?:\n|\Z))*"
)
"""What a phone says of its codecs is the same in call after call, and read once. Addresses and keys are not kept.

Each round takes one whole line: were the line's end optional, a line could be cut up in exponentially many ways.
"""
_REMEMBERED_CHARACTERS = 1_024

_END = "\n"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")


def parse(text: str) -> SessionDescription:
    """Read a description.

    text: up to 16,384 bytes as UTF-8, lines ended by CRLF or LF.
    Raises SdpError, naming the line, if it is malformed or over a limit. Takes time linear in the text.
    """
    if _size_bytes(text) > MAX_BYTES:
        raise SdpError(f"longer than {MAX_BYTES} bytes")
    text = text.replace("\r\n", "\n").removesuffix("\r")
    control = _CONTROL.search(text)
    if control is not None:
        raise SdpError(f"line {text.count(_END, 0, control.start()) + 1}: control character")
    session, *media = f"\n{text}".split("\nm=")
    if len(media) > MAX_MEDIA:
        raise SdpError(f"more than {MAX_MEDIA} m-lines")
    lines = _lines(session[1:], 1)
    sections, position = [], 1 + session.count(_END)
    for part in media:
        sections.append(_section(part, position))
        position += 1 + part.count(_END)
    return _session(lines, tuple(sections))


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


def _lines(text: str, first: int) -> list[tuple[str, str]]:
    """Split one section into lines, type and value. first: the number of its first line, for people."""
    lines: list[tuple[str, str]] = []
    for position, line in enumerate(text.split(_END), start=first):
        if not line:
            continue
        kind = line[0]
        if line[1:2] != "=" or not kind.isalpha() or not kind.isascii():
            raise SdpError(f"line {position}: not of the form x=value")
        lines.append((kind, line[2:]))
    attributes = sum(kind == "a" for kind, _ in lines)
    if attributes > MAX_ATTRIBUTES:
        raise SdpError(f"more than {MAX_ATTRIBUTES} attributes in one section")
    if len(lines) - attributes > MAX_OTHER_LINES:
        raise SdpError(f"more than {MAX_OTHER_LINES} other lines in one section")
    return lines


def _section(text: str, first: int) -> MediaDescription:
    """Read an m-section, whose text begins behind `m=`; one of the usual lines alone by its text."""
    head, _, body = text.partition(_END)
    if len(text) <= _REMEMBERED_CHARACTERS and _REMEMBERED.fullmatch(body) is not None:
        kind, _, rest = head.partition(" ")
        port_text, _, formats = rest.partition(" ")
        port = number(port_text, 0, 65_535)
        if port is not None:
            return _known_section(kind, formats, body).at(port)
    return _media(_lines(f"m={text}", first))


@lru_cache(maxsize=512)
def _known_section(kind: str, formats: str, body: str) -> MediaDescription:
    """Read an m-section of usual lines, at no port. formats: the m-line from its protocol on."""
    section = _media(_lines(f"m={kind} 0 {formats}\n{body}", 0))
    return replace(section, attributes=Attributes(section.attributes))


def _session(section: list[tuple[str, str]], media: tuple[MediaDescription, ...]) -> SessionDescription:
    if not section or section[0] != ("v", "0"):
        raise SdpError("does not begin with v=0")
    fields: dict[str, Any] = {"media": media}
    emails, phones, unknown = [], [], []
    bandwidths: list[Bandwidth] = []
    attributes: list[Attribute] = []
    times: list[Timing] = []
    for kind, value in section[1:]:
        match kind:
            case "o":
                _set_once(fields, "origin", _origin(value))
            case "s":
                _set_once(fields, "name", value)
            case "i":
                _set_once(fields, "information", value)
            case "u":
                _set_once(fields, "uri", value)
            case "c":
                _set_once(fields, "connection", _connection(value))
            case "z":
                _set_once(fields, "zones", value)
            case "k":
                _set_once(fields, "key", value)
            case "e":
                emails.append(value)
            case "p":
                phones.append(value)
            case "b":
                bandwidths.append(_bandwidth(value))
            case "t":
                times.append(Timing(value))
            case "r" if times:
                times[-1] = Timing(times[-1].start_stop, (*times[-1].repeats, value))
            case "a":
                attributes.append(_attribute(value))
            case "v" | "r":
                raise SdpError(f"{kind}= is out of place")
            case _:
                unknown.append(Line(kind, value))
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


def _media(section: list[tuple[str, str]]) -> MediaDescription:
    fields = _media_line(section[0][1])
    connections: list[Connection] = []
    bandwidths: list[Bandwidth] = []
    attributes: list[Attribute] = []
    unknown: list[Line] = []
    for kind, value in section[1:]:
        match kind:
            case "i":
                _set_once(fields, "title", value)
            case "k":
                _set_once(fields, "key", value)
            case "c":
                connections.append(_connection(value))
            case "b":
                bandwidths.append(_bandwidth(value))
            case "a":
                attributes.append(_attribute(value))
            case "v" | "o" | "s" | "t":
                raise SdpError(f"{kind}= is out of place")
            case _:
                unknown.append(Line(kind, value))
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
