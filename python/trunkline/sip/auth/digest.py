"""Digest authentication, both sides.   RFC 7616, RFC 8760, RFC 3261 section 22.

Owns challenges, credentials, nonce counts and the decision whether to try again. Must not decide whether a peer may see
credentials at all: `client.ClientRequest` does. `qop=auth-int` is neither offered nor answered: intermediaries that
rewrite bodies break it, and a challenge that wants nothing else is passed up as the refusal that it is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from trunkline.errors import SipParseError
from trunkline.sip.headers import AuthValue, quote
from trunkline.sip.message import Response

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
"""By algorithm name, the later the stronger; each also with `-sess`, which hashes the password once a session."""
_STRENGTH = {f"{name}{sess}": rank for rank, name in enumerate(_HASHES) for sess in ("", "-sess")}
"""Of every algorithm that we have."""
_OFFERED = ("SHA-256", "MD5")
"""What our server asks for, the best first: more challenges than these make messages long and confuse old phones."""
_MAX_ANSWERS = 4
"""Answers to challenges of one request, stale nonces included."""


def _digest(algorithm: str, text: str) -> str:
    # MD5 is what most registrars still ask for; it proves a password here, it protects nothing.
    name = _HASHES[algorithm.removesuffix("-sess")]
    return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class HashedPassword:
    """A password as a registrar may keep it, of use with MD5 alone. ha1: MD5 of `user:realm:password`, in hex."""

    ha1: str

    def __repr__(self) -> str:
        return "HashedPassword(...)"


def digest_response(
    algorithm: str,
    credentials: tuple[str, str, str | HashedPassword],
    request: tuple[str, str],
    nonce: str,
    *,
    qop: str = "",
    nonce_count: str = "",
    cnonce: str = "",
) -> str:
    """Compute the `response` value.   RFC 7616 section 3.4.1.

    credentials: user, realm, password. request: method, digest-uri. Without qop it is RFC 2069's form.
    """
    user, realm, password = credentials
    ha1 = password.ha1 if isinstance(password, HashedPassword) else _digest(algorithm, f"{user}:{realm}:{password}")
    if algorithm.endswith("-sess"):
        ha1 = _digest(algorithm, f"{ha1}:{nonce}:{cnonce}")
    ha2 = _digest(algorithm, ":".join(request))
    middle = f"{nonce}:{nonce_count}:{cnonce}:{qop}" if qop else nonce
    return _digest(algorithm, f"{ha1}:{middle}:{ha2}")


# --- client ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for. algorithm: one that we have. has_qop: it offers `auth`.

    hides_user: it knows users by the hash of their names, and wants nothing else to be seen (RFC 7616 section 3.4.4).
    """

    realm: str
    nonce: str
    algorithm: str
    has_qop: bool
    opaque: str | None
    is_stale: bool
    is_proxy: bool
    hides_user: bool = False

    @classmethod
    def read(cls, text: str, *, is_proxy: bool) -> Challenge | None:
        """Read a header value; None if it is not a challenge that we can answer."""
        try:
            value = AuthValue.parse(text)
        except SipParseError:
            return None
        algorithm = value.get("algorithm", "MD5").upper().replace("-SESS", "-sess")
        qops = [word.strip().lower() for word in value.get("qop").split(",") if word.strip()]
        if value.scheme.lower() != "digest" or algorithm not in _STRENGTH or (qops and "auth" not in qops):
            return None
        if not value.has("realm") or not value.has("nonce") or "\0" in text:
            return None
        opaque = value.get("opaque") if value.has("opaque") else None
        is_stale = value.get("stale").lower() == "true"
        return cls(
            value.get("realm"),
            value.get("nonce"),
            algorithm,
            bool(qops),
            opaque,
            is_stale,
            is_proxy,
            value.get("userhash").lower() == "true",
        )


def challenges_of(response: Response) -> tuple[Challenge, ...]:
    """Pick the strongest challenge of each realm that a 401 or 407 holds."""
    best: dict[tuple[bool, str], Challenge] = {}
    for name, is_proxy in (("WWW-Authenticate", False), ("Proxy-Authenticate", True)):
        for text in response.headers.get_all(name):
            challenge = Challenge.read(text, is_proxy=is_proxy)
            if challenge is None:
                continue
            key = (is_proxy, challenge.realm)
            if key not in best or _STRENGTH[challenge.algorithm] > _STRENGTH[best[key].algorithm]:
                best[key] = challenge
    return tuple(best.values())


