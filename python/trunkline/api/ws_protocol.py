"""The frames of the browser's WebSocket: `{"message": NAME, "data": [ARGUMENT, ...]}`, in and out.

Owns their shapes and names, which are WCS's. Must not know sockets, sessions or calls' lives: text comes in, a typed
message or a `BadFrame` goes out.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, from_json, to_json

from trunkline.api.schemas import (
    CallIdText,
    DialedText,
    Digits,
    DtmfType,
    Flag,
    Message,
    MessageFields,
    SipFields,
    SipHeaders,
    Text,
    TransferFields,
)
from trunkline.api.schemas_calls import CallObject
from trunkline.calls import ports
from trunkline.calls.model import CallStatus, ReceivedText

MAX_CUSTOM_BYTES: Final = 4096
"""JSON of a call's `custom`. It comes back with every status of the call, and up to a queue full of them may wait."""

Why = Literal["json", "shape", "size", "unknown_message"]


class BadFrame(Exception):
    """A frame that cannot be taken. why: label of the counter. call_id: whom it was about, if that could be read."""

    def __init__(self, why: Why, info: str, *, message: str = "", call_id: str | None = None) -> None:
        super().__init__(info)
        self.why: Why = why
        self.info = info
        self.message = message
        self.call_id = call_id


class Connection(SipFields):
    """`connection`: who the browser is. Fields that we do not know go back to it unchanged."""

    model_config = ConfigDict(extra="allow")

    app_key: Text = None
    auth_token: Text = None

    def echo(self, auth_token: str) -> dict[str, Any]:
        """Return the object for `getUserData`: everything but the password, and the token of this connection."""
        fields = self.model_dump(mode="json", by_alias=True, exclude={"sip_password"}, exclude_unset=True)
        return {**fields, "authToken": auth_token, "status": "ESTABLISHED"}


SdpText = Annotated[str, Field(min_length=1, max_length=65_536)]


def _none_to_empty(value: object) -> object:
    return {} if value is None else value


def _within_limit(value: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(value)) > MAX_CUSTOM_BYTES:
        raise PydanticCustomError("too_long", "at most {bytes} bytes of JSON", {"bytes": MAX_CUSTOM_BYTES})
    return value


Custom = Annotated[dict[str, Any], BeforeValidator(_none_to_empty), AfterValidator(_within_limit)]


class CallMessage(Message):
    """`call`: the browser's offer to somebody."""

    call_id: CallIdText
    callee: DialedText
    sdp: SdpText
    visible_name: Text = None
    has_audio: Flag = True
    has_video: Flag = False
    custom: Custom = Field(default_factory=dict)
    trunk: Text = None
    sip_headers: SipHeaders = Field(default_factory=dict)


class Answer(Message):
    """`answer`: the browser takes an incoming call."""

    call_id: CallIdText
    sdp: SdpText


class Hangup(Message):
    """`hangup`: the browser ends a call, or refuses it."""

    call_id: CallIdText


class SendDtmf(Message):
    """`sendDtmf`: digits for the other side."""

    call_id: CallIdText
    dtmf: Digits
    type: DtmfType = "RFC2833"


class Hold(Message):
    """`hold`: the browser puts the other side on hold."""

    call_id: CallIdText
    hold_for_transfer: Flag = False


class Unhold(Message):
    """`unhold`: the browser takes the other side off hold."""

    call_id: CallIdText


class Transfer(TransferFields):
    """`transfer`: the browser sends the other side to somebody else."""


class AcceptTransfer(Message):
    """`acceptTransfer`: ours. The browser lets its far side transfer it, where `calls.incoming_transfers` is `ask`."""

    call_id: CallIdText


class RejectTransfer(Message):
    """`rejectTransfer`: ours. The browser does not let it, or gives up a transfer under way."""

    call_id: CallIdText


class SendMessage(MessageFields):
    """`sendMessage`: the browser sends a text. id: its own, which comes back with what became of the text.

    call_id: of a call whose other side is to get it, within the call; `to` is then only shown.
    """

    id: CallIdText
    call_id: CallIdText | None = None


class Candidate(Message):
    """`candidate`: one of the browser's ICE candidates, from clients that trickle.

    Taken and not used: an ICE-lite agent answers checks and learns the address from them (RFC 8445 section 2.5).
    """

    call_id: CallIdText


class Ping(Message):
    """`ping`: the browser asks whether we live."""


class Ignored(Message):
    """`pong`, and diagnostics that need no answer."""


ClientMessage = (
    Connection
    | CallMessage
    | Answer
    | Hangup
    | SendDtmf
    | Hold
    | Unhold
    | Transfer
    | AcceptTransfer
    | RejectTransfer
    | SendMessage
    | Candidate
    | Ping
    | Ignored
)

