"""Who is who: digest authentication of clients that register here.   RFC 3261 section 22, RFC 7616.

Owns the users' secrets and the challenges. A wrong password and an unknown user look the same. Keeps no binding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from trunkline.sip.digest import DigestServer, HashedPassword, Verdict
from trunkline.sip.types import HeaderFields


@dataclass(frozen=True, slots=True)
class Reply:
    """A refusal, with its challenge if another answer may help."""

    status: int
    reason: str | None = None
    headers: HeaderFields = ()


class LoginDesk:
    """Knows the users of one realm by login. algorithms: asked for, best first."""

    def __init__(
        self,
        users: Mapping[str, str | HashedPassword],
        realm: str,
        rng: Random,
        *,
        algorithms: Sequence[str] = ("MD5",),
    ) -> None:
        self._users = dict(users)
        self._digest = DigestServer(realm, rng, algorithms=algorithms)

    def knows(self, login: str) -> bool:
        """Whether this is one of the users."""
        return login in self._users

    def judge(self, now: float, method: str, login: str, fields: HeaderFields) -> Reply | None:
        """Judge a request in the name of a user; None if its credentials are the user's own.

        REGISTER is challenged as its registrar does, 401, and anything else as a proxy does, 407: a client that has
        answered one keeps it apart from the other. Wrong credentials are told with a new challenge, which pages show as
        what it is; a right password of somebody else is 403.
        """
        is_register = method == "REGISTER"
        name = "authorization" if is_register else "proxy-authorization"
        values = [value for field, value in fields if field.lower() == name]
        verdict, user = self._digest.verify(now, values, method, self._users.get)
        if verdict is Verdict.ACCEPTED:
            return None if user == login else Reply(403)
        status, answer = (401, "WWW-Authenticate") if is_register else (407, "Proxy-Authenticate")
        challenges = self._digest.challenges(now, is_stale=verdict is Verdict.STALE)
        reason = "Wrong user name or password" if verdict is Verdict.WRONG else None
        return Reply(status, reason, tuple((answer, value) for value in challenges))
