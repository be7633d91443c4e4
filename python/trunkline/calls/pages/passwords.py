"""Passwords that pages and browsers show: judged, limited, counted.

Owns what is told of a wrong one: a count and a line with the address, as tools that bar addresses want it. Those of
our own users are judged here; those that the upstream server judges are only limited, since it would blame our address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from trunkline.calls.ports import Clock
from trunkline.errors import SipParseError
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.auth.digest import HashedPassword
from trunkline.sip.auth.guesses import Guesses
from trunkline.sip.headers import AuthValue
from trunkline.sip.registrar import Admission, LoginDesk, Reply
from trunkline.sip.types import HeaderFields, Path

CHALLENGES: Final = ("www-authenticate", "proxy-authenticate")

_log = get_logger(__name__)


class Passwords:
    """Of one node. users: the passwords of our own, by login. realm, algorithms: of our challenges."""

    def __init__(
        self,
        users: Mapping[str, str | HashedPassword],
        *,
        realm: str,
        algorithms: Sequence[str],
        clock: Clock,
        metrics: Metrics,
        rng: Random,
    ) -> None:
        self._desk = LoginDesk(users, realm, rng, algorithms=algorithms)
        self._upstream = Guesses()
        self._clock = clock
        self._metrics = metrics

    def knows(self, login: str) -> bool:
        """Whether this is one of our own users."""
        return self._desk.knows(login)

    def judge(self, method: str, login: str, headers: HeaderFields, path: Path) -> Reply | None:
        """Judge a page's request in the name of a user; see `LoginDesk.judge`."""
        source = path.remote[0]
        reply = self._desk.judge(self._clock.now(), method, login, headers, source=source)
        if reply is not None and reply.admission is not None:
            self._count("page", reply.admission, source)
        return reply

    def admit(self, login: str, password: str, source: str) -> Admission:
        """Judge a browser's password; see `LoginDesk.admit`."""
        admission = self._desk.admit(self._clock.now(), login, password, source)
        if admission is not Admission.RIGHT:
            self._count("browser", admission, source)
        return admission

    def may_go_upstream(self, aor: str, credentials: HeaderFields, path: Path) -> bool:
        """Whether somebody's credentials may go to the upstream server."""
        source = path.remote[0]
        is_heard = not credentials or self._upstream.is_heard(self._clock.now(), source, aor)
        if not is_heard:
            self._count("upstream", Admission.UNHEARD, source)
        return is_heard

    def note_upstream(self, aor: str, refusal: HeaderFields | None, path: Path) -> None:
        """Learn what the upstream server made of credentials: the headers of its refusal, None if it took them."""
        source = path.remote[0]
        if refusal is None:
            self._upstream.note_right(source, aor)
        elif not any(_is_stale(value) for name, value in refusal if name.lower() in CHALLENGES):
            self._upstream.note_wrong(self._clock.now(), source, aor)
            self._count("upstream", Admission.WRONG, source)

    def _count(self, by: str, admission: Admission, source: str) -> None:
        self._metrics.wrong_passwords.labels(by, admission.value).inc()
        if admission is Admission.WRONG:  # one that is not heard leaves no line: there may be any number of them
            _log.warning("password_wrong", by=by, peer=source)


def _is_stale(challenge: str) -> bool:
    """Whether a challenge says that nothing but the nonce was wrong."""
    try:
        return AuthValue.parse(challenge).get("stale").lower() == "true"
    except SipParseError:
        return False