_MESSAGES: Final[dict[str, type[ClientMessage]]] = {
    "connection": Connection,
    "call": CallMessage,
    "answer": Answer,
    "hangup": Hangup,
    "sendDtmf": SendDtmf,
    "hold": Hold,
    "unhold": Unhold,
    "transfer": Transfer,
    "acceptTransfer": AcceptTransfer,
    "rejectTransfer": RejectTransfer,
    "sendMessage": SendMessage,
    "candidate": Candidate,
    "ping": Ping,
    "pong": Ignored,
    "pushLogs": Ignored,
    "sessionDebug": Ignored,
    "submitBugReport": Ignored,
}
_WITHOUT_ARGUMENT: Final = (Ping, Ignored)


def read_frame(text: str | None) -> ClientMessage:
    """Read one frame; None stands for a binary one. BadFrame if it is not a frame or its argument has another shape."""
    if text is None:
        raise BadFrame("shape", "binary frames are not taken")
    try:
        frame = from_json(text, allow_inf_nan=False)  # RFC 8259 section 6 has neither
    except ValueError as error:
        raise BadFrame("json", "not JSON") from error
    if not _is_finite(frame):
        raise BadFrame("json", "a number is too large")
    if not isinstance(frame, dict) or not isinstance(frame.get("message"), str):
        raise BadFrame("shape", 'not a frame: expected {"message": ..., "data": [...]}')
    name = frame["message"][:64]
    kind = _MESSAGES.get(name)
    if kind is None:
        raise BadFrame("unknown_message", "not supported", message=name, call_id=_call_id_of(frame.get("data")))
    if kind in _WITHOUT_ARGUMENT:
        return kind()
    data = frame.get("data")
    if not isinstance(data, list) or not data or not isinstance(data[0], dict):
        raise BadFrame("shape", "data must be a list with one object", message=name)
    try:
        return kind.model_validate(data[0])
    except ValidationError as error:
        raise BadFrame("shape", describe(error), message=name, call_id=_call_id_of(data)) from error


def _is_finite(value: object) -> bool:
    """Tell a number like 1e999, which reads as infinity and could not be written back. The reader bounds the depth."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def describe(error: ValidationError) -> str:
    """Name the wrong fields in one line, without their values, which may be secrets."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in problems[:8])


def _call_id_of(data: object) -> str | None:
    if isinstance(data, list) and data and isinstance(data[0], dict):
        call_id = data[0].get("callId")
        if isinstance(call_id, str):
            return call_id[:128]
    return None


# --- out -----------------------------------------------------------------------------------------------------------

_STATUS_FRAMES: Final[dict[CallStatus, str]] = {
    # The SDK listens to five names only and reads the status from the object.
    CallStatus.PENDING: "notifyTryingResponse",
    CallStatus.TRYING: "notifyTryingResponse",
    CallStatus.RING: "ring",
    CallStatus.ESTABLISHED: "talk",
    CallStatus.HOLD: "hold",
    CallStatus.BUSY: "finish",
    CallStatus.FINISH: "finish",
    CallStatus.FAILED: "finish",
}

PING: Final = '{"message":"ping","data":[null]}'
PONG: Final = '{"message":"pong","data":[null]}'


def write_frame(message: str, *arguments: object) -> str:
    """Write one frame."""
    return json.dumps({"message": message, "data": list(arguments)}, ensure_ascii=False, separators=(",", ":"))


def received_frame(text: ReceivedText) -> str:
    """Write `notifyMessage` of a text that came."""
    about = {"id": text.id, "from": text.sender, "to": text.recipient, "visibleName": text.display_name}
    content = {"body": text.body, "contentType": text.content_type}
    if text.call is not None:
        content["callId"] = text.call
    return write_frame("notifyMessage", {**about, **content, "status": "RECEIVED"})


def answered_frame(message_id: str, text: ports.Text, status: int, phrase: str) -> str:
    """Write `notifyMessage` of a text that the browser has sent. status: of SIP."""
    about = {"id": message_id, "to": text.recipient, "contentType": text.content_type}
    outcome = "ACCEPTED" if status < 300 else "FAILED"
    return write_frame("notifyMessage", {**about, "status": outcome, "sipStatus": status, "info": phrase})


def status_frame(call: CallObject) -> str:
    """Write the frame that tells a call's status."""
    return write_frame(_STATUS_FRAMES[call.status], call.to_json())


def fail_frame(method: str, info: str, *, call_id: str | None = None, **more: object) -> str:
    """Write `fail`: a request that was not carried out.

    method: the event that the client waits for, or the message that it sent. The call is named twice, because the SDK
    reads `id` and pages read `callId`.
    """
    about = {} if call_id is None else {"id": call_id, "callId": call_id}
    return write_frame("fail", {"apiMethod": method, "status": "FAILED", "info": info, **about, **more})