@dataclass(slots=True)
class _Known:
    """A challenge that was answered. session_cnonce: the one that `-sess` keeps."""

    challenge: Challenge
    nonce_count: int = 0
    session_cnonce: str = ""


class Credentials:
    """One user's credentials with the challenges they have answered, so that later requests carry them at once."""

    __slots__ = ("_known", "_password", "_rng", "_username")

    def __init__(self, username: str, password: str, rng: Random) -> None:
        self._username = username
        self._password = password
        self._rng = rng
        self._known: dict[tuple[bool, bool, str], _Known] = {}

    def headers(self, method: str, uri: str) -> tuple[tuple[str, str], ...]:
        """Build Authorization and Proxy-Authorization for the realms that asked before; counts each nonce up.

        What a registrar asked for goes with REGISTER only: a proxy would carry it on to the callee.
        """
        is_register = method == "REGISTER"
        return tuple(self._header(known, method, uri) for key, known in self._known.items() if key[0] == is_register)

    def learn(self, method: str, challenge: Challenge) -> None:
        """Remember a challenge in the place of an older one of the same realm."""
        self._known[(method == "REGISTER", challenge.is_proxy, challenge.realm)] = _Known(challenge)

    def _header(self, known: _Known, method: str, uri: str) -> tuple[str, str]:
        challenge = known.challenge
        known.nonce_count += 1
        count = f"{known.nonce_count:08x}" if challenge.has_qop else ""
        is_session = challenge.algorithm.endswith("-sess")
        has_cnonce = challenge.has_qop or is_session
        fresh = f"{self._rng.getrandbits(64):016x}" if has_cnonce else ""
        cnonce = known.session_cnonce or fresh
        if is_session:  # RFC 7616 section 3.4.2: the first one is part of the password's hash
            known.session_cnonce = cnonce
        response = digest_response(
            challenge.algorithm,
            (self._username, challenge.realm, self._password),
            (method, uri),
            challenge.nonce,
            qop="auth" if challenge.has_qop else "",
            nonce_count=count,
            cnonce=cnonce,
        )
        shown = self._username
        if challenge.hides_user:
            shown = _digest(challenge.algorithm, f"{self._username}:{challenge.realm}")
        fields = [
            f"username={quote(shown)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(uri)}",
            f'response="{response}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.has_qop:
            fields += ["qop=auth", f"nc={count}"]
        if has_cnonce:
            fields.append(f'cnonce="{cnonce}"')
        if challenge.hides_user:
            fields.append("userhash=true")
        if challenge.opaque is not None:
            fields.append(f"opaque={quote(challenge.opaque)}")
        return "Proxy-Authorization" if challenge.is_proxy else "Authorization", f"Digest {', '.join(fields)}"


class Attempt:
    """The challenges of one request: decides whether sending it again can help."""

    __slots__ = ("_answered", "_answers", "_credentials", "_method")

    def __init__(self, credentials: Credentials, method: str) -> None:
        self._credentials = credentials
        self._method = method
        self._answered: set[tuple[bool, str]] = set()
        self._answers = 0

    def take(self, response: Response) -> bool:
        """Learn from a 401 or 407; True if the request is worth sending again.

        False when nothing in it can be answered, or when an answer to a fresh nonce was refused: the password is wrong.
        """
        challenges = challenges_of(response)
        if not challenges or self._answers >= _MAX_ANSWERS:
            return False
        for challenge in challenges:
            realm = (challenge.is_proxy, challenge.realm)
            if realm in self._answered and not challenge.is_stale:
                return False
        for challenge in challenges:
            self._answered.add((challenge.is_proxy, challenge.realm))
            self._credentials.learn(self._method, challenge)
        self._answers += 1
        return True


# --- server ---------------------------------------------------------------------------------------------------------


PasswordOf = Callable[[str], str | HashedPassword | None]
"""Finds a user's password; None if there is no such user."""


class Verdict(StrEnum):
    """What the server makes of a request's credentials."""

    ACCEPTED = "accepted"
    MISSING = "missing"
    STALE = "stale"
    """For a nonce that has expired, was used or is not the sender's: challenge again with `stale=true`."""
    WRONG = "wrong"


class DigestServer:
    """Challenges requests and verifies what comes back, for one realm.

    Nonces carry their own time stamp and seal, so that a challenge costs no memory; nonce counts are kept for the last
    `max_nonces` that were used. Unknown users and wrong passwords cost the same and look the same.
    """

    __slots__ = ("_algorithms", "_counts", "_lifetime_s", "_max_nonces", "_realm", "_rng", "_secret")

    def __init__(
        self,
        realm: str,
        rng: Random,
        *,
        nonce_lifetime_s: float = 300.0,
        max_nonces: int = 4096,
        algorithms: Sequence[str] = _OFFERED,
    ) -> None:
        self._algorithms = tuple(algorithms)
        self._realm = realm
        self._rng = rng
        self._secret = rng.randbytes(32)
        self._lifetime_s = nonce_lifetime_s
        self._max_nonces = max_nonces
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now: float, *, source: str = "", is_stale: bool = False) -> tuple[str, ...]:
        """Values of WWW-Authenticate (or Proxy-Authenticate), the strongest first.

        source: whoever is asked. An answer from anywhere else is as good as stale, so that nobody who sends in
        somebody else's name can have passwords judged.
        """
        nonce = self._nonce(int(now * 1000), self._rng.getrandbits(64), source)
        stale = ", stale=true" if is_stale else ""
        return tuple(
            f'Digest realm={quote(self._realm)}, nonce="{nonce}", algorithm={name}, qop="auth"{stale}'
            for name in self._algorithms
        )

    def verify(
        self, now: float, values: Iterable[str], method: str, password_of: PasswordOf, *, source: str = ""
    ) -> tuple[Verdict, str]:
        """Judge the Authorization values of a request; the second part is the user name that was accepted, or empty."""
        value = self._ours(values)
        if value is None:
            return Verdict.MISSING, ""
        stamp = self._stamp(value.get("nonce"), source)
        if stamp is None or now * 1000 - stamp > self._lifetime_s * 1000:
            return Verdict.STALE, ""
        return self._judge(value, method, password_of)

    def claimed(self, values: Iterable[str]) -> str | None:
        """Say whose password `verify` would judge; None if nobody's is shown. Costs no hash."""
        value = self._ours(values)
        return None if value is None else value.get("username")

    def _ours(self, values: Iterable[str]) -> AuthValue | None:
        for text in values:
            try:
                value = AuthValue.parse(text)
            except SipParseError:
                continue
            if value.scheme.lower() == "digest" and value.get("realm") == self._realm:
                return value
        return None

    def _judge(self, value: AuthValue, method: str, password_of: PasswordOf) -> tuple[Verdict, str]:
        username, nonce = value.get("username"), value.get("nonce")
        algorithm = value.get("algorithm", "MD5").upper().replace("-SESS", "-sess")
        if algorithm not in _STRENGTH:
            return Verdict.WRONG, ""
        password = password_of(username)
        if isinstance(password, HashedPassword) and algorithm not in ("MD5", "MD5-sess"):
            password = None
        expected = digest_response(
            algorithm,
            (username, self._realm, password or ""),
            (method, value.get("uri")),
            nonce,
            qop=value.get("qop"),
            nonce_count=value.get("nc"),
            cnonce=value.get("cnonce"),
        )
        is_right = hmac.compare_digest(expected.encode(), value.get("response").encode("utf-8", "surrogateescape"))
        if not is_right or password is None or value.get("qop") != "auth":
            return Verdict.WRONG, ""
        if not self._count_up(nonce, value.get("nc")):
            return Verdict.STALE, ""
        return Verdict.ACCEPTED, username

    def _nonce(self, stamp_ms: int, salt: int, source: str) -> str:
        text = f"{stamp_ms:x}.{salt:016x}"
        seal = hmac.new(self._secret, f"{text}.{source}".encode(), "sha256").hexdigest()[:32]
        return f"{text}.{seal}"

    def _stamp(self, nonce: str, source: str) -> int | None:
        """Milliseconds at which we made this nonce for a source; None if we did not."""
        stamp, _, rest = nonce.partition(".")
        salt = rest.partition(".")[0]
        try:
            ours = self._nonce(int(stamp, 16), int(salt, 16), source)
        except ValueError:
            return None
        return int(stamp, 16) if hmac.compare_digest(ours.encode(), nonce.encode("utf-8", "replace")) else None

    def _count_up(self, nonce: str, text: str) -> bool:
        """Whether this nonce count is higher than any before (RFC 7616 section 3.4.6)."""
        try:
            count = int(text, 16)
        except ValueError:
            return False
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        while len(self._counts) > self._max_nonces:
            self._counts.popitem(last=False)
        return True
