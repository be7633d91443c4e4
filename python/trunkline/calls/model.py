"""Calls, legs and why they ended, as data.

Owns the words that REST, WebSocket, metrics and logs share about a call. Changes nothing by itself: `call_run` moves a
`Call` along, following `machine`. Knows no SIP header, no socket and no media.

Status numbers and phrases: RFC 3261 section 21. Q.850 causes: RFC 3398 section 7.2.4.1 (SIP status to ISUP cause).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from trunkline.dtmf import DtmfKind
from trunkline.figures import EndpointStats
from trunkline.ids import CallId, EndpointId, LegId, SessionId


class CallStatus(StrEnum):
    """What a client is told of a call: the call statuses of WCS."""

    PENDING = "PENDING"
    TRYING = "TRYING"
    RING = "RING"
    ESTABLISHED = "ESTABLISHED"
    HOLD = "HOLD"
    BUSY = "BUSY"
    FINISH = "FINISH"
    FAILED = "FAILED"


class TransferStatus(StrEnum):
    """How a transfer fares that a far side has asked for: the words of WCS."""

    PENDING = "PENDING"
    """Asked for, and waiting for a client's leave where one is needed."""
    PROCESSING = "PROCESSING"
    """Whom the far side named is being called."""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class TransferPolicy(StrEnum):
    """What is done when a far side asks us to call somebody else."""

    FOLLOW = "follow"
    ASK = "ask"
    REFUSE = "refuse"


class HoldPolicy(StrEnum):
    """What is done when one SIP side holds a call whose other side speaks SIP too."""

    RELAY = "relay"
    """The other side is put on hold in the same way, and hears what the holder sends."""
    MUSIC = "music"
    """It is put on hold, and hears our music."""
    KEEP = "keep"
    """It is not told; it hears what the holder sends, or nothing."""


class CallState(StrEnum):
    """States of `machine`: finer than `CallStatus`, and ours alone."""

    NEW = "new"
    """Known, nothing done yet."""
    DIALING = "dialing"
    """The B-leg is being asked; nobody has taken the request yet."""
    TRYING = "trying"
    """The next hop took the request (100)."""
    RINGING = "ringing"
    """The callee is alerted (180); nothing is heard through us."""
    EARLY = "early"
    """Early media flows (183 or 180 with SDP): both endpoints are joined before the answer."""
    ESTABLISHED = "established"
    """Answered."""
    HOLDING = "holding"
    """A client holds the call; the held leg has been offered that and has not answered."""
    HELD = "held"
    """One leg is on hold and hears music; the other one is not heard."""
    RESUMING = "resuming"
    """The held leg has been offered to talk again and has not answered."""
    TRANSFERRING = "transferring"
    """A client has asked a far side to call somebody else, and nobody knows yet whether it will."""
    TRANSFERRING_HELD = "transferring_held"
    """The same, of a far side that is on hold."""
    FOLLOWING = "following"
    """A far side wants us to call somebody else in its place, who is being called."""
    FOLLOWING_HELD = "following_held"
    """The same, by a far side that is on hold."""
    BRIDGING = "bridging"
    """A far side will not call somebody else, so whom a client has consulted is being brought into this call."""
    BRIDGING_HELD = "bridging_held"
    """The same, to a far side that is on hold."""
    DESERTED = "deserted"
    """The same, and it has left already: nobody is there until somebody answers."""
    ENDED = "ended"
    """Over: everything that belonged to the call has been closed."""


class Side(StrEnum):
    """Which leg: A originated the call, B is the attempt to reach the callee."""

    A = "a"
    B = "b"

    @property
    def other(self) -> Side:
        """The far leg."""
        return Side.B if self is Side.A else Side.A


class LegKind(StrEnum):
    """What a leg speaks. A `player` stands in for an A-leg that only the API asked for: it plays, and hears nothing."""

    SIP = "sip"
    WEB = "web"
    PLAYER = "player"


