"""From settings to what trunks are at work: prefixes and patterns compiled, passwords hashed, networks worked out.

Owns the translation. Raises ConfigError for what only shows here.
"""

from __future__ import annotations

import ipaddress
import re

from pydantic import SecretStr

from trunkline.config.sip import SipConfig
from trunkline.config.trunks import (
    DestinationConfig,
    InboundUserConfig,
    MatchConfig,
    NumberRuleConfig,
    RoutingConfig,
    TrunkConfig,
    TrunkNumbersConfig,
)
from trunkline.errors import ConfigError, LocalProtocolError
from trunkline.sdp.codecs import CodecTerms
from trunkline.sdp.security import MediaSecurity
from trunkline.sip.auth.digest import HashedPassword
from trunkline.sip.headers import SipUri, check_field
from trunkline.sip.types import Account, Transport
from trunkline.trunks.health import HealthPolicy
from trunkline.trunks.identity import FORBIDDEN_HEADERS, HeaderRules, IdentityHeader, IdentityPolicy
from trunkline.trunks.limits import Limits
from trunkline.trunks.model import (
    Destination,
    Directory,
    InboundRule,
    InboundUser,
    Match,
    MediaTerms,
    Network,
    OutboundRule,
    Refusal,
    ToTrunks,
    ToUser,
    Trunk,
    Webhook,
)
from trunkline.trunks.numbers import DialPlan, NumberFormat, NumberPolicy, NumberRule


def directory_of(trunks: dict[str, TrunkConfig], routing: RoutingConfig) -> Directory:
    """Make the directory of a node. ConfigError if a header on an allow-list is not custom, or a rule cannot be met."""
    return Directory(
        trunks=tuple(_trunk(name, config) for name, config in trunks.items()),
        groups=dict(routing.groups),
        outbound=tuple(OutboundRule(_match(rule), rule.trunks) for rule in routing.outbound),
        inbound=tuple(
            InboundRule(
                match=_match(rule),
                destination=_destination(rule),
                peers=frozenset(rule.peers),
                fallback=None if rule.fallback is None else _destination(rule.fallback),
            )
            for rule in routing.inbound
        ),
        users=tuple(_user(name, config) for name, config in routing.users.items()),
        realm=routing.realm,
        is_dropping_strangers=routing.strangers == "drop",
        are_web_calls_allowed=routing.web_calls,
    )


def header_rules_of(config: SipConfig) -> HeaderRules:
    """Return which headers pass with calls by accounts. ConfigError as `directory_of`."""
    return HeaderRules(
        outbound=_custom("sip", config.headers_out), inbound=frozenset(name.lower() for name in config.headers_in)
    )


def _trunk(name: str, config: TrunkConfig) -> Trunk:
    identity = config.identity
    try:
        for host in (config.host, config.outbound_proxy, identity.from_domain):
            if host is not None:
                SipUri.of(config.login, host)
        for text in (config.login, config.authentication_name):
            check_field("From", text or "")
    except LocalProtocolError as error:
        raise ConfigError(f"trunks.{name}: {error}") from error
    return Trunk(
        name=name,
        account=Account(
            login=config.login,
            password=_clear(config.password) or "",
            domain=config.host,
            authentication_name=config.authentication_name,
            outbound_proxy=config.outbound_proxy,
            port=config.port,
            transport=None if config.transport is None else Transport(config.transport),
        ),
        register_expires_s=config.register_expires_s if config.registers else None,
        register_retry_s=config.register_retry_s,
        sources=config.sources or _host_network(config.host),
        priority=config.priority,
        weight=config.weight,
        limits=Limits(
            calls=config.max_calls,
            calls_out=config.max_calls_out,
            calls_in=config.max_calls_in,
            calls_per_s=config.calls_per_s,
            burst=config.calls_burst,
        ),
        limit_status=config.limit_status,
        failover_statuses=frozenset(config.failover_statuses),
        silence_s=config.silence_s,
        media=MediaTerms(
            codecs=CodecTerms(config.codecs, config.transcoding),
            dtmf=config.dtmf,
            security=None if config.media_security is None else MediaSecurity(config.media_security),
            is_late_offer=config.late_offer,
        ),
        headers_out=_custom(f"trunks.{name}", config.headers_out),
        headers_in=frozenset(header.lower() for header in config.headers_in),
        numbers=_numbers(config.numbers),
        identity=IdentityPolicy(
            is_from_account=identity.from_user == "account",
            from_domain=identity.from_domain,
            caller=identity.caller,
            header=IdentityHeader(identity.header),
            is_trusted=identity.is_trusted,
        ),
        health=HealthPolicy(**config.health.model_dump()),
    )


def _numbers(config: TrunkNumbersConfig) -> NumberPolicy:
    return NumberPolicy(
        plan=DialPlan(config.country_code, config.national_prefix, config.international_prefix),
        normalises_inbound=config.normalise_inbound,
        callee_format=NumberFormat(config.callee_format),
        caller_format=NumberFormat(config.caller_format),
        callee_out=_rules(config.callee_out),
        caller_out=_rules(config.caller_out),
        callee_in=_rules(config.callee_in),
        caller_in=_rules(config.caller_in),
    )


def _rules(configs: tuple[NumberRuleConfig, ...]) -> tuple[NumberRule, ...]:
    return tuple(
        NumberRule(re.compile(config.pattern), config.replace)
        if config.pattern is not None
        else NumberRule.of_prefix(config.prefix or "", config.strip, config.add)
        for config in configs
    )


def _match(config: MatchConfig) -> Match:
    return Match(config.number, config.prefix, None if config.pattern is None else re.compile(config.pattern))


def _destination(config: DestinationConfig) -> Destination:
    to: ToUser | ToTrunks | Refusal | Webhook
    if config.user is not None:
        to = ToUser(config.user)
    elif config.webhook is not None:
        secret = _clear(config.webhook.secret)
        to = Webhook(
            url=config.webhook.url,
            timeout_s=config.webhook.timeout_s,
            secret=None if secret is None else secret.encode(),
        )
    elif config.reject is not None:
        to = Refusal(config.reject)
    else:
        to = ToTrunks(config.trunks)
    return Destination(to, config.callee)


def _user(name: str, config: InboundUserConfig) -> InboundUser:
    ha1 = _clear(config.ha1)
    return InboundUser(
        name=name,
        password=(_clear(config.password) or "") if ha1 is None else HashedPassword(ha1.lower()),
        limits=Limits(calls_in=config.max_calls, calls_per_s=config.calls_per_s, burst=config.calls_burst),
    )


def _custom(section: str, names: tuple[str, ...]) -> frozenset[str]:
    lowered = frozenset(name.lower() for name in names)
    if strange := lowered & FORBIDDEN_HEADERS:
        raise ConfigError(f"{section}.headers_out: not a custom header: {', '.join(sorted(strange))}")
    return lowered


def _host_network(host: str) -> tuple[Network, ...]:
    try:
        return (ipaddress.ip_network(host.strip("[]")),)
    except ValueError:
        return ()


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
