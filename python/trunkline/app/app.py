"""SHELL: the composition root. Builds one node from its settings, starts it, and stops it in order.

Owns what is connected to what, and nothing that happens afterwards. Everything comes up from the media plane outwards,
so that whoever can reach us can be served; it goes down the other way: calls, browsers, pages, SIP, media.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random, SystemRandom
from typing import Final

from trunkline import __version__
from trunkline.api.factory import make_api
from trunkline.api.node import Node
from trunkline.api.schemas import Health, PhoneAccount, PhoneNumber, Status
from trunkline.api.schemas_trunks import Reloaded
from trunkline.api.server import HttpServers
from trunkline.app.checks import check_codecs, check_place
from trunkline.app.media_plane import MediaPlane
from trunkline.app.process import LoopClock
from trunkline.app.settings import (
    accepted_methods,
    believed_domains,
    controller_settings,
    listeners,
    page_settings,
    stream_limits,
    tls_settings,
    ua_config,
)
from trunkline.calls.controller import CallController
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.pages import PageGate, PageRegistrations, PageSwitch, PageTexts, Parties
from trunkline.calls.registry import Registry
from trunkline.calls.ringer import Ringer
from trunkline.calls.sessions import BelievedDomains, Sessions
from trunkline.calls.sip_events import SipEvents
from trunkline.calls.trunks.fleet import Fleet
from trunkline.calls.trunks.inbound import InboundCalls
from trunkline.calls.trunks.inbound_texts import InboundTexts
from trunkline.calls.trunks.webhook import Webhooks
from trunkline.config import Config
from trunkline.demo.phone import DemoPhone
from trunkline.errors import ConfigError, NotConfigured
from trunkline.media.engine import MediaEngine
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.observability.trunks import TrunkMetrics
from trunkline.sdp.codecs import SPEEX
from trunkline.sip.resolver import DnsResolver
from trunkline.sip.transport import SipShell
from trunkline.sip.ua import UserAgent
from trunkline.trunks.doorkeeper import Doorkeeper
from trunkline.trunks.loading import directory_of, header_rules_of

STOP_CALLS_S: Final = 5.0
STOP_SIP_S: Final = 3.0
CLOSE_SOCKETS_S: Final = 2.0

_LIVE: Final = frozenset(("trunks", "routing"))
"""Sections that `reload` puts in force; all others are read at start."""

_log = get_logger(__name__)


class App:
    """One node. `start` and `stop` belong into one task; a part that crashes in between cancels that task."""

    def __init__(
        self,
        config: Config,
        media: MediaPlane | None = None,
        rng: Random | None = None,
        *,
        source: Callable[[], Config] | None = None,
    ) -> None:
        """source: reads the settings again for `reload`; called on a thread of its own, may raise ConfigError."""
        self._config = config
        self._source = source
        self._reloading = asyncio.Lock()
        self._media = media if media is not None else MediaEngine()
        self._missing_codecs = frozenset() if self._media.can_speex else SPEEX
        rng = rng or SystemRandom()
        self._metrics = Metrics()
        self._clock = LoopClock()
        self._started_at = self._clock.now()
        self._is_stopping = False
        directory = directory_of(config.trunks, config.routing)
        self._events = SipEvents()
        self._doorkeeper = Doorkeeper(directory, rng)
        self._believed = BelievedDomains(believed_domains(config))
        pages, gate = page_settings(config.sip), PageGate(self._doorkeeper)
        self.sip = SipShell(
            UserAgent(ua_config(config.sip), rng, accept_methods=accepted_methods(pages), gate=gate),
            listeners(config.sip),
            self._events.handle,
            limits=stream_limits(config.sip),
            tls=tls_settings(config.sip),
            origins=config.sip.ws_origins,
            rng=rng,
            resolver=DnsResolver(config.sip.dns_servers),
            udp_max_bytes=config.sip.udp_max_bytes,
        )
        self.controller = CallController(
            controller_settings(config, rng),
            media=self._media,
            clock=self._clock,
            registry=Registry(config.calls.find_retention_s),
            metrics=self._metrics,
            rng=rng,
        )
        access = SipAccess(self.sip, self._events)
        self.fleet = Fleet(directory, sip=access, clock=self._clock, rng=rng)
        ringer = Ringer(self.controller, self._clock, config.calls.ring_step_s)
        self.sessions = Sessions(
            controller=self.controller,
            sip=access,
            clock=self._clock,
            metrics=self._metrics,
            register_expires_s=config.sip.register_expires_s,
            fleet=self.fleet,
            headers=header_rules_of(config.sip),
            ringer=ringer,
            believed=self._believed,
        )
        self._webhooks = Webhooks(self._clock)
        self._pages = PageRegistrations(pages, sip=access, clock=self._clock, metrics=self._metrics, rng=rng)
        gate.is_contact = self._pages.is_contact
        parties = Parties(self._pages, self.fleet)
        self._switch = PageSwitch(
            self._pages,
            parties=parties,
            controller=self.controller,
            sip=access,
            clock=self._clock,
            metrics=self._metrics,
            otherwise=self.sessions.take,
            ringer=ringer,
            browsers=self.sessions,
        )
        messages = self.sessions.messages
        texts = PageTexts(self._pages, parties=parties, sip=access, messages=messages)
        messages.users = (self.sessions, texts)
        messages.otherwise = InboundTexts(self.fleet, messages).take
        ringer.users, ringer.locals = (self.sessions, self._switch), self._switch
        self.sessions.otherwise = InboundCalls(
            self.fleet,
            controller=self.controller,
            sip=access,
            ringer=ringer,
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
            clock=self._clock,
            missing_codecs=self._missing_codecs,
            health=self.health,
            reload=self.reload,
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

        Raises ConfigError, before anything has started, if a setting names a codec or a place that is not there.
        """
        check_codecs(self._config, self._missing_codecs)
        check_place(self._config.recording.directory)
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

    async def reload(self) -> Reloaded:
        """Read the settings again and go by those of trunks and routing from now on. Calls that stand go on.

        Raises ConfigError, and changes nothing, if they cannot be read or used; NotConfigured if they have no source.
        """
        if self._source is None:
            raise NotConfigured("this node has no settings to read again")
        async with self._reloading:
            try:
                config = await asyncio.to_thread(self._source)
                check_codecs(config, self._missing_codecs)
                directory = directory_of(config.trunks, config.routing)
            except ConfigError as error:
                _log.error("reload_failed", detail=str(error))
                raise
            pending = tuple(
                name for name in type(config).model_fields if name not in _LIVE and self._differs(config, name)
            )
            self._doorkeeper.change(directory)
            self._believed.names = believed_domains(config)
            changes = self.fleet.change(directory)
        _log.info("reloaded", added=changes.added, changed=changes.changed, removed=changes.removed, pending=pending)
        return Reloaded(
            added=list(changes.added),
            changed=list(changes.changed),
            removed=list(changes.removed),
            pending=list(pending),
        )

    def _differs(self, config: Config, section: str) -> bool:
        return bool(getattr(config, section) != getattr(self._config, section))

    async def drain(self) -> None:
        """Take no new calls, and tell whoever asks; return once those that live have ended, after `calls.drain_s`."""
        self._is_stopping = True
        self.sip.close()
        _log.info("node_draining", calls=len(self.controller.registry), at_most_s=self._config.calls.drain_s)
        await self.controller.drain(self._config.calls.drain_s)

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