class LegDirection(StrEnum):
    """As seen from the gateway."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class Cause:
    """What one end reason means to each protocol.

    code: stable, for clients and metrics. sip_status: told to a SIP leg that is still unanswered. q850: ITU-T Q.850
    number. info: the text WCS clients know; empty when the SIP status line says it better. status: how a call that ends
    for this reason is reported.
    """

    code: str
    sip_status: int
    q850: int
    info: str
    status: CallStatus


def _failed(code: str, sip_status: int, q850: int, info: str = "") -> Cause:
    return Cause(code, sip_status, q850, info, CallStatus.FAILED)


_CLEARED: Final = "Normal call clearing"


class EndReason(Enum):
    """Why a call ended. The table is the contract with clients; add rows, do not renumber."""

    # Somebody hung up. The two `here` are a client's own refusal of an incoming call: no failure to that client.
    NORMAL = Cause("normal", 480, 16, _CLEARED, CallStatus.FINISH)
    CANCELLED = Cause("cancelled", 487, 16, _CLEARED, CallStatus.FINISH)
    TERMINATED = Cause("terminated", 480, 16, _CLEARED, CallStatus.FINISH)
    DECLINED_HERE = Cause("declined_here", 603, 21, _CLEARED, CallStatus.FINISH)
    BUSY_HERE = Cause("busy_here", 486, 17, _CLEARED, CallStatus.FINISH)
    TRANSFERRED = Cause("transferred", 480, 16, _CLEARED, CallStatus.FINISH)
    ANSWERED_ELSEWHERE = Cause("answered_elsewhere", 480, 26, _CLEARED, CallStatus.FINISH)
    CLIENT_GONE = Cause("client_gone", 480, 27, _CLEARED, CallStatus.FINISH)
    SHUTDOWN = Cause("shutdown", 503, 41, _CLEARED, CallStatus.FINISH)

    # The callee, or somebody on the way, said no (RFC 3261 section 21).
    BUSY = Cause("busy", 486, 17, "", CallStatus.BUSY)
    DECLINED = _failed("declined", 603, 21)
    NO_ANSWER = _failed("no_answer", 480, 19, "Failed by request timeout")
    NOT_FOUND = _failed("not_found", 404, 1)
    UNAVAILABLE = _failed("unavailable", 480, 18)
    GONE = _failed("gone", 410, 22)
    ADDRESS_INCOMPLETE = _failed("address_incomplete", 484, 28)
    FORBIDDEN = _failed("forbidden", 403, 21)
    AUTHENTICATION_FAILED = _failed("authentication_failed", 401, 21)
    REDIRECTED = _failed("redirected", 302, 23)
    REJECTED = _failed("rejected", 480, 31)
    SERVER_ERROR = _failed("server_error", 500, 41)
    SERVER_UNREACHABLE = _failed("server_unreachable", 503, 38)
    REQUEST_TIMEOUT = _failed("request_timeout", 408, 102, "Failed by request timeout")

    # We could not carry it.
    NO_COMMON_CODECS = _failed("no_common_codecs", 488, 88, "No common codecs")
    TRANSCODING_FORBIDDEN = _failed("transcoding_forbidden", 488, 65, "Transcoding required, but disabled")
    PLAIN_MEDIA_REFUSED = _failed("plain_media_refused", 488, 88, "Unencrypted media is refused")
    BAD_DESCRIPTION = _failed("bad_description", 400, 111, "Failed by session creation")
    NO_ROUTE = _failed("no_route", 404, 3, "Failed by session creation")
    CAPACITY = _failed("capacity", 503, 34, "Failed by session creation")
    ICE_FAILED = _failed("ice_failed", 480, 41, "Failed by ICE error")
    DTLS_FAILED = _failed("dtls_failed", 480, 41, "Failed by DTLS error")
    DTLS_FINGERPRINT = _failed("dtls_fingerprint", 488, 41, "Failed by DTLS fingerprint error")
    NO_MEDIA = _failed("no_media", 480, 102, "Failed by RTP activity")
    MEDIA_INACTIVE = _failed("media_inactive", 480, 41, "Failed by RTP activity")
    MEDIA_FAILED = _failed("media_failed", 500, 41, "Failed by error")
    INTERNAL = _failed("internal", 500, 41, "Failed by error")

    @property
    def code(self) -> str:
        """Stable code for clients and metrics."""
        return self.value.code


_BY_STATUS: Final[dict[int, EndReason]] = {
    401: EndReason.AUTHENTICATION_FAILED,
    402: EndReason.FORBIDDEN,
    403: EndReason.FORBIDDEN,
    404: EndReason.NOT_FOUND,
    406: EndReason.NO_COMMON_CODECS,
    407: EndReason.AUTHENTICATION_FAILED,
    408: EndReason.REQUEST_TIMEOUT,
    410: EndReason.GONE,
    415: EndReason.NO_COMMON_CODECS,
    480: EndReason.UNAVAILABLE,
    484: EndReason.ADDRESS_INCOMPLETE,
    486: EndReason.BUSY,
    487: EndReason.CANCELLED,
    488: EndReason.NO_COMMON_CODECS,
    503: EndReason.SERVER_UNREACHABLE,
    504: EndReason.REQUEST_TIMEOUT,
    600: EndReason.BUSY,
    603: EndReason.DECLINED,
    604: EndReason.NOT_FOUND,
    606: EndReason.NO_COMMON_CODECS,
}


def reason_for_status(status: int) -> EndReason:
    """Return the end reason of a final SIP response other than 2xx.   RFC 3261 section 21, RFC 3398 section 7.2.4.1."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if 300 <= status < 400:
        return EndReason.REDIRECTED
    if 500 <= status < 600:
        return EndReason.SERVER_ERROR
    return EndReason.REJECTED


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How one call ended.

    by: the leg it came from, None when the gateway or its API ended the call.
    sip_status: of the far side's response if it refused, else that of the reason. phrase: its reason phrase, or what
    failed in words; may be empty. Neither carries secrets.
    """

    reason: EndReason
    by: Side | None = None
    sip_status: int = 0
    phrase: str = ""

    @property
    def status(self) -> int:
        """The SIP status to report: the real one where there is one."""
        return self.sip_status or self.reason.value.sip_status

    @property
    def info(self) -> str:
        """The text for people: WCS's own where it has one, else the SIP status line."""
        return self.reason.value.info or f"SIP {self.status} {self.phrase}".rstrip()


