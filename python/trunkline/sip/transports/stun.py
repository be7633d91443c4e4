"""STUN on the SIP port: Binding requests, by which a client keeps its NAT open and learns its address.

Owns the reading of such requests and the writing of the answer; no state. Only what is whole and needs no
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


def is_stun(data: bytes) -> bool:
    """Whether a datagram is STUN and no SIP: two zero bits, the magic cookie, a length that fits."""
    if len(data) < _HEADER.size or data[0] > 3:
        return False
    _, length, magic, _ = _HEADER.unpack_from(data)
    return bool(magic == _MAGIC and length == len(data) - _HEADER.size and length % 4 == 0)


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
