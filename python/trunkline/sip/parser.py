"""Bytes to messages: datagrams, and frames cut out of a stream.

Any bytes end in a value or in `SipParseError`; nothing else leaves this module. A request that can be read well enough
to be answered ends in `BadRequestError`, which carries it together with the status to answer. Limits stand at the top.
RFC 3261 sections 7, 18.3 and 25; RFC 5626 section 3.5.1 (keep-alives).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trunkline.errors import SipParseError
from trunkline.sip.headers import OpaqueUri, is_token, parse_number, parse_uri
from trunkline.sip.message import HeaderList, Message, Request, Response

MAX_MESSAGE_BYTES = 65_536
MAX_LINE_BYTES = 8_192
MAX_HEADERS = 128
MAX_VIAS = 64

PING = b"\r\n\r\n"
"""A keep-alive on a stream; answered with `PONG`."""
PONG = b"\r\n"

_REQUEST_LINE = re.compile(r"([^ ]+) (.+) SIP/([0-9]+\.[0-9]+) *", re.IGNORECASE | re.DOTALL)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL)
_CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_TOP_BRANCH = re.compile(
    rb"([A-Z]+) [^\r\n]*\r\n(?:[^\r\n]*\r\n)*?(?:Via|v)[ \t]*:[^\r\n,]*;[ \t]*branch[ \t]*=[ \t]*([^;,\s]+)",
    re.IGNORECASE,
)
_SINGLE = {
    name.lower(): name
    for name in ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type", "Expires")
}
# Headers whose values go into requests of ours; elsewhere RFC 3261 allows a NUL in a quoted string.
_NO_NUL = ("Call-ID", "Contact", "Record-Route")
_TAG = re.compile(r"[!-~]+")


class BadRequestError(SipParseError):
    """A request with an error inside. status: what to answer (400, 505)."""

    def __init__(self, message: str, request: Request, status: int = 400) -> None:
        super().__init__(message)
        self.request = request
        self.status = status


def is_keep_alive(data: bytes) -> bool:
    """Whether a datagram only holds a NAT binding open: CRLFs, NULs or nothing (RFC 5626, common practice)."""
    return len(data) <= 8 and not data.strip(b"\r\n\0 ")


def parse_message(data: bytes) -> Message:
    """Read one datagram or one frame; bytes after Content-Length are ignored.

    SipParseError if there is nothing to answer, BadRequestError if there is.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise SipParseError("a message over the size limit")
    head, blank_line, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not blank_line:
        raise SipParseError("no end of the headers")
    start_line, *lines = _unfolded_lines(head)
    headers = HeaderList.received([_field(line) for line in lines])
    status = _STATUS_LINE.fullmatch(start_line)
    if status is not None:
        response = Response(int(status[1]), status[2] or "", headers, _body(headers, body))
        _check(response)
        return response
    return _request(start_line, headers, body)


def _unfolded_lines(head: bytes) -> list[str]:
    if len(head) <= MAX_LINE_BYTES and b"\r\n " not in head and b"\r\n\t" not in head:
        texts = head.decode("utf-8", "surrogateescape").split("\r\n")
        if not head.count(b"\r") == head.count(b"\n") == len(texts) - 1:
            raise SipParseError("CR or LF alone")
        if len(texts) - 1 > MAX_HEADERS:
            raise SipParseError("too many headers")
        return texts
    lines: list[bytes] = []
    for line in head.split(b"\r\n"):
        if b"\r" in line or b"\n" in line:
            raise SipParseError("CR or LF alone")
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += b" " + line.strip(b" \t")
        else:
            lines.append(line)
        if len(lines[-1]) > MAX_LINE_BYTES:
            raise SipParseError("a line over the size limit")
    if len(lines) - 1 > MAX_HEADERS:
        raise SipParseError("too many headers")
    return [line.decode("utf-8", "surrogateescape") for line in lines]


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not (is_token(name) or is_token(name := name.rstrip(" \t"))):
        raise SipParseError("a header line without a name")
    return name, value.strip(" \t")


