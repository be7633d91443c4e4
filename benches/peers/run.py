"""One run: the generator on its core, a relay on the other, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections import Counter
from dataclasses import dataclass

from benches.peers.generator import Figures, Windows, generating
from benches.peers.process import Cores, Usage
from benches.peers.relay import Kind
from benches.peers.work import LOOPBACK, NAN, Run, Security, Work


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and with what runs are made."""

    generator: str
    cores: Cores


async def measure(bench: Bench, kind: Kind, work: Work, windows: Windows) -> Run:
    """Start both, let them run, end both."""
    # Janus does not gather candidates on the loopback interface; packets between local addresses take it all the same.
    host = main_address() if work.security is Security.WEBRTC else LOOPBACK
    if work.sound.is_timed_by_marks:
        # Jitter buffers have to settle, and to be counted.
        windows = Windows(2 * windows.warm_up_s, windows.measure_s)
    relay_usages: list[Usage] = []
    generator_usages: list[Usage] = []
    async with (
        generating(bench.generator, host, work, windows, bench.cores.generator) as generator,
        kind.started(bench.cores.relay, host) as relay,
    ):

        def sample() -> None:
            generator_usages.append(Usage.of(generator.process.pid, bench.cores.generator))
            if relay.pid is not None:
                relay_usages.append(Usage.of(relay.pid, bench.cores.relay))

        sample()
        targets = await relay.set_up(work, generator)
        await generator.begin(targets)
        # What starting up cost is not the window's. A relay that is too busy to answer in time is slow to all, too.
        await asyncio.sleep(windows.warm_up_s / 3)
        async with asyncio.TaskGroup() as group:
            before = group.create_task(relay.count(work))
            figures, storm = await generator.follow(sample)
        counts = dict(Counter(await relay.count(work)) - Counter(before.result()))
        await generator.end()
    return _result(kind.name, work, windows, figures, storm, relay_usages, generator_usages, counts)


def main_address() -> str:
    """The address by which this machine would reach others; the loopback address if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        # Sends nothing: connecting only looks up the route. The address is one for documentation (RFC 5737).
        probe.connect(("198.51.100.1", 9))
        host: str = probe.getsockname()[0]
        return host
    return LOOPBACK


def _result(
    relay: str,
    work: Work,
    windows: Windows,
    figures: Figures,
    storm: Figures,
    relay_usages: list[Usage],
    generator_usages: list[Usage],
    counts: dict[str, int],
) -> Run:
    cpu_us = kernel = memory_kib = relay_foreign = NAN
    stolen = 0.0
    if relay_usages:
        idle, before, after = relay_usages
        # Of the rates, not of the sums: the ends of the window are sampled when word of them comes.
        cpu_us = before.cpu_share(after) * 1e6 / max(1.0, figures["arrived"] / windows.measure_s)
        kernel = before.kernel_share(after)
        # The browsers of a storm weigh something too.
        memory_kib = NAN if work.storm else (after.resident_kib - idle.resident_kib) / work.calls
        relay_foreign = before.foreign_share(after)
        stolen = before.stolen_share(after)
    _, before, after = generator_usages
    if work.sound.is_timed_by_marks:
        missing = figures["lost"] + 50 * max(0.0, figures["marks"] - figures["delays"] - 2 * work.calls)
    else:
        missing = figures["sent"] - figures["received"]
    return Run(
        relay=relay,
        calls=work.calls,
        seconds=windows.measure_s,
        packets_per_s=figures["arrived"] / windows.measure_s,
        cpu_us=cpu_us,
        kernel=kernel,
        memory_kib=memory_kib,
        p50_us=figures["p50"],
        p99_us=figures["p99"],
        max_us=figures["max"],
        loss=missing / figures["sent"],
        reordered=int(figures["reordered"]),
        wrong=int(figures["wrong"]),
        slip_p99_us=figures["slip_p99"],
        slip_max_us=figures["slip_max"],
        relay_foreign=relay_foreign,
        generator_foreign=before.foreign_share(after),
        stolen=max(stolen, before.stolen_share(after)),
        storm_p99_us=storm["p99"],
        storm_connected=int(storm.get("connected", 0)),
        storm_s=storm.get("took_s", math.nan),
        counts=counts,
    )
