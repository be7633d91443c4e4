"""What clients read and write as JSON: the Call object and the REST bodies.

Owns field names and lenient reading; they are WCS's, and what we add stands at the end of each model. Must not decide
anything about calls. Booleans and numbers are taken as strings too, because WCS clients send them so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from trunkline.calls import ports
from trunkline.calls.events import DtmfMethod
from trunkline.calls.model import Call, CallStatus, Leg, ReceivedDigit, Side, TransferStatus
from trunkline.config import AudioCodecName
from trunkline.dtmf import DtmfKind
from trunkline.sdp.codecs import CodecTerms
from trunkline.sip.types import Account, Transport
from trunkline.trunks.identity import FORBIDDEN_HEADERS


def _blank_to_none(value: object) -> object:
    """Read an empty text as absent: forms of WCS clients send "" for fields left out."""
    return None if isinstance(value, str) and not value.strip() else value


def _number_to_text(value: object) -> object:
    """Read a JSON number as its digits: numbers to dial arrive either way."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _zero_to_none(value: object) -> object:
    """Read port 0 as absent, beside the empty text."""
    return None if value in (0, "0") else _blank_to_none(value)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _none_to_false(value: object) -> object:
    value = _blank_to_none(value)
    return False if value is None else value


def _none_to_true(value: object) -> object:
    value = _blank_to_none(value)
    return True if value is None else value


def _must_have_audio(value: bool) -> bool:
    if not value:
        raise PydanticCustomError("no_audio", "must be true: there is no call without audio")
    return value


def _check_custom(value: dict[str, str]) -> dict[str, str]:
    """Refuse headers that the user agent owns, or that say who calls."""
    forbidden = [name for name in value if name.lower() in FORBIDDEN_HEADERS]
    if forbidden:
        raise PydanticCustomError("forbidden_header", "not a custom header: {names}", {"names": ", ".join(forbidden)})
    return value


def _split(value: object) -> object:
    """Read a comma-separated text as a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _codec_name(value: object) -> object:
    """Read a codec's name in any case."""
    known = {name.lower(): name for name in get_args(AudioCodecName)}
    return known.get(value.lower(), value) if isinstance(value, str) else value


_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""What may become part of a SIP header: a line break would begin another one."""
CallIdText = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
Text = Annotated[
    Annotated[str, Field(max_length=256, pattern=_PRINTABLE)] | None,
    BeforeValidator(_blank_to_none),
    BeforeValidator(_number_to_text),
]
DialedText = Annotated[str, BeforeValidator(_number_to_text), Field(min_length=1, max_length=256, pattern=_PRINTABLE)]
PortNumber = Annotated[Annotated[int, Field(ge=1, le=65_535)] | None, BeforeValidator(_zero_to_none)]
Flag = Annotated[bool, BeforeValidator(_none_to_false)]
TrueFlag = Annotated[bool, BeforeValidator(_none_to_true)]
AudioFlag = Annotated[bool, BeforeValidator(_none_to_true), AfterValidator(_must_have_audio)]
Digits = Annotated[str, BeforeValidator(_number_to_text), BeforeValidator(_upper), Field(pattern=r"^[0-9*#A-D]{1,64}$")]
CodecNames = Annotated[
    Annotated[list[Annotated[AudioCodecName, BeforeValidator(_codec_name)]], Field(max_length=16)] | None,
    BeforeValidator(_split),
]
SipHeaders = Annotated[
    dict[
        Annotated[str, Field(min_length=2, max_length=64, pattern=r"^[A-Za-z0-9\-.!%*_+`'~]+$")],
        Annotated[str, Field(max_length=1024, pattern=r"^[^\r\n\x00]*$")],
    ],
    Field(max_length=32),
    AfterValidator(_check_custom),
]
DtmfType = Annotated[Literal["RFC2833", "INFO", "INFO_RELAY"], BeforeValidator(_upper)]


def dtmf_method(kind: DtmfType) -> DtmfMethod:
    """Return how a WCS DTMF type leaves. Both INFO types are the one body that every peer reads."""
    return DtmfMethod.RTP if kind == "RFC2833" else DtmfMethod.INFO


class Message(BaseModel):
    """Base of what clients send: camel-case names, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class SipFields(Message):
    """A SIP account as WCS clients describe it."""

    sip_login: Text = Field(default=None, description="User part of the address of record.")
    sip_authentication_name: Text = Field(default=None, description="Digest user name, if it differs from the login.")
    sip_password: Annotated[SecretStr | None, BeforeValidator(_number_to_text)] = Field(
        default=None, description="Never shown again and never logged."
    )
    sip_domain: Text = Field(default=None, description="Domain or IP address of the account.")
    sip_outbound_proxy: Text = Field(default=None, description="Host to send to, if it differs from the domain.")
    sip_proxy: Text = Field(default=None, description="Another name of `sipOutboundProxy`, which goes first.")
    sip_port: PortNumber = Field(default=None, description="Port of the proxy or domain. Default: 5060 or DNS.")
    sip_transport: Annotated[Literal["UDP", "TCP", "TLS", "WS", "WSS"] | None, BeforeValidator(_upper)] = Field(
        default=None, description="Ours: how to reach the SIP server. Default: as its DNS records say, else UDP."
    )
    sip_register_required: Flag = Field(default=False, description="Register before calling.")

    def account(self) -> Account | None:
        """Return the account, or None if login or domain is missing."""
        proxy = self.sip_outbound_proxy or self.sip_proxy
        domain = self.sip_domain or proxy
        if not self.sip_login or not domain:
            return None
        return Account(
            login=self.sip_login,
            password=self.sip_password.get_secret_value() if self.sip_password else "",
            domain=domain,
            authentication_name=self.sip_authentication_name,
            outbound_proxy=None if proxy == domain else proxy,
            port=self.sip_port,
            transport=None if self.sip_transport is None else Transport(self.sip_transport.lower()),
        )


