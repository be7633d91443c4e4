"""Linphone as a SIP phone: registers, answers or waits, plays a tone, records what it hears; driven by its console.

Quirks of linphonec 5.1: it works without a sound card once it is told to use files, reads its settings from a file that
it also writes, wants its home folder made, and numbers its calls from 1 in each process. It resolves the domain of whom
it calls, whatever its registrar. Its record goes on with each stream and can be read once the stream has ended.
"""

from dataclasses import dataclass
from pathlib import Path

from harness.audio import Samples, read_wav, tone, write_wav
from harness.network import Host
from harness.processes import Process

_TONE_S = 120
_RATE_HZ = 8000
_CODECS = ("opus", "speex", "PCMU", "PCMA", "GSM", "G722", "G729", "L16")

_CONFIG = """\
[sip]
sip_port={port}
sip_tcp_port=-1
sip_tls_port=-1
use_ipv6=0
guess_hostname=1
[rtp]
audio_rtp_port={rtp}
[sound]
echocancellation=0
[misc]
uuid=00000000-0000-4000-8000-{port:012d}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinphoneSettings:
    """One phone. codec: the only one it offers and takes."""

    login: str
    password: str
    domain: str
    proxy: str
    port: int = 5080
    codec: str = "PCMU"
    answers: str = "auto"
    tone_hz: float = 700.0
    tone_dbfs: float = -12.0


class Linphone(Process):
    """The phone on its host, registered once entered."""

    def __init__(self, host: Host, folder: Path, settings: LinphoneSettings) -> None:
        (folder / "home/.local/share/linphone").mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.rtp_ports = range(settings.port * 4, settings.port * 4 + 2)
        self._folder = folder
        write_wav(folder / "says.wav", tone(settings.tone_hz, _TONE_S, _RATE_HZ, settings.tone_dbfs), _RATE_HZ)
        text = _CONFIG.format(port=settings.port, rtp=self.rtp_ports.start)
        text += f"[audio_codec_0]\nmime={settings.codec}\nrate=8000\nchannels=1\nenabled=1\n"
        rest = [codec for codec in _CODECS if codec != settings.codec]
        for number, (mime, rate) in enumerate(
            [(mime, rate) for mime in rest for rate in (8000, 16000, 32000, 44100, 48000)], start=1
        ):
            channels = 2 if mime == "opus" else 1
            text += f"[audio_codec_{number}]\nmime={mime}\nrate={rate}\nchannels={channels}\nenabled=0\n"
        (folder / "linphonerc").write_text(text)
        argv = ["linphonec", "-c", "linphonerc", "-d", "4", "-l", "linphone-debug.log"]
        super().__init__(
            host.command([*argv, "-a"] if settings.answers == "auto" else argv),
            folder / "linphone.log",
            environment={"HOME": str(folder / "home")},
            directory=folder,
            keep_stdin=True,
        )

    def wait_ready(self) -> None:
        """Tell it to use files, and wait until it is registered."""
        settings = self.settings
        self.wait_for_port(settings.port)
        for line in ("soundcard use files", "play says.wav", "record hears.wav"):
            self.say(line)
        self.say(f"register sip:{settings.login}@{settings.domain} sip:{settings.proxy} {settings.password}")
        self.wait_for(r"to \[LinphoneRegistrationOk\]")  # the console says nothing of it

    def text(self) -> str:
        """Return what its console has said, and its own log."""
        debug = self._folder / "linphone-debug.log"
        return super().text() + (debug.read_text(errors="replace") if debug.exists() else "")

    def say(self, line: str) -> None:
        """Type a command of its console."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{line}\n".encode())
        self._child.stdin.flush()

    def dial(self, uri: str) -> None:
        """Call the URI."""
        self.say(f"call {uri}")

    def hang_up(self) -> None:
        """End the current call."""
        self.say("terminate")

    def wait_streams(self, count: int = 1, timeout_s: float = 20) -> None:
        """Wait until media has been set up so many times."""
        self.wait_for(rf"(?s)(Media streams established.*){{{count}}}", timeout_s)

    def wait_ended(self, timeout_s: float = 20) -> None:
        """Wait until a call is over."""
        self.wait_for(r"Call \d with .* ended \(", timeout_s)

    def heard(self) -> tuple[Samples, int]:
        """Return the record of what arrived, and its rate."""
        return read_wav(self._folder / "hears.wav")
