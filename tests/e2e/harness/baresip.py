"""baresip as a SIP phone: registers, answers or waits, plays a tone, records what it hears; driven by its control port.

Quirks of 1.0.0: it skips `lo` by itself, so the interface is named; `aufile` wants a file of the codec's own rate and
plays it once; there is no player that writes a file, so `sndfile` records what the decoder hands to a null bridge; both
cut long paths, so the phone works in its own folder.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.audio import Samples, read_wav, tone, write_wav
from harness.ecdsa import ecdsa_environment
from harness.network import Host
from harness.processes import Process

_CONTROL_PORT_OFFSET = 1000
_TONE_S = 120
_RATE_HZ = 8000

_CONFIG = """\
poll_method epoll
sip_listen {address}:{port}
sip_trans_def {transport}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,hears
audio_source aufile,says.wav
audio_alert aubridge,alerts
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
ausrc_format s16
auplay_format s16
rtp_ports {rtp_first}-{rtp_last}
rtp_timeout 60
net_interface {interface}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
{encryption}
{tls}
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {address}:{control}
snd_path recordings
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSettings:
    """One phone. answers: `auto` or `manual`. codec: the only one it offers and takes.

    certificate: PEM file with certificate and key, for a phone whose transport is TLS.
    encryption: `srtp` (SDES beside RTP/AVP, if the far side can), `srtp-mand` (SDES or no call), `dtls_srtp`, or none.
    """

    login: str
    password: str
    domain: str
    proxy: str
    port: int = 5080
    transport: str = "udp"
    answers: str = "auto"
    codec: str = "PCMU"
    tone_hz: float = 700.0
    tone_dbfs: float = -12.0
    encryption: str = ""
    certificate: Path | None = None


def _encryption_modules(settings: PhoneSettings) -> str:
    match settings.encryption:
        case "":
            return ""
        case "dtls_srtp":
            return "module dtls_srtp.so\nrtcp_mux yes"
        case _:
            return "module srtp.so"


@dataclass(slots=True)
class _Inbox:
    """Messages from the control port, shared between its reader and the waiting test."""

    events: list[dict[str, Any]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)


class Baresip(Process):
    """The phone on its host, registered once entered."""

    def __init__(self, host: Host, folder: Path, settings: PhoneSettings, *, interface: str = "veth") -> None:
        recordings = folder / "recordings"
        recordings.mkdir(parents=True, exist_ok=True)
        self.recordings = recordings
        self.settings = settings
        self.rtp_ports = range(settings.port * 4, settings.port * 4 + 20)
        self._inbox = _Inbox()
        self._socket: socket.socket | None = None
        self._reader: threading.Thread | None = None
        write_wav(folder / "says.wav", tone(settings.tone_hz, _TONE_S, _RATE_HZ, settings.tone_dbfs), _RATE_HZ)
        control = settings.port + _CONTROL_PORT_OFFSET
        (folder / "config").write_text(
            _CONFIG.format(
                address=host.address,
                port=settings.port,
                transport=settings.transport,
                rate=_RATE_HZ,
                rtp_first=self.rtp_ports.start,
                rtp_last=self.rtp_ports.stop - 1,
                interface=interface,
                control=control,
                encryption=_encryption_modules(settings),
                tls="" if settings.certificate is None else f"sip_certificate {settings.certificate}",
            )
        )
        (folder / "accounts").write_text(
            f"<sip:{settings.login}@{settings.domain};transport={settings.transport}>;auth_pass={settings.password}"
            f';outbound="sip:{settings.proxy};transport={settings.transport}";regint=600;ptime=20'
            f";answermode={settings.answers};audio_codecs={settings.codec}"
            f"{f';mediaenc={settings.encryption}' if settings.encryption else ''}\n"
        )
        (folder / "contacts").write_text("")
        super().__init__(
            host.command(["baresip", "-f", str(folder)]),
            folder / "baresip.log",
            environment=ecdsa_environment(folder) if settings.encryption == "dtls_srtp" else None,
            directory=folder,
            keep_stdin=True,
        )
        self._host = host
        self._control = control

    def wait_ready(self) -> None:
        """Wait until the phone is registered, and take its control port."""
        self.wait_for_port(self._control, "tcp")
        self.wait_for(rf"{self.settings.login}@\S+: .* 200 OK .*binding")
        address = (self._host.address, self._control)
        control = self._host.call(lambda: socket.create_connection(address, timeout=5))
        control.settimeout(None)
        self._socket = control
        self._reader = threading.Thread(target=self._read, args=(control,), name=f"baresip-{self.settings.login}")
        self._reader.start()

    def dial(self, uri: str) -> None:
        """Call the URI."""
        self.command("dial", uri)

    def answer(self) -> None:
        """Take the waiting call."""
        self.command("accept")

    def hang_up(self) -> None:
        """End or refuse the current call."""
        self.command("hangup")

    def command(self, name: str, parameters: str = "", timeout_s: float = 5) -> str:
        """Run a command of baresip's menu and return what it says."""
        seen = len(self._inbox.replies)
        body = json.dumps({"command": name, "params": parameters, "token": f"t{seen}"}).encode()
        assert self._socket is not None
        self._socket.sendall(b"%d:%s," % (len(body), body))
        reply = self._wait(lambda: next(iter(self._inbox.replies[seen:]), None), f"reply to {name}", timeout_s)
        return str(reply.get("data", ""))

    def wait_event(self, kind: str, timeout_s: float = 10) -> dict[str, Any]:
        """Wait for an event such as CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, and return it."""
        return self._wait(
            lambda: next(iter(self.events(kind)), None),
            f"event {kind}; had {[event.get('type') for event in self._inbox.events]}",
            timeout_s,
        )

    def wait_events(self, kind: str, count: int, timeout_s: float = 10) -> None:
        """Wait until so many events of the kind have come."""
        self._wait(
            lambda: {} if len(self.events(kind)) >= count else None,
            f"{count} events {kind}; had {[event.get('type') for event in self._inbox.events]}",
            timeout_s,
        )

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of the kind so far."""
        return [event for event in self._inbox.events if event.get("type") == kind]

    def heard(self) -> tuple[Samples, int]:
        """Return the latest recording of what arrived, and its rate."""
        files = sorted(self.recordings.glob("*-dec.wav"), key=lambda path: path.stat().st_mtime)
        if not files:
            raise self.failure("recorded nothing")
        return read_wav(files[-1])

    def heard_lately(self, seconds: float) -> tuple[Samples, int]:
        """Return the end of that recording, which is written as it hears, and its rate."""
        samples, rate_hz = self.heard()
        return samples[-int(seconds * rate_hz) :], rate_hz

    def stop(self, timeout_s: float = 10) -> int:
        """End the phone; see Process."""
        status = super().stop(timeout_s)
        if self._reader is not None and self._socket is not None:
            self._reader.join(5)  # ends when the phone's end of the control connection does
            self._socket.close()
        return status

    def _wait(self, look: Callable[[], dict[str, Any] | None], what: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        with self._inbox.changed:
            while (found := look()) is None:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._inbox.changed.wait(remaining):
                    raise self.failure(f"no {what} within {timeout_s} s")
        return found

    def _read(self, control: socket.socket) -> None:
        buffer = b""
        while True:
            try:
                data = control.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while b":" in buffer:
                length, _, rest = buffer.partition(b":")
                size = int(length)
                if len(rest) < size + 1:
                    break
                message = json.loads(rest[:size])
                buffer = rest[size + 1 :]
                with self._inbox.changed:
                    (self._inbox.events if message.get("event") else self._inbox.replies).append(message)
                    self._inbox.changed.notify_all()
