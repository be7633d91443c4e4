"""Bodies of one part or of several (multipart), as location services and ISUP gateways send them beside descriptions.

Owns which parts there are and whether one may be left unread. Reads one level: nothing that calls us nests.
RFC 2046 section 5.1; RFC 5621; RFC 3261 section 20.11 (Content-Disposition).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PARTS = 16
"""What follows them is not looked at."""

_BOUNDARY = re.compile(r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_HANDLING = re.compile(r";[ \t]*handling[ \t]*=[ \t]*(required|optional)", re.IGNORECASE)
_LINE_END = re.compile(rb"\r?\n")
_HEAD_END = re.compile(rb"(?:\A|\r?\n)\r?\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One part, or a body that is not multipart. content_type: in lower case, without parameters.

    handling: what its disposition says of readers that do not know it, `required` or `optional`; empty if nothing.
    """

    content_type: str
    handling: str
    body: bytes


def type_of(content_type: str) -> str:
    """Return the type that a Content-Type names, in lower case and without parameters."""
    return content_type.partition(";")[0].strip(" \t").lower()


def parts_of(content_type: str, disposition: str, body: bytes) -> tuple[Part, ...]:
    """Return the parts of a body: itself, unless its type is multipart; none if that cannot be read.

    content_type, disposition: the header fields, empty if not given.
    """
    if not type_of(content_type).startswith("multipart/"):
        return (Part(type_of(content_type), _handling(disposition), body),)
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return ()
    mark = re.escape((boundary[1] or boundary[2]).encode("utf-8", "surrogateescape"))
    pieces = re.split(rb"(?:\A|\r?\n)--" + mark + rb"(--)?[ \t]*(?:\r?\n|\Z)", b"\r\n" + body, maxsplit=MAX_PARTS + 1)
    # Marks stand between pieces, each as its `--` or None. Before the first and behind the closing one is nobody's.
    parts: list[Part] = []
    for closing, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if closing is not None or len(parts) == MAX_PARTS:
            break
        parts.append(_part(piece))
    return tuple(parts)


def _part(piece: bytes) -> Part:
    """Read the fields of a part, up to an empty line, and leave the rest as it is."""
    head_end = _HEAD_END.search(piece)
    head, body = (piece, b"") if head_end is None else (piece[: head_end.start()], piece[head_end.end() :])
    fields: dict[str, str] = {}
    for line in _LINE_END.split(head):
        name, _, value = line.decode("utf-8", "replace").partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return Part(type_of(fields.get("content-type", "")), _handling(fields.get("content-disposition", "")), body)


def _handling(disposition: str) -> str:
    found = _HANDLING.search(disposition)
    return "" if found is None else found[1].lower()
