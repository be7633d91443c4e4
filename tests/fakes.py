"""Stand-ins for the world of a call: they implement `calls/ports.py` and remember what was asked of them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trunkline.calls.model import Call, CallStatus, ReceivedText, TransferStatus
from trunkline.calls.ports import Text
from trunkline.config import MediaConfig
from trunkline.dtmf import DtmfMode
from trunkline.errors import MediaError
from trunkline.figures import EndpointStats
from trunkline.ids import CallId, EndpointId, MediaCallId
from trunkline.media.types import (
    Direction,
    Event,
    Local,
    RecordingFormat,
    Remote,
    RtpLocal,
    Source,
    StreamParameters,
    TapDone,
    Transport,
    Voice,
    WebRtcLocal,
    WebRtcTransport,
)
from trunkline.sdp import offer_answer, webrtc
from trunkline.sdp.codecs import CodecPolicy, read_codecs
from trunkline.sdp.model import SessionIdentity
from trunkline.sdp.parser import parse
from trunkline.sip.types import (
    Account,
    HeaderFields,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    MessageId,
    MessageRequest,
    Path,
    ProbeId,
    ReferId,
    ReferRequest,
    RegisterRequest,
    RegistrationId,
    RequestId,
)

ACCOUNT = Account(login="alice", password="secret", domain="sip.example")


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self._now + delay_s, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._now = until

    @property
    def pending(self) -> int:
        return sum(timer.callback is not None for _, _, timer in self._timers)


@dataclass
class FakeEndpoint:
    call: MediaCallId
    transport: Transport
    remote: Remote | None = None
    audio: StreamParameters | None = None
    remotes_set: int = 0
    source: Source | None = None
    digits: str = ""
    heard: list[Source] = field(default_factory=list)
    muted: set[Voice] = field(default_factory=set)
    digit_ms: list[int] = field(default_factory=list)
    stats: EndpointStats | None = None


@dataclass
class FakeMedia:
    """A media plane of records. refusals: verb -> error, raised the next time and from then on."""

    refusals: dict[str, Exception] = field(default_factory=dict)
    live: dict[EndpointId, FakeEndpoint] = field(default_factory=dict)
    bridges: dict[EndpointId, EndpointId] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    listeners: dict[MediaCallId, Callable[[Event], None]] = field(default_factory=dict)
    taps: dict[EndpointId, str] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    dead_workers: int = 0
    can_speex: bool = True
    counters: Mapping[str, float] = field(default_factory=dict)
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    async def start(self, config: MediaConfig) -> None:
        self.log.append("start")

    async def stop(self) -> None:
        self.log.append("stop")

    @property
    def endpoints(self) -> int:
        return len(self.live)

    def _take(self, verb: str, endpoint: EndpointId | None = None) -> FakeEndpoint | None:
        self.log.append(verb)
        if error := self.refusals.get(verb):
            raise error
        if endpoint is None:
            return None
        if endpoint not in self.live:
            raise MediaError("unknown_endpoint", f"{verb} on {endpoint}")
        return self.live[endpoint]

    def new_call(self) -> MediaCallId:
        return MediaCallId(next(self._ids))

    async def create_endpoint(self, call: MediaCallId, transport: Transport) -> tuple[EndpointId, Local]:
        self._take("create_endpoint")
        endpoint = EndpointId(next(self._ids))
        self.live[endpoint] = FakeEndpoint(call, transport)
        if isinstance(transport, WebRtcTransport):
            return endpoint, WebRtcLocal(
                (("192.0.2.1", 40_000),), "ufrag", "p" * 22, ":".join(["AB"] * 32), int(endpoint), "cname"
            )
        port = 31_000 + 2 * int(endpoint)
        rtcp = port if transport.rtcp_mux else port + 1
        fingerprint = ":".join(["AB"] * 32)
        return endpoint, RtpLocal(("192.0.2.1", port), ("192.0.2.1", rtcp), int(endpoint), "cname", fingerprint)

    async def set_remote(
        self, call: MediaCallId, endpoint: EndpointId, remote: Remote, audio: StreamParameters
    ) -> None:
        record = self._take("set_remote", endpoint)
        assert record is not None
        record.remote, record.audio = remote, audio
        record.remotes_set += 1

    async def update_endpoint(self, call: MediaCallId, endpoint: EndpointId, direction: Direction) -> None:
        self._take("update_endpoint", endpoint)

    async def expect_media(self, call: MediaCallId, endpoint: EndpointId) -> None:
        self._take("expect_media", endpoint)

    async def bridge(self, call: MediaCallId, a: EndpointId, b: EndpointId) -> None:
        self._take("bridge", a)
        self._take("bridge", b)
        self.bridges = {one: other for one, other in self.bridges.items() if not {one, other} & {a, b}}
        self.bridges[a] = b

    async def play(self, call: MediaCallId, endpoint: EndpointId, source: Source) -> None:
        record = self._take("play", endpoint)
        assert record is not None
        record.source = source
        record.heard.append(source)

    async def stop_play(self, call: MediaCallId, endpoint: EndpointId) -> None:
        record = self._take("stop_play", endpoint)
        assert record is not None
        record.source = None

    async def mute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> None:
        record = self._take("mute", endpoint)
        assert record is not None
        record.muted.add(voice)

    async def unmute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> None:
        record = self._take("unmute", endpoint)
        assert record is not None
        record.muted.discard(voice)

    async def send_dtmf(self, call: MediaCallId, endpoint: EndpointId, digits: str, duration_ms: int = 120) -> None:
        record = self._take("send_dtmf", endpoint)
        assert record is not None
        record.digits += digits
        record.digit_ms.append(duration_ms)

    async def start_tap(
        self,
        call: MediaCallId,
        endpoint: EndpointId,
        path: str,
        recording_format: RecordingFormat,
        *,
        plays_digits: bool,
    ) -> None:
        self._take("start_tap", endpoint)
        self.taps[endpoint] = path

    async def stop_tap(self, call: MediaCallId, endpoint: EndpointId) -> None:
        self._take("stop_tap", endpoint)
        self.end_tap(call, endpoint, "stopped")

    def end_tap(self, call: MediaCallId, endpoint: EndpointId, reason: str) -> None:
        path = self.taps.pop(endpoint, None)
        if path is not None and call in self.listeners:
            self.listeners[call](TapDone(call, endpoint, reason, path, 1.5, 24_044, 0))

    async def close(self, call: MediaCallId, endpoint: EndpointId) -> EndpointStats | None:
        self.end_tap(call, endpoint, "closed")
        record = self.live.pop(endpoint, None)
        self.bridges.pop(endpoint, None)
        self._take("close")
        return record.stats if record is not None else None

    def subscribe(self, call: MediaCallId, callback: Callable[[Event], None]) -> None:
        self.listeners[call] = callback

    def unsubscribe(self, call: MediaCallId) -> None:
        self.listeners.pop(call, None)

    # --- what tests ask and cause ---

    def endpoint(self, kind: str) -> tuple[EndpointId, FakeEndpoint]:
        """Return the only live endpoint of a kind: `webrtc` or `rtp`."""
        (found,) = [(id_, record) for id_, record in self.live.items() if record.transport.kind == kind]
        return found


@dataclass
class FakeSip:
    """A user agent that sends nothing. `done` holds every verb with its arguments, in order."""

    done: list[tuple[Any, ...]] = field(default_factory=list)
    refusals: dict[str, Exception] = field(default_factory=dict)
    registrations: set[RegistrationId] = field(default_factory=set)
    invites: list[tuple[InviteRequest, InviteId]] = field(default_factory=list)
    messages: list[tuple[MessageRequest, MessageId]] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def _do(self, verb: str, *arguments: Any) -> None:
        self.done.append((verb, *arguments))
        if error := self.refusals.get(verb):
            raise error

    def verbs(self, name: str) -> list[tuple[Any, ...]]:
        return [each for each in self.done if each[0] == name]

    def register(self, account: Account, expires_s: int = 600) -> RegistrationId:
        self._do("register", account, expires_s)
        registration = RegistrationId(next(self._ids))
        self.registrations.add(registration)
        return registration

    def unregister(self, registration: RegistrationId) -> None:
        self._do("unregister", registration)
        self.registrations.discard(registration)

    def probe(self, account: Account, timeout_s: float) -> ProbeId:
        self._do("probe", account, timeout_s)
        return ProbeId(next(self._ids))

    def invite(self, request: InviteRequest) -> InviteId:
        self._do("invite", request)
        invite = InviteId(next(self._ids))
        self.invites.append((request, invite))
        return invite

    def ring(self, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        self._do("ring", invite, status, sdp)

    def answer(self, invite: InviteId, sdp: str) -> None:
        self._do("answer", invite, sdp)

    def hangup(self, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        self._do("hangup", invite, status, reason)

    def refuse(self, invite: InviteId, status: int, reason: str | None = None, headers: HeaderFields = ()) -> None:
        self._do("refuse", invite, status, reason, headers)

    def move(self, invite: InviteId, flow: Path) -> None:
        self._do("move", invite, flow)

    def forward_register(self, request: RegisterRequest) -> RequestId:
        self._do("forward_register", request)
        return RequestId(len(self.verbs("forward_register")))

    def respond(
        self,
        request: IncomingRequestId,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderFields = (),
        body: bytes = b"",
    ) -> None:
        self._do("respond", request, status, reason, headers)

    def reinvite(self, invite: InviteId, sdp: str) -> None:
        self._do("reinvite", invite, sdp)

    def answer_reinvite(self, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        self._do("answer_reinvite", invite, sdp, status)

    def send_info(self, invite: InviteId, content_type: str, body: bytes) -> None:
        self._do("send_info", invite, content_type, body)

    def send_message(self, message: MessageRequest) -> MessageId:
        self._do("send_message", message)
        self.messages.append((message, MessageId(next(self._ids))))
        return self.messages[-1][1]

    def refer(self, invite: InviteId, request: ReferRequest) -> ReferId:
        self._do("refer", invite, request)
        return ReferId(next(self._ids))

    def answer_refer(self, refer: ReferId, status: int = 202, reason: str | None = None) -> None:
        self._do("answer_refer", refer, status, reason)

    def notify_refer(self, refer: ReferId, status: int, reason: str | None = None) -> None:
        self._do("notify_refer", refer, status, reason)


@dataclass
class FakeWeb:
    """A browser's socket. `shown` holds what the browser got: names, statuses and ends, in order."""

    shown: list[tuple[Any, ...]] = field(default_factory=list)
    is_closed: bool = False
    asked: int = 0

    def remote_description(self, call: CallId, sdp: str) -> None:
        self.shown.append(("sdp", call, sdp))

    def incoming_call(self, call: Call) -> None:
        self.shown.append(("incoming", call.id, call.request.caller))

    def call_status(self, call: Call) -> None:
        self.shown.append(("status", call.status, call.end))

    def request_failed(self, method: str, call: CallId, info: str, reason: str = "") -> None:
        self.shown.append(("failed", method, info))

    def transfer(
        self, call: Call, status: TransferStatus, *, incoming: bool, by: str = "", must_ask: bool = False
    ) -> None:
        if incoming:
            self.shown.append(("transfer", call.id, status.value, call.target))
            self.asked += must_ask
        else:
            self.shown.append(("transferred", call.id, call.target))

    def message_received(self, text: ReceivedText) -> None:
        self.shown.append(("message", text))

    def message_answered(self, message_id: str, text: Text, status: int, phrase: str) -> None:
        self.shown.append(("message_answered", message_id, status))

    def registered(self) -> None:
        self.shown.append(("registered",))

    def registration_failed(self, status: int, phrase: str, *, is_final: bool) -> None:
        self.shown.append(("registration_failed", status, phrase, is_final))

    def close(self) -> None:
        self.is_closed = True

    def statuses(self) -> list[CallStatus]:
        return [each[1] for each in self.shown if each[0] == "status"]

    def description(self) -> str:
        """Return the only description the browser was given."""
        (found,) = [each[2] for each in self.shown if each[0] == "sdp"]
        text: str = found
        return text


