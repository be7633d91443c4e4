"""What the routes and sockets of the API work with; `app` builds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from trunkline.api.schemas import Health, PhoneAccount
from trunkline.api.schemas_trunks import Reloaded
from trunkline.calls.controller import CallController
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.ports import Clock
from trunkline.calls.sessions import Sessions
from trunkline.calls.trunks.fleet import Fleet
from trunkline.config import Config
from trunkline.observability.metrics import Metrics
from trunkline.sip.auth.guesses import Guesses


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One running node, as the API sees it.

    health, demo: asked at each request, since both change while it runs. reload: see `App.reload`.
    missing_codecs: names of those whose library is not installed. rest_guesses: wrong passwords of REST. sockets: the
    tasks of open WebSockets.
    """

    config: Config
    controller: CallController
    sessions: Sessions
    sip: SipAccess
    fleet: Fleet
    metrics: Metrics
    rng: Random
    clock: Clock
    missing_codecs: frozenset[str]
    health: Callable[[], Health]
    reload: Callable[[], Awaitable[Reloaded]]
    demo: Callable[[], PhoneAccount | None]
    rest_guesses: Guesses = field(default_factory=Guesses)
    sockets: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The node's name in call objects."""
        return self.config.node.name
