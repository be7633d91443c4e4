"""Record the packet delays of this folder's traces: RTP-like packets through a kernel queue that TCP fills.

Run as root on Linux: `python tests/vectors/jitter/record.py [NAME...]`. SOURCE.md says what each trace is. Every run
gives other numbers, since the queues, TCP and the scheduler are real; the committed files are one run of each.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PTIME_S = 0.020
PACKETS = 3_000
"""One minute."""
RTP_BYTES = 172
UNIT_S = 0.0001
"""Of the numbers in a trace file."""


@dataclass(frozen=True, slots=True)
class Link:
    """Two hosts, each a network namespace, and the link from `near` to `far`."""

    near: str
    far: str

    def shape(self, rate_kbit: float, queue_ms: int) -> str:
        """The tc command for a bottleneck of this rate whose FIFO holds so many milliseconds."""
        return f"qdisc replace dev near0 root tbf rate {rate_kbit:.0f}kbit burst 2kb latency {queue_ms}ms"


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def tc(path: Link) -> subprocess.Popen[str]:
    """A tc that takes one command a line."""
    return subprocess.Popen(["ip", "netns", "exec", path.near, "tc", "-batch", "-"], stdin=subprocess.PIPE, text=True)


def tell(shaper: subprocess.Popen[str], command: str) -> None:
    assert shaper.stdin is not None
    shaper.stdin.write(command + "\n")
    shaper.stdin.flush()


def web(path: Link, shaper: subprocess.Popen[str], until: float, dice: random.Random) -> None:
    """1.5 Mbit/s upstream of a household: uploads of 30 to 400 kB with pauses."""
    tell(shaper, path.shape(1_500, 150))
    while time.monotonic() < until:
        upload(path, dice.randint(30, 400) * 1_000)
        time.sleep(dice.uniform(0.5, 4.0))


def bloat(path: Link, shaper: subprocess.Popen[str], until: float, dice: random.Random) -> None:
    """2 Mbit/s, 300 ms of queue: one bulk transfer after the other, with rests of some seconds."""
    tell(shaper, path.shape(2_000, 300))
    while time.monotonic() < until:
        upload(path, dice.randint(800, 2_000) * 1_000)
        time.sleep(dice.uniform(3.0, 8.0))


def cellular(path: Link, shaper: subprocess.Popen[str], until: float, dice: random.Random) -> None:
    """A rate that wanders between 0.15 and 6 Mbit/s, set anew each 100 ms; small transfers; 400 ms of queue."""
    uploads = threading.Thread(target=small_uploads, args=(path, until, random.Random(dice.random())), daemon=True)
    uploads.start()
    rate = 2_000.0
    while time.monotonic() < until:
        rate = min(6_000.0, max(150.0, rate * dice.lognormvariate(0, 0.35)))
        tell(shaper, path.shape(rate, 400))
        time.sleep(0.1)


def wireless(path: Link, shaper: subprocess.Popen[str], until: float, dice: random.Random) -> None:
    """A 20 Mbit/s link that all but stops (64 kbit/s) for 20 to 150 ms, every 0.2 to 3 s; small transfers."""
    uploads = threading.Thread(target=small_uploads, args=(path, until, random.Random(dice.random())), daemon=True)
    uploads.start()
    while time.monotonic() < until:
        tell(shaper, path.shape(20_000, 400))
        time.sleep(min(3.0, 0.2 + dice.expovariate(1.5)))
        tell(shaper, path.shape(64, 2_000))
        time.sleep(min(0.15, 0.02 + dice.expovariate(30)))


SCENES: dict[str, Callable[[Link, subprocess.Popen[str], float, random.Random], None]] = {
    "web": web,
    "bloat": bloat,
    "cellular": cellular,
    "wireless": wireless,
}


def small_uploads(path: Link, until: float, dice: random.Random) -> None:
    while time.monotonic() < until:
        upload(path, dice.randint(5, 120) * 1_000)
        time.sleep(dice.uniform(0.3, 3.0))


def upload(path: Link, size: int) -> None:
    """One TCP transfer from `near` to `far`, at most 20 s."""
    code = (
        "import socket,sys\n"
        "s=socket.create_connection(('10.98.0.2',7000),timeout=20)\n"
        f"s.sendall(bytes({size}))\ns.shutdown(socket.SHUT_WR)\ns.recv(1)\n"
    )
    command = ["ip", "netns", "exec", path.near, sys.executable, "-c", code]
    subprocess.run(command, timeout=30, check=False, stderr=subprocess.DEVNULL)


SINK = """
import socket, threading
server = socket.create_server(('10.98.0.2', 7000), backlog=16)
def drain(peer):
    while peer.recv(65536):
        pass
    peer.close()
