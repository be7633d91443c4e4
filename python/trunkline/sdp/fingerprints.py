"""`a=fingerprint` and `a=setup`: whose certificate DTLS may show, and who begins.   RFC 8122, RFC 8842, RFC 4145."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from trunkline.errors import SdpError
from trunkline.sdp.model import MediaDescription, SessionDescription

_HASH_BYTES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_HEX_PAIRS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2})*")


def read_fingerprints(levels: Iterable[MediaDescription | SessionDescription]) -> tuple[tuple[str, str], ...]:
    """Return the usable fingerprints, as (hash name, hex); the innermost level that has any decides.   RFC 8122 5.

    levels: where to look, innermost first. Empty if there is none of SHA-256 or better.
    Raises SdpError for one of such a hash that is malformed.
    """
    lines = next((found for level in levels if (found := tuple(level.values("fingerprint")))), ())
    fingerprints = []
    for line in lines:
        hash_name, _, digest = line.partition(" ")
        length = _HASH_BYTES.get(hash_name.lower())
        if length is None:
            continue
        digest = digest.strip().upper()
        if not _HEX_PAIRS.fullmatch(digest) or len(digest) != 3 * length - 1:
            raise SdpError("a=fingerprint: malformed")
        fingerprints.append((hash_name.lower(), digest))
    return tuple(fingerprints)
