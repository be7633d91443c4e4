"""A gateway that does what the test says: serves the real browser files, keeps the page's frames, sends the test's.

Its descriptions are well formed but lead nowhere: what sound does is for the end-to-end tests to show.
"""

import asyncio
import json
import queue
import re
import threading
from collections.abc import Coroutine
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from trunkline.web.pages import mounts

TIMEOUT_S = 10.0
_POLL_S = 0.01

Json = dict[str, Any]

DEMO: Json = {
    "login": "demo",
    "authenticationName": "demo-auth",
    "password": "demo-password",
    "domain": "127.0.0.1",
    "port": 5070,
    "numbers": [
        {"number": "echo", "title": "Plays back what it hears"},
        {"number": "tone", "title": "Plays 440 Hz"},
        {"number": "digits", "title": "Reads back your digits"},
        {"number": "busy", "title": "Is always busy"},
        {"number": "noanswer", "title": "Rings, and nobody answers"},
        {"number": "notfound", "title": "Does not exist"},
        {"number": "callme", "title": "Calls you back"},
    ],
}

_TRANSPORT = """\
a=ice-ufrag:fake
a=ice-pwd:fakefakefakefakefakefake
a=fingerprint:sha-256 {fingerprint}
a=setup:{setup}
a=rtcp-mux
a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host
"""
_FINGERPRINT = ":".join(["AB"] * 32)
_HEAD = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=ice-lite\na=group:BUNDLE {mid}\n"
_AUDIO = """\
m=audio 9 UDP/TLS/RTP/SAVPF {pt}
c=IN IP4 127.0.0.1
a=mid:{mid}
a=sendrecv
a=rtpmap:{pt} opus/48000/2
"""


def answer_to(offer: str) -> str:
    """An SDP answer to a browser's offer."""
    mid = re.search(r"^a=mid:(\S+)", offer, re.MULTILINE)
    opus = re.search(r"^a=rtpmap:(\d+) opus/48000/2", offer, re.MULTILINE)
    assert mid is not None, offer
    assert opus is not None, offer
    return _description(mid[1], int(opus[1]), "passive")


def make_offer() -> str:
    """An SDP offer to a browser."""
    return _description("audio", 111, "actpass")


def _description(mid: str, pt: int, setup: str) -> str:
    text = _HEAD.format(mid=mid) + _AUDIO.format(mid=mid, pt=pt)
    return (text + _TRANSPORT.format(fingerprint=_FINGERPRINT, setup=setup)).replace("\n", "\r\n")


class FakeGateway:
    """One page's gateway. Its methods are for the test's thread; the server runs in another."""

    def __init__(self) -> None:
        self.demo: Json | None = DEMO
        self.port = 0
        self._frames: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._socket: WebSocket | None = None
        self._gone = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._application = FastAPI()
        self._application.add_api_route("/phone/config.json", self._config)
        self._application.add_api_websocket_route("/ws", self._serve)
        self._application.router.routes.extend(mounts())

    @property
    def page_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/phone/"

    # --- what the page sent ---

    def expect(self, message: str) -> Any:
        """The argument of the next frame, which has to be this one."""
        try:
            name, data = self._frames.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise AssertionError(f"no {message!r} from the page") from None
        assert name == message, f"expected {message!r}, the page sent {name!r}: {data}"
        assert len(data) == 1, f"client frames carry one argument: {data}"
        return data[0]

    def expect_nothing(self, within_s: float = 0.3) -> None:
        try:
            frame = self._frames.get(timeout=within_s)
        except queue.Empty:
            return
        raise AssertionError(f"the page sent {frame}")

    def expect_gone(self) -> None:
        """Wait until the page has closed its socket."""
        assert self._gone.wait(TIMEOUT_S), "the page is still connected"

    # --- what the page gets ---

    def send(self, message: str, *data: Any) -> None:
        self._run(self._send(json.dumps({"message": message, "data": data})))

    def send_together(self, frames: list[tuple[Any, ...]]) -> None:
        """Send frames (message, then its data) back to back."""

        async def send_all() -> None:
            for message, *data in frames:
                await self._send(json.dumps({"message": message, "data": data}))

        self._run(send_all())

    def send_text(self, text: str) -> None:
        self._run(self._send(text))

    def close(self, code: int = 1011) -> None:
        """End the page's socket."""
        assert self._socket is not None
        self._run(self._socket.close(code))

    def accept_session(self) -> Json:
        """Let the page in, and registered if it asks for that; returns what it said of itself."""
        connection: Json = self.expect("connection")
        self.send("getUserData", {**connection, "authToken": "token-1"})
        if connection["sipRegisterRequired"]:
            self.send("registered", {**connection, "status": "REGISTERED"})
        return connection

    def accept_call(self) -> Json:
        """Take the page's call as far as the answer; returns the call."""
        call: Json = self.expect("call")
        self.status("notifyTryingResponse", call, "TRYING")
        self.send("setRemoteSDP", call["callId"], answer_to(call["sdp"]))
        self.status("ring", call, "RING")
        self.status("talk", call, "ESTABLISHED")
        return call

    def status(self, message: str, call: Json, status: str, **fields: Any) -> None:
        """Send the call object with a new status."""
        self.send(message, {**call, "sdp": None, "status": status, **fields})

    def ring_page(self, call_id: str = "incoming-1", caller: str = "bob", visible_name: str = "Bob") -> Json:
        """Call the page."""
        call = {"callId": call_id, "caller": caller, "callee": "demo", "visibleName": visible_name, "incoming": True}
        call |= {"status": "RING", "hasAudio": True, "hasVideo": False}
        self.send("setRemoteSDP", call_id, make_offer())
        self.send("notifyIncomingCall", call)
        return call

    # --- the server ---

    def start(self) -> None:
        """Serve on a free loopback port, or on the former one after `stop`."""
        config = uvicorn.Config(
            self._application,
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            lifespan="off",
            ws="websockets-sansio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="fake-gateway")
        self._thread.start()
        for _ in range(int(TIMEOUT_S / _POLL_S)):
            if self._server.started:
                break
            self._thread.join(_POLL_S)
        assert self._server.started, "the fake gateway does not start"
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Go away, with every socket. Harmless when stopped."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the fake gateway does not stop"
        self._server = self._thread = None

    async def _config(self) -> Json:
        return {"demo": self.demo, "version": "1.2.3"}

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self._socket = websocket
        self._loop = asyncio.get_running_loop()
        self._gone.clear()
        try:
            while True:
                frame = json.loads(await websocket.receive_text())
                self._frames.put((frame["message"], frame["data"]))
        except WebSocketDisconnect:
            self._gone.set()

    async def _send(self, text: str) -> None:
        assert self._socket is not None
        await self._socket.send_text(text)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None, "no page is connected"
        asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)
