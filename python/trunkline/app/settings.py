"""The settings of a node, told to each part in its own words.

Owns the translation alone: what a setting means is in `config`, what a part does with it, in the part.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from trunkline.calls.controller import ControllerSettings
from trunkline.calls.model import HoldPolicy, LegKind, TransferPolicy
from trunkline.calls.pages import PageSettings, PageUser
from trunkline.calls.run.clocks import RunSettings
from trunkline.calls.run.recording import RecordingSettings
from trunkline.config import CallsConfig, Config, PageUserConfig, RecordingConfig, SipConfig
from trunkline.media.types import AudioFile, RecordingFormat, Source, Tone
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.security import MediaSecurity, SecurityPolicy
from trunkline.sip.auth.digest import HashedPassword
from trunkline.sip.registrar import BindingLimits
from trunkline.sip.transport import Listener, StreamLimits, TlsSettings
from trunkline.sip.transports.tls import CertificateFiles
from trunkline.sip.types import Account, ContactPolicy, EarlyMedia, Hop, Reliability, Transport, UaConfig

_INAUDIBLE_DBM0: Final = -90.0
"""Below the smallest step of G.711: what leaves is silence, but packets flow, so that NATs and timers stay content."""

_HOLD_TONE: Final = Tone((425.0,), level_dbm0=-25.0, cadence_ms=(300, 4_700))
"""Soft and seldom: whoever waits hears that the line is alive."""


def ua_config(config: SipConfig) -> UaConfig:
    """Return what the SIP core is set to."""
    return UaConfig(
        user_agent=config.user_agent,
        advertised_host=config.advertised_host,
        contact_policy=ContactPolicy(config.contact_policy),
        failover_s=config.failover_s,
        udp_keep_alive_s=config.udp_keep_alive_s,
        reliable_provisionals=Reliability(config.reliable_provisionals),
        early_media=EarlyMedia(config.early_media),
        session_expires_s=config.session_expires_s,
        offers_aliases=config.tls_port is not None,
    )


def accepted_methods(pages: PageSettings) -> frozenset[str]:
    """Return the methods that the SIP core takes for us besides those of calls."""
    return frozenset({"REGISTER"}) if pages.is_used else frozenset()


def believed_domains(config: Config) -> frozenset[str]:
    """Return whose servers are believed about who a browser is, in lower case."""
    return frozenset(domain.lower() for domain in config.routing.web_domains)


def page_settings(config: SipConfig) -> PageSettings:
    """Return who may register from a page, and how."""
    pages, upstream = config.registrar, config.registrar.upstream
    return PageSettings(
        users={user.login: _page_user(user) for user in pages.users},
        realm=pages.realm,
        algorithms=pages.algorithms,
        upstream=None if upstream is None else Hop(upstream.host, upstream.port, _transport(upstream.transport)),
        limits=BindingLimits(
            min_expires_s=pages.min_expires_s,
            max_expires_s=pages.max_expires_s,
            per_address=pages.max_contacts,
            total=pages.max_bindings,
        ),
        reconnect_s=pages.reconnect_s,
        register_expires_s=config.register_expires_s,
    )


def _page_user(user: PageUserConfig) -> PageUser:
    secret, account = user.password or user.ha1, user.account
    assert secret is not None
    text = secret.get_secret_value()
    return PageUser(
        login=user.login,
        password=HashedPassword(text.lower()) if user.password is None else text,
        display_name=user.display_name,
        account=None
        if account is None
        else Account(
            login=account.login,
            password=account.password.get_secret_value(),
            domain=account.domain,
            authentication_name=account.authentication_name,
            outbound_proxy=account.outbound_proxy,
            port=account.port,
            transport=_transport(account.transport),
        ),
    )


def _transport(name: str | None) -> Transport | None:
    return None if name is None else Transport(name)


def listeners(config: SipConfig) -> tuple[Listener, ...]:
    """Return where SIP is listened for: each transport at each address."""
    wanted = (
        (Transport.UDP, config.port if config.udp else None),
        (Transport.TCP, config.port if config.tcp else None),
        (Transport.TLS, config.tls_port),
        (Transport.WS, config.ws_port),
        (Transport.WSS, config.wss_port),
    )
    hosts = (config.host, *config.extra_hosts)
    return tuple(Listener(transport, host, port) for transport, port in wanted if port is not None for host in hosts)


def tls_settings(config: SipConfig) -> TlsSettings:
    """Return the certificates of SIP over TLS, and who is believed."""
    more = tuple(CertificateFiles(each.certificate, each.key) for each in config.tls.more)
    return TlsSettings(**config.tls.model_dump(exclude={"more"}), more=more)


def stream_limits(config: SipConfig) -> StreamLimits:
    """Return how many connections SIP may hold, and for how long."""
    return StreamLimits(
        max_connections=config.max_tcp_connections,
        max_per_host=config.max_tcp_connections_per_host,
        idle_s=config.tcp_idle_s,
        keep_alive_s=config.keep_alive_s,
    )


def controller_settings(config: Config, rng: Random) -> ControllerSettings:
    """Return what calls are set to. rng: makes the keys of SRTP."""
    media = config.media
    web = CodecPolicy(
        media.web_codecs,
        may_transcode=media.transcoding,
        opus_bitrate_bps=media.opus_bitrate_bps,
    )
    sip = replace(web, audio=media.sip_codecs, dtmf=config.calls.dtmf, takes_comfort_noise=media.comfort_noise)
    return ControllerSettings(
        max_calls=config.calls.max_calls,
        run=RunSettings(
            ring_timeout_s=config.calls.ring_timeout_s,
            setup_timeout_s=config.calls.setup_timeout_s,
            max_duration_s=config.calls.max_duration_s,
            transfers=TransferPolicy(config.calls.incoming_transfers),
            holds=HoldPolicy(config.calls.sip_hold),
            player_source=_player_source(config.calls),
            hold_source=_hold_source(config.calls),
            recording=_recording_settings(config.recording),
        ),
        policies={LegKind.WEB: web, LegKind.SIP: sip, LegKind.PLAYER: sip},
        security=SecurityPolicy(
            mode=MediaSecurity(config.sip.media_security),
            random_bytes=rng.randbytes,
            suites=config.sip.srtp_suites,
        ),
    )


def _recording_settings(config: RecordingConfig) -> RecordingSettings:
    return RecordingSettings(
        directory=None if config.directory is None else str(config.directory.absolute()),
        format=RecordingFormat(config.format),
        plays_digits=config.digits,
    )


def _player_source(config: CallsConfig) -> Source:
    return Tone((440.0,)) if config.player == "tone" else Tone((440.0,), level_dbm0=_INAUDIBLE_DBM0)


def _hold_source(config: CallsConfig) -> Source:
    return AudioFile(str(config.hold_music), loop=True) if config.hold_music is not None else _HOLD_TONE
