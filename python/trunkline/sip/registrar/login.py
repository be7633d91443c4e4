"""Who is who: digest authentication of clients that register here.   RFC 3261 section 22, RFC 7616.

Owns the users' secrets, the challenges, and the guesses that are left. A wrong password and an unknown user look the
same. Keeps no binding.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from trunkline.sip.auth.digest import DigestServer, HashedPassword, Verdict
from trunkline.sip.auth.guesses import Guesses
from trunkline.sip.types import HeaderFields

WRONG: Final = "Wrong user name or password"
UNHEARD: Final = "Too many wrong passwords, try again later"


class Admission(StrEnum):
    """What is made of a password. UNHEARD: it was not looked at, since too many were wrong before."""

    RIGHT = "right"
    WRONG = "wrong"
    UNHEARD = "unheard"


@dataclass(frozen=True, slots=True)
class Reply:
    """A refusal, with its challenge if another answer may help. admission: None if no password was shown."""

    status: int
    reason: str | None = None
    headers: HeaderFields = ()
    admission: Admission | None = None


class LoginDesk:
    """Knows the users of one realm by login. algorithms: asked for, best first. source: always an IP address."""

    def __init__(
        self,
        users: Mapping[str, str | HashedPassword],
        realm: str,
        rng: Random,
        *,
        algorithms: Sequence[str] = ("MD5",),
    ) -> None:
        self._users = dict(users)
        self._realm = realm
        self._digest = DigestServer(realm, rng, algorithms=algorithms)
        self.guesses = Guesses()

    def knows(self, login: str) -> bool:
        """Whether this is one of the users."""
        return login in self._users

    def admit(self, now: float, login: str, password: str, source: str) -> Admission:
        """Judge a password that was shown by another protocol than SIP, in plain text."""
        if not self.guesses.is_heard(now, source, login):
            return Admission.UNHEARD
        if self._is_password(login, password):
            self.guesses.note_right(source, login)
            return Admission.RIGHT
        self.guesses.note_wrong(now, source, login)
        return Admission.WRONG

    def _is_password(self, login: str, password: str) -> bool:
        known = self._users.get(login)
        if isinstance(known, HashedPassword):
            shown = hashlib.md5(f"{login}:{self._realm}:{password}".encode(), usedforsecurity=False).hexdigest()
            return hmac.compare_digest(shown, known.ha1)
        return known is not None and hmac.compare_digest(password.encode(), known.encode())

    def judge(self, now: float, method: str, login: str, fields: HeaderFields, *, source: str) -> Reply | None:
        """Judge a request in the name of a user; None if its credentials are the user's own.

        REGISTER is challenged as its registrar does, 401, and anything else as a proxy does, 407: a client that has
        answered one keeps it apart from the other. Wrong credentials are told with a new challenge, which pages show as
        what it is; a right password of somebody else is 403, and so is one that is not heard any more.
        """
        is_register = method == "REGISTER"
        name = "authorization" if is_register else "proxy-authorization"
        values = [value for field, value in fields if field.lower() == name]
        claimed = self._digest.claimed(values)
        if claimed is not None and not self.guesses.is_heard(now, source, claimed):
            return Reply(403, UNHEARD, admission=Admission.UNHEARD)
        verdict, user = self._digest.verify(now, values, method, self._users.get, source=source)
        if verdict is Verdict.ACCEPTED:
            self.guesses.note_right(source, user)
            return None if user == login else Reply(403)
        is_wrong = verdict is Verdict.WRONG
        if is_wrong:
            self.guesses.note_wrong(now, source, claimed or "")
        status, answer = (401, "WWW-Authenticate") if is_register else (407, "Proxy-Authenticate")
        challenges = self._digest.challenges(now, source=source, is_stale=verdict is Verdict.STALE)
        return Reply(
            status,
            WRONG if is_wrong else None,
            tuple((answer, value) for value in challenges),
            Admission.WRONG if is_wrong else None,
        )
