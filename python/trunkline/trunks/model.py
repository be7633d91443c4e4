"""What is known of trunks and of where calls go, as the node's settings say it.

Owns the shapes; `loading` makes them of the settings. Nothing here changes: settings that are read again make a new
`Directory`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from trunkline.dtmf import DtmfMode
from trunkline.sdp.codecs import CodecTerms
from trunkline.sdp.security import MediaSecurity
from trunkline.sip.auth.digest import HashedPassword
from trunkline.sip.types import Account
from trunkline.trunks.health import HealthPolicy
from trunkline.trunks.identity import IdentityPolicy
from trunkline.trunks.limits import Limits
from trunkline.trunks.numbers import NumberPolicy

Network = IPv4Network | IPv6Network

TRUNK_PREFIX: Final = "trunk:"
USER_PREFIX: Final = "user:"
"""What a peer's name begins with at the gate: which kind it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTerms:
    """What a trunk wants of media in place of the node's settings; None leaves those."""

    codecs: CodecTerms = field(default_factory=CodecTerms)
    dtmf: DtmfMode | None = None
    security: MediaSecurity | None = None
    is_late_offer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """One trunk. register_expires_s: None if it is not registered at; register_retry_s: after a refusal for good.

    priority, weight: as in RFC 2782. failover_statuses: answers after which another trunk may be tried.
    silence_s: how long it may say nothing to a call. headers_out, headers_in: names in lower case.
    """

    name: str
    account: Account
    register_expires_s: int | None = None
    register_retry_s: float = 600.0
    sources: tuple[Network, ...] = ()
    priority: int = 0
    weight: int = 1
    limits: Limits = field(default_factory=Limits)
    limit_status: int = 503
    failover_statuses: frozenset[int] = frozenset((408, 500, 502, 503, 504))
    silence_s: float = 4.0
    media: MediaTerms = field(default_factory=MediaTerms)
    headers_out: frozenset[str] = frozenset()
    headers_in: frozenset[str] = frozenset()
    numbers: NumberPolicy = field(default_factory=NumberPolicy)
    identity: IdentityPolicy = field(default_factory=IdentityPolicy)
    health: HealthPolicy = field(default_factory=HealthPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundUser:
    """Somebody who authenticates inbound calls."""

    name: str
    password: str | HashedPassword = field(repr=False)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Match:
    """Which numbers a rule is about; all if nothing is given. pattern: must match the whole number."""

    number: str | None = None
    prefix: str | None = None
    pattern: re.Pattern[str] | None = None

    def found(self, number: str) -> re.Match[str] | bool:
        """Say whether a number fits; the groups of the pattern if there is one."""
        if self.pattern is not None:
            return self.pattern.fullmatch(number) or False
        if self.number is not None:
            return number == self.number
        return number.startswith(self.prefix or "")


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """Names of trunks and groups that carry calls to some numbers, the cheapest first."""

    match: Match
    trunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToUser:
    """A connected web user, by login."""

    login: str


@dataclass(frozen=True, slots=True)
class ToTrunks:
    """The trunks and groups of these names; with none, those that the outbound rules name."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nowhere."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An application that is asked. secret: signs what it is sent, None if nothing does."""

    url: str
    timeout_s: float = 3.0
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call goes. callee: the number to call there, None for the one that was called."""

    to: ToUser | ToTrunks | Refusal | Webhook
    callee: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRule:
    """Where calls to some numbers go. peers: names of trunks and users; empty means all.

    fallback: where a call goes whose webhook fails or whose user is not here.
    """

    match: Match
    destination: Destination
    peers: frozenset[str] = frozenset()
    fallback: Destination | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """All that is configured about trunks. groups: names of trunks by the name of their group."""

    trunks: tuple[Trunk, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    outbound: tuple[OutboundRule, ...] = ()
    inbound: tuple[InboundRule, ...] = ()
    users: tuple[InboundUser, ...] = ()
    realm: str = "trunkline"
    is_dropping_strangers: bool = False
    are_web_calls_allowed: bool = False
