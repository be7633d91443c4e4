"""SHELL: one browser's WebSocket.

Owns the socket's tasks, its bounded send queue, its keep-alive, and the translation of frames to the session's verbs
and back. Must not know SIP or media. The session ends when the socket does.   RFC 6455.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from trunkline.api.auth import source_of
from trunkline.api.node import Node
from trunkline.api.schemas import dtmf_method
from trunkline.api.schemas_calls import CallObject
from trunkline.api.ws_protocol import (
    PING,
    PONG,
    AcceptTransfer,
    Answer,
    BadFrame,
    CallMessage,
    Candidate,
    ClientMessage,
    Connection,
    Hangup,
    Hold,
    Ignored,
    Ping,
    RejectTransfer,
    SendDtmf,
    SendMessage,
    Transfer,
    Unhold,
    answered_frame,
    fail_frame,
    read_frame,
    received_frame,
    status_frame,
    write_frame,
)
from trunkline.calls.model import Call, ReceivedText, TransferStatus, reason_for_status
from trunkline.calls.ports import Text
from trunkline.calls.sessions import CallOrder, SessionRequest, WebSession
from trunkline.errors import CallNotFound, TrunklineError
from trunkline.ids import CallId, SessionId
from trunkline.observability.logging import bound, get_logger

_log = get_logger(__name__)

# RFC 6455 section 7.4.1.
GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013

SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
BAD_FRAMES_LIMIT: Final = 100
"""Frames that cannot be read, after which the socket is closed: that is no client of ours."""

_TOKEN_BITS: Final = 192
_METHOD_OF: Final = {"connection": "ConnectionStatusEvent", "call": "CallStatusEvent", "answer": "CallStatusEvent"}
"""The event that a client waits for after a message; others are named after the message itself."""


class BrowserSocket:
    """One connection; `serve` lives as long as it does. Implements `WebPort` for the session's legs."""

    def __init__(self, socket: WebSocket, node: Node) -> None:
        self._socket = socket
        self._node = node
        self._session: WebSession | None = None
        self._session_id = SessionId(f"{node.rng.getrandbits(128):032x}")
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(node.config.http.send_queue_frames)
        self._has_overflowed = asyncio.Event()
        self._close_code = GOING_AWAY
        self._bad_frames = 0

    async def serve(self) -> None:
        """Accept, then read until either side closes. Raises only cancellation."""
        if not self._is_origin_allowed():
            self._node.metrics.web_refused.labels("origin").inc()
            _log.warning("origin_refused")
            await self._socket.close(POLICY_VIOLATION)  # before accept: the handshake is answered 403
            return
        await self._socket.accept()
        with bound(session_id=str(self._session_id)):
            try:
                async with asyncio.TaskGroup() as group:
                    works = (self._send_queued, self._ping, self._watch_queue, self._watch_silence)
                    tasks = [group.create_task(work()) for work in works]
                    await self._read()
                    for task in tasks:
                        task.cancel()
            except* (WebSocketDisconnect, TimeoutError, ConnectionError):
                pass  # it vanished, or reads too slowly: the ordinary end of a browser
            except* Exception:  # the boundary of this socket's tasks: a bug ends this connection only
                _log.exception("socket_crashed")
            finally:
                if self._session is not None:
                    self._node.sessions.close(self._session)
                await self._close_socket()

    async def refuse(self) -> None:
        """Close with 1013 instead of serving. Only an accepted socket can tell a page why."""
        self._node.metrics.web_refused.labels("capacity").inc()
        self._close_code = TRY_AGAIN_LATER
        with suppress(WebSocketDisconnect, TimeoutError, ConnectionError):  # it did not wait for it
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.accept()
        await self._close_socket()

    def _is_origin_allowed(self) -> bool:
        """Say whether the page may connect; programs send no Origin and pass.   RFC 6455 section 10.2."""
        allowed = self._node.config.http.allowed_origins
        origin = self._socket.headers.get("origin")
        return origin is None or "*" in allowed or origin in allowed

    # --- tasks ---

    async def _read(self) -> None:
        """Read frames until the browser goes, is silent for too long, or we close."""
        idle_timeout_s = self._node.config.http.idle_timeout_s
        while self._socket.client_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(idle_timeout_s):
                    message = await self._socket.receive()
            except TimeoutError:
                _log.info("socket_idle")
                return
            if message["type"] == "websocket.disconnect":
                if message.get("code") == 1009:
                    self._count("size")
                return
            self._handle(message.get("text"))

    async def _send_queued(self) -> None:
        """Send what is queued, in order; an empty entry means close."""
        while True:
            frame = await self._queue.get()
            if frame is None:
                await self._close_socket()
                return
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_text(frame)

    async def _ping(self) -> None:
        """Show the browser that we live, and have it show the same: clients count these."""
        while True:
            await asyncio.sleep(self._node.config.http.ping_interval_s)
            self._send(PING)

    async def _watch_queue(self) -> None:
        """End the connection when its reader is too slow; the task that sends may be stuck on it."""
        await self._has_overflowed.wait()
        self._close_code = TRY_AGAIN_LATER
        _log.warning("socket_too_slow")
        raise ConnectionAbortedError("the browser reads too slowly")

    async def _watch_silence(self) -> None:
        """Close a socket whose browser does not say who it is: without a session it has no use."""
        await asyncio.sleep(self._node.config.http.connect_timeout_s)
        if self._session is None:
            self._node.metrics.web_refused.labels("silent").inc()
            self._close_code = POLICY_VIOLATION
            self.close()

    async def _close_socket(self) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(Exception):  # it is gone, or does not take the close frame: either way it is over
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._socket.close(self._close_code)

    def _send(self, frame: str) -> None:
        """Queue a frame. A browser that reads too slowly is cut off: its frames must not pile up."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            self._has_overflowed.set()

    # --- frames of the browser ---

    def _handle(self, text: str | None) -> None:
        """Take one frame. What is wrong with it goes back to the browser and into a counter."""
        method, call_id = "", None
        try:
            message = read_frame(text)
            method, call_id = _name_of(message)
            self._dispatch(message)
        except BadFrame as error:
            self._count(error.why)
            self._fail(_METHOD_OF.get(error.message, error.message), error.info, error.call_id, "bad_frame")
        except TrunklineError as error:
            self._fail(_METHOD_OF.get(method, method), str(error), call_id, error.code)

    def _dispatch(self, message: ClientMessage) -> None:
        match message:
            case Ping():
                self._send(PONG)
                return
            case Ignored() | Candidate():
                return
            case Connection():
                self._connect(message)
                return
        if self._session is None:
            raise BadFrame("shape", "`connection` must come first")
        if isinstance(message, SendMessage):
            within = None if message.call_id is None else CallId(message.call_id)
            self._session.send_message(message.id, message.text(), within)
            return
        call_id = CallId(message.call_id)
        match message:
            case CallMessage():
                self._session.place_call(
                    CallOrder(
                        call_id=call_id,
                        callee=message.callee,
                        offer=message.sdp,
                        visible_name=message.visible_name or "",
                        has_audio=message.has_audio,
                        has_video=message.has_video,
                        custom=message.custom,
                        trunk=message.trunk or "",
                        headers=tuple(message.sip_headers.items()),
                    )
                )
            case Answer():
                self._session.answer(call_id, message.sdp)
            case Hangup():
                with suppress(CallNotFound):  # both sides hung up at once
                    self._session.hang_up(call_id)
            case SendDtmf():
                self._session.send_dtmf(call_id, message.dtmf, dtmf_method(message.type))
            case Hold():
                self._session.hold(call_id, is_for_transfer=message.hold_for_transfer)
            case Unhold():
                self._session.unhold(call_id)
            case AcceptTransfer():
                self._session.follow(call_id, is_accepted=True)
            case RejectTransfer():
                self._session.follow(call_id, is_accepted=False)
            case Transfer(target=target, target_call_id=other):
                self._session.transfer(call_id, target or other or "", None if other is None else CallId(other))

    def _connect(self, message: Connection) -> None:
        if self._session is not None:
            raise BadFrame("shape", "connected already", message="connection")
        if message.sip_register_required and message.account() is None:
            raise BadFrame("shape", "sipLogin and sipDomain are needed to register", message="connection")
        request = SessionRequest(
            account=message.account(),
            is_registering=message.sip_register_required,
            app_key=message.app_key or "defaultApp",
            source=source_of(self._socket, self._node.config.http.trusted_proxies),
        )
        self._session = self._node.sessions.open(self._session_id, request, self)
        token = f"{self._node.rng.getrandbits(_TOKEN_BITS):048x}"
        self._send(write_frame("getUserData", message.echo(token)))
        self._session.register()

    def _count(self, why: str) -> None:
        self._node.metrics.web_malformed.labels(why).inc()
        self._bad_frames += 1
        if self._bad_frames >= BAD_FRAMES_LIMIT:
            self._close_code = POLICY_VIOLATION
            self.close()

    def _fail(self, method: str, info: str, call_id: str | None, reason: str) -> None:
        self._send(fail_frame(method, info, call_id=call_id, reason=reason))

    # --- WebPort ---

    def remote_description(self, call: CallId, sdp: str) -> None:
        """Send `setRemoteSDP`."""
        self._send(write_frame("setRemoteSDP", call, sdp))

    def incoming_call(self, call: Call) -> None:
        """Send `notifyIncomingCall`."""
        self._send(write_frame("notifyIncomingCall", self._shown(call).to_json()))

    def call_status(self, call: Call) -> None:
        """Send the frame of the call's status."""
        self._send(status_frame(self._shown(call)))

    def _shown(self, call: Call) -> CallObject:
        """Describe a call as this browser sees it: one that another browser has placed comes in."""
        shown = CallObject.of(call, self._node.name)
        if call.request.session in (None, self._session_id):
            return shown
        return shown.model_copy(update={"incoming": True, "session_id": self._session_id})

    def request_failed(self, method: str, call: CallId, info: str, reason: str = "") -> None:
        """Send `fail` about a call that goes on."""
        self._send(fail_frame(method, info, call_id=call, **({"reason": reason} if reason else {})))

    def transfer(
        self, call: Call, status: TransferStatus, *, incoming: bool, by: str = "", must_ask: bool = False
    ) -> None:
        """Send `notifyTransferEvent`. From `referredBy` on the fields are ours."""
        about: dict[str, object] = {"callId": call.id, "status": status, "incoming": incoming, "target": call.target}
        if incoming:
            successor = None if call.successor is None else call.successor.id
            about |= {"referredBy": by or None, "needsAnswer": must_ask, "successorCallId": successor}
        self._send(write_frame("notifyTransferEvent", about))

    def message_received(self, text: ReceivedText) -> None:
        """Send `notifyMessage`."""
        self._send(received_frame(text))

    def message_answered(self, message_id: str, text: Text, status: int, phrase: str) -> None:
        """Send `notifyMessage` with what became of the browser's text."""
        self._send(answered_frame(message_id, text, status, phrase))

    def registered(self) -> None:
        """Send `registered`."""
        self._send(write_frame("registered", {"status": "REGISTERED"}))

    def registration_failed(self, status: int, phrase: str, *, is_final: bool) -> None:
        """Send `fail`; the socket stays open, since calls may be possible without a registration."""
        self._send(
            fail_frame(
                "RegistrationStatusEvent",
                f"SIP {status} {phrase}".rstrip(),
                sipStatus=status,
                reason=reason_for_status(status).code,
                isFinal=is_final,
            )
        )

    def close(self) -> None:
        """Close once what is queued has been sent; at once if the queue is full."""
        try:
            self._queue.put_nowait(None)
        except asyncio.QueueFull:
            self._has_overflowed.set()


def _name_of(message: ClientMessage) -> tuple[str, str | None]:
    """Return the name of a message and the call it is about."""
    match message:
        case Connection():
            return "connection", None
        case CallMessage():
            return "call", message.call_id
        case Answer():
            return "answer", message.call_id
        case Hangup():
            return "hangup", message.call_id
        case SendDtmf():
            return "sendDtmf", message.call_id
        case Hold():
            return "hold", message.call_id
        case Unhold():
            return "unhold", message.call_id
        case Transfer():
            return "transfer", message.call_id
        case AcceptTransfer():
            return "acceptTransfer", message.call_id
        case RejectTransfer():
            return "rejectTransfer", message.call_id
        case SendMessage():
            return "sendMessage", message.id
        case Candidate():
            return "candidate", message.call_id
        case Ping():
            return "ping", None
        case Ignored():
            return "", None
