"""What a relay is asked to do, and what came of one run of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

Address = tuple[str, int]
"""IP literal and UDP port."""

NAN = float("nan")
LOOPBACK = "127.0.0.1"

TRIES = 4
"""Of a run that is disturbed or breaks, at most."""
FOREIGN_LIMIT = 0.05
"""Share of a core that others may have in a run before it counts as disturbed."""
STOLEN_LIMIT = 0.005
"""The same of what the hypervisor keeps from it."""


class Security(StrEnum):
    """How leg A's media is secured; leg B is always plain RTP. SDES suites are named as in SDP (RFC 4568, RFC 7714)."""

    NONE = "RTP"
    CM_80 = "AES_CM_128_HMAC_SHA1_80"
    GCM = "AEAD_AES_128_GCM"
    WEBRTC = "DTLS-SRTP"

    @property
    def is_sdes(self) -> bool:
        return self in (Security.CM_80, Security.GCM)


class Sound(StrEnum):
    """What legs A and B speak, in the generator's words."""

    PCMU = "pcmu"
    LAWS = "pcma-pcmu"
    OPUS = "opus-pcmu"
    G729 = "g729-pcmu"

    @property
    def is_timed_by_marks(self) -> bool:
        return self is not Sound.PCMU


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of call, and how many of them at once."""

    security: Security
    sound: Sound
    calls: int
    storm: int = 0
    """Browsers that connect all at once after the window."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the SDP of the generator's browsers would say."""

    ufrag: str
    pwd: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a leg of the generator sends, and how it is secured, as the generator reads it."""

    address: Address
    security: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"{self.address[0]}:{self.address[1]}", *self.security])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Figures of one run. Delays in microseconds, shares and losses as fractions.

    seconds: length of the window. counts: the relay's own, by name; `concealed` frames since soon before the window.
    cpu_us: CPU time of the relay's whole process for each packet that it relayed. kernel: share of that in the kernel.
    memory_kib: growth of the anonymous resident memory, for each call. relay_foreign, generator_foreign: share of the
    core's time that went to others. stolen: share of the time in which a hypervisor kept one of the two cores, the
    worse one, from whoever wanted it. slip: how late the generator sent. storm_*: the same figures while browsers
    connected.
    """

    relay: str
    calls: int
    seconds: float
    packets_per_s: float
    cpu_us: float = NAN
    kernel: float = NAN
    memory_kib: float = NAN
    p50_us: float = NAN
    p99_us: float = NAN
    max_us: float = NAN
    loss: float = NAN
    reordered: int = 0
    wrong: int = 0
    slip_p99_us: float = NAN
    slip_max_us: float = NAN
    relay_foreign: float = NAN
    generator_foreign: float = NAN
    stolen: float = 0.0
    storm_p99_us: float = NAN
    storm_connected: int = 0
    storm_s: float = NAN
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_generator_late(self) -> bool:
        """The generator did not send when it should have, so the load was not what is claimed."""
        return self.slip_p99_us > 10_000

    @property
    def is_disturbed(self) -> bool:
        """Others had so much of the two cores that the figures may be theirs.

        What a hypervisor takes stops a relay at once, and one that is busy for two thirds of the time catches up only
        after three times as long: a third of a hundredth is enough to make the slowest hundredth of the packets.
        """
        return max(self.relay_foreign, self.generator_foreign) > FOREIGN_LIMIT or self.stolen > STOLEN_LIMIT

    @property
    def disturbance(self) -> float:
        """By which of two runs the less disturbed one is told."""
        return sum(share for share in (self.relay_foreign, self.generator_foreign, self.stolen) if share == share)
