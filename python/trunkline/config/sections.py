"""The sections of the settings but SIP's, as frozen models.

Owns the names, units, defaults and ranges of every setting. Must not open sockets or look up addresses: an empty
advertised address is filled in by whoever binds.
"""

import platform
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from trunkline.config.section import Network, Port, Section
from trunkline.dtmf import DtmfMode

AudioCodecName = Literal[
    "opus",
    "PCMU",
    "PCMA",
    "G722",
    "G729",
    "speex/8000",
    "speex/16000",
    "L16/8000",
    "L16/16000",
    "L16/44100",
    "L16/48000",
]


class NodeConfig(Section):
    """Which node this is."""

    name: str = Field(
        default_factory=lambda: platform.node() or "trunkline",
        min_length=1,
        max_length=64,
        description="Name of this node in log lines and call objects. Default: the host name. Change it when several "
        "nodes share a host.",
    )


class TlsConfig(Section):
    """Certificate of the HTTPS and WSS ports; one is made at start if no files are named."""

    certificate: Path | None = Field(
        default=None,
        description="PEM file with the certificate chain. Default: none, a self-signed one is made at start. Browsers "
        "give no microphone to a page without a certificate they trust, except on localhost.",
    )
    key: Path | None = Field(default=None, description="PEM file with the private key; needed with `certificate`.")
    names: tuple[str, ...] = Field(
        default=("localhost",),
        min_length=1,
        description="DNS names and IP addresses in the self-signed certificate. Unused when files are given.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            msg = "certificate and key must be given together"
            raise ValueError(msg)
        return self


class HttpConfig(Section):
    """Pages, REST and WebSocket: every port serves all three."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  a gateway serves its network
        description="Address to bind. Default: every IPv4 address. Use 127.0.0.1 behind a reverse proxy.",
    )
    port: Port = Field(default=8080, description="Main port, plain HTTP and WS. 0 takes any free one.")
    extra_ports: tuple[Port, ...] = Field(
        default=(),
        description="More plain ports. WCS's own layout is `port = 8080`, `extra_ports = [8081]`, "
        "`tls_ports = [8443, 8444]`.",
    )
    tls_ports: tuple[Port, ...] = Field(default=(), description="HTTPS and WSS ports. Default: none.")
    tls: TlsConfig = TlsConfig()
    allowed_origins: tuple[str, ...] = Field(
        default=("*",),
        description="Values of Origin that may open a WebSocket or call REST from a page; `*` is any. Name your own "
        "sites to keep others' pages from using this gateway.",
    )
    rest_login: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[^:\x00-\x1f]+$",
        description="HTTP Basic user of the REST API. Default: none, REST is open to whoever reaches the port, as with "
        "WCS. Set it, and use HTTPS, where others can reach it.",
    )
    rest_password: SecretStr | None = Field(
        default=None, description="HTTP Basic password of the REST API; needed with `rest_login`."
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        max_length=1_000,
        description="Reverse proxies before this node, as addresses or networks, whose X-Forwarded-For is believed. "
        "Default: none. Name yours: wrong passwords are counted by address, and all its clients would share one.",
    )
    max_sockets: int = Field(
        default=2000,
        ge=1,
        le=100_000,
        description="WebSockets open at once; a further one is closed with code 1013. Each costs a descriptor and some "
        "ten kilobytes.",
    )
    connect_timeout_s: float = Field(
        default=10.0,
        ge=1,
        le=300,
        description="Seconds for a browser to send `connection` after its WebSocket opened.",
    )
    request_timeout_s: int = Field(
        default=10,
        ge=1,
        le=300,
        description="Seconds for an HTTP request to arrive whole, counted from the opening of its connection or from "
        "the request before it.",
    )
    max_frame_bytes: int = Field(
        default=65_536,
        ge=16_384,
        le=1_048_576,
        description="Longest WebSocket frame taken, in bytes; a longer one closes the socket. An offer with video is "
        "about 8,000 bytes.",
    )
    send_queue_frames: int = Field(
        default=256,
        ge=16,
        le=65_536,
        description="Frames that may wait for a slow reader before its socket is closed. Bounds the memory it costs.",
    )
    ping_interval_s: float = Field(
        default=20.0,
        ge=1,
        le=3600,
        description="Seconds between our `ping` frames. Shorter finds a vanished browser sooner.",
    )
    idle_timeout_s: float = Field(
        default=60.0,
        ge=2,
        le=86_400,
        description="Seconds without any frame after which a socket is closed. Keep it above two ping intervals.",
    )

    @model_validator(mode="after")
    def _whole_credentials(self) -> Self:
        if (self.rest_login is None) != (self.rest_password is None):
            msg = "rest_login and rest_password must be given together"
            raise ValueError(msg)
        return self


class MediaConfig(Section):
    """The media plane. Becomes the Rust side's `EngineConfig`."""

    workers: int = Field(
        default=0, ge=0, le=256, description="Worker threads. 0 is one per core. Fewer leaves cores to other programs."
    )
    webrtc_host: str = Field(
        default="0.0.0.0",  # noqa: S104  browsers come from the network
        description="Address to bind for browsers' media.",
    )
    webrtc_port: Port = Field(
        default=0,
        description="UDP port of the first worker for browsers' media; each further worker takes the next one. 0 takes "
        "any free ones. Fix it when a firewall stands before the node.",
    )
    webrtc_advertised: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="IP addresses in our ICE candidates. Default: the bound address, or every local one if that is a "
        "wildcard. Set the public address behind a 1:1 NAT.",
    )
    rtp_host: str = Field(
        default="0.0.0.0",  # noqa: S104  phones and trunks come from the network
        description="Address to bind for the SIP side's RTP.",
    )
    rtp_port_min: int = Field(
        default=31_000, ge=1024, le=65_534, description="First port for the SIP side's RTP, inclusive."
    )
    rtp_port_max: int = Field(
        default=31_999,
        ge=1025,
        le=65_535,
        description="Last port for the SIP side's RTP, inclusive. A call takes two; freed ones rest, so allow for "
        "`port_quarantine_s` of new calls on top.",
    )
    rtp_advertised: tuple[str, ...] = Field(
        default=(),
        max_length=2,
        description="IP addresses in the SDP that SIP peers get, one of each family: a peer is told the one of its "
        "own. Default: the bound address, or the main local ones if that is a wildcard (`::` has both families). Set "
        "the public address behind a 1:1 NAT.",
    )
    port_quarantine_s: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="Seconds a freed port rests, so that a late packet of an old call cannot reach a new one.",
    )
    first_packet_s: float = Field(
        default=30.0,
        ge=0,
        le=86_400,
        description="Seconds from the answer (or from the end of a hold) until a leg's first RTP packet; a call with a "
        "leg that never sends ends then, as `no_media`. 0 gives it as long as `inactivity_s`. Lower it to free lines "
        "sooner; raise it for peers that begin to send late.",
    )
    inactivity_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="Seconds without RTP after which an answered call ends, as `media_inactive`. 0 never ends it.",
    )
    inactivity_hold_s: float = Field(
        default=1_800.0,
        ge=0,
        le=86_400,
        description="Seconds without RTP or RTCP after which a call on hold ends, by either side. 0 never ends it.",
    )
    ice_consent_s: float = Field(
        default=30.0,
        ge=5,
        le=600,
        description="Seconds without a valid check from the browser after which its leg is gone (RFC 7675: 30).",
    )
    dtls_timeout_s: float = Field(
        default=15.0,
        ge=1,
        le=120,
        description="Seconds for ICE and DTLS to complete, from the moment the browser's description is known.",
    )
    clip_memory_mb: int = Field(
        default=256,
        ge=16,
        le=65_536,
        description="MiB of decoded audio files (prompts, music on hold) that may be in memory, whoever plays them; a "
        "minute takes 2.8. Raise it when plays are refused for want of memory.",
    )
    opus_complexity: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Effort of the Opus encoder: less saves CPU, higher sounds better, mostly too little to be heard. "
        "By default 0 beside codecs of 8 kHz, 2 beside those of 16 kHz or to protect against loss, and 5 above.",
    )
    opus_bitrate_bps: int = Field(
        default=24_000,
        ge=6_000,
        le=128_000,
        description="Bits a second that the Opus encoder aims at, and that far sides are asked for whose Opus is "
        "transcoded. What is passed through is as the two sides agree.",
    )
    pin_workers: bool = Field(
        default=False,
        description="Keep each worker on a core of its own. Set it where nothing else runs on those cores: packets "
        "then find warm caches, but a worker cannot move away from a core that another program takes.",
    )
    dscp: int = Field(
        default=46,
        ge=0,
        le=63,
        description="Class of the media that we send (DSCP, RFC 2474). 46 is expedited forwarding, which networks that "
        "honour it carry first; 0 is best effort, for networks that drop or rewrite what is marked.",
    )
    longest_pause_us: int = Field(
        default=1_200,
        ge=0,
        le=10_000,
        description="Microseconds that a busy worker may sleep on although packets arrive, so that one wake-up takes "
        "many. Half of the pause is added to a packet's way on average. Pauses get shorter as the load rises, and "
        "there are none when there is little to do. 0 never waits: the least delay, at several times the CPU.",
    )
    transcoding: bool = Field(
        default=True,
        description="Whether audio may be coded anew between two sides that share no codec. false saves that CPU: such "
        "calls fail with 488, and the rest are passed through. A trunk or a call may forbid it as well.",
    )
    web_codecs: tuple[AudioCodecName, ...] = Field(
        default=("opus", "PCMU", "PCMA"),
        min_length=1,
        description="Audio codecs for browsers, best first. A codec that the other side speaks goes before all others, "
        "then those that keep most of its sound at the least cost.",
    )
    sip_codecs: tuple[AudioCodecName, ...] = Field(
        default=("opus", "PCMU", "PCMA"),
        min_length=1,
        description="Audio codecs for SIP peers, best first, ordered as `web_codecs` are. Leave opus out for peers "
        "that choke on it; add G722 for phones with wide-band sound, and G729 for trunks that want 8 kbit/s. "
        "speex/16000 and speex/8000 (wide and narrow band) need libspeex on the node (Debian: `libspeex1`). "
        "L16/8000, L16/16000, L16/44100 and L16/48000 are plain samples, of 128 to 768 kbit/s: for studios, "
        "announcement servers and speech recognition in the same network.",
    )
    comfort_noise: bool = Field(
        default=True,
        description="Whether silence may be left out of PCMU, PCMA, G722 and L16/8000 and described by CN packets "
        "(RFC 3389) instead, both ways, on the SIP side: offered, and agreed to where a far side offers it, as some "
        "phones do. The other side is told of it if it takes CN as well, and else hears noise of that kind, as "
        "browsers do: agreed with them, it would let their voice detection cut into music. false is for peers whose "
        "voice detection clips speech, or that offer CN and choke on it.",
    )
    silence_suppression: bool = Field(
        default=False,
        description="Whether silence is looked for in audio that is transcoded into PCMU, PCMA, G722 or L16, and left "
        "out towards far sides that agreed to comfort noise (`comfort_noise`): packets with its level and colour "
        "(G.711 Appendix II) then go a few times a second instead of 50. true saves up to half of the bandwidth; "
        "false hears no pumping and spares the far side a change of noise. Audio that is passed through is never "
        "judged, nor is music that is played. Opus and G.729 have their own, by `usedtx` and `annexb`.",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.rtp_port_max <= self.rtp_port_min:
            msg = "rtp_port_max must be above rtp_port_min"
            raise ValueError(msg)
        return self


class CallsConfig(Section):
    """Limits of calls and their phases."""

    max_calls: int = Field(
        default=1000, ge=1, le=100_000, description="Live calls; a further one is refused with 503. Size it to the CPU."
    )
    ring_timeout_s: float = Field(
        default=60.0,
        ge=1,
        le=600,
        description="Seconds that a callee may ring, either side, before the call ends as not answered.",
    )
    ring_step_s: float = Field(
        default=20.0,
        ge=1,
        le=600,
        description="Seconds that the pages of a user which registered with one `q` ring before those with the next "
        "lower one do in their place. Pages with the same `q`, or with none, ring together.",
    )
    setup_timeout_s: float = Field(
        default=180.0,
        ge=1,
        le=3600,
        description="Seconds from start to answer, whatever happens between (early media counts).",
    )
    max_duration_s: float = Field(
        default=43_200.0, ge=10, le=604_800, description="Seconds that an answered call may last."
    )
    drain_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds that calls may go on after SIGTERM or SIGINT while new ones are refused with 503, and "
        "`/health` says so with the same status; a second signal ends them at once. Give your supervisor a few seconds "
        "more before it kills.",
    )
    find_retention_s: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="Seconds that an ended call stays visible to REST `find`. Pollers want a few.",
    )
    dtmf: DtmfMode = Field(
        default=DtmfMode.AUTO,
        description="How digits travel on SIP legs, both ways. `auto`: telephone-events (RFC 4733) if the peer "
        "negotiates them, else SIP INFO if its Allow names that, else tones in the audio. `rfc4733`, `info` and "
        "`inband` are for peers that promise what they do not keep. INFO from a peer is taken in any case.",
    )
    incoming_transfers: Literal["follow", "ask", "refuse"] = Field(
        default="follow",
        description="What is done when a SIP party wants to transfer us (REFER): whom it names is called with the same "
        "account. `ask`: once a client has agreed (`acceptTransfer`, REST `accept_transfer`). `refuse`: never; choose "
        "it where calls cost money and parties are not trusted.",
    )
    sip_hold: Literal["relay", "music", "keep"] = Field(
        default="relay",
        description="What the other side of a call is told when a SIP side holds it by a re-INVITE, where that other "
        "side speaks SIP too: between trunks, and from a trunk to a page by SIP over WebSocket. `relay`: it is put on "
        "hold in the same way, and hears what the holder sends. `music`: it is put on hold and hears `hold_music`; for "
        "holders that send nothing. `keep`: it is not told; for peers that get re-INVITEs wrong.",
    )
    hold_music: Path | None = Field(
        default=None,
        description="Audio file (WAV, or Opus in Ogg) that a party hears over and over while it is on hold. Default: a "
        "soft tone every five seconds.",
    )
    player: Literal["silence", "tone"] = Field(
        default="silence",
        description="What a party hears that only REST has called, until somebody joins: silence, or 440 Hz.",
    )


class LogConfig(Section):
    """Log lines, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level written. `debug` shows messages, redacted."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`json` lines, coloured `console`, or `auto`: console on a terminal, else JSON."
    )


class DemoConfig(Section):
    """The built-in test phone and its registrar, on loopback."""

    enabled: bool = Field(default=False, description="Run it. `trunkline demo` turns it on.")
    host: str = Field(default="127.0.0.1", description="Address to bind. Keep it on loopback.")
    port: Port = Field(default=0, description="SIP port of the test phone, UDP. 0 takes any free one.")
    login: str = Field(
        default="demo", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="The demo account, shown on the Phone page."
    )
    password: SecretStr | None = Field(
        default=None, description="Its password. Default: a new random one at every start."
    )
    callback_delay_s: float = Field(
        default=3.0, ge=0.1, le=60, description="Seconds between the end of a call to `callme` and the call back."
    )