class StartupRequest(SipFields):
    """Body of `/call/startup`."""

    call_id: CallIdText = Field(description="Chosen by the caller; must not belong to a live call.")
    callee: DialedText = Field(description="Number or user to dial.")
    visible_name: Text = Field(default=None, description="Display name shown to the callee.")
    has_audio: AudioFlag = Field(default=True, description="Must be true: there is no call without audio.")
    has_video: Flag = Field(default=False, description="Video is not carried yet: taken and ignored.")
    app_key: Text = Field(default=None, description="Application name, kept with the call.")
    to_stream: Text = Field(default=None, description="Not supported.")
    rtmp_url: Text = Field(default=None, description="Not supported.")
    rtmp_stream: Text = Field(default=None, description="Not supported.")
    trunk: Text = Field(
        default=None,
        description="Ours: trunk or group to call over. Default: the account; without one, as the outbound rules say.",
    )
    caller: Text = Field(default=None, description="Ours: number of the caller, for calls over trunks.")
    sip_headers: SipHeaders = Field(
        default={},
        description="Ours: custom headers of the INVITE; `headers_out` of the trunk or of `sip` says which go out.",
    )
    codecs: CodecNames = Field(
        default=None,
        description="Ours: audio codecs for the SIP party, best first, as a list or a comma-separated text. Default: "
        "those of its trunk or of the node.",
    )
    transcoding: TrueFlag = Field(
        default=True,
        description="Ours: false has the call fail with `transcoding_forbidden` rather than be transcoded.",
    )

    def codec_terms(self) -> CodecTerms:
        """Return what the call wants of codecs."""
        return CodecTerms(tuple(self.codecs or ()), self.transcoding)


class FindRequest(Message):
    """Body of `/call/find`: each field given must match."""

    call_id: Text = None
    callee: Text = None
    rtmp_url: Text = None
    status: Annotated[CallStatus | None, BeforeValidator(_blank_to_none), BeforeValidator(_upper)] = None


class CallIdRequest(Message):
    """Body of the methods that need no more than the call's id."""

    call_id: CallIdText


class HoldRequest(Message):
    """Body of `/call/hold`."""

    call_id: CallIdText
    hold_for_transfer: Flag = Field(default=False, description="A transfer comes next. Kept with the call.")


