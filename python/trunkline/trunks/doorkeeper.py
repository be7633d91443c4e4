"""Who may call in: trunks by their addresses, users by digest, nobody else.   RFC 3261 section 22, RFC 7616.

Owns the verdict on requests from outside; how many wrong passwords are heard is `sip.auth.guesses`. A refusal says
nothing of whether a user exists: the same answer, at the same cost.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from random import Random
from typing import Final

from trunkline.sip.auth.digest import DigestServer, HashedPassword, Verdict
from trunkline.sip.auth.guesses import Guesses
from trunkline.sip.gate import Admitted, Ignored, Turned
from trunkline.sip.gate import Verdict as GateVerdict
from trunkline.sip.message import Request
from trunkline.sip.types import Path
from trunkline.trunks.model import TRUNK_PREFIX, USER_PREFIX, Directory, Network

KNOWN_ADDRESSES: Final = 1_024
"""Of which it is remembered whose they are: every request asks for that."""


class Doorkeeper:
    """The gate of a node's user agent. It keeps nothing of those it lets in but whose their address is."""

    def __init__(self, directory: Directory, rng: Random) -> None:
        self._rng = rng
        self._guesses = Guesses()
        self._terms = _terms_of(directory)
        self._digest = DigestServer(self._terms[0], rng, algorithms=self._terms[1])
        self._read(directory)

    def change(self, directory: Directory) -> None:
        """Judge by another directory from now on. Nonces stay good while realm and algorithms are the same."""
        terms = _terms_of(directory)
        if terms != self._terms:
            self._terms = terms
            self._digest = DigestServer(terms[0], self._rng, algorithms=terms[1])
        self._read(directory)

    def _read(self, directory: Directory) -> None:
        self._sources: tuple[tuple[Network, str], ...] = tuple(
            # The narrowest network decides where several hold an address.
            sorted(
                ((network, trunk.name) for trunk in directory.trunks for network in trunk.sources),
                key=lambda source: -source[0].prefixlen,
            )
        )
        self.trunk_at = lru_cache(maxsize=KNOWN_ADDRESSES)(self._trunk_at)
        """Names the trunk whose calls come from an IP address; None if there is none."""
        self._passwords = {user.name: user.password for user in directory.users}
        self._is_dropping = directory.is_dropping_strangers

    def judge(self, now: float, request: Request, path: Path) -> GateVerdict:
        """See `sip.gate.Gate`."""
        name = self.trunk_at(path.remote[0])
        if name is not None:
            return Admitted(f"{TRUNK_PREFIX}{name}")
        if path.transport.is_websocket:
            # Pages: whoever let their socket in knows them by their registration, and refuses the others.
            return Admitted()
        if request.method == "INVITE":
            return self._judge_call(now, request, path)
        return Ignored("strangers_dropped") if self._is_dropping else Admitted()

    def may_answer(self, path: Path) -> bool:
        """See `sip.gate.Gate`."""
        return not self._is_dropping or self.trunk_at(path.remote[0]) is not None

    def _trunk_at(self, host: str) -> str | None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return next((name for network, name in self._sources if address in network), None)

    def _judge_call(self, now: float, request: Request, path: Path) -> GateVerdict:
        if not self._passwords:
            return self._strange()
        credentials, host = request.headers.get_all("Authorization"), path.remote[0]
        claimed = self._digest.claimed(credentials)
        if claimed is not None and not self._guesses.is_heard(now, host, claimed):
            return Ignored("strangers_guessing") if self._is_dropping else Turned(403, "strangers_guessing")
        verdict, user = self._digest.verify(now, credentials, request.method, self._passwords.get, source=host)
        if verdict is Verdict.ACCEPTED:
            self._guesses.note_right(host, user)
            return Admitted(f"{USER_PREFIX}{user}")
        if verdict is Verdict.WRONG and claimed is not None:
            self._guesses.note_wrong(now, host, claimed)
        challenges = self._digest.challenges(now, source=host, is_stale=verdict is Verdict.STALE)
        counter = "strangers_wrong_password" if verdict is Verdict.WRONG else "strangers_challenged"
        return Turned(401, counter, tuple(("WWW-Authenticate", challenge) for challenge in challenges))

    def _strange(self) -> GateVerdict:
        return Ignored("strangers_dropped") if self._is_dropping else Turned(403, "strangers_refused")


def _terms_of(directory: Directory) -> tuple[str, tuple[str, ...]]:
    """Return the realm of challenges, and their algorithms: a hashed password is of use with MD5 alone."""
    is_hashed = any(isinstance(user.password, HashedPassword) for user in directory.users)
    return directory.realm, ("MD5",) if is_hashed else ("SHA-256", "MD5")
