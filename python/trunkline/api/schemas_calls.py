"""What clients read of a call as JSON: the Call object, with its digits and the quality of its legs.

Owns field names; they are WCS's, and what we add stands at the end of each model. Must not decide anything about calls.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trunkline.calls.model import Call, CallStatus, Leg, ReceivedDigit, Recording, Side, TransferStatus
from trunkline.dtmf import DtmfKind


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


class RecordingObject(BaseModel):
    """A recording of a call."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, populate_by_name=True)

    file_name: str = Field(description="In `recording.directory`; with `.part` behind it until it is whole.")
    started_at: float = Field(description="Unix time in seconds.")
    reason: str | None = Field(
        description="Why it ended: `stopped`, `closed` with the call or its leg, or what went wrong: `disk_full`, "
        "`write_failed`, `size_limit`. Null while it runs."
    )
    seconds: float = Field(description="Its length; 0 while it runs.")
    bytes: int = Field(description="Size of the file; 0 while it runs.")
    dropped_ms: int = Field(description="Audio that is missing, since the disk was too slow.")
    detail: str = Field(description="What went wrong, for people.")

    @classmethod
    def of(cls, recording: Recording) -> RecordingObject:
        """Describe a recording as it is now."""
        return cls(
            file_name=recording.name,
            started_at=recording.started_at,
            reason=recording.reason or None,
            seconds=round(recording.seconds, 3),
            bytes=recording.bytes,
            dropped_ms=recording.dropped_ms,
            detail=recording.detail,
        )


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
    incoming: bool = Field(description="True if somebody calls the browser.")
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
    recordings: list[RecordingObject] = Field(
        default=[], description="Recordings of the call, the newest last. REST only."
    )
    created_at: float = Field(description="Unix time in seconds.")
    answered_at: float | None = None
    ended_at: float | None = None
    quality_caller: LegQuality | None = Field(
        default=None,
        description="Media figures of the caller's leg, known a moment after the call has ended. REST only.",
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
            recordings=[RecordingObject.of(recording) for recording in call.recordings] if has_quality else [],
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