class TransferFields(Message):
    """Whom a transfer leads to: `target` or `targetCallId`."""

    call_id: CallIdText
    target: Annotated[DialedText | None, BeforeValidator(_blank_to_none)] = Field(
        default=None, description="Number, user or address to call: a blind transfer."
    )
    target_call_id: Annotated[CallIdText | None, BeforeValidator(_blank_to_none)] = Field(
        default=None, description="Ours: another live call, whose party takes over: an attended transfer."
    )

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if self.target is None and self.target_call_id is None:
            raise PydanticCustomError("no_target", "target or targetCallId is needed")
        if self.target_call_id == self.call_id:
            raise PydanticCustomError("same_call", "targetCallId must be another call")
        return self


class MuteRequest(Message):
    """Body of `/call/mute` and `/call/unmute`."""

    call_id: CallIdText
    leg: Annotated[Side | None, BeforeValidator(_blank_to_none)] = Field(
        default=None,
        description="Whose voice: `a` the caller's, `b` the callee's. Default: the side that is not the SIP party.",
    )


class SendDtmfRequest(Message):
    """Body of `/call/send_dtmf`."""

    call_id: CallIdText
    dtmf: Digits = Field(description="Digits `0-9 * # A-D`, at most 64.")
    type: DtmfType = Field(default="RFC2833", description="`RFC2833`, or SIP INFO by `INFO` or `INFO_RELAY`.")


MessageText = Annotated[str, Field(min_length=1, max_length=16_384)]
ContentType = Literal["text/plain", "text/html", "message/cpim", "application/im-iscomposing+xml"]


class MessageFields(Message):
    """A text for somebody."""

    to: DialedText = Field(description="Number, user or address of the recipient.")
    body: MessageText = Field(description="The text: at most 16,384 bytes of UTF-8.")
    content_type: ContentType = "text/plain"
    visible_name: Text = Field(default=None, description="Display name shown to the recipient.")

    def text(self) -> ports.Text:
        """Return the text for the calls' room."""
        return ports.Text(
            recipient=self.to,
            body=self.body,
            content_type=self.content_type,
            display_name=self.visible_name or "",
        )


class SendMessageRequest(MessageFields, SipFields):
    """Body of `/message/send`."""


class DigitObject(BaseModel):
    """A DTMF digit that one side pressed."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, populate_by_name=True)

    digit: str
    duration_ms: int = Field(description="How long the key was down.")
    leg: Side = Field(description="`a` if the caller pressed it, `b` if the callee did.")
    type: DtmfKind = Field(description="How it came: `rfc4733`, `inband` or `info`.")
    at: float = Field(description="Unix time in seconds at which the key came up.")

    @classmethod
    def of(cls, digit: ReceivedDigit) -> DigitObject:
        """Describe a digit."""
        return cls(digit=digit.key, duration_ms=digit.duration_ms, leg=digit.side, type=digit.by, at=digit.at)


class DirectionQuality(BaseModel):
    """One direction of a leg. Null: not known."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True, frozen=True)

    codec: str = Field(description="Of the latest audio.")
    packets: int
    bytes: int = Field(description="Payload bytes.")
    lost: int | None = Field(description="Packets that never came.")
    jitter_ms: float | None = Field(description="Interarrival jitter at last (RFC 3550).")
    mos: float | None = Field(description="Conversational quality, 1 to 4.5 (ITU-T G.107).")


class ReceivedQuality(DirectionQuality):
    """From the far side to the gateway. The second half is known if the gateway decoded the audio, or could read it."""

    discarded: int = Field(description="Packets that came too late, or found no room.")
    duplicates: int
    jitter_mean_ms: float
    jitter_max_ms: float
    burst_density: float = Field(description="Share of packets missing within bursts (RFC 3611).")
    burst_ms: int
    gap_density: float
    gap_ms: int
    r_factor: float | None
    mos_listening: float | None = Field(description="Without the delay.")
    concealed_ms: int | None = Field(description="Audio made up for lost packets.")
    played_ms: int | None
    playout_delay_ms: int | None
    playout_delay_max_ms: int | None
    signal_dbm0: float | None = Field(description="Mean level of what was not silence.")
    noise_dbm0: float | None = Field(description="Mean level of the silence.")
    is_clipped: bool | None
    is_silent: bool | None = Field(description="Nothing but silence was heard.")


