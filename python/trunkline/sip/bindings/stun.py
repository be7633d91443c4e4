"""STUN on the SIP port: Binding requests, by which a client keeps its NAT open and learns its address.

Owns the reading and writing of such requests and of their answers; no state. Only what is whole and needs no
authentication is answered, with fewer than 50 bytes.   RFC 5626 section 4.4.2 and 8, RFC 8489.
"""

from __future__ import annotations

import ipaddress
import struct

from trunkline.sip.types import Address

_BINDING_REQUEST, _BINDING_SUCCESS = 0x0001, 0x0101
_MAGIC = 0x2112A442
_XOR_MAPPED_ADDRESS = 0x0020
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HHBBH")
_FAMILY = {4: 1, 6: 2}
TRANSACTION_BYTES = 12
"""RFC 8489 section 5: 96 random bits."""


def is_stun(data: bytes) -> bool:
    """Whether a datagram is STUN and no SIP: two zero bits, the magic cookie, a length that fits."""
    if len(data) < _HEADER.size or data[0] > 3:
        return False
    _, length, magic, _ = _HEADER.unpack_from(data)
    return bool(magic == _MAGIC and length == len(data) - _HEADER.size and length % 4 == 0)


def is_binding_request(data: bytes) -> bool:
    """Whether a datagram is a STUN Binding request."""
    return data[:2] == b"\0\1" and is_stun(data)


def binding_answer(data: bytes, source: Address) -> bytes | None:
    """Answer a Binding request with the address it came from; None for any other STUN message."""
    kind, _, magic, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST:
        return None
    address = ipaddress.ip_address(source[0].partition("%")[0])
    mask = struct.pack("!I", magic) + transaction
    mapped = bytes(ours ^ theirs for ours, theirs in zip(address.packed, mask, strict=False))
    attribute = _ATTRIBUTE.pack(
        _XOR_MAPPED_ADDRESS, 4 + len(mapped), 0, _FAMILY[address.version], source[1] ^ (magic >> 16)
    )
    return _HEADER.pack(_BINDING_SUCCESS, len(attribute) + len(mapped), magic, transaction) + attribute + mapped


def binding_request(transaction: bytes) -> bytes:
    """Write a Binding request without attributes. transaction: `TRANSACTION_BYTES` random bytes."""
    return _HEADER.pack(_BINDING_REQUEST, 0, _MAGIC, transaction)


def mapped_address(data: bytes, transaction: bytes) -> Address | None:
    """Read the address that the answer to our request tells us; None if it is not that answer.

    data: STUN, as `is_stun` says.   RFC 8489 section 14.2.
    """
    kind, _, magic, answered = _HEADER.unpack_from(data)
    if kind != _BINDING_SUCCESS or answered != transaction:
        return None
    mask = struct.pack("!I", magic) + answered
    position = _HEADER.size
    while position + 4 <= len(data):
        name, length = struct.unpack_from("!HH", data, position)
        value = data[position + 4 : position + 4 + length]
        if name == _XOR_MAPPED_ADDRESS and len(value) in (8, 20):
            packed = bytes(ours ^ theirs for ours, theirs in zip(value[4:], mask, strict=False))
            return str(ipaddress.ip_address(packed)), int.from_bytes(value[2:4], "big") ^ (magic >> 16)
        position += 4 + length + -length % 4
    return None