# --- descriptions of far sides -------------------------------------------------------------------------------------

_BROWSER = WebRtcLocal((("198.51.100.7", 9),), "browserfrag", "b" * 24, ":".join(["CD"] * 32), 7, "browser")
_PHONE = RtpLocal(("198.51.100.9", 20_000), ("198.51.100.9", 20_001), 9, "phone")
_IDENTITY = SessionIdentity(1, 1, "198.51.100.7")


def browser_offer(*codecs: str) -> str:
    """Return what a browser offers; by default Opus, PCMU and PCMA."""
    offer = webrtc.make_offer(_BROWSER, CodecPolicy(codecs or ("opus", "PCMU", "PCMA")), _IDENTITY)
    return str(offer).replace("a=ice-lite\r\n", "")


def browser_answer(offer: str, *codecs: str) -> str:
    """Return how a browser answers: by default with every codec, in the order of the offer."""
    # The browser is no ICE-lite agent, so that it accepts ours; its own answer must not say that it is.
    theirs = parse(offer.replace("a=ice-lite\r\n", ""))
    policy = CodecPolicy(codecs) if codecs else CodecPolicy().towards(read_codecs(theirs.media[0]))
    answer = webrtc.answer_offer(theirs, _BROWSER, policy, _IDENTITY).description
    return str(answer).replace("a=ice-lite\r\n", "").replace("a=setup:passive", "a=setup:active")


def phone_offer(*codecs: str, direction: Direction = Direction.SENDRECV, port: int = 20_000) -> str:
    """Return what a SIP phone offers; by default PCMU and PCMA."""
    local = RtpLocal(("198.51.100.9", port), ("198.51.100.9", port + 1), 9, "phone")
    policy = CodecPolicy(codecs or ("PCMU", "PCMA"))
    return str(offer_answer.make_offer(local, policy, _IDENTITY, direction=direction))


def phone_answer(offer: str, *codecs: str, dtmf: DtmfMode = DtmfMode.AUTO) -> str:
    """Return how a SIP phone answers."""
    policy = CodecPolicy(codecs or ("PCMU", "PCMA"), dtmf)
    return str(offer_answer.answer_offer(parse(offer), _PHONE, policy, _IDENTITY).description)