class LegQuality(BaseModel):
    """Figures of one leg, as they were when it ended."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True, frozen=True)

    received: ReceivedQuality = Field(description="From the far side to the gateway.")
    sent: DirectionQuality = Field(description="From the gateway to the far side, as it reported by RTCP.")
    round_trip_ms: float | None
    srtp_profile: str | None = Field(description="Null for plain RTP.")
    local: tuple[str, int] | None = Field(description="Our address and port.")
    remote: tuple[str, int] | None = Field(description="Where media went: learned, or signalled before.")
    drops: dict[str, int] = Field(description="Packets that went no further, by reason.")


class CallObject(BaseModel):
    """A call as WCS clients know it. From `reason` on the fields are ours."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    custom: dict[str, Any] = Field(description="What the client attached to the call.")
    node_id: str = Field(description="Name of the node.")
    app_key: str
    session_id: str | None = Field(description="Browser connection of the call, null if the API started it.")
    call_id: str
    parent_call_id: str | None = Field(
        default=None, description="The call that this one goes on with, after its SIP party has transferred us."
    )
    incoming: bool = Field(description="True if the SIP side called the browser.")
    status: CallStatus
    sip_status: int = Field(description="Last SIP status of the call, 0 before any.")
    rtmp_url: str | None = None
    rtmp_stream: str | None = None
    stream_name: str | None = None
    rtmp_stream_status: str | None = None
    caller: str
    callee: str
    has_audio: bool
    has_video: bool
    sdp: str | None = None
    visible_name: str
    invite_parameters: dict[str, str] | None = None
    media_provider: str = "WebRTC"
    sip_message_raw: str | None = None
    is_msrp: bool = False
    target: str | None = None
    hold_for_transfer: bool = False

    reason: str | None = Field(default=None, description="Why the call ended: a stable code.")
    info: str | None = Field(default=None, description="The same for people.")
    q850: int | None = Field(default=None, description="The same as a Q.850 cause.")
    transfer: TransferStatus | None = Field(
        default=None,
        description="How a transfer fares that the SIP party asks for; `target` is whom it names.",
    )
    successor_call_id: str | None = Field(default=None, description="The call that takes over if that succeeds.")
    held_by: list[Side] = Field(
        default=[], description="Sides that have put the other on hold: `a` caller, `b` callee."
    )
    muted: list[Side] = Field(default=[], description="Sides that the other one does not hear.")
    early_media: bool = Field(default=False, description="Media flowed before the answer.")
    trunk_caller: str | None = Field(default=None, description="Trunk that the caller came by.")
    trunk_callee: str | None = Field(default=None, description="Trunk that the call goes out by.")
    codec_caller: str | None = Field(default=None, description="Audio codec sent to the caller.")
    codec_callee: str | None = Field(default=None, description="Audio codec sent to the callee.")
    ptime_caller: int | None = Field(default=None, description="Milliseconds of audio in a packet to the caller.")
    ptime_callee: int | None = Field(default=None, description="The same to the callee.")
    transcoded: bool | None = Field(
        default=None,
        description="Whether the audio is coded anew between the two sides, for the sake of the codec or of the packet "
        "time. Null before both are known, or if there is one side only.",
    )
    dtmf_received: str = Field(default="", description="Digits heard from the SIP side, the newest 64.")
    dtmf_digits: list[DigitObject] = Field(default=[], description="Digits of both sides, the newest 64.")
    created_at: float = Field(description="Unix time in seconds.")
    answered_at: float | None = None
    ended_at: float | None = None
    quality_caller: LegQuality | None = Field(
        default=None, description="Media figures of the caller's leg once the call has ended. REST only."
    )
    quality_callee: LegQuality | None = Field(default=None, description="The same of the callee's leg.")

    @classmethod
    def of(cls, call: Call, node: str, *, has_quality: bool = False) -> CallObject:
        """Describe a call as it is now. has_quality: with figures and addresses, which are not for browsers."""
        request, end = call.request, call.end
        return cls(
            custom=request.custom,
            node_id=node,
            app_key=request.app_key,
            session_id=request.session,
            call_id=call.id,
            parent_call_id=request.parent,
            incoming=request.incoming,
            status=call.status,
            sip_status=end.status if end and end.sip_status else call.sip_status,
            caller=request.caller,
            callee=request.callee,
            has_audio=request.has_audio,
            has_video=request.has_video,
            visible_name=request.visible_name,
            invite_parameters=request.invite_parameters or None,
            trunk_caller=(call.a and call.a.trunk) or None,
            trunk_callee=(call.b and call.b.trunk) or None,
            reason=end.reason.code if end else None,
            info=end.info if end else None,
            q850=end.reason.value.q850 if end else None,
            target=call.target or None,
            hold_for_transfer=call.is_held_for_transfer,
            transfer=call.transfer,
            successor_call_id=None if call.successor is None else call.successor.id,
            held_by=[side for side in Side if call.holder is side or call.has(side, lambda leg: leg.is_holding)],
            muted=[side for side in Side if call.has(side, lambda leg: leg.is_muted)],
            early_media=call.has_early_media,
            codec_caller=(call.a and call.a.codec) or None,
            codec_callee=(call.b and call.b.codec) or None,
            ptime_caller=(call.a and call.a.ptime_ms) or None,
            ptime_callee=(call.b and call.b.ptime_ms) or None,
            transcoded=call.is_transcoded,
            dtmf_received=call.dtmf_received,
            dtmf_digits=[DigitObject.of(digit) for digit in call.digits],
            created_at=call.created_at,
            answered_at=call.answered_at,
            ended_at=call.ended_at,
            quality_caller=_quality(call.a) if has_quality else None,
            quality_callee=_quality(call.b) if has_quality else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, with WCS's names."""
        return self.model_dump(mode="json", by_alias=True)


def _quality(leg: Leg | None) -> LegQuality | None:
    return LegQuality.model_validate(leg.stats) if leg is not None and leg.stats is not None else None


Status = Literal["ok", "degraded", "stopping"]


class Health(BaseModel):
    """What the node holds now.

    Everything but `*_s` and `dead_workers` is back at its base when all calls and browsers are gone.
    """

    status: Status = Field(description="`degraded`: a media worker crashed; calls go on, with less capacity.")
    version: str
    node: str
    uptime_s: float
    calls: int = Field(description="Live calls.")
    sessions: int = Field(description="Open browser connections.")
    pending_sockets: int = Field(description="WebSockets whose browser has not said who it is.")
    registrations: int = Field(description="Registrations held or tried at SIP servers, trunks aside.")
    sip_invites: int = Field(description="INVITE usages of live calls.")
    endpoints: int = Field(description="Endpoints of the media plane.")
    trunks: int = Field(description="Trunks that are configured.")
    trunks_down: int = Field(description="Of these, those that calls do not try now.")
    dead_workers: int = Field(description="Workers of the media plane that crashed since start; only a restart helps.")
    tasks: int = Field(description="Tasks of the control plane.")


class PhoneNumber(BaseModel):
    """A number of the built-in test phone."""

    number: str
    title: str


class PhoneAccount(BaseModel):
    """The demo account, for the Phone page."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    login: str
    authentication_name: str
    password: str
    domain: str
    port: int
    numbers: tuple[PhoneNumber, ...]


class PhoneConfig(BaseModel):
    """What the Phone page asks for when it opens."""

    demo: PhoneAccount | None
    version: str


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="Stable code for programs.")
    detail: str = Field(description="What went wrong, for people.")
    sip_status: int | None = Field(default=None, description="Of the far side, if it refused.")
    q850: int | None = Field(default=None, description="The same as a Q.850 cause.")
    errors: list[str] = Field(default_factory=list, description="One line for each field that is wrong.")
