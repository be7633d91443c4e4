"""Metrics of one node, for Prometheus.

Owns the names, labels and help texts of what is counted, and one registry that `app` makes and passes around; there is
no global one. Must not import other parts of the package: whoever keeps counters of its own (the media plane, the SIP
shell) is read through a function at scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from trunkline.observability.media import MediaCounters

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SETUP_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 60)

_MOS_BUCKETS = (1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3, 4.5)
"""At the limits of the classes of G.107 Annex B, and a few between."""
_JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
_LOSS_BUCKETS = (0.0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_PLAYOUT_BUCKETS_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5)
_ROUND_TRIP_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegQuality:
    """How one leg sounded to us over its life. loss: share of packets that were lost or came too late.

    concealed: share of what was played that was made up, and playout_delay_s; None where audio was passed through.
    srtp: the profile, empty for plain RTP. is_silent, is_clipped: None if not known.
    """

    codec: str
    srtp: str
    packets_received: int
    packets_sent: int
    mos: float | None
    jitter_s: float
    loss: float
    round_trip_s: float | None
    concealed: float | None
    playout_delay_s: float | None
    is_silent: bool | None
    is_clipped: bool | None


class Metrics:
    """Everything that one node counts. Labels take few values; a call's id is never one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.calls_started = Counter(
            "trunkline_calls_started_total",
            "Calls begun, by the kind of their A-leg: web, sip or rest.",
            ["origin"],
            registry=self.registry,
        )
        self.calls_ended = Counter(
            "trunkline_calls_ended_total",
            "Calls ended, by end reason.",
            ["reason"],
            registry=self.registry,
        )
        self.calls_coded = Counter(
            "trunkline_calls_answered_total",
            "Calls answered that have ended, by the codecs sent to caller and callee (`none`: a player, or nobody) and "
            "whether audio was coded anew between them.",
            ["caller", "callee", "transcoded"],
            registry=self.registry,
        )
        self.calls_active = Gauge(
            "trunkline_calls_active", "Calls that are alive, answered or not.", registry=self.registry
        )
        self.call_setup = Histogram(
            "trunkline_call_setup_seconds",
            "Time from the start of a call to its answer.",
            buckets=_SETUP_BUCKETS_S,
            registry=self.registry,
        )
        self.sessions_active = Gauge(
            "trunkline_web_sessions_active", "Browser connections that are open.", registry=self.registry
        )
        self.web_malformed = Counter(
            "trunkline_web_malformed_total",
            "WebSocket frames refused, by why: json, shape, size, unknown_message.",
            ["why"],
            registry=self.registry,
        )
        self.web_refused = Counter(
            "trunkline_web_refused_total",
            "WebSockets refused, by why: origin, capacity, silent (no `connection` in time).",
            ["why"],
            registry=self.registry,
        )
        self.media_dead_workers = Gauge(
            "trunkline_media_dead_workers",
            "Workers of the media plane that crashed since start. Above 0, restart the node when its calls allow.",
            registry=self.registry,
        )
        self.messages = Counter(
            "trunkline_messages_total",
            "Texts (SIP MESSAGE): sent, not_sent, received, and those for nobody here.",
            ["outcome"],
            registry=self.registry,
        )
        self.registrations = Counter(
            "trunkline_registrations_total",
            "Outgoing registrations, by outcome: registered, failed, unregistered.",
            ["outcome"],
            registry=self.registry,
        )

        self.wrong_passwords = Counter(
            "trunkline_wrong_passwords_total",
            "Passwords that were wrong, or unheard because too many were before. by: page (SIP over WebSocket), "
            "browser (the Web SDK), rest, upstream (pages whose server has the password).",
            ["by", "outcome"],
            registry=self.registry,
        )
        self.page_bindings = Gauge(
            "trunkline_page_bindings",
            "Pages that have registered by SIP over WebSocket.",
            registry=self.registry,
        )

        self._leg_mos = self._leg_histogram("trunkline_leg_mos", "MOS by the E-model", _MOS_BUCKETS)
        self._leg_jitter = self._leg_histogram("trunkline_leg_jitter_seconds", "Mean jitter", _JITTER_BUCKETS_S)
        self._leg_loss = self._leg_histogram(
            "trunkline_leg_loss_ratio", "Share of packets lost or too late", _LOSS_BUCKETS
        )
        self._leg_round_trip = self._leg_histogram(
            "trunkline_leg_round_trip_seconds", "Round-trip time by RTCP", _ROUND_TRIP_BUCKETS_S
        )
        self._leg_concealed = self._leg_histogram(
            "trunkline_leg_concealed_ratio", "Share that was made up for lost packets", _LOSS_BUCKETS
        )
        self._leg_playout_delay = self._leg_histogram(
            "trunkline_leg_playout_delay_seconds", "Wait in the jitter buffer at last", _PLAYOUT_BUCKETS_S
        )
        self._legs = Counter(
            "trunkline_legs_total",
            "Legs that have ended, by kind, codec received last and SRTP profile (`none` for plain RTP).",
            ["leg", "codec", "srtp"],
            registry=self.registry,
        )
        self._leg_packets = Counter(
            "trunkline_leg_packets_total",
            "RTP packets of legs that have ended, by kind and direction: received, sent.",
            ["leg", "direction"],
            registry=self.registry,
        )
        self._legs_flagged = Counter(
            "trunkline_legs_flagged_total",
            "Legs that have ended of which nothing but silence was heard, or a clipped signal. flag: silent, clipped.",
            ["leg", "flag"],
            registry=self.registry,
        )

    def _leg_histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        text = f"{text}, of the audio received on a leg, counted when the leg ends. leg: sip or web."
        return Histogram(name, text, ["leg"], buckets=buckets, registry=self.registry)

    def observe_leg(self, leg: str, quality: LegQuality) -> None:
        """Count how a leg sounded. leg: its kind."""
        self._legs.labels(leg, quality.codec, quality.srtp or "none").inc()
        self._leg_packets.labels(leg, "received").inc(quality.packets_received)
        self._leg_packets.labels(leg, "sent").inc(quality.packets_sent)
        for flag, is_flagged in (("silent", quality.is_silent), ("clipped", quality.is_clipped)):
            self._legs_flagged.labels(leg, flag).inc(1 if is_flagged else 0)
        self._leg_jitter.labels(leg).observe(quality.jitter_s)
        self._leg_loss.labels(leg).observe(quality.loss)
        if quality.mos is not None:
            self._leg_mos.labels(leg).observe(quality.mos)
        if quality.round_trip_s is not None:
            self._leg_round_trip.labels(leg).observe(quality.round_trip_s)
        if quality.concealed is not None:
            self._leg_concealed.labels(leg).observe(quality.concealed)
        if quality.playout_delay_s is not None:
            self._leg_playout_delay.labels(leg).observe(quality.playout_delay_s)

    def read_counts(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        """Expose counters that another part keeps: `read` is called at each scrape.

        name: `trunkline_<thing>_total`. read: label value to count; must be quick and must not raise.
        """
        self.registry.register(_ReadCounts(name, text, label, read))

    def read_media(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Expose the media plane's counters. read: as `MediaCounters` wants it; must be quick and must not raise."""
        self.registry.register(MediaCounters(read))

    def read_media_drops(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Expose the media plane's drop reasons, summed over its workers."""
        self.read_counts(
            "trunkline_media_drops_total", "Packets dropped by the media plane, by reason.", "reason", read
        )

    def read_sip_counts(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Expose the SIP shell's counters, malformed messages among them."""
        self.read_counts("trunkline_sip_events_total", "What the SIP sockets saw, by kind.", "kind", read)

    def render(self) -> bytes:
        """Return the text that `/metrics` answers with, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class _ReadCounts(Collector):
    def __init__(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        self._name = name.removesuffix("_total")
        self._text = text
        self._label = label
        self._read = read

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Name the metric without reading it, so that registering asks nothing of a part that has not started."""
        yield CounterMetricFamily(self._name, self._text, labels=[self._label])

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read the counters now."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self._read().items():
            family.add_metric([value], count)
        yield family
