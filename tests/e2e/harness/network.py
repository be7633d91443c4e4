"""Two hosts on one machine: network namespaces `core` (gateway, SIP peers) and `edge` (browser), joined by a veth pair.

Browsers gather candidates on their machine's non-loopback address only, so loopback alone will not do.
"""

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

CORE = "10.99.0.1"
EDGE = "10.99.0.2"
CORE_IPV6 = "fd99::1"
"""The core host's other address; the edge has none of its family."""

_CLONE_NEWNET = 0x4000_0000
_serial = itertools.count()
_Result = TypeVar("_Result")


def why_not() -> str | None:
    """Return why namespaces cannot be made here, or None if they can."""
    if shutil.which("ip", path=_PATH) is None:
        return "ip is not installed: apt-get install iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests as root"
    return None


_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20, env={"PATH": _PATH})


class Host:
    """One namespace. Commands run in it by `command`, code of the test by `call`."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._inside: ThreadPoolExecutor | None = None

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs argv on this host.

        Ahead of whatever else the machine does: audio does not wait, and a late packet would be blamed on the gateway.
        """
        return ["nice", "-n", "-10", "ip", "netns", "exec", self.name, *argv]

    def call(self, function: Callable[[], _Result], timeout_s: float = 30) -> _Result:
        """Run the function in a thread whose network is this host's, and return its result."""
        if self._inside is None:
            self._inside = ThreadPoolExecutor(1, thread_name_prefix=self.name, initializer=self._enter)
        return self._inside.submit(function).result(timeout_s)

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.name).open() as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {self.name}")

    def close(self) -> None:
        """End the thread that lives here."""
        if self._inside is not None:
            self._inside.shutdown()
            self._inside = None


class Network:
    """The two hosts. A context manager: leaving it removes them and kills nothing; stop the processes first."""

    def __init__(self) -> None:
        prefix = f"tl{os.getpid()}-{next(_serial)}"
        self.core = Host(f"{prefix}-core", CORE)
        self.edge = Host(f"{prefix}-edge", EDGE)

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.core.close()
        self.edge.close()
        self._remove()

    def _build(self) -> None:
        for host in (self.core, self.edge):
            _ip("netns", "add", host.name)
        _ip(
            "link",
            "add",
            "veth",
            "netns",
            self.core.name,
            "type",
            "veth",
            "peer",
            "name",
            "veth",
            "netns",
            self.edge.name,
        )
        for host, other in ((self.core, self.edge), (self.edge, self.core)):
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "veth")
            _ip("-n", host.name, "link", "set", "lo", "up")
            _ip("-n", host.name, "link", "set", "veth", "up")
            # Chromium thinks itself offline without a default route.
            _ip("-n", host.name, "route", "add", "default", "via", other.address)
        _ip("-n", self.core.name, "addr", "add", f"{CORE_IPV6}/64", "dev", "veth", "nodad")

    def _remove(self) -> None:
        for host in (self.core, self.edge):
            if Path("/run/netns", host.name).exists():
                _ip("netns", "del", host.name)
