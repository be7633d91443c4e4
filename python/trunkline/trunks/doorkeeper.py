"""Who may call in: trunks by their addresses, users by digest, nobody else.   RFC 3261 section 22, RFC 7616.

Owns the verdict on requests from outside and the guesses of passwords that each source has left. A refusal says nothing
of whether a user exists: the same answer, at the same cost.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from random import Random
from typing import Final

from trunkline.sip.digest import DigestServer, HashedPassword, Verdict
from trunkline.sip.gate import Admitted, Ignored, Turned
from trunkline.sip.gate import Verdict as GateVerdict
from trunkline.sip.message import Request
from trunkline.sip.types import Path
from trunkline.trunks.limits import TokenBucket
from trunkline.trunks.model import TRUNK_PREFIX, USER_PREFIX, Directory, Network

GUESSES: Final = 10
"""Wrong passwords that one address may send at once; one more every `GUESS_S`."""
GUESS_S: Final = 30.0
MAX_SOURCES: Final = 4096


class Doorkeeper:
    """The gate of a node's user agent. It keeps nothing of those it lets in."""

    def __init__(self, directory: Directory, rng: Random) -> None:
        self._sources: tuple[tuple[Network, str], ...] = tuple(
            # The narrowest network decides where several hold an address.
            sorted(
                ((network, trunk.name) for trunk in directory.trunks for network in trunk.sources),
                key=lambda source: -source[0].prefixlen,
            )
        )
        self._passwords = {user.name: user.password for user in directory.users}
        self._is_dropping = directory.is_dropping_strangers
        is_hashed = any(isinstance(user.password, HashedPassword) for user in directory.users)
        algorithms = ("MD5",) if is_hashed else ("SHA-256", "MD5")
        self._digest = DigestServer(directory.realm, rng, algorithms=algorithms)
        self._guesses: OrderedDict[str, TokenBucket] = OrderedDict()

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

    def trunk_at(self, host: str) -> str | None:
        """Name the trunk whose calls come from an address; None if there is none."""
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
        credentials = request.headers.get_all("Authorization")
        if credentials and not self._may_guess(path.remote[0], now):
            return self._strange()
        verdict, user = self._digest.verify(now, credentials, request.method, self._passwords.get)
        if verdict is Verdict.ACCEPTED:
            self._guesses.pop(path.remote[0], None)
            return Admitted(f"{USER_PREFIX}{user}")
        challenges = self._digest.challenges(now, is_stale=verdict is Verdict.STALE)
        counter = "strangers_wrong_password" if verdict is Verdict.WRONG else "strangers_challenged"
        return Turned(401, counter, tuple(("WWW-Authenticate", challenge) for challenge in challenges))

    def _strange(self) -> GateVerdict:
        return Ignored("strangers_dropped") if self._is_dropping else Turned(403, "strangers_refused")

    def _may_guess(self, host: str, now: float) -> bool:
        bucket = self._guesses.get(host)
        if bucket is None:
            bucket = self._guesses[host] = TokenBucket(1.0 / GUESS_S, GUESSES)
        self._guesses.move_to_end(host)
        while len(self._guesses) > MAX_SOURCES:
            self._guesses.popitem(last=False)
        return bucket.take(now)
