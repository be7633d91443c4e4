"""A registrar small enough for one account.   RFC 3261 section 10.3.

Owns the bindings of the demo accounts and the answers to REGISTER: 401, 403, 404, 423, 200, as a SIP server gives them.
Sans-IO: time is an argument, the sending of answers is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from trunkline.errors import SipParseError
from trunkline.sip.auth.digest import DigestServer, Verdict
from trunkline.sip.headers import CSeq, HeaderList, NameAddr, SipUri, parse_number
from trunkline.sip.types import HeaderFields, IncomingRequest

DEFAULT_EXPIRES_S = 3600
MIN_EXPIRES_S = 10
MAX_EXPIRES_S = 3600
MAX_BINDINGS = 10
"""Of one account."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a REGISTER."""

    status: int
    headers: HeaderFields = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """Where an account can be reached until expires_at. sip_call_id, cseq: of the REGISTER that said so."""

    contact: SipUri
    expires_at: float
    sip_call_id: str
    cseq: int


class Registrar:
    """Bindings of accounts.

    passwords: by login. realm: of the challenges, and the only domain.
    """

    def __init__(self, passwords: Mapping[str, str], realm: str, rng: Random) -> None:
        self._passwords = dict(passwords)
        self._digest = DigestServer(realm, rng)
        self._bindings: dict[str, dict[str, Binding]] = {}

    def contacts(self, now: float, login: str) -> tuple[SipUri, ...]:
        """Return where an account can be reached, the newest binding first."""
        bindings = self._live(now, login).values()
        return tuple(binding.contact for binding in sorted(bindings, key=lambda b: b.expires_at, reverse=True))

    def handle_register(self, now: float, request: IncomingRequest) -> Reply:
        """Judge a REGISTER, change the bindings, and return the answer. Wrong in any part, it changes nothing."""
        headers = HeaderList.received(request.headers)
        try:
            login = headers.one("To", NameAddr.parse).uri
            verdict, user = self._digest.verify(
                now, headers.get_all("Authorization"), request.method, self._passwords.get
            )
            match verdict:
                case Verdict.MISSING | Verdict.STALE:
                    return self._challenge(now, is_stale=verdict is Verdict.STALE)
                case Verdict.WRONG:
                    return Reply(403)
                case Verdict.ACCEPTED:
                    pass
            if not isinstance(login, SipUri) or login.username not in self._passwords:
                return Reply(404)
            if login.username != user:
                return Reply(403)
            return self._bind(now, user, headers)
        except SipParseError:
            return Reply(400)

    def _challenge(self, now: float, *, is_stale: bool) -> Reply:
        values = self._digest.challenges(now, is_stale=is_stale)
        return Reply(401, tuple(("WWW-Authenticate", value) for value in values))

    def _bind(self, now: float, login: str, headers: HeaderList) -> Reply:
        bindings = dict(self._live(now, login))
        sip_call_id, cseq = headers.one("Call-ID", str), headers.one("CSeq", CSeq.parse).number
        default_s = parse_number(headers.get("Expires") or str(DEFAULT_EXPIRES_S))
        if headers.get_all("Contact") == ("*",):
            if default_s != 0:
                return Reply(400)
            self._bindings.pop(login, None)
            return Reply(200)
        for contact in headers.many("Contact", NameAddr.parse):
            if not isinstance(contact.uri, SipUri):
                return Reply(400)
            key = str(contact.uri)
            known = bindings.get(key)
            if known is not None and known.sip_call_id == sip_call_id and cseq <= known.cseq:
                return Reply(500)
            asked = contact.parameter("expires")
            expires_s = default_s if asked is None else parse_number(asked)
            if expires_s == 0:
                bindings.pop(key, None)
                continue
            if expires_s < MIN_EXPIRES_S:
                return Reply(423, (("Min-Expires", str(MIN_EXPIRES_S)),))
            bindings[key] = Binding(contact.uri, now + min(expires_s, MAX_EXPIRES_S), sip_call_id, cseq)
        if len(bindings) > MAX_BINDINGS:
            return Reply(403)
        self._bindings[login] = bindings
        return Reply(200, tuple(("Contact", _contact_value(now, binding)) for binding in bindings.values()))

    def _live(self, now: float, login: str) -> dict[str, Binding]:
        """Return the bindings that have not expired; forgets the others."""
        live = {key: b for key, b in self._bindings.get(login, {}).items() if b.expires_at > now}
        if live:
            self._bindings[login] = live
        else:
            self._bindings.pop(login, None)
        return live


def _contact_value(now: float, binding: Binding) -> str:
    return f"<{binding.contact}>;expires={max(1, round(binding.expires_at - now))}"
