"""Peers as child processes: output into log files, started until ready, stopped by their own id, never left behind."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

_TAIL_LINES = 25


class PeerError(AssertionError):
    """A peer did not start, did not get ready in time, or ended badly. Carries the end of its log."""


class Process:
    """One child in a process group of its own. A context manager: entering waits until the peer is ready to be used,
    leaving ends the group."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        keep_stdin: bool = False,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._output: IO[bytes] = log.open("wb")
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        self._child = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, "PATH": path, **(environment or {})},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Id of the child itself; `ip netns exec` replaces itself by the command, so this is the peer's."""
        return self._child.pid

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self) -> None:
        """Wait until the peer can be used. A plain process is ready at once."""

    def is_running(self) -> bool:
        """Tell whether the child has not ended yet."""
        return self._child.poll() is None

    def text(self) -> str:
        """Return everything that the child has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout_s: float = 10) -> re.Match[str]:
        """Wait until a line of the log matches; PeerError if the child ends or time runs out before."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        while True:
            has_ended = not self.is_running()
            if found := wanted.search(self.text()):
                return found
            if has_ended:
                raise self.failure(f"ended with {self._child.returncode} before {pattern!r}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {pattern!r} within {timeout_s} s")
            time.sleep(0.02)

    def wait_for_port(self, port: int, kind: str = "udp", timeout_s: float = 10) -> None:
        """Wait until some socket of the child's network namespace is bound to the port. kind: `udp` or `tcp`."""
        deadline = time.monotonic() + timeout_s
        while port not in bound_ports(self.pid, kind):
            if not self.is_running():
                raise self.failure(f"ended with {self._child.returncode} before it bound {kind} port {port}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {kind} port {port} within {timeout_s} s")
            time.sleep(0.02)

    def wait_end(self, timeout_s: float) -> int:
        """Wait for the child to end by itself and return its exit status."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"still running after {timeout_s} s") from None

    def stop(self, timeout_s: float = 10) -> int:
        """Ask the child to end, force what is left of its group, and return its exit status."""
        if self.is_running():
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout_s)
        self._signal(signal.SIGKILL)
        status = self._child.wait(5)
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._output.close()
        return status

    def failure(self, what: str) -> PeerError:
        """Return the error that says what went wrong, with the end of the log."""
        tail = "\n".join(self.text().splitlines()[-_TAIL_LINES:])
        return PeerError(f"{self.argv}: {what}; {self.log} ends:\n{tail}")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def bound_ports(pid: int, kind: str) -> set[int]:
    """Return the local ports bound in the network namespace of the process. kind: `udp` or `tcp` (listening only)."""
    ports: set[int] = set()
    for suffix in ("", "6"):
        try:
            lines = Path(f"/proc/{pid}/net/{kind}{suffix}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if kind == "udp" or state == "0A":
                ports.add(int(local.rpartition(":")[2], 16))
    return ports
