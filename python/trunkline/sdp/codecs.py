"""Payload tables: which codecs we speak, and their names in SDP.   RFC 3389, 3551, 4733, 5574, 7261, 7587, 8866.

Owns the mapping between payload types and `Codec` values, the order of preference and the choice of common codecs, with
their ptime. Must not know transports or m-line rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from trunkline.dtmf import DtmfKind, DtmfMode
from trunkline.errors import NegotiationError, SdpError, TranscodingForbidden
from trunkline.media.types import Codec, Dtmf
from trunkline.sdp import l16, opus, pairing, speex
from trunkline.sdp.model import Attribute, MediaDescription
from trunkline.sdp.parser import number

DEFAULT_PTIME_MS = 20
MIN_PTIME_MS = 10
MAX_PTIME_MS = 120
"""As much as one packet of any codec may carry, either way (RFC 6716 3.2)."""

_ODDEST_PTIME_MS = 10_000
TELEPHONE_EVENT = "telephone-event"

_OPUS_PTIMES_MS = (60, 40, 20, 10)

_OURS = {
    "opus": Codec(111, "opus", 48_000, 2, opus.OURS),
    "PCMU": Codec(0, "PCMU", 8_000),
    "PCMA": Codec(8, "PCMA", 8_000),
    # 16,000 samples a second under a clock of 8,000 Hz (RFC 3551 4.5.2).
    "G722": Codec(9, "G722", 8_000),
    # G.729 with silence suppression, which is what an absent annexb means as well (RFC 4856 2.1.9).
    "G729": Codec(18, "G729", 8_000, 1, (("annexb", "yes"),)),
    "speex/8000": Codec(97, speex.NAME, 8_000, 1, speex.ours(8_000)),
    "speex/16000": Codec(98, speex.NAME, 16_000, 1, speex.ours(16_000)),
    "L16/8000": Codec(99, l16.NAME, 8_000),
    "L16/16000": Codec(100, l16.NAME, 16_000),
    "L16/44100": Codec(11, l16.NAME, 44_100),
    "L16/48000": Codec(102, l16.NAME, 48_000),
}
"""Codecs as we offer them, by the name of the settings, with the payload types that others use too.

The name is that of the encoding; where that has several clock rates, with the rate.
"""

SPEEX = frozenset(name for name, codec in _OURS.items() if codec.name == speex.NAME)
"""Names that need libspeex on the node."""

_EVENTS = (("events", "0-15"),)
_TELEPHONE_EVENTS = {
    8_000: Codec(101, TELEPHONE_EVENT, 8_000, 1, _EVENTS),
    16_000: Codec(113, TELEPHONE_EVENT, 16_000, 1, _EVENTS),
    44_100: Codec(112, TELEPHONE_EVENT, 44_100, 1, _EVENTS),
    48_000: Codec(110, TELEPHONE_EVENT, 48_000, 1, _EVENTS),
}

_COMFORT_NOISE = Codec(13, "CN", 8_000)
"""What a side sends while it is silent.   RFC 3389.

