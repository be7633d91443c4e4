"""The gateway under test: `trunkline serve` on the `core` host, and its own word on what it holds."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.network import Host
from harness.processes import Process, bound_ports

HTTP_PORT = 8080
SIP_PORT = 5070
RTP_PORTS = range(31_000, 31_100)
WEBRTC_PORT = 40_000
QUARANTINE_S = 0.2
_OURS = {SIP_PORT, *RTP_PORTS, *range(WEBRTC_PORT, WEBRTC_PORT + 16)}


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the gateway holds: its own counts, and what the kernel says of its process.

    udp_ports: all of its host. media_threads: those of the media plane; the pool that serves page files comes and goes.
    """

    counts: Mapping[str, float]
    udp_ports: frozenset[int]
    open_files: int
    media_threads: int


class Gateway(Process):
    """The gateway. settings: sections that override the defaults here."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        command: str = "serve",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.origin = f"http://{host.address}:{HTTP_PORT}"
        config = folder / "trunkline.toml"
        config.write_text(_toml(_merged(_defaults(host.address), settings or {})))
        program = Path(sys.executable).with_name("trunkline")
        super().__init__(host.command([str(program), command, "--config", str(config)]), folder / "gateway.log")

    def wait_ready(self) -> None:
        """Wait until the gateway says that it is well."""
        self.wait_for_port(HTTP_PORT, "tcp", timeout_s=20)
        self.get("/health")

    def get(self, path: str) -> str:
        """GET a path and return the body; AssertionError unless 200."""
        status, body = self.request("GET", path)
        assert status == 200, (path, status, body)
        return body

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """POST JSON to a REST path and return status and decoded answer, None if empty."""
        status, text = self.request("POST", f"/rest-api{path}", body or {})
        return status, json.loads(text) if text else None

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Send one request from the gateway's own host and return status and text."""
        request = urllib.request.Request(
            f"{self.origin}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )

        def send() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return self.host.call(send)

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics by its name with labels."""
        samples: dict[str, float] = {}
        for line in self.get("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def holdings(self) -> Holdings:
        """Return what is held now."""
        health = json.loads(self.get("/health"))
        return Holdings(
            counts={name: value for name, value in health.items() if isinstance(value, int | float)},
            udp_ports=frozenset(bound_ports(self.pid, "udp") & _OURS),
            open_files=len(list(Path(f"/proc/{self.pid}/fd").iterdir())),
            media_threads=sum(
                (task / "comm").read_text().startswith("media") for task in Path(f"/proc/{self.pid}/task").iterdir()
            ),
        )

    def assert_back_to(self, before: Holdings, timeout_s: float = 20) -> None:
        """Wait until the gateway holds no more than before; fail with the difference if it keeps something.

        A browser keeps its idle HTTP connections until the gateway closes them (`http.request_timeout_s`, 10 s).
        """
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.holdings()
            kept = _difference(before, now)
            if not kept:
                return
            if time.monotonic() > deadline:
                raise self.failure(f"left behind: {kept}")
            time.sleep(0.1)


def _difference(before: Holdings, now: Holdings) -> dict[str, Any]:
    kept: dict[str, Any] = {
        name: (before.counts.get(name, 0), value)
        for name, value in now.counts.items()
        if not name.endswith(("_total", "_s")) and value > before.counts.get(name, 0)
    }
    if extra := now.udp_ports - before.udp_ports:
        kept["udp_ports"] = sorted(extra)
    # One more is the connection that asks.
    if now.open_files > before.open_files + 1:
        kept["open_files"] = (before.open_files, now.open_files)
    if now.media_threads != before.media_threads:
        kept["media_threads"] = (before.media_threads, now.media_threads)
    return kept


def _defaults(address: str) -> dict[str, dict[str, Any]]:
    return {
        "http": {"host": address, "port": HTTP_PORT},
        "sip": {"host": address, "port": SIP_PORT},
        "media": {
            "workers": 2,
            "webrtc_host": address,
            "webrtc_port": WEBRTC_PORT,
            "rtp_host": address,
            "rtp_port_min": RTP_PORTS.start,
            "rtp_port_max": RTP_PORTS.stop - 1,
            "port_quarantine_s": QUARANTINE_S,
        },
        "log": {"level": "debug", "format": "json"},
    }


def _merged(
    below: Mapping[str, Mapping[str, Any]], above: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    return {name: {**below.get(name, {}), **above.get(name, {})} for name in {**below, **above}}


def _toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {_toml_value(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """Write a value: a JSON scalar is also one of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value)
