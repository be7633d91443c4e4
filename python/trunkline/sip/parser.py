"""Bytes to messages: datagrams, and frames cut out of a stream.

`trunkline._media` reads messages: any bytes end in a value or in `SipParseError`. A request that can be read well
enough to be answered ends in `BadRequestError`, which carries it together with the status to answer.
RFC 3261 sections 7, 18.3 and 25; RFC 5626 section 3.5.1 (keep-alives).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trunkline._media import MAX_HEADERS, MAX_LINE_BYTES, MAX_MESSAGE_BYTES, MAX_VIAS
from trunkline._media import read_message as parse_message
from trunkline.errors import SipParseError
from trunkline.sip.message import Request

__all__ = [
    "MAX_HEADERS",
    "MAX_LINE_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_VIAS",
    "PING",
    "PONG",
    "BadRequestError",
    "StreamFramer",
    "is_keep_alive",
    "parse_branch",
    "parse_message",
]

PING = b"\r\n\r\n"
"""A keep-alive on a stream; answered with `PONG`."""
PONG = b"\r\n"

_CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
_TOP_BRANCH = re.compile(
    rb"([A-Z]+) [^\r\n]*\r\n(?:[^\r\n]*\r\n)*?(?:Via|v)[ \t]*:[^\r\n,]*;[ \t]*branch[ \t]*=[ \t]*([^;,\s]+)",
    re.IGNORECASE,
)


class BadRequestError(SipParseError):
    """A request with an error inside. status: what to answer (400, 505)."""

    def __init__(self, message: str, request: Request, status: int = 400) -> None:
        super().__init__(message)
        self.request = request
        self.status = status


def is_keep_alive(data: bytes) -> bool:
    """Whether a datagram only holds a NAT binding open: CRLFs, NULs or nothing (RFC 5626, common practice)."""
    return len(data) <= 8 and not data.strip(b"\r\n\0 ")


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
