"""Bencoding, in which rtpengine's control protocol is written.   BEP 3."""

from __future__ import annotations

Value = str | int | list["Value"] | dict[str, "Value"]


def encode(value: Value) -> bytes:
    """Write a value; the keys of a dictionary in order, as the format wants them."""
    match value:
        case str():
            data = value.encode()
            return b"%d:%s" % (len(data), data)
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(data: bytes) -> Value:
    """Read one value that is all of `data`. ValueError for anything else."""
    value, end = _read(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes behind the value")
    return value


def _read(data: bytes, at: int) -> tuple[Value, int]:
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _read(data, at)
            items.append(item)
        return (items if kind == b"l" else _pair(items)), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("a string longer than the data")
    return data[colon + 1 : end].decode(errors="replace"), end


def _pair(items: list[Value]) -> dict[str, Value]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values):
        raise ValueError("a key without a value")
    return {str(key): value for key, value in zip(keys, values, strict=True)}
