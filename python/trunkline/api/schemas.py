"""What clients write as JSON, the REST bodies, and what they read of the node itself.

Owns field names and lenient reading; they are WCS's, and what we add stands at the end of each model. Must not decide
anything about calls, and shows none: `schemas_calls` does. Booleans and numbers are taken as strings too, because WCS
clients send them so.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from trunkline.calls import ports
from trunkline.calls.events import DtmfMethod
from trunkline.calls.model import CallStatus, Side
from trunkline.config import AudioCodecName
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


class RecordRequest(Message):
    """Body of `/call/record/startup`."""

    call_id: CallIdText
    file_name: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None, BeforeValidator(_blank_to_none)
    ] = Field(
        default=None,
        description="Name of the file: letters, digits, `.`, `_` and `-`. Its ending, `.wav` or `.ogg`, says the "
        "format; without one it gets that of `recording.format`. Default: time and call id.",
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
    """Body of `/message/send`. Within a call it needs no account."""

    call_id: CallIdText | None = Field(
        default=None, description="A call whose SIP party is to get it, within the call; `to` is then only shown."
    )


Status = Literal["ok", "degraded", "stopping"]


class Health(BaseModel):
    """What the node holds now.

    Everything but `*_s` and `dead_workers` is back at its base when all calls and browsers are gone.
    """

    status: Status = Field(
        description="`degraded`: a media worker crashed; calls go on, with less capacity. `stopping`: calls go on, and "
        "new ones are refused."
    )
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
