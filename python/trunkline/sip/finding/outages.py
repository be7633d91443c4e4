"""Servers that did not answer: for a while, others are tried first.

Owns the list and its expiry. A server on it is still tried when there is no other, so that the list can delay a call
but never prevent one.   RFC 3263 section 4.3; RFC 3261 sections 8.1.3.1 and 21.5.4 (Retry-After of 503).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from trunkline.sip.types import Address, Path, Transport

REST_S = 60.0
"""How long a server is left alone that gave no sign of life."""
_MAX_REST_S = 3600.0
_MAX_ENTRIES = 1_024
_Key = tuple[Transport, Address]


class Outages:
    """When each silent server may be tried first again."""

    def __init__(self) -> None:
        self._until: OrderedDict[_Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def note(self, now: float, path: Path, rest_s: float = REST_S) -> None:
        """Leave this server alone for rest_s, an hour at most."""
        self._until.pop(_key(path), None)
        self._until[_key(path)] = now + min(rest_s, _MAX_REST_S)
        if len(self._until) > _MAX_ENTRIES:
            self._until.popitem(last=False)

    def clear(self, path: Path) -> None:
        """Learn that this server is alive."""
        self._until.pop(_key(path), None)

    def sorted(self, now: float, paths: Iterable[Path]) -> list[Path]:
        """Return paths in their order, those to silent servers last."""
        if not self._until:
            return list(paths)
        return sorted(paths, key=lambda path: self._is_out(now, path))

    def _is_out(self, now: float, path: Path) -> bool:
        until = self._until.get(_key(path))
        if until is not None and until <= now:
            del self._until[_key(path)]
            return False
        return until is not None


def _key(path: Path) -> _Key:
    return path.transport, path.remote
