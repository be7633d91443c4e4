"""SHELL: the HTTP ports. Runs uvicorn inside our own event loop and our own life cycle.

Owns the listening sockets, the server tasks, and what a connection may cost before it is a request. Must not handle
signals: the command does.   RFC 9112 section 9.5 (servers close connections that idle).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from trunkline.api.tls import tls_context
from trunkline.config import HttpConfig
from trunkline.errors import ConnectFailed

BACKLOG: Final = 1024
DRAIN_S: Final = 2
"""How long open requests may take after we are asked to stop."""

SPARE_CONNECTIONS: Final = 1024
"""Connections of a port's server beyond the WebSockets of the node: pages, REST, probes."""

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
            http=_HttpConnection,
            ws="websockets-sansio",
            ws_max_size=self._config.max_frame_bytes,
            ws_per_message_deflate=False,  # a compressed frame may grow a thousandfold
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=self._config.max_sockets + SPARE_CONNECTIONS,
            timeout_keep_alive=self._config.request_timeout_s,
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


class _HttpConnection(H11Protocol):
    """A connection that must bring a whole request in time: uvicorn itself waits for the first one for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            transport.abort()
            return
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_ours = self in self.connections  # no longer if it became a WebSocket
        if is_ours and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._await_request()
        else:
            self._cancel_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        """Give the request a time to arrive, which what has come of it does not prolong."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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