Some browsers have it at wider clocks too, beside codecs that we have not.
"""
_SILENT_BY_NOISE = frozenset({"PCMU", "PCMA", "G722", l16.NAME})
"""Codecs that, at that clock rate, have no way of their own to leave silence out."""

_STATIC = {
    # RFC 3551 table 4: what a payload type means without an rtpmap.
    0: ("PCMU", 8_000, 1),
    3: ("GSM", 8_000, 1),
    4: ("G723", 8_000, 1),
    8: ("PCMA", 8_000, 1),
    9: ("G722", 8_000, 1),
    10: ("L16", 44_100, 2),
    11: ("L16", 44_100, 1),
    13: ("CN", 8_000, 1),
    15: ("G728", 8_000, 1),
    18: ("G729", 8_000, 1),
}

_CANONICAL = {
    name.lower(): name for name in (*(codec.name for codec in _OURS.values()), TELEPHONE_EVENT, _COMFORT_NOISE.name)
}

_NO_SPEECH = frozenset({TELEPHONE_EVENT, _COMFORT_NOISE.name})
"""What stands beside speech codecs in a section, and is never chosen as one."""

_REMEMBERED = 256
"""Results that each function keeps that only looks at codecs: phones of one make say the same in every call."""


@dataclass(frozen=True, slots=True)
class CodecTerms:
    """What one trunk or one call wants of codecs, in place of the node's settings.

    audio: names, best first; empty leaves the node's. may_transcode: False forbids it, True does not allow what the
    node forbids. ValueError if there is no such codec.
    """

    audio: tuple[str, ...] = ()
    may_transcode: bool = True

    def __post_init__(self) -> None:
        _check_names(self.audio)


@dataclass(frozen=True, slots=True)
class CodecPolicy:
    """What one leg may use. audio: names, best first. opus_bitrate_bps: of Opus that we code or decode.

    may_transcode: False if only what the other leg speaks may be used. partners: what that is, empty while unknown.
    takes_comfort_noise: silence may be left out, both ways, in codecs that need CN packets for it.
    """

    audio: tuple[str, ...] = ("opus", "PCMU", "PCMA")
    dtmf: DtmfMode = DtmfMode.AUTO
    may_transcode: bool = True
    partners: tuple[Codec, ...] = ()
    opus_bitrate_bps: int = 24_000
    takes_comfort_noise: bool = False

    def __post_init__(self) -> None:
        _check_names(self.audio)
        if not self.audio:
            raise ValueError("no codec given")

    def under(self, terms: CodecTerms) -> CodecPolicy:
        """Return the policy for one trunk or call."""
        audio, may_transcode = terms.audio or self.audio, self.may_transcode and terms.may_transcode
        if (audio, may_transcode) == (self.audio, self.may_transcode):
            return self
        return replace(self, audio=audio, may_transcode=may_transcode)

    def towards(self, partners: Iterable[Codec]) -> CodecPolicy:
        """Return the policy with the best first, given what the other leg speaks, its favourite first.

        Best is a shared codec, in the other leg's order, because it is relayed; then what keeps most of the sound at
        the least cost. partners: `audio.send` or `usable` of the other leg; with none, nothing changes. None of them is
        added. Raises TranscodingForbidden if nothing is shared and nothing else is allowed.
        """
        speakers = tuple(codec for codec in partners if codec.name not in _NO_SPEECH)
        return _towards(self, speakers) if speakers else self

    def staying_with(self, codec: Codec) -> CodecPolicy:
        """Return the policy with this codec first, if it has it."""
        same = [name for name in self.audio if pairing.is_same(_OURS[name], codec)]
        return replace(self, audio=tuple(dict.fromkeys((*same, *self.audio))))

    def usable(self, codecs: Iterable[Codec]) -> tuple[Codec, ...]:
        """Return those of a far side's audio codecs that the policy allows, in the far side's order."""
        allowed = tuple(_OURS[name] for name in self.audio)
        return tuple(codec for codec in codecs if any(pairing.is_same(codec, mine) for mine in allowed))


@lru_cache(maxsize=_REMEMBERED)
def _towards(policy: CodecPolicy, partners: tuple[Codec, ...]) -> CodecPolicy:
    shared = dict.fromkeys(
        name for partner in partners for name in policy.audio if pairing.is_same(_OURS[name], partner)
    )
    if not shared and not policy.may_transcode:
        raise TranscodingForbidden("the legs share no codec, and transcoding is forbidden")
    others = sorted(set(policy.audio) - set(shared), key=policy.audio.index) if policy.may_transcode else []
    others.sort(key=lambda name: pairing.rank(_OURS[name], partners))
    return replace(policy, audio=(*shared, *others), partners=partners)


def _check_names(names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in _OURS]
    if unknown:
        raise ValueError(f"no such codec: {', '.join(unknown)}")


def read_codecs(media: MediaDescription) -> tuple[Codec, ...]:
    """Read a section's payload types, in the order of its m-line; those without a meaning are left out.

    Raises SdpError if a format is not a payload type (0 to 127) or an rtpmap is malformed.
    """
    return _codecs_of(media.formats, tuple(media.values("rtpmap")), tuple(media.values("fmtp")))


@lru_cache(maxsize=_REMEMBERED)
def _codecs_of(formats: tuple[str, ...], rtpmaps: tuple[str, ...], fmtps: tuple[str, ...]) -> tuple[Codec, ...]:
    maps, parameters = _first_by_payload_type(rtpmaps), _first_by_payload_type(fmtps)
    codecs = []
    for text in dict.fromkeys(formats):
        payload_type = number(text, 0, 127)
        if payload_type is None:
            raise SdpError("m=: a format is not a payload type")
        encoding = _encoding(maps[payload_type]) if payload_type in maps else _STATIC.get(payload_type)
        if encoding is None:
            continue
        name, clock_rate, channels = encoding
        fmtp = _parameters(name, parameters.get(payload_type, ""))
        codecs.append(Codec(payload_type, name, clock_rate, channels, fmtp))
    return tuple(codecs)


@lru_cache(maxsize=_REMEMBERED)
def offer_codecs(policy: CodecPolicy) -> tuple[Codec, ...]:
    """Return what an offer under this policy holds: audio, comfort noise, one telephone-event per clock rate of audio.

    The 8,000 Hz event stands first, because phones that never heard of another rate take the first they see.
    """
    audio = ours(tuple(_OURS[name] for name in policy.audio), policy)
    rates = sorted({codec.clock_rate for codec in audio})
    noise = _matching_noise((_COMFORT_NOISE,), audio) if policy.takes_comfort_noise else ()
    return audio + noise + (tuple(_TELEPHONE_EVENTS[rate] for rate in rates) if policy.dtmf.has_events else ())


def choose_dtmf(policy: CodecPolicy, send: Iterable[Codec], *, takes_info: bool) -> Dtmf:
    """Choose how digits travel on a leg. send: what we may send to it. takes_info: its far side's Allow names INFO.

    Without telephone-events, `AUTO` listens to the audio in any case: many a peer allows INFO and sends its digits as
    tones.
    """
    if policy.dtmf is DtmfMode.AUTO and not any(codec.name == TELEPHONE_EVENT for codec in send):
        return Dtmf(DtmfKind.INFO if takes_info else DtmfKind.INBAND, hears_tones=True)
    if policy.dtmf is DtmfMode.AUTO:
        return Dtmf()
    return Dtmf(DtmfKind(policy.dtmf), hears_tones=policy.dtmf is DtmfMode.INBAND)


@lru_cache(maxsize=_REMEMBERED)
def choose_codecs(offered: tuple[Codec, ...], policy: CodecPolicy) -> tuple[Codec, ...]:
    """Choose what an answer holds: the common audio codecs in the policy's order, comfort noise, telephone-events.

    The offerer's payload types and parameters are kept (they say what we may send). Raises NegotiationError if no audio
    codec is common.   RFC 3264 6.1.
    """
    offered = tuple(offered)
    wanted = (_OURS[name] for name in policy.audio)
    found = (next((codec for codec in offered if pairing.is_same(codec, mine)), None) for mine in wanted)
    audio = tuple(codec for codec in found if codec)
    if not audio:
        raise NegotiationError("no common audio codec")
    noise = _matching_noise(offered, audio) if policy.takes_comfort_noise else ()
    return audio + noise + (_matching_events(offered, audio) if policy.dtmf.has_events else ())


@lru_cache(maxsize=_REMEMBERED)
def answered_codecs(
    offered: tuple[Codec, ...], answer: tuple[Codec, ...]
) -> tuple[tuple[Codec, ...], tuple[Codec, ...]]:
    """Match an answer with our offer. Returns (receive, send) in the answerer's order.   RFC 3264 6.1 and 7.

    receive has our payload types; where the answerer numbered a codec differently, its number is accepted as well
    unless we offered that for something else, because some peers send with their own. send has the answerer's.
    Raises NegotiationError if no audio codec is common.
    """
    pairs: list[tuple[Codec, Codec]] = []
    for theirs in answer:
        mine = next((codec for codec in offered if pairing.is_same(codec, theirs)), None)
        if mine is not None and all(mine != earlier for earlier, _ in pairs):
            pairs.append((mine, theirs))
    audio = tuple(theirs for _, theirs in pairs if theirs.name not in _NO_SPEECH)
    if not audio:
        raise NegotiationError("the answer has none of the offered audio codecs")
    noise = _matching_noise((theirs for _, theirs in pairs), audio)
    pairs = [pair for pair in pairs if noise or pair[1].name != _COMFORT_NOISE.name]
    taken = {codec.payload_type for codec in offered}
    aliases = tuple(
        replace(mine, payload_type=theirs.payload_type) for mine, theirs in pairs if theirs.payload_type not in taken
    )
    receive = tuple(mine for mine, _ in pairs) + aliases
    return receive, audio + noise + _matching_events((theirs for _, theirs in pairs), audio)


@lru_cache(maxsize=_REMEMBERED)
def ours(codecs: tuple[Codec, ...], policy: CodecPolicy) -> tuple[Codec, ...]:
    """Return the codecs with our parameters instead of the far side's: what we ask to be sent.

    An annexb=no of the far side's is kept, because an answer may not widen it (RFC 7261 3.1), and one of the other
    leg's is passed on.
    """
    return tuple(replace(codec, parameters=_our_parameters(codec, policy)) for codec in codecs)


def _our_parameters(codec: Codec, policy: CodecPolicy) -> tuple[tuple[str, str], ...]:
    if codec.name == TELEPHONE_EVENT:
        return _EVENTS
    if codec.name == _COMFORT_NOISE.name:
        return ()
    if codec.name == "opus":
        return opus.wanted(policy.partners, policy.opus_bitrate_bps)
    if codec.name == speex.NAME:
        return speex.wanted(codec, policy.partners)
    speakers = (codec, *(partner for partner in policy.partners if partner.name == codec.name))
    if codec.name == "G729" and any(dict(each.parameters).get("annexb", "yes").lower() == "no" for each in speakers):
        return (("annexb", "no"),)
    return next(mine.parameters for mine in _OURS.values() if pairing.is_same(mine, codec))


@lru_cache(maxsize=_REMEMBERED)
def codec_attributes(codecs: tuple[Codec, ...]) -> tuple[Attribute, ...]:
    """Return `rtpmap` and `fmtp` lines for codecs."""
    attributes = []
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        attributes.append(Attribute("rtpmap", f"{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"))
        if codec.parameters:
            attributes.append(Attribute("fmtp", f"{codec.payload_type} {_parameter_text(codec)}"))
    return tuple(attributes)


def ptime_ms(media: MediaDescription, codec: Codec) -> int:
    """Return the milliseconds of audio per packet that the far side asks us to send with this codec.

    `ptime`, under `maxptime` and Opus's `minptime`, as a length the codec has and at most `MAX_PTIME_MS`; less for L16
    that would be broken up on its way. 20 if absent, malformed or below 10 ms.
    RFC 8866 6.4, RFC 7587 6.1, RFC 5574 3.2.
    """
    asked = _milliseconds(media.value("ptime")) or DEFAULT_PTIME_MS
    highest = _milliseconds(media.value("maxptime")) or MAX_PTIME_MS
    lowest = _milliseconds(dict(codec.parameters).get("minptime")) or MIN_PTIME_MS
    asked = min(max(asked, lowest), highest, MAX_PTIME_MS)
    if codec.name == "opus":
        return next((length for length in _OPUS_PTIMES_MS if length <= asked), MIN_PTIME_MS)
    if codec.name == l16.NAME:
        asked = min(asked, l16.longest_sent_ms(codec.clock_rate))
    frame_ms = speex.FRAME_MS if codec.name == speex.NAME else MIN_PTIME_MS
    return max(asked - asked % frame_ms, frame_ms)


def usual_ptime_ms(codec: Codec) -> int:
    """Return the milliseconds of audio per packet that we ask for where this codec stands first."""
    longest = l16.longest_sent_ms(codec.clock_rate) if codec.name == l16.NAME else MAX_PTIME_MS
    return min(DEFAULT_PTIME_MS, longest)


def max_ptime_ms(codecs: Iterable[Codec]) -> int:
    """Return the milliseconds of audio of the longest packet that we take in every one of these codecs."""
    bounds = (l16.longest_taken_ms(codec.clock_rate) for codec in codecs if codec.name == l16.NAME)
    return min((MAX_PTIME_MS, *bounds))


def _matching_noise(codecs: Iterable[Codec], audio: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """Return the comfort noise among the codecs, if one of the audio needs it; at most one.   RFC 3389 section 5."""
    clock_rate = _COMFORT_NOISE.clock_rate
    if not any(codec.name in _SILENT_BY_NOISE and codec.clock_rate == clock_rate for codec in audio):
        return ()
    return tuple(codec for codec in codecs if pairing.is_same(codec, _COMFORT_NOISE))[:1]


def _matching_events(codecs: Iterable[Codec], audio: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """Return telephone-events with the clock rates of the audio, the first codec's first; failing those, any one.

    An event shares its stream's clock (RFC 4733 2.1), but legacy Edge offers 8,000 only, beside Opus.
    """
    events = [codec for codec in codecs if codec.name == TELEPHONE_EVENT]
    rates = dict.fromkeys(codec.clock_rate for codec in audio)
    matching = (next((event for event in events if event.clock_rate == rate), None) for rate in rates)
    return tuple(event for event in matching if event) or tuple(events[:1])


def _first_by_payload_type(values: tuple[str, ...]) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        text, _, rest = value.partition(" ")
        payload_type = number(text, 0, 127)
        if payload_type is not None:
            found.setdefault(payload_type, rest.strip())
    return found


def _encoding(text: str) -> tuple[str, int, int]:
    name, *numbers = text.split("/")
    clock_rate = number(numbers[0], 1, 1_000_000) if numbers else None
    channels = number(numbers[1], 1, 255) if len(numbers) > 1 else 1
    if not name or clock_rate is None or channels is None or len(numbers) > 2:
        raise SdpError("a=rtpmap: malformed")
    return _CANONICAL.get(name.lower(), name), clock_rate, channels


def _parameters(codec_name: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in text.split(";"):
        name, equals, value = part.strip().partition("=")
        if not name:
            continue
        if codec_name == TELEPHONE_EVENT and not equals:
            name, value = "events", name
        pairs.append((name.strip().lower(), value.strip()))
    return tuple(pairs)


def _parameter_text(codec: Codec) -> str:
    if codec.name == TELEPHONE_EVENT:
        return dict(codec.parameters).get("events", "0-15")
    return ";".join(f"{name}={value}" if value else name for name, value in codec.parameters)


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else number(text, MIN_PTIME_MS, _ODDEST_PTIME_MS)
