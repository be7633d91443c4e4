"""Who calls: what a trunk is told of a caller, and what is believed of what a trunk tells.   RFC 3323, 3325, 8224.

Owns the policy of From, P-Asserted-Identity, P-Preferred-Identity and Privacy at the border of the trust domain, and
which headers pass it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trunkline.errors import SipParseError
from trunkline.sip.headers import NameAddr, OpaqueUri, SipUri, Uri, parse_uri
from trunkline.sip.types import HeaderFields, Identity

ANONYMOUS: Final = "anonymous"
PASSED_HEADERS: Final = ("identity", "date")
"""A caller's signed identity (RFC 8224) and the date that it signs: passed on as they came."""

MAX_PASSED: Final = 8
"""Identity headers of one call: each is some 800 bytes."""

FORBIDDEN_HEADERS: Final = frozenset(
    (
        *("via", "route", "record-route", "max-forwards", "max-breadth", "from", "to", "call-id", "cseq", "contact"),
        *("allow", "allow-events", "supported", "require", "proxy-require", "unsupported", "user-agent", "server"),
        *("expires", "min-expires", "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"),
        *("content-type", "content-length", "content-encoding", "content-disposition", "mime-version", "path"),
        *("p-asserted-identity", "p-preferred-identity", "remote-party-id", "privacy", "identity", "identity-info"),
        *("date", "replaces", "refer-to", "refer-sub", "referred-by", "event", "subscription-state", "rack", "rseq"),
        *("session-expires", "min-se", "reason", "retry-after", "service-route", "join", "target-dialog"),
    )
)
"""Names that are never custom: the user agent owns them, or they say who calls. In lower case."""


class IdentityHeader(StrEnum):
    """Where a caller's number goes out besides From."""

    NONE = "none"
    ASSERTED = "asserted"
    PREFERRED = "preferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """is_from_account: From names the account. from_domain: its host, None for the account's.

    caller: number of callers that have none, None for the login. is_trusted: within our trust domain.
    """

    is_from_account: bool = False
    from_domain: str | None = None
    caller: str | None = None
    header: IdentityHeader = IdentityHeader.NONE
    is_trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """Which custom headers pass with calls by accounts, each way. Names in lower case."""

    outbound: frozenset[str] = frozenset()
    inbound: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, as far as we know. number: user part, empty if there is none. privacy: words of Privacy that hold.

    passed: headers that go on to another trunk as they came.
    """

    number: str = ""
    display_name: str = ""
    privacy: tuple[str, ...] = ()
    passed: HeaderFields = ()

    def renumbered(self, number: str) -> Caller:
        """Return the same caller with the number as we write it."""
        return replace(self, number=number)

    @property
    def is_private(self) -> bool:
        """Whether the callee is not to learn who calls."""
        return bool(set(self.privacy) & {"id", "user", "header"})


def user_of(text: str) -> str:
    """Return the number or user of an address: the user part of a SIP URI, what follows `tel:`; else the whole text."""
    uri: Uri
    try:
        uri = NameAddr.parse(text).uri if "<" in text else parse_uri(text)
    except SipParseError:
        return text
    if isinstance(uri, OpaqueUri):
        return uri.rest.partition(";")[0] if uri.scheme == "tel" else text
    return uri.username.partition(";")[0]


def caller_of(
    from_: str,
    display_name: str,
    asserted: tuple[str, ...],
    privacy: tuple[str, ...],
    headers: HeaderFields,
    policy: IdentityPolicy,
) -> Caller:
    """Read who calls by a trunk. from_, asserted: URIs. What an untrusted one asserts is not believed."""
    passed = tuple((name, value) for name, value in headers if name.lower() in PASSED_HEADERS)
    if not any(name.lower() == "identity" for name, _ in passed):
        passed = ()
    number = user_of(from_)
    if policy.is_trusted and asserted:
        number = user_of(asserted[0])
    if number.lower() == ANONYMOUS:
        number = ""
    return Caller(
        number=number,
        display_name=display_name,
        privacy=tuple(word for word in privacy if word != "none"),
        passed=passed[: MAX_PASSED + 1],
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """What a trunk is told: From, its display name, and the headers beside it."""

    from_uri: str
    display_name: str
    identity: Identity


def shown(caller: Caller, number: str, login: str, domain: str, policy: IdentityPolicy) -> Shown:
    """Say how a caller is shown to a trunk. number: the caller's as the trunk writes it, empty if there is none.

    A caller that wants privacy is anonymous in From; only a trusted trunk is told more (RFC 3325 section 7).
    LocalProtocolError if the parts make no URI.
    """
    host = policy.from_domain or domain
    known = number or policy.caller or login
    uri = str(SipUri.of(known, host))
    is_told = policy.is_trusted or not caller.is_private
    identity = Identity(
        asserted=uri if policy.header is IdentityHeader.ASSERTED and is_told else None,
        preferred=uri if policy.header is IdentityHeader.PREFERRED and is_told else None,
        privacy=caller.privacy if caller.is_private else (),
        is_anonymous=caller.is_private,
    )
    from_uri = str(SipUri.of(login, host)) if policy.is_from_account else uri
    return Shown(from_uri, "" if caller.is_private else caller.display_name, identity)


def allowed(headers: HeaderFields, names: frozenset[str]) -> HeaderFields:
    """Return the headers that are on an allow-list. names: in lower case."""
    return tuple((name, value) for name, value in headers if name.lower() in names)