while True:
    threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
"""

SENDER = f"""
import socket, struct, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
began = time.monotonic()
for number in range({PACKETS}):
    time.sleep(max(0, began + number * {PTIME_S} - time.monotonic()))
    out.sendto(struct.pack('!Qd', number, began + number * {PTIME_S}).ljust({RTP_BYTES}), ('10.98.0.2', 7002))
"""

RECEIVER = """
import socket, struct, sys, time
inlet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
inlet.bind(('10.98.0.2', 7002))
inlet.settimeout(8)
print('ready', flush=True)
try:
    while True:
        data = inlet.recv(2048)
        now = time.monotonic()
        number, due = struct.unpack_from('!Qd', data)
        print(number, now - due, flush=False)
except TimeoutError:
    pass
"""


def record(name: str) -> str:
    """One minute of packets; returns the text of a trace file."""
    token = f"{os.getpid()}{name[:4]}"
    path = Link(near=f"n{token}", far=f"f{token}")
    for space in (path.near, path.far):
        run("ip", "netns", "add", space)
    processes = []
    try:
        run("ip", "link", "add", "near0", "netns", path.near, "type", "veth", "peer", "name", "far0", "netns", path.far)
        for space, device, address in ((path.near, "near0", "10.98.0.1"), (path.far, "far0", "10.98.0.2")):
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", space, "link", "set", device, "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
        inside = ["ip", "netns", "exec"]
        processes.append(subprocess.Popen([*inside, path.far, sys.executable, "-c", SINK]))
        receiver = subprocess.Popen(
            [*inside, path.far, sys.executable, "-c", RECEIVER], stdout=subprocess.PIPE, text=True
        )
        processes.append(receiver)
        assert receiver.stdout is not None
        receiver.stdout.readline()
        shaper = tc(path)
        processes.append(shaper)
        sender = subprocess.Popen([*inside, path.near, sys.executable, "-c", SENDER])
        processes.append(sender)
        scene = SCENES[name]
        threading.Thread(
            target=scene, args=(path, shaper, time.monotonic() + PACKETS * PTIME_S, random.Random(name)), daemon=True
        ).start()
        arrivals = [line.split() for line in receiver.stdout]
        sender.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for space in (path.near, path.far):
            run("ip", "netns", "del", space)
    delays = {int(number): float(delay) for number, delay in arrivals}
    return written(name, delays)


def written(name: str, delays: dict[int, float]) -> str:
    """The file: each packet's delay, less the one before, in tenths of a millisecond; `x` where none arrived."""
    least = min(delays.values())
    words, before = [], 0
    for number in range(PACKETS):
        delay = delays.get(number)
        if delay is None:
            words.append("x")
            continue
        units = round((delay - least) / UNIT_S)
        words.append(str(units - before))
        before = units
    lines = [" ".join(words[at : at + 30]) for at in range(0, len(words), 30)]
    return "\n".join([f"# {name}: ptime 20 ms, unit 0.1 ms; see SOURCE.md", *lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SCENES))
    names = parser.parse_args().names
    for name in names:
        (Path(__file__).parent / f"{name}.trace").write_text(record(name))
        print(f"{name} recorded")


if __name__ == "__main__":
    main()
