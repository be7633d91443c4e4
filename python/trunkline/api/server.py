"""SHELL: the HTTP ports. Runs uvicorn inside our own event loop and our own life cycle.

Owns the listening sockets and the server tasks. Must not handle signals: the command does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from trunkline.api.tls import tls_context
from trunkline.config import HttpConfig
from trunkline.errors import ConnectFailed

BACKLOG: Final = 1024
DRAIN_S: Final = 2
"""How long open requests may take after we are asked to stop."""

_START_TIMEOUT_S: Final = 10.0


class HttpServers:
    """The plain ports and the TLS ports of one application."""

    def __init__(self, app: ASGIApp, config: HttpConfig) -> None:
        self._app = app
        self._config = config
        self._servers: list[_Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.ports: tuple[int, ...] = ()
        """Bound plain ports, then TLS ports, in the order of the configuration. Known once started."""

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Bind every port, then serve on all. ConnectFailed if one cannot be bound, ConfigError if TLS has no key."""
        config = self._config
        plain_ports = tuple(dict.fromkeys((config.port, *config.extra_ports)))
        # The context first: a bad certificate must not leave ports bound.
        context = tls_context(config.tls, datetime.now(UTC)) if config.tls_ports else None
        bound: list[socket.socket] = []
        try:
            bound.extend(_bind(config.host, port) for port in plain_ports)
            plain = len(bound)
            bound.extend(_bind(config.host, port) for port in config.tls_ports)
        except ConnectFailed:
            for each in bound:
                each.close()
            raise
        self.ports = tuple(each.getsockname()[1] for each in bound)
        self._serve(group, bound[:plain], None)
        if context is not None:
            self._serve(group, bound[plain:], context)
        async with asyncio.timeout(_START_TIMEOUT_S):
            for server in self._servers:
                await server.is_up.wait()

    def _serve(self, group: asyncio.TaskGroup, sockets: Sequence[socket.socket], context: object) -> None:
        settings = uvicorn.Config(
            self._app,
            loop="none",
            lifespan="off",
            http="h11",
            ws="websockets-sansio",
            ws_max_size=self._config.max_frame_bytes,
            ws_per_message_deflate=False,  # a compressed frame may grow a thousandfold
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
        settings.load()
        settings.ssl = context  # type: ignore[assignment]  # ours, since the key may exist in memory only
        server = _Server(settings)
        self._servers.append(server)
        self._tasks.append(group.create_task(server.serve(sockets=list(sockets)), name="http"))

    async def stop(self) -> None:
        """Close every port and connection; returns within a few seconds."""
        for server in self._servers:
            server.should_exit = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_S + 2)
            for task in late:
                task.cancel()


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs the loop, and says when it takes connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConnectFailed(f"http: cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
