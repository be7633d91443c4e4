"""What `make bench-peers` measures: rows of fixed load, and searches for the highest load."""

from __future__ import annotations

from dataclasses import dataclass

from benches.peers.forwarder import Forwarder
from benches.peers.janus import Janus
from benches.peers.relay import Direct, Kind, Trunkline
from benches.peers.rtpengine import RtpEngine
from benches.peers.work import Security, Sound, Work

TRUNKLINE, RTPENGINE, JANUS, FORWARDER, DIRECT = Trunkline(), RtpEngine(), Janus(), Forwarder(), Direct()

CALLS = (50, 300, 500)
CURVE = (10, 50, 100, 300, 500, 1_000, 2_000)
STORM_CALLS, STORM = 300, 500
WEBRTC_CALLS = 16
FLOOR_CALLS = 1_000
OPUS_CALLS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One load, and who carries it. part: what `--only` names."""

    part: str
    name: str
    work: Work
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """Which number of calls a relay carries at most. guesses: where to begin, for each relay."""

    part: str
    name: str
    security: Security
    sound: Sound
    kinds: tuple[Kind, ...]
    guesses: tuple[int, ...]

    def work(self, calls: int) -> Work:
        return Work(self.security, self.sound, calls)


def _rtp_kinds(calls: int) -> tuple[Kind, ...]:
    kinds: tuple[Kind, ...] = (TRUNKLINE,)
    if calls in CALLS:
        kinds += (RTPENGINE,)
    if calls in (500, FLOOR_CALLS):
        kinds += (FORWARDER,)
    return kinds


ROWS: tuple[Row, ...] = (
    Row("generator", "generator alone", Work(Security.NONE, Sound.PCMU, 500), (DIRECT,)),
    *(Row("rtp", "RTP <-> RTP", Work(Security.NONE, Sound.PCMU, calls), _rtp_kinds(calls)) for calls in CURVE),
    *(
        Row("sdes", f"SDES-SRTP {name} <-> RTP", Work(security, Sound.PCMU, calls), (TRUNKLINE, RTPENGINE))
        for name, security in (("CM-80", Security.CM_80), ("GCM", Security.GCM))
        for calls in CALLS
    ),
    Row("webrtc", "DTLS-SRTP <-> RTP", Work(Security.WEBRTC, Sound.PCMU, WEBRTC_CALLS), (TRUNKLINE, JANUS, RTPENGINE)),
    Row("opus", "DTLS-SRTP, Opus <-> RTP, PCMU", Work(Security.WEBRTC, Sound.OPUS, OPUS_CALLS), (TRUNKLINE,)),
    *(
        Row("laws", "PCMA <-> PCMU, transcoded", Work(Security.NONE, Sound.LAWS, calls), (TRUNKLINE, RTPENGINE))
        for calls in CALLS
    ),
    Row(
        "storm",
        f"RTP <-> RTP while {STORM} browsers connect",
        Work(Security.NONE, Sound.PCMU, STORM_CALLS, STORM),
        (TRUNKLINE, RTPENGINE),
    ),
)

SEARCHES: tuple[Search, ...] = (
    Search("capacity", "RTP <-> RTP", Security.NONE, Sound.PCMU, (TRUNKLINE, RTPENGINE, FORWARDER), (700, 600, 900)),
    Search("laws", "PCMA <-> PCMU, transcoded", Security.NONE, Sound.LAWS, (TRUNKLINE, RTPENGINE), (700, 300)),
    Search("opus-calls", "Opus <-> PCMU", Security.NONE, Sound.OPUS, (TRUNKLINE, RTPENGINE), (130, 40)),
    Search("g729-calls", "G.729 <-> PCMU", Security.NONE, Sound.G729, (TRUNKLINE, RTPENGINE), (180, 150)),
)
