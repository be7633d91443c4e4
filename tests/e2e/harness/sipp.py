"""SIPp as callee or caller, with the scenarios of tests/e2e/scenarios."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

from harness.network import Host
from harness.processes import Process

SCENARIOS = Path(__file__).parent.parent / "scenarios"


class Sipp(Process):
    """One run of a scenario on a host, for one call unless told otherwise.

    retransmits: whether SIPp repeats and recognises repetitions by itself; off for scenarios that list each message.
    address: one of the host's other addresses, if not its first.
    says: what a scenario with `rtp_stream` plays, as G.711 mu-law, from `says.pcmu`; without it, SIPp is an echo.
    """

    def __init__(
        self,
        host: Host,
        folder: Path,
        scenario: str,
        *,
        port: int,
        target: str | None = None,
        calls: int = 1,
        keys: Mapping[str, str] | None = None,
        address: str | None = None,
        transport: str = "u1",
        retransmits: bool = True,
        says: bytes | None = None,
        timeout_s: int = 40,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = SCENARIOS / f"{scenario}.xml"
        self.messages = folder / f"{scenario}-messages.log"
        local = address or host.address
        argv = ["sipp", "-sf", str(file), "-i", local, "-mi", local, "-p", str(port), "-t", transport]
        argv += ["-m", str(calls), "-nostdin", "-timeout", str(timeout_s), "-timeout_error"]
        argv += ["-trace_msg", "-message_file", str(self.messages), "-trace_err"]
        argv += ["-error_file", str(folder / f"{scenario}-errors.log")]
        if says is None:
            argv.append("-rtp_echo")
        else:
            (folder / "says.pcmu").write_bytes(says)
        if not retransmits:
            argv.append("-nr")
        for name, value in (keys or {}).items():
            argv += ["-key", name, value]
        if target is not None:
            argv.append(target)
        super().__init__(host.command(argv), folder / f"{scenario}.log", directory=folder)
        self._port = port
        self._kind = "tcp" if transport.startswith("t") and target is None else "udp"

    def wait_ready(self) -> None:
        """Wait until the socket is bound."""
        self.wait_for_port(self._port, self._kind)

    def wait_received(self, method: str, count: int, timeout_s: float = 10) -> None:
        """Wait until so many requests of the method have come, repetitions included."""
        wanted = re.compile(rf"(?m)^{method} \S+ SIP/2\.0\r?$")
        deadline = time.monotonic() + timeout_s
        while len(wanted.findall(self._trace())) < count:
            if time.monotonic() > deadline:
                raise self.failure(f"no {count} requests {method} within {timeout_s} s")
            time.sleep(0.02)

    def assert_passed(self, timeout_s: float = 30) -> None:
        """Wait for SIPp to end and fail unless every call followed the scenario."""
        status = self.wait_end(timeout_s)
        if status != 0:
            raise self.failure(f"ended with {status}; messages:\n{self._trace()[-6000:]}")

    def _trace(self) -> str:
        return self.messages.read_text(errors="replace") if self.messages.exists() else ""
