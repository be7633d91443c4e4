"""A whole node on loopback: real HTTP, WebSocket and SIP, the built-in test phone, and a media plane of records."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fakes import FakeMedia, browser_offer
from trunkline.app import App, MediaPlane
from trunkline.config import Config

TIMEOUT_S = 10.0


def settings(**sections: Mapping[str, Any]) -> Config:
    """Return settings for loopback and free ports; sections override them."""
    defaults: dict[str, dict[str, Any]] = {
        "node": {"name": "node-1"},
        "http": {"host": "127.0.0.1", "port": 0},
        "sip": {"host": "127.0.0.1", "port": 0},
        # Every local address for browsers: aiortc gathers none on loopback.
        "media": {"rtp_host": "127.0.0.1", "webrtc_host": "0.0.0.0", "workers": 1, "port_quarantine_s": 0.1},
        "demo": {"enabled": True, "password": "demo-secret", "callback_delay_s": 0.1},
    }
    names = {*defaults, *sections}
    return Config(**{name: {**defaults.get(name, {}), **sections.get(name, {})} for name in names})


class Browser:
    """A page's socket: sends frames, and waits for those it is told to expect."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[tuple[str, list[Any]]] = []

    async def send(self, message: str, argument: object = None) -> None:
        await self.socket.send(json.dumps({"message": message, "data": [argument]}))

    async def receive(self) -> tuple[str, list[Any]]:
        async with asyncio.timeout(TIMEOUT_S):
            frame = json.loads(await self.socket.recv())
        self.seen.append((frame["message"], frame["data"]))
        return self.seen[-1]

    async def expect_all(self, message: str) -> list[Any]:
        """Read until a frame of this name and return its arguments."""
        while True:
            name, data = await self.receive()
            if name == message:
                return data

    async def expect(self, message: str) -> Any:
        """Read until a frame of this name and return its first argument."""
        return (await self.expect_all(message))[0]

    async def until_closed(self) -> int:
        """Read until the gateway closes the socket; return its close code, 1006 if there was none."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def login(self, gateway: Gateway, **fields: object) -> dict[str, Any]:
        """Register at the test phone; return what `getUserData` said."""
        await self.send("connection", {**gateway.account(), **fields})
        user_data: dict[str, Any] = await self.expect("getUserData")
        return user_data

    async def call(self, callee: str, call_id: str = "call-1", **fields: object) -> None:
        await self.send("call", {"callId": call_id, "callee": callee, "sdp": browser_offer(), **fields})


class Gateway:
    """A running node."""

    def __init__(self, app: App, media: FakeMedia, http: httpx.AsyncClient) -> None:
        self.app, self.media, self.http = app, media, http

    @property
    def port(self) -> int:
        return self.app.http.ports[0]

    def account(self) -> dict[str, Any]:
        """Return the SIP fields of the demo account, as a page sends them."""
        assert self.app.demo is not None
        info = self.app.demo.info
        return {
            "sipLogin": info.login,
            "sipAuthenticationName": info.authentication_name,
            "sipPassword": info.password,
            "sipDomain": info.domain,
            "sipPort": str(info.port),
            "sipRegisterRequired": True,
        }

    @asynccontextmanager
    async def browser(self, path: str = "/", **options: Any) -> AsyncIterator[Browser]:
        async with connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, **options) as socket:
            yield Browser(socket)

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.http.post(f"/rest-api/call/{path}", json=body)

    async def startup(self, callee: str = "101", call_id: str = "rest-1", **fields: object) -> httpx.Response:
        account = {**self.account(), "sipRegisterRequired": "false"}
        return await self.post("startup", {"callId": call_id, "callee": callee, **account, **fields})

    async def until(self, call_id: str, status: str, *, known: str = "status") -> dict[str, Any]:
        """Poll `find` until a call has a status, and a value for another of its fields, named as in its JSON."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                answer = await self.post("find", {"callId": call_id})
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()[0]
                    if found["status"] == status and found[known] is not None:
                        return found
                await asyncio.sleep(0.02)

    async def health(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/health")).json()
        return found

    async def metric(self, name: str) -> float:
        """Return a sample of /metrics by its name with labels, 0 if it is not there."""
        for line in (await self.http.get("/metrics")).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    async def assert_empty(self, *, sessions: int = 0) -> None:
        """Wait until the node holds nothing of calls and browsers, but for sessions that a test keeps open."""
        held: dict[str, Any] = {}
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            health = await self.health()
            counts = ("calls", "sessions", "pending_sockets", "registrations", "sip_invites", "endpoints")
            held = {name: health[name] for name in counts if health[name] != (sessions if name == "sessions" else 0)}
            if not held:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(held)


@asynccontextmanager
async def gateway(
    plane: MediaPlane | None = None, source: Callable[[], Config] | None = None, /, **sections: Mapping[str, Any]
) -> AsyncIterator[Gateway]:
    """Run a node; on leaving, nothing may be left of calls and browsers. source: of the settings that it reloads."""
    plane = plane or FakeMedia()
    app = App(settings(**sections), plane, source=source)
    await app.start()
    try:
        base = f"http://127.0.0.1:{app.http.ports[0]}"
        async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT_S) as http:
            running = Gateway(app, plane, http)  # type: ignore[arg-type]
            yield running
            if app.health().status != "stopping":
                await running.assert_empty()
    finally:
        if app.health().status != "stopping":
            await app.stop()