@dataclass(slots=True)
class Leg:
    """One side of a call, as its adapter keeps it.

    codec: name of the audio codec we send on it, empty before negotiation; clock_rate: of its RTP; ptime_ms: how much
    audio a packet of it has.
    may_transcode: False if its trunk, its call or the node forbids transcoding. dtmf: how digits get to its far side,
    None before that. sip_call_id: of its dialog, for logs. is_muted: nobody hears its far side. is_holding:
    its far side has put us on hold.
    trunk: name of the trunk that it uses, empty for none.
    stats: the quality figures of its endpoint, once that has ended. sends_on_hold: it still sends while it holds us.
    """

    id: LegId
    kind: LegKind
    direction: LegDirection
    endpoint: EndpointId | None = None
    codec: str = ""
    clock_rate: int = 0
    ptime_ms: int = 0
    may_transcode: bool = True
    dtmf: DtmfKind | None = None
    sip_call_id: str = ""
    trunk: str = ""
    is_muted: bool = False
    is_holding: bool = False
    sends_on_hold: bool = False
    stats: EndpointStats | None = None


DTMF_KEPT: Final = 64
"""How many received digits a `Call` remembers."""


@dataclass(frozen=True, slots=True)
class ReceivedDigit:
    """A digit that a far side pressed. key: one of `0123456789*#ABCD`. at: Unix time in seconds, of its end."""

    side: Side
    key: str
    duration_ms: int
    by: DtmfKind
    at: float


