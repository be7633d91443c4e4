"""What calls need from the world, as protocols; `app` fills them in, tests fake them.

Owns the shapes only. Everything here is called from the event loop. A port raises nothing but `TrunklineError`s, and
only where its docstring says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from trunkline.calls.events import CallEvent, DtmfMethod, Reply
from trunkline.calls.model import Call, CallEnd, Leg, LegKind, ReceivedText, Side, TransferStatus
from trunkline.figures import EndpointStats
from trunkline.ids import CallId, EndpointId, MediaCallId
from trunkline.media.types import (
    Codec,
    Direction,
    Event,
    Local,
    RecordingFormat,
    Remote,
    Source,
    StreamParameters,
    Transport,
    Voice,
)
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.security import SecurityPolicy
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text. recipient: a number, a user or an address, as it was dialed. content_type: of RFC 3428's body."""

    recipient: str
    body: str
    content_type: str = "text/plain"
    display_name: str = ""


class TimerHandle(Protocol):
    """A pending call of `Clock.call_later`."""

    def cancel(self) -> None:
        """Make it never happen; nothing if it has happened."""


class Clock(Protocol):
    """Time, so that tests own it."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle:
        """Call back after a delay, from the event loop."""
        ...


class SipPort(Protocol):
    """The verbs of `sip.transport.SipShell` that calls use. All return at once; what comes of them are events."""

    def register(self, account: Account, expires_s: int = 600) -> RegistrationId:
        """Keep a binding until `unregister`."""
        ...

    def unregister(self, registration: RegistrationId) -> None:
        """Take a binding back; unknown ids are ignored."""

    def probe(self, account: Account, timeout_s: float) -> ProbeId:
        """Ask the account's server whether it is there."""
        ...

    def invite(self, request: InviteRequest) -> InviteId:
        """Call somebody. LocalProtocolError if the target cannot be put on the wire."""
        ...

    def ring(self, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        """Send a provisional response. InvalidCallState once answered or ended."""

    def answer(self, invite: InviteId, sdp: str) -> None:
        """Send 200. InvalidCallState once answered or ended."""

    def hangup(self, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        """CANCEL, BYE or refuse, whichever fits; dead ids are ignored."""

    def refuse(self, invite: InviteId, status: int, reason: str | None = None, headers: HeaderFields = ()) -> None:
        """Refuse an inbound INVITE with headers besides. InvalidCallState once answered or ended."""

    def move(self, invite: InviteId, flow: Path) -> None:
        """Go on with a call on another flow; dead ids are ignored."""

    def forward_register(self, request: RegisterRequest) -> RequestId:
        """Pass a REGISTER on; `RequestAnswered` follows. LocalProtocolError if it cannot be put on the wire."""
        ...

    def respond(
        self,
        request: IncomingRequestId,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderFields = (),
        body: bytes = b"",
    ) -> None:
        """Answer a request outside dialogs; ids that are over are ignored."""

    def reinvite(self, invite: InviteId, sdp: str) -> None:
        """Offer a changed session. InvalidCallState if the call is not confirmed or an offer is under way."""

    def answer_reinvite(self, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        """Answer or refuse an offer within the dialog. InvalidCallState if there is none."""

    def send_info(self, invite: InviteId, content_type: str, body: bytes) -> None:
        """Send INFO within the dialog. InvalidCallState if it is not confirmed."""

    def send_message(self, message: MessageRequest) -> MessageId:
        """Send a text. LocalProtocolError if it cannot be put on the wire."""
        ...

    def refer(self, invite: InviteId, request: ReferRequest) -> ReferId:
        """Ask for a transfer. InvalidCallState if a call it names is not confirmed."""
        ...

    def answer_refer(self, refer: ReferId, status: int = 202, reason: str | None = None) -> None:
        """Accept or refuse a transfer that the far side asks for; ids that are over are ignored."""

    def notify_refer(self, refer: ReferId, status: int, reason: str | None = None) -> None:
        """Tell who asked how the new call is going, up to its final status; ids that are over are ignored."""


class MediaPort(Protocol):
    """The media plane. Awaiting raises MediaError, CapacityError or TimeoutError.

    A verb has given its command when it returns. Commands of one call are carried out in the order in which they were
    given, but for those that wait for a file: the next may be given before one is answered. Every answer is to be
    awaited.
    """

    def new_call(self) -> MediaCallId:
        """Name a call to the media plane: decides the worker of its endpoints. MediaError if there is none."""
        ...

    def create_endpoint(self, call: MediaCallId, transport: Transport) -> Awaitable[tuple[EndpointId, Local]]:
        """Make an endpoint; returns what its description must say."""
        ...

    def set_remote(
        self, call: MediaCallId, endpoint: EndpointId, remote: Remote, audio: StreamParameters
    ) -> Awaitable[None]:
        """Tell an endpoint its far side; may be repeated."""
        ...

    def update_endpoint(self, call: MediaCallId, endpoint: EndpointId, direction: Direction) -> Awaitable[None]:
        """Change what is sent and accepted."""
        ...

    def expect_media(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """Count the silence of an endpoint's far side from now on."""
        ...

    def bridge(self, call: MediaCallId, a: EndpointId, b: EndpointId) -> Awaitable[None]:
        """Join two endpoints of the call."""
        ...

    def play(self, call: MediaCallId, endpoint: EndpointId, source: Source) -> Awaitable[None]:
        """Send a source out of an endpoint."""
        ...

    def stop_play(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """End what plays."""
        ...

    def mute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> Awaitable[None]:
        """Let silence through in place of what a far side says, or hears of the other leg."""
        ...

    def unmute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> Awaitable[None]:
        """Let it through again; no error if it was not muted."""
        ...

    def start_tap(
        self,
        call: MediaCallId,
        endpoint: EndpointId,
        path: str,
        recording_format: RecordingFormat,
        *,
        plays_digits: bool,
    ) -> Awaitable[None]:
        """Record what an endpoint's far side says and hears; returns when the file is open. `TapDone` tells its end."""
        ...

    def stop_tap(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """End the recording; no error if there is none."""
        ...

    def send_dtmf(
        self, call: MediaCallId, endpoint: EndpointId, digits: str, duration_ms: int = 120
    ) -> Awaitable[None]:
        """Queue digits on an endpoint."""
        ...

    def close(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[EndpointStats | None]:
        """Begin to end an endpoint, and its bridge with it; awaits its last figures, None if it is gone already."""
        ...

    def subscribe(self, call: MediaCallId, callback: Callable[[Event], None]) -> None:
        """Hand the spontaneous events of a call to a callback, from the event loop."""

    def unsubscribe(self, call: MediaCallId) -> None:
        """Stop that; unknown calls are ignored."""


class WebPort(Protocol):
    """A browser's socket. Never blocks, never raises: what cannot be delivered is dropped, since its end is near."""

    def remote_description(self, call: CallId, sdp: str) -> None:
        """Hand over our answer to the browser's offer, or our offer of an incoming call."""

    def incoming_call(self, call: Call) -> None:
        """Announce a call."""

    def call_status(self, call: Call) -> None:
        """Report a call's new status."""

    def request_failed(self, method: str, call: CallId, info: str, reason: str = "") -> None:
        """Say that a request about a call was not carried out; the call goes on as before. reason: a stable code."""

    def transfer(
        self, call: Call, status: TransferStatus, *, incoming: bool, by: str = "", must_ask: bool = False
    ) -> None:
        """Say how a transfer fares, to the call's target. incoming: the far side asked for it, else the browser did.

        by, must_ask: as in `LegPort.show_transfer`.
        """

    def message_received(self, text: ReceivedText) -> None:
        """Show a text of the SIP side's."""

    def message_answered(self, message_id: str, text: Text, status: int, phrase: str) -> None:
        """Say what became of a text of the browser's. status: of SIP."""

    def registered(self) -> None:
        """Say that the account is registered."""

    def registration_failed(self, status: int, phrase: str, *, is_final: bool) -> None:
        """Say that it is not. is_final: nobody tries again by itself."""

    def close(self) -> None:
        """End the connection once everything queued has been sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegContext:
    """What a leg is given of its call.

    post: takes what the far side does. policies: codecs for each kind of leg. session_id: random, for our `o=` lines.
    security: of SIP legs, None is plain RTP.
    """

    call: Call
    side: Side
    media: MediaPort
    media_call: MediaCallId
    post: Callable[[CallEvent], None]
    policies: Mapping[LegKind, CodecPolicy]
    session_id: int
    security: SecurityPolicy | None = None


class LegPort(Protocol):
    """One side of a call, whatever it speaks.

    The controller calls these one at a time, A-leg and B-leg alike. What the far side does comes back as call events
    through the function that the leg was made with. Awaited verbs raise NegotiationError, SdpError, MediaError,
    CapacityError, NoRoute, LocalProtocolError or TimeoutError, each of which ends the call; the others raise nothing.
    `open`, `accept` and `describe` raise what is wrong with a description at once, and have given their command to the
    media plane when they return: what is awaited is its answer.
    """

    @property
    def leg(self) -> Leg:
        """The leg as data."""
        ...

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Codecs that the far side can do, best first; empty while unknown."""
        ...

    @property
    def hears_of_hold(self) -> bool:
        """Whether the far side is to be told by an offer when the other side holds the call."""
        ...

    def open(self) -> Awaitable[None]:
        """Read the far side's offer, if it made one, and make the endpoint."""
        ...

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """B-leg: offer the call to the callee, these codecs first."""

    async def settle(self) -> LegPort:
        """B-leg, once it has answered: return the leg to go on with, and close what else has rung for it."""
        ...

    def accept(self, description: str) -> Awaitable[None]:
        """Take the far side's answer to our offer; an empty one means that the last stands."""
        ...

    def describe(self, preferred: tuple[Codec, ...]) -> Awaitable[None]:
        """A-leg: make the answer to its offer, these codecs first."""
        ...

    def ring(self) -> None:
        """A-leg: say that the callee is alerted, with the description if one was made."""

    def connect(self) -> None:
        """A-leg: say that the callee answered."""

    async def answer_offer(self, description: str) -> None:
        """Take a new offer within the call. If it cannot be met, refuse it and stay as before: raises nothing."""

    async def offer_again(self, direction: Direction) -> None:
        """Offer the session anew, for one direction or both. `LegDescribed` or `LegRefused` tells the outcome.

        InvalidCallState if that cannot be done now: then nothing has changed.
        """

    def refuse_offer(self) -> None:
        """Refuse a new offer that came at the wrong time."""

    def send_on(self, target: str, consulted: LegPort | None) -> None:
        """Ask the far side to call somebody else. `LegTransferred` or `LegStayed` tells the outcome.

        consulted: a leg whose far side is to be called and whose place the new call takes. InvalidCallState, NoRoute or
        LocalProtocolError if that cannot be asked.
        """

    def answer_referral(self, status: int) -> None:
        """Answer the far side's `LegReferred`: 202, or a refusal."""

    def tell_referral(self, status: int, phrase: str) -> None:
        """Tell the far side how the call goes that it wanted; a final status is the last news, and more is ignored."""

    def successor(self, context: LegContext) -> LegPort:
        """Make the leg to whom the far side named. NoRoute if there is no way to call anybody from here."""
        ...

    def moved(self, context: LegContext) -> LegPort:
        """Make a leg of another call that takes this one's far side along once it is dialed and has agreed.

        InvalidCallState if that cannot be.
        """
        ...

    def replacement(self, context: LegContext) -> LegPort:
        """Make the leg of who wants to take the far side's place (`LegReplaced`)."""
        ...

    def refuse_replacement(self, status: int) -> None:
        """Refuse it."""

    def serve(self, call: Call, side: Side) -> None:
        """Belong to another call from now on."""

    def show_transfer(self, *, by: str = "", must_ask: bool = False) -> None:
        """Show the client how a transfer fares that the far side of the call has asked for.

        by: who has asked. must_ask: the client is to say whether it is followed.
        """

    def introduce(self, successor: Call) -> None:
        """Show the client the call that is to take over from this one."""

    def dismiss(self, successor: Call) -> None:
        """Show the client that it came to nothing."""

    def succeeded(self, former: Call) -> None:
        """Show the client that the call it now serves has taken over from another, which has ended."""

    async def send_dtmf(self, digits: str, *, method: DtmfMethod, duration_ms: int | None = None, reply: Reply) -> None:
        """Send digits to the far side. duration_ms: of each; None is as long as is usual.

        reply: gets the outcome once the last is on its way, or has been answered where the far side answers digits.
        MediaError, CapacityError or InvalidCallState if they cannot be sent.
        """

    async def ignore_tones(self) -> None:
        """Listen to the far side's audio for digits no longer: it sends them in another way. Nothing if nobody does."""

    def tell(self, text: ReceivedText, reply: Reply) -> None:
        """Have the far side read a text; `reply` gets the outcome. InvalidCallState or LocalProtocolError if not."""

    def dtmf_failed(self, info: str) -> None:
        """Say that digits from this leg's client could not be sent."""

    def report(self) -> None:
        """Show the call's status to the far side's client, if it has one."""

    def hang_up(self, end: CallEnd) -> None:
        """End the leg in the way that fits its state; nothing if it is over."""

    def close(self) -> Awaitable[None]:
        """Begin to close the endpoint; awaits the end of that. Nothing if there is none."""
        ...
