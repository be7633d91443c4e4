"""The settings of trunks: carriers, PBXs and gateways that calls go to and come from, and which call goes where.

Owns names, units, defaults and ranges. What the words mean at work is `trunkline.trunks`'.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from trunkline.config.section import HeaderName, Network, Section
from trunkline.config.sections import AudioCodecName
from trunkline.dtmf import DtmfMode

TrunkName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
FinalStatus = Annotated[int, Field(ge=400, le=699)]


def _check_pattern(text: str, *replacements: str) -> None:
    try:
        for replacement in ("", *replacements):
            re.sub(text, replacement, "")
    except re.error as error:
        msg = f"not a regular expression: {error}"
        raise ValueError(msg) from error


class NumberRuleConfig(Section):
    """One change of a number: what a number begins with, or a regular expression for all of it."""

    prefix: str | None = Field(default=None, max_length=64, description="Numbers that begin so are changed.")
    strip: int = Field(default=0, ge=0, le=64, description="Characters to take away at the front, with `prefix`.")
    add: str = Field(default="", max_length=64, description="What is put in front instead, with `prefix`.")
    pattern: str | None = Field(
        default=None, max_length=256, description="Regular expression that the whole number must match."
    )
    replace: str = Field(
        default="", max_length=256, description=r"What it becomes, with `pattern`; `\1` is its first group."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.prefix is None) == (self.pattern is None):
            msg = "give either prefix or pattern"
            raise ValueError(msg)
        if self.pattern is not None:
            _check_pattern(self.pattern, self.replace)
        return self


class TrunkNumbersConfig(Section):
    """How a trunk writes numbers. Rules run in their order, each on what the one before made of the number."""

    country_code: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{0,2}$",
        description="Country in which the trunk's national numbers are, e.g. `49`. Default: none, they are left alone.",
    )
    national_prefix: str = Field(default="0", pattern=r"^[0-9]{0,4}$", description="Led by it, a number is national.")
    international_prefix: str = Field(
        default="00", pattern=r"^[0-9]{1,5}$", description="Led by it, a number is international: `011` in America."
    )
    normalise_inbound: bool = Field(
        default=True, description="Turn the numbers of inbound calls into E.164 (`+4930123`) before any rule."
    )
    callee_format: Literal["as_is", "e164", "e164_without_plus", "national", "international"] = Field(
        default="as_is", description="How called numbers go out. `international` has the prefix for `+`."
    )
    caller_format: Literal["as_is", "e164", "e164_without_plus", "national", "international"] = Field(
        default="as_is", description="The same of callers' numbers."
    )
    callee_out: tuple[NumberRuleConfig, ...] = Field(default=(), description="Changes of called numbers going out.")
    caller_out: tuple[NumberRuleConfig, ...] = Field(default=(), description="Changes of callers' numbers going out.")
    callee_in: tuple[NumberRuleConfig, ...] = Field(default=(), description="Changes of called numbers coming in.")
    caller_in: tuple[NumberRuleConfig, ...] = Field(default=(), description="Changes of callers' numbers coming in.")


class TrunkIdentityConfig(Section):
    """Who a trunk is told calls, and what is believed of what it says.   RFC 3323, RFC 3325."""

    from_user: Literal["caller", "account"] = Field(
        default="caller", description="Whose name stands in From: the caller's number, or the trunk's login."
    )
    from_domain: str | None = Field(
        default=None, min_length=1, max_length=255, description="Host in From. Default: the trunk's domain."
    )
    caller: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Number shown for callers that have none, as calls by REST and of browsers. Default: the login.",
    )
    header: Literal["none", "asserted", "preferred"] = Field(
        default="none",
        description="Whether the caller's number goes out in P-Asserted-Identity or P-Preferred-Identity besides.",
    )
    is_trusted: bool = Field(
        default=False,
        description="Whether the trunk is within our trust domain: its P-Asserted-Identity and Privacy are believed, "
        "and it is told who a caller is that wants to be anonymous.",
    )


class TrunkHealthConfig(Section):
    """How a trunk is asked, by OPTIONS, whether it is there."""

    interval_s: float = Field(default=30.0, ge=0, le=86_400, description="Seconds between questions; 0 asks never.")
    timeout_s: float = Field(default=4.0, ge=0.1, le=32, description="Seconds of silence that count as a failure.")
    down_after: int = Field(default=2, ge=1, le=100, description="Failures in a row after which the trunk is down.")
    up_after: int = Field(default=1, ge=1, le=100, description="Answers in a row after which it is up again.")


class TrunkConfig(Section):
    """One trunk."""

    host: str = Field(
        min_length=1,
        max_length=255,
        description="Address or name of its server; names are found by NAPTR, SRV and address records.",
    )
    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(default=None, description="Default: by DNS, or 5060.")
    transport: Literal["udp", "tcp", "tls"] | None = Field(default=None, description="Default: by DNS, or UDP.")
    outbound_proxy: str | None = Field(
        default=None, min_length=1, max_length=255, description="Host to send to in its place. `port` is then of this."
    )
    login: str = Field(
        default="trunkline",
        min_length=1,
        max_length=128,
        description="User part of our address at the trunk, and digest user unless `authentication_name` is given.",
    )
    password: SecretStr | None = Field(default=None, description="Answers its challenges. Default: none is answered.")
    authentication_name: str | None = Field(default=None, min_length=1, max_length=128, description="Digest user.")
    registers: bool = Field(
        default=False, description="Register there. Calls then come to the Contact that was registered."
    )
    register_expires_s: int = Field(default=600, ge=30, le=86_400, description="Seconds of a registration.")
    register_retry_s: float = Field(
        default=600.0,
        ge=10,
        le=86_400,
        description="Seconds after which a registration is tried again that was refused for good (wrong password); up "
        "to half as much is added at random.",
    )
    sources: tuple[Network, ...] = Field(
        default=(),
        description="Addresses and networks from which its calls come. Default: `host`, if that is an address.",
    )
    priority: int = Field(default=0, ge=0, le=65_535, description="Within a group, lower ones are tried first.")
    weight: int = Field(
        default=1, ge=0, le=65_535, description="Share of calls among trunks of one priority; 0 only when others fail."
    )
    max_calls: int | None = Field(default=None, ge=0, le=1_000_000, description="Calls at once, both ways. 0 is none.")
    max_calls_out: int | None = Field(default=None, ge=0, le=1_000_000, description="Of these, outbound.")
    max_calls_in: int | None = Field(default=None, ge=0, le=1_000_000, description="Of these, inbound.")
    calls_per_s: float | None = Field(
        default=None, gt=0, le=100_000, description="Call attempts a second, each way. Default: no limit."
    )
    calls_burst: int = Field(default=10, ge=1, le=100_000, description="Attempts that may come at once within that.")
    limit_status: Literal[480, 486, 503] = Field(
        default=503, description="What an inbound call above a limit is answered. 503 comes with Retry-After."
    )
    failover_statuses: tuple[FinalStatus, ...] = Field(
        default=(408, 500, 502, 503, 504),
        description="Answers after which the next trunk is tried. 408 counts only before anything rang.",
    )
    silence_s: float = Field(
        default=4.0, ge=0.5, le=32, description="Seconds without any answer to a call before the next trunk is tried."
    )
    codecs: tuple[AudioCodecName, ...] = Field(
        default=(), description="Audio codecs, best first. Default: `media.sip_codecs`."
    )
    transcoding: bool = Field(default=True, description="Whether its calls may be transcoded; if not, they fail (488).")
    late_offer: bool = Field(
        default=False, description="Leave the offer to the trunk: call without SDP, as some PBXs want it."
    )
    dtmf: DtmfMode | None = Field(default=None, description="How digits travel. Default: `calls.dtmf`.")
    media_security: Literal["plain", "optional", "required", "sdes", "dtls"] | None = Field(
        default=None, description="SRTP policy. Default: `sip.media_security`."
    )
    headers_out: tuple[HeaderName, ...] = Field(
        default=(), description="Custom headers that clients may send to it (`sipHeaders`), e.g. `X-Account`."
    )
    headers_in: tuple[HeaderName, ...] = Field(
        default=(), description="Headers of its calls that clients and webhooks are shown (`inviteParameters`)."
    )
    numbers: TrunkNumbersConfig = TrunkNumbersConfig()
    identity: TrunkIdentityConfig = TrunkIdentityConfig()
    health: TrunkHealthConfig = TrunkHealthConfig()


class MatchConfig(Section):
    """Which numbers a rule is about: one of the three, or none for all."""

    number: str | None = Field(default=None, min_length=1, max_length=64, description="This number.")
    prefix: str | None = Field(default=None, max_length=64, description="Numbers that begin so.")
    pattern: str | None = Field(default=None, max_length=256, description="Numbers that match this expression wholly.")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if sum(each is not None for each in (self.number, self.prefix, self.pattern)) > 1:
            msg = "give one of number, prefix and pattern"
            raise ValueError(msg)
        if self.pattern is not None:
            _check_pattern(self.pattern)
        return self


class OutboundRuleConfig(MatchConfig):
    """Which trunks carry calls to some numbers. Numbers and patterns go first, then the longest prefix."""

    trunks: tuple[TrunkName, ...] = Field(
        min_length=1,
        description="Trunks and groups to try, in this order: the cheapest first. Within a group, priority and weight "
        "decide.",
    )


class WebhookConfig(Section):
    """An application that is asked where a call goes. It is sent JSON and answers with a destination in JSON."""

    url: str = Field(pattern=r"^https?://[^\s]+$", max_length=1024, description="Where to POST the question.")
    timeout_s: float = Field(default=3.0, ge=0.1, le=30, description="Seconds for its answer.")
    secret: SecretStr | None = Field(
        default=None,
        description="Key of `Trunkline-Signature: t=<unix time>,v1=<hex>`, HMAC-SHA256 of `<unix time>.<body>`. "
        "Default: questions are not signed.",
    )


class DestinationConfig(Section):
    """Where a call goes: one of these."""

    user: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description=r"Login of a connected web user, or `login@domain`. With a pattern, `\1` is its first group. All "
        "its connections ring: those of the Web SDK (see `routing.web_domains`) and pages with SIP over WebSocket.",
    )
    trunks: tuple[TrunkName, ...] = Field(default=(), description="Trunks and groups, in this order.")
    outbound: bool = Field(
        default=False, description="As the outbound rules say. Lets the caller use what they lead to."
    )
    webhook: WebhookConfig | None = Field(default=None, description="As an application says.")
    reject: FinalStatus | None = Field(default=None, description="Nowhere: refuse with this status.")
    callee: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description=r"Number to call there. Default: the one that was called.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = (self.user, self.trunks or None, self.outbound or None, self.webhook, self.reject)
        if sum(each is not None for each in ways) != 1:
            msg = "give one of user, trunks, outbound, webhook and reject"
            raise ValueError(msg)
        return self


class FallbackConfig(DestinationConfig):
    """Where a call goes whose webhook fails, or whose user is not here."""

    @model_validator(mode="after")
    def _no_webhook(self) -> Self:
        if self.webhook is not None:
            msg = "a fallback cannot be a webhook"
            raise ValueError(msg)
        return self


class InboundRuleConfig(MatchConfig, DestinationConfig):
    """Where calls to some numbers go. The first rule that fits is taken."""

    peers: tuple[TrunkName, ...] = Field(
        default=(), description="Trunks and inbound users whose calls it is about. Default: all."
    )
    fallback: FallbackConfig | None = Field(
        default=None, description="Where the call goes if the webhook fails or the user is not here. Default: refused."
    )

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        if self.pattern is not None:
            fallback = () if self.fallback is None else (self.fallback.user, self.fallback.callee)
            _check_pattern(self.pattern, *(text for text in (self.user, self.callee, *fallback) if text))
        return self


class InboundUserConfig(Section):
    """Somebody who may call in from anywhere, with digest authentication: a password, or its hash."""

    password: SecretStr | None = Field(default=None, description="In clear.")
    ha1: SecretStr | None = Field(
        default=None,
        description="MD5 of `user:realm:password` in hex, in its place. Nobody is then asked for SHA-256.",
    )
    max_calls: int | None = Field(default=None, ge=0, le=100_000, description="Calls at once. Default: no limit.")
    calls_per_s: float | None = Field(default=None, gt=0, le=10_000, description="Attempts a second.")
    calls_burst: int = Field(default=10, ge=1, le=100_000, description="Attempts that may come at once within that.")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.password is None) == (self.ha1 is None):
            msg = "give either password or ha1"
            raise ValueError(msg)
        if self.ha1 is not None and re.fullmatch(r"[0-9A-Fa-f]{32}", self.ha1.get_secret_value()) is None:
            msg = "ha1 is 32 hexadecimal digits"
            raise ValueError(msg)
        return self


class RoutingConfig(Section):
    """Which call goes where, and who may call at all."""

    groups: dict[TrunkName, tuple[TrunkName, ...]] = Field(
        default={}, description="Trunks that stand in for each other, by the name of their group."
    )
    outbound: tuple[OutboundRuleConfig, ...] = Field(default=(), max_length=10_000, description="By called number.")
    inbound: tuple[InboundRuleConfig, ...] = Field(default=(), max_length=10_000, description="By called number.")
    users: dict[TrunkName, InboundUserConfig] = Field(default={}, description="Inbound users by name.")
    realm: str = Field(
        default="trunkline", min_length=1, max_length=128, pattern=r"^[\x20-\x7e]+$", description="Of digest."
    )
    strangers: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="What becomes of requests from neither a trunk nor a user nor to a Contact that we registered. "
        "`refuse`: calls are answered 403. `drop`: nothing at all is answered, so that scanners find nobody here.",
    )
    web_domains: tuple[str, ...] = Field(
        default=(),
        max_length=1_000,
        description="SIP domains whose servers are believed about who a browser of the Web SDK is: calls for `login` "
        "or `login@domain` ring it while it is registered there, straight or by a server that is named here too. "
        "Default: none; users of `sip.registrar.users` ring, and nobody can take calls by just naming a login. `*` "
        "believes every browser without any proof: only where a proxy lets nobody in whom you do not know.",
    )
    web_calls: bool = Field(
        default=False,
        description="Whether browsers without a SIP account may call by the outbound rules. Whoever opens a WebSocket "
        "can then call at your expense: set it only where a proxy lets nobody in whom you do not know.",
    )
