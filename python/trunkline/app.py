"""SHELL: the composition root. Builds one node from its settings, starts it, and stops it in order.

Owns what is connected to what, and nothing that happens afterwards. Everything comes up from the media plane outwards,
so that whoever can reach us can be served; it goes down the other way: calls, browsers, pages, SIP, media.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random, SystemRandom
from typing import Final, Protocol

from trunkline import __version__
from trunkline.api.factory import make_api
from trunkline.api.node import Node
from trunkline.api.schemas import Health, PhoneAccount, PhoneNumber, Status
from trunkline.api.server import HttpServers
from trunkline.calls.controller import CallController, ControllerSettings
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.model import LegKind, TransferPolicy
from trunkline.calls.pages import PageGate, PageRegistrations, PageSettings, PageSwitch, PageUser
from trunkline.calls.ports import MediaPort
from trunkline.calls.registry import Registry
from trunkline.calls.run.clocks import RunSettings
from trunkline.calls.sessions import Sessions
from trunkline.calls.sip_events import SipEvents
from trunkline.calls.trunks.fleet import Fleet
from trunkline.calls.trunks.inbound import InboundCalls
from trunkline.calls.trunks.webhook import Webhooks
from trunkline.config import CallsConfig, Config, MediaConfig, PageUserConfig, SipConfig
from trunkline.demo.phone import DemoPhone
from trunkline.errors import ConfigError
from trunkline.media.types import AudioFile, Source, Tone
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.observability.trunks import TrunkMetrics
from trunkline.sdp.codecs import SPEEX, CodecPolicy
from trunkline.sdp.security import MediaSecurity, SecurityPolicy
from trunkline.sip.digest import HashedPassword
from trunkline.sip.registrar import BindingLimits
from trunkline.sip.resolver import DnsResolver
from trunkline.sip.transport import Listener, SipShell, StreamLimits, TlsSettings
from trunkline.sip.transports.tls import CertificateFiles
from trunkline.sip.types import Account, ContactPolicy, EarlyMedia, Hop, Reliability, Transport, UaConfig
from trunkline.sip.ua import UserAgent
from trunkline.trunks.doorkeeper import Doorkeeper
from trunkline.trunks.loading import directory_of, header_rules_of

STOP_CALLS_S: Final = 5.0
STOP_SIP_S: Final = 3.0
CLOSE_SOCKETS_S: Final = 2.0

_INAUDIBLE_DBM0: Final = -90.0
"""Below the smallest step of G.711: what leaves is silence, but packets flow, so that NATs and timers stay content."""

_HOLD_TONE: Final = Tone((425.0,), level_dbm0=-25.0, cadence_ms=(300, 4_700))
"""Soft and seldom: whoever waits hears that the line is alive."""

_log = get_logger(__name__)


class MediaPlane(MediaPort, Protocol):
    """The media plane with its life cycle."""

    async def start(self, config: MediaConfig) -> None:
        """Start workers and bind their sockets. TransportError or MediaError if that fails."""

    async def stop(self) -> None:
        """End every endpoint and every worker."""

    @property
    def endpoints(self) -> int:
        """Endpoints that exist now."""
        ...

    @property
    def dead_workers(self) -> int:
        """Workers that crashed since start."""
        ...

    @property
    def can_speex(self) -> bool:
        """Whether Speex can be coded on this machine."""
        ...

    @property
    def counters(self) -> Mapping[str, float]:
        """What it counts besides drops, by the names of `media.types.Totals`; nothing when it does not run."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets dropped since start, by reason."""
        ...


