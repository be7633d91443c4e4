"""Guesses of passwords: how many wrong ones a source and a user have left.

Owns the counts and the rule, so that no number of addresses finds a password by trying, and nobody who guesses keeps
the user out:

- a source has a few wrong passwords at once, and one more every `SOURCE_S`, whoever they are for;
- a user has more of them, from all sources together; once these are used up, a source is heard about that user once an
  hour, so that who knows the password still gets in from anywhere at the first attempt;
- a source from which the user's password has been right before has a count of its own, which no other one touches.

What is not heard costs no hash and tells nothing. Knows no password. Sans-IO; all of it is bounded, and what was used
longest ago is forgotten first.   RFC 7616 section 5.7.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from trunkline.buckets import TokenBucket

_T = TypeVar("_T")

SOURCE_GUESSES: Final = 10
SOURCE_S: Final = 30.0
USER_GUESSES: Final = 50
USER_S: Final = 60.0
FRESH_S: Final = 3_600.0
MAX_KEPT: Final = 16_384
"""Sources, users and pairs of both that are remembered, of each kind."""

_V6_BITS: Final = 64
"""Of an IPv6 address: who has one has all that share these."""
_USER_CHARACTERS: Final = 128
"""Of a user name: nobody fills our memory with long ones."""


class Guesses:
    """Those of one set of passwords. source: an IP address; anything else stands for itself. now: seconds."""

    def __init__(self) -> None:
        self._sources: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        self._users: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        self._known: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        """By source and user: where the password was right."""
        self._tried: OrderedDict[Hashable, float] = OrderedDict()
        """By source and user: when it was wrong last."""

    def __len__(self) -> int:
        """Count what is remembered of the kind that has most."""
        return max(len(kept) for kept in (self._sources, self._users, self._known, self._tried))

    def is_heard(self, now: float, source: str, user: str) -> bool:
        """Whether a password of this user from this source is to be looked at. Users need not exist."""
        network, user = pair = _pair(source, user)
        known = self._known.get(pair)
        if known is not None:
            return not known.is_empty(now)
        ours, theirs = self._sources.get(network), self._users.get(user)
        if ours is not None and ours.is_empty(now):
            return False
        tried_at = self._tried.get(pair)
        return theirs is None or not theirs.is_empty(now) or tried_at is None or now - tried_at >= FRESH_S

    def note_wrong(self, now: float, source: str, user: str) -> None:
        """Count a wrong password that was heard."""
        network, user = pair = _pair(source, user)
        known = self._known.get(pair)
        if known is not None:
            known.take(now)
            return
        _bucket(self._sources, network, _of_source).take(now)
        _bucket(self._users, user, _of_user).take(now)
        self._tried[pair] = now
        _touch(self._tried, pair)

    def note_right(self, source: str, user: str) -> None:
        """Remember where a user's password was right."""
        pair = _pair(source, user)
        self._tried.pop(pair, None)
        self._known[pair] = _of_source()
        _touch(self._known, pair)


def _of_source() -> TokenBucket:
    return TokenBucket(1.0 / SOURCE_S, SOURCE_GUESSES)


def _of_user() -> TokenBucket:
    return TokenBucket(1.0 / USER_S, USER_GUESSES)


def _bucket(kept: OrderedDict[Hashable, TokenBucket], key: Hashable, make: Callable[[], TokenBucket]) -> TokenBucket:
    """Return a bucket, made if it is new, as the one that is forgotten last."""
    bucket = kept.get(key)
    if bucket is None:
        bucket = kept[key] = make()
    _touch(kept, key)
    return bucket


def _touch(kept: OrderedDict[Hashable, _T], key: Hashable) -> None:
    kept.move_to_end(key)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)


def _pair(source: str, user: str) -> tuple[Hashable, str]:
    return _network(source), user[:_USER_CHARACTERS]


def _network(source: str) -> Hashable:
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return int(address)
    if address.ipv4_mapped is not None:
        return int(address.ipv4_mapped)
    return ("6", int(address) >> (128 - _V6_BITS))