def _body(headers: HeaderList, rest: bytes) -> bytes:
    lengths = headers.get_all("Content-Length")
    if not lengths:
        return rest
    length = parse_number(lengths[0])
    if len(lengths) > 1 or length > len(rest):
        raise SipParseError("Content-Length and body do not agree")
    return rest[:length]


def _request(start_line: str, headers: HeaderList, rest: bytes) -> Request:
    found = _REQUEST_LINE.fullmatch(start_line)
    if found is None or not is_token(found[1]):
        raise SipParseError("neither a request line nor a status line")
    method, uri_text, version = found.groups()
    fallback = Request(method, OpaqueUri("", uri_text), headers)
    if version != "2.0":
        raise BadRequestError(f"SIP version {version}", fallback, 505)
    try:
        request = Request(method, parse_uri(uri_text), headers, _body(headers, rest))
        _check(request)
    except SipParseError as error:
        raise BadRequestError(str(error), fallback) from error
    return request


def _check(message: Message) -> None:
    """Make sure that what every message must have is there, once, and that what routes it can be read.

    After this the typed properties of the message do not raise.   RFC 3261 section 8.1.1.
    """
    headers = message.headers
    for name in headers.repeated:
        if name in _SINGLE:
            raise SipParseError(f"more than one {_SINGLE[name]}")
    if len(message.vias) > MAX_VIAS:
        raise SipParseError("too many Via values")
    _ = message.top_via, message.contacts, message.record_routes
    cseq, from_, to = message.cseq, message.from_, message.to
    if not message.sip_call_id or any("\0" in value for name in _NO_NUL for value in headers.get_all(name)):
        raise SipParseError("an empty Call-ID, or a NUL")
    if not all(tag is None or _TAG.fullmatch(tag) for tag in (from_.tag, to.tag)):
        raise SipParseError("bad tag")
    if isinstance(message, Request):
        _ = message.routes
        if cseq.method != message.method:
            raise SipParseError("CSeq names another method")
    if (hops := headers.get("Max-Forwards")) is not None:
        parse_number(hops, maximum=255)


def parse_branch(data: bytes) -> tuple[str, str]:
    """Return the branch of a request's top Via and its method, both empty where they cannot be read."""
    found = _TOP_BRANCH.match(data[:MAX_LINE_BYTES])
    return ("", "") if found is None else (found[2].decode("latin-1"), found[1].decode("latin-1"))


class StreamFramer:
    """Cuts messages out of a byte stream by Content-Length.   RFC 3261 section 18.3.

    `feed` bytes, then iterate over `frames`. SipParseError means that the framing is lost: close the connection.
    """

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def is_empty(self) -> bool:
        """Whether no part of a message waits for the rest."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Append what was received. The buffer never grows past one message and one read."""
        self._buffer += data

    def frames(self) -> Iterator[bytes]:
        """Yield whole messages and `PING`s that are there so far."""
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if buffer.startswith(PING):
            del buffer[: len(PING)]
            self._searched = 0
            return PING
        if buffer.startswith(PONG) and len(buffer) > len(PONG) and buffer[2:3] != b"\r":
            del buffer[: len(PONG)]
        if PING.startswith(buffer):
            return None
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            if len(buffer) > MAX_MESSAGE_BYTES:
                raise SipParseError("headers over the size limit")
            self._searched = max(0, len(buffer) - 3)
            return None
        lengths = _CONTENT_LENGTH.findall(bytes(buffer[: end + 2]))
        if len(lengths) != 1:
            raise SipParseError("a stream needs exactly one Content-Length")
        size = end + 4 + int(lengths[0])
        if size > MAX_MESSAGE_BYTES:
            raise SipParseError("a message over the size limit")
        if len(buffer) < size:
            self._searched = end
            return None
        frame = bytes(buffer[:size])
        del buffer[:size]
        self._searched = 0
        return frame