class LoopClock:
    """Wall-clock time, and delays of the running loop."""

    def now(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back after a delay."""
        return asyncio.get_running_loop().call_later(delay_s, callback)


class App:
    """One node. `start` and `stop` belong into one task; a part that crashes in between cancels that task."""

    def __init__(self, config: Config, media: MediaPlane | None = None, rng: Random | None = None) -> None:
        self._config = config
        self._media = media if media is not None else _new_media_plane()
        self._missing_codecs = frozenset() if self._media.can_speex else SPEEX
        rng = rng or SystemRandom()
        self._metrics = Metrics()
        self._clock = LoopClock()
        self._started_at = self._clock.now()
        self._is_stopping = False
        directory = directory_of(config.trunks, config.routing)
        self._events = SipEvents()
        pages, gate = _page_settings(config.sip), PageGate(Doorkeeper(directory, rng))
        self.sip = SipShell(
            UserAgent(_ua_config(config.sip), rng, accept_methods=_methods(pages), gate=gate),
            _listeners(config.sip),
            self._events.handle,
            limits=_stream_limits(config.sip),
            tls=_tls_settings(config.sip),
            origins=config.sip.ws_origins,
            rng=rng,
            resolver=DnsResolver(config.sip.dns_servers),
            udp_max_bytes=config.sip.udp_max_bytes,
        )
        self.controller = CallController(
            _controller_settings(config, rng),
            media=self._media,
            clock=self._clock,
            registry=Registry(config.calls.find_retention_s),
            metrics=self._metrics,
            rng=rng,
        )
        access = SipAccess(self.sip, self._events)
        self.fleet = Fleet(directory, sip=access, clock=self._clock, rng=rng)
        self.sessions = Sessions(
            controller=self.controller,
            sip=access,
            clock=self._clock,
            metrics=self._metrics,
            register_expires_s=config.sip.register_expires_s,
            fleet=self.fleet,
            headers=header_rules_of(config.sip),
        )
        self._webhooks = Webhooks(self._clock)
        self._pages = PageRegistrations(pages, sip=access, clock=self._clock, metrics=self._metrics, rng=rng)
        gate.is_contact = self._pages.is_contact
        self._switch = PageSwitch(
            self._pages,
            controller=self.controller,
            sip=access,
            clock=self._clock,
            metrics=self._metrics,
            otherwise=self.sessions.take,
            fleet=self.fleet,
        )
        self.sessions.otherwise = InboundCalls(
            self.fleet,
            controller=self.controller,
            sip=access,
            users=(self.sessions, self._switch),
            webhooks=self._webhooks,
        ).take
        self.demo = DemoPhone(config.demo, self._media, rng) if config.demo.enabled else None
        self._node = Node(
            config=config,
            controller=self.controller,
            sessions=self.sessions,
            sip=access,
            fleet=self.fleet,
            metrics=self._metrics,
            rng=rng,
            missing_codecs=self._missing_codecs,
            health=self.health,
            demo=self._demo_account,
        )
        self.http = HttpServers(make_api(self._node), config.http)
        self._metrics.read_media_drops(lambda: self._media.drops)
        self._metrics.read_media(lambda: self._media.counters)
        self._metrics.media_dead_workers.set_function(lambda: self._media.dead_workers)
        self._metrics.read_sip_counts(lambda: self.sip.counters)
        self._metrics.registry.register(TrunkMetrics(self.fleet.figures))
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Bring everything up; whatever cannot start takes down what did and raises its own error.

        Raises ConfigError, before anything has started, if a setting names a codec that is not installed.
        """
        _check_codecs(self._config, self._missing_codecs)
        stack = AsyncExitStack()
        try:
            await self._media.start(self._config.media)
            stack.push_async_callback(self._media.stop)
            await self.sip.start()
            stack.push_async_callback(self.sip.stop, STOP_SIP_S)
            if self.demo is not None:
                await self.demo.start()
                stack.push_async_callback(self.demo.stop)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            await stack.enter_async_context(self.controller)
            await stack.enter_async_context(self._webhooks)
            stack.callback(self.fleet.stop)
            self.fleet.start()
            stack.push_async_callback(self.http.stop)
            await self.http.start(group)
            stack.push_async_callback(self._stop_calls)
        except BaseException:
            await stack.aclose()  # outside of the groups, which would wrap the error
            raise
        self._running = stack
        if len(self.fleet) and self._config.http.rest_login is None:
            _log.warning("rest_is_open", detail="whoever reaches it can call over the trunks; set http.rest_login")
        _log.info(
            "node_started",
            version=__version__,
            http_ports=self.http.ports,
            sip=[f"{each.transport} {each.host}:{each.port}" for each in self.sip.listening],
        )

    async def stop(self) -> None:
        """Take everything down in order: calls are hung up, browsers told, registrations given back."""
        self._is_stopping = True
        _log.info("node_stopping", calls=len(self.controller.registry), sessions=len(self.sessions))
        await self._running.aclose()
        _log.info("node_stopped")

    async def _stop_calls(self) -> None:
        await self.controller.stop(STOP_CALLS_S)
        self._pages.stop()
        self.sessions.close_all()
        if self._node.sockets:
            # They end once their last frames are out; the servers cut off those that do not.
            await asyncio.wait(self._node.sockets, timeout=CLOSE_SOCKETS_S)

    def health(self) -> Health:
        """Count what is held now."""
        return Health(
            status=self._status(),
            version=__version__,
            node=self._config.node.name,
            uptime_s=round(self._clock.now() - self._started_at, 1),
            calls=len(self.controller.registry),
            sessions=len(self.sessions),
            pending_sockets=max(0, len(self._node.sockets) - len(self.sessions)),
            registrations=self._events.bound_registrations - self.fleet.registrations,
            sip_invites=self._events.bound_invites,
            endpoints=self._media.endpoints,
            trunks=len(self.fleet),
            trunks_down=sum(not line.is_usable for line in self.fleet),
            dead_workers=self._media.dead_workers,
            tasks=len(asyncio.all_tasks()),
        )

    def _status(self) -> Status:
        if self._is_stopping:
            return "stopping"
        return "degraded" if self._media.dead_workers else "ok"

    def _demo_account(self) -> PhoneAccount | None:
        if self.demo is None:
            return None
        info = self.demo.info
        return PhoneAccount(
            login=info.login,
            authentication_name=info.authentication_name,
            password=info.password,
            domain=info.domain,
            port=info.port,
            numbers=tuple(PhoneNumber(number=entry.number, title=entry.title) for entry in info.numbers),
        )


def calm_collector() -> None:
    """Have the collector of reference cycles pass by less often, and leave alone what was there before the first call.

    A call leaves few cycles. By Python's defaults the search for them takes a twelfth of the time of setting calls up,
    and each full one stops the loop for as long as all that lives takes to be looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _check_codecs(config: Config, missing: frozenset[str]) -> None:
    named = {
        "media.web_codecs": config.media.web_codecs,
        "media.sip_codecs": config.media.sip_codecs,
        **{f"trunks.{name}.codecs": trunk.codecs for name, trunk in config.trunks.items()},
    }
    for field, codecs in named.items():
        if absent := missing.intersection(codecs):
            names = ", ".join(sorted(absent))
            raise ConfigError(f"{field}: {names} needs libspeex, which is not installed (Debian: libspeex1)")


def _new_media_plane() -> MediaPlane:
    # Not at the top: importing this module must work where the compiled one is not built.
    from trunkline.media.engine import MediaEngine

    return MediaEngine()


def _ua_config(config: SipConfig) -> UaConfig:
    return UaConfig(
        user_agent=config.user_agent,
        advertised_host=config.advertised_host,
        contact_policy=ContactPolicy(config.contact_policy),
        failover_s=config.failover_s,
        udp_keep_alive_s=config.udp_keep_alive_s,
        reliable_provisionals=Reliability(config.reliable_provisionals),
        early_media=EarlyMedia(config.early_media),
        session_expires_s=config.session_expires_s,
    )


def _methods(pages: PageSettings) -> frozenset[str]:
    return frozenset({"REGISTER"}) if pages.is_used else frozenset()


def _page_settings(config: SipConfig) -> PageSettings:
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


def _listeners(config: SipConfig) -> tuple[Listener, ...]:
    wanted = (
        (Transport.UDP, config.port if config.udp else None),
        (Transport.TCP, config.port if config.tcp else None),
        (Transport.TLS, config.tls_port),
        (Transport.WS, config.ws_port),
        (Transport.WSS, config.wss_port),
    )
    hosts = (config.host, *config.extra_hosts)
    return tuple(Listener(transport, host, port) for transport, port in wanted if port is not None for host in hosts)


def _tls_settings(config: SipConfig) -> TlsSettings:
    more = tuple(CertificateFiles(each.certificate, each.key) for each in config.tls.more)
    return TlsSettings(**config.tls.model_dump(exclude={"more"}), more=more)


def _stream_limits(config: SipConfig) -> StreamLimits:
    return StreamLimits(
        max_connections=config.max_tcp_connections,
        max_per_host=config.max_tcp_connections_per_host,
        idle_s=config.tcp_idle_s,
        keep_alive_s=config.keep_alive_s,
    )


def _controller_settings(config: Config, rng: Random) -> ControllerSettings:
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
            player_source=_player_source(config.calls),
            hold_source=_hold_source(config.calls),
        ),
        policies={LegKind.WEB: web, LegKind.SIP: sip, LegKind.PLAYER: sip},
        security=SecurityPolicy(
            mode=MediaSecurity(config.sip.media_security),
            random_bytes=rng.randbytes,
            suites=config.sip.srtp_suites,
        ),
    )


def _player_source(config: CallsConfig) -> Source:
    return Tone((440.0,)) if config.player == "tone" else Tone((440.0,), level_dbm0=_INAUDIBLE_DBM0)


def _hold_source(config: CallsConfig) -> Source:
    return AudioFile(str(config.hold_music), loop=True) if config.hold_music is not None else _HOLD_TONE
