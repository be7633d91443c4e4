"""`a=crypto` lines: keys of SRTP in the signalling.   RFC 4568, and for the suites RFC 6188 and RFC 7714.

Owns the grammar of the line and the crypto suites with their lengths. A line that we cannot use (another suite, a
master key identifier, a parameter that changes the protection) is passed over as RFC 4568 section 7.1.2 has it. Keys
are never part of an error's text or of a repr.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from trunkline.sdp.model import Attribute, MediaDescription
from trunkline.sdp.parser import number

MAX_TAG: Final = 999_999_999
"""Nine digits (RFC 4568 section 9.1)."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A crypto suite and the lengths of its master key and salt."""

    name: str
    key_bytes: int
    salt_bytes: int


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite("AEAD_AES_256_GCM", 32, 12),
        Suite("AEAD_AES_128_GCM", 16, 12),
        Suite("AES_CM_128_HMAC_SHA1_80", 16, 14),
        Suite("AES_256_CM_HMAC_SHA1_80", 32, 14),
        Suite("AES_CM_128_HMAC_SHA1_32", 16, 14),
        Suite("AES_256_CM_HMAC_SHA1_32", 32, 14),
    )
}
"""By name, best first; the one that every peer has stands third, so that it is in our offers."""


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One usable line. key, salt: master key and salt of what its writer sends, of the suite's lengths."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    def attribute(self) -> Attribute:
        """Return the line; it says nothing of a lifetime, so that the suite's own holds."""
        keys = b64encode(self.key + self.salt).decode("ascii")
        return Attribute("crypto", f"{self.tag} {self.suite} inline:{keys}")


def fresh_line(tag: int, suite: str, random_bytes: Callable[[int], bytes]) -> CryptoLine:
    """Return a line with a new key. random_bytes: secret bytes, so many as asked for."""
    lengths = SUITES[suite]
    return CryptoLine(tag, suite, random_bytes(lengths.key_bytes), random_bytes(lengths.salt_bytes))


def read_crypto(media: MediaDescription) -> tuple[CryptoLine, ...]:
    """Return the section's lines that we can use, in their order; the first of each tag."""
    lines: dict[int, CryptoLine] = {}
    for value in media.values("crypto"):
        line = _read(value)
        if line is not None:
            lines.setdefault(line.tag, line)
    return tuple(lines.values())


def best_line(lines: Iterable[CryptoLine], suites: tuple[str, ...]) -> CryptoLine | None:
    """Return the line whose suite stands first in ours, the first of several; None if there is none."""
    known = [line for line in lines if line.suite in suites]
    return min(known, key=lambda line: suites.index(line.suite), default=None)


def _read(value: str) -> CryptoLine | None:
    words = value.split()
    if len(words) < 3:
        return None
    tag_text, name, keys, *parameters = words
    tag = number(tag_text, 0, MAX_TAG)
    suite = SUITES.get(name)
    # A window size hint is a wish; anything else changes what is on the wire, unless it is marked as optional.
    is_understood = all(parameter.startswith(("WSH=", "-")) for parameter in parameters)
    material = _read_key(keys)
    if tag is None or suite is None or not is_understood or material is None:
        return None
    if len(material) != suite.key_bytes + suite.salt_bytes:
        return None
    return CryptoLine(tag, suite.name, material[: suite.key_bytes], material[suite.key_bytes :])


def _read_key(text: str) -> bytes | None:
    """Return key and salt of `inline:<base64>[|lifetime]`; None for several keys, and for one with an identifier.

    How long its owner means to use a key is for the owner to keep to.
    """
    method, colon, info = text.partition(":")
    if method.lower() != "inline" or not colon or ";" in info:
        return None
    encoded, *rest = info.split("|")
    if len(rest) > 1 or any(":" in part for part in rest):
        return None
    try:
        # Some phones leave the padding out.
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