@dataclass(slots=True)
class Recording:
    """A recording of a call, as its run keeps it. name: of the file. started_at: Unix time in seconds.

    reason: why it ended, empty while it runs: `stopped`, `closed` with its leg, or how it failed (`disk_full`,
    `write_failed`, `size_limit`), of which detail says more. dropped_ms: audio that is missing.
    """

    name: str
    started_at: float
    reason: str = ""
    seconds: float = 0.0
    bytes: int = 0
    dropped_ms: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What is fixed when a call is born.

    incoming: the call came from the SIP side to a client, which is how clients see direction.
    parent: the call that this one goes on with, after its far side has transferred us.
    invite_parameters: headers of the INVITE that the trunk's allow-list lets through.
    session: the browser connection it belongs to, None for a call that only the API knows.
    """

    id: CallId
    caller: str
    callee: str
    incoming: bool = False
    session: SessionId | None = None
    parent: CallId | None = None
    visible_name: str = ""
    app_key: str = "defaultApp"
    has_audio: bool = True
    has_video: bool = False
    custom: dict[str, object] = field(default_factory=dict)
    invite_parameters: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A live call. Written by its `call_run` and its legs alone; everybody else reads.

    sip_status: the last status of the SIP side. created_at, answered_at, ended_at: Unix time in seconds.
    digits: those that its far sides pressed, the newest `DTMF_KEPT`. holder: the side whose client holds the call.
    is_held_for_transfer: the holder said that a transfer comes next. target: whom the call is or was transferred to;
    empty if to nobody. transfer: how one fares that its far side has asked for; target is then whom it named.
    successor: the call that will take over from this one if that succeeds. former: legs that others have replaced.
    recordings: those of the call, the newest last.
    """

    request: CallRequest
    created_at: float
    state: CallState = CallState.NEW
    status: CallStatus = CallStatus.PENDING
    sip_status: int = 0
    a: Leg | None = None
    b: Leg | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    end: CallEnd | None = None
    has_early_media: bool = False
    digits: list[ReceivedDigit] = field(default_factory=list)
    holder: Side | None = None
    is_held_for_transfer: bool = False
    target: str = ""
    transfer: TransferStatus | None = None
    successor: Call | None = None
    former: list[Leg] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All legs that the call has and had."""
        return (*(leg for leg in (self.a, self.b) if leg is not None), *self.former)

    def has(self, side: Side, fact: Callable[[Leg], bool]) -> bool:
        """Say whether something is true of the leg on a side; of no leg nothing is."""
        leg = self.a if side is Side.A else self.b
        return leg is not None and fact(leg)

    @property
    def may_transcode(self) -> bool:
        """Whether no leg of now forbids transcoding."""
        return all(leg.may_transcode for leg in (self.a, self.b) if leg is not None)

    @property
    def is_transcoded(self) -> bool | None:
        """Whether audio is coded anew between the legs; None before both have a codec.

        It is if they use different codecs or, but for Opus, whose packets may have any length, different packet times.
        A player's audio is always made for its one listener, which counts as None.
        """
        a, b = self.a, self.b
        if a is None or b is None or not a.codec or not b.codec:
            return None
        is_same = (a.codec, a.clock_rate) == (b.codec, b.clock_rate)
        return not is_same or (a.codec != "opus" and a.ptime_ms != b.ptime_ms)

    @property
    def client_side(self) -> Side:
        """The side that acts when the API does: a browser's, else the API's own, else the caller's."""
        kinds = {Side.A: self.a and self.a.kind, Side.B: self.b and self.b.kind}
        wanted = (LegKind.WEB, LegKind.PLAYER)
        return next((side for kind in wanted for side in Side if kinds[side] is kind), Side.A)

    @property
    def dtmf_received(self) -> str:
        """Digits heard from the SIP side, oldest first."""
        kinds = {side: leg.kind for side, leg in ((Side.A, self.a), (Side.B, self.b)) if leg is not None}
        return "".join(digit.key for digit in self.digits if kinds.get(digit.side) is LegKind.SIP)

    @property
    def id(self) -> CallId:
        """The id its starter chose, or ours."""
        return self.request.id


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedText:
    """A text that came. id: ours. sender, recipient: for people, user parts where there are any.

    call: the one in which it was sent, None if in none. uri: the sender's, empty if that is a user of this node.
    """

    id: str
    sender: str
    recipient: str
    display_name: str
    body: str
    content_type: str
    call: CallId | None = None
    uri: str = ""
