"""The settings of our side of SIP.

Owns names, units, defaults and ranges; must not open sockets or look up addresses.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trunkline.config.registrar import RegistrarConfig
from trunkline.config.section import HeaderName, Port, Section

SrtpSuiteName = Literal[
    "AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_32",
]


class SipCertificate(Section):
    """One more certificate of ours."""

    certificate: Path = Field(description="File with the certificate chain.")
    key: Path = Field(description="File with the private key.")


class SipTlsConfig(Section):
    """TLS of SIP, both ways. The files are PEM; changed ones are used for new connections without a restart."""

    certificate: Path | None = Field(
        default=None,
        description="File with our certificate chain. Needed for `tls_port` and `wss_port`; also shown to servers that "
        "ask for one (mutual TLS).",
    )
    key: Path | None = Field(default=None, description="File with the private key; needed with `certificate`.")
    more: tuple[SipCertificate, ...] = Field(
        default=(),
        max_length=64,
        description="Certificates of further domains of ours, shown to peers that ask for a name in them (SNI). Needed "
        "where one node serves several domains that do not share a certificate.",
    )
    authorities: Path | None = Field(
        default=None,
        description="File with the certification authorities that we believe. Default: the system's. Name a carrier's "
        "private one here.",
    )
    verify_servers: bool = Field(
        default=True,
        description="Whether the certificate of a server that we call must be valid for its name. Turn it off for a "
        "server in your own closed network only: without it, whoever is in between can listen.",
    )
    require_client_certificate: bool = Field(
        default=False,
        description="Whether a peer that connects by TLS or WSS must show a certificate signed by `authorities`. Set "
        "it on a node that only trunks reach; browsers have none.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            msg = "certificate and key must be given together"
            raise ValueError(msg)
        if self.more and self.certificate is None:
            msg = "more certificates need a first one"
            raise ValueError(msg)
        return self


class SipConfig(Section):
    """Our side of SIP."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  phones and trunks come from the network
        description="Address to bind for all transports. Name one address on a host with several; `::` is IPv6.",
    )
    extra_hosts: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="More addresses to bind, each for all transports. `::` beside the default is IPv4 and IPv6.",
    )
    port: Port = Field(default=5060, description="UDP and TCP port. 0 takes any free one.")
    udp: bool = Field(default=True, description="Listen and send by UDP.")
    tcp: bool = Field(default=True, description="Listen and send by TCP.")
    tls_port: Port | None = Field(
        default=None,
        description="TLS port, 5061 by custom. Default: none. Calls to TLS servers work without it; they call back on "
        "the connection that registered. 0 takes any free one.",
    )
    ws_port: Port | None = Field(
        default=None,
        description="Port for SIP over WebSocket (RFC 7118), as JsSIP and SIP.js speak it. Default: none. Browsers "
        "take it only from pages without HTTPS; use `wss_port` elsewhere.",
    )
    wss_port: Port | None = Field(default=None, description="Port for SIP over secure WebSocket. Default: none.")
    ws_origins: tuple[str, ...] = Field(
        default=("*",),
        description="Values of Origin from which a SIP WebSocket is taken; `*` is any. Name your own sites to keep "
        "others' pages out.",
    )
    tls: SipTlsConfig = SipTlsConfig()
    registrar: RegistrarConfig = RegistrarConfig()
    advertised_host: str | None = Field(
        default=None,
        description="Address or name in our Via and Contact. Default: the local address towards each peer. Set it "
        "behind a 1:1 NAT.",
    )
    user_agent: str = Field(
        default="Trunkline",
        min_length=1,
        max_length=128,
        pattern=r"^[\x20-\x7e]+$",
        description="Text of User-Agent and Server headers.",
    )
    register_expires_s: int = Field(
        default=300,
        ge=60,
        le=86_400,
        description="Seconds of validity asked for in REGISTER; refreshed well before. Shorter heals sooner after a "
        "registrar's restart, longer loads it less.",
    )
    media_security: Literal["plain", "optional", "required", "sdes", "dtls"] = Field(
        default="optional",
        description="How media of SIP legs is protected. `plain`: RTP only. `optional`: SRTP with whoever can, RTP "
        "with the others; offers carry keys beside RTP/AVP (RFC 8643). `required`: SDES or DTLS-SRTP, offers ask for "
        "SDES; plain RTP is refused with 488. `sdes`, `dtls`: only that. SDES keys are as secret as the signalling is.",
    )
    srtp_suites: tuple[SrtpSuiteName, ...] = Field(
        default=(
            *("AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80"),
            *("AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_32"),
        ),
        min_length=1,
        description="Crypto suites of SDES that are taken, best first. Our offers carry the first three.",
    )
    dns_servers: tuple[str, ...] = Field(
        default=(),
        max_length=8,
        description="IP addresses of the name servers that are asked for SIP servers. Default: the system's, and "
        "/etc/hosts. Name a carrier's own where its servers stand in no public zone.",
    )
    failover_s: float = Field(
        default=4.0,
        ge=0.5,
        le=32,
        description="Seconds without any answer after which the next server of a domain is tried, if it has more than "
        "one. A silent one is then tried last for a minute.",
    )
    udp_max_bytes: int = Field(
        default=1300,
        ge=576,
        le=65_535,
        description="Longest request sent by UDP; a longer one goes by TCP if the server takes that (RFC 3261). Raise "
        "it in a network that carries fragments and has servers without TCP.",
    )
    headers_out: tuple[HeaderName, ...] = Field(
        default=(),
        max_length=64,
        description="Custom headers that clients may send (`sipHeaders`) with calls by an account. Trunks have theirs.",
    )
    headers_in: tuple[HeaderName, ...] = Field(
        default=(),
        max_length=64,
        description="Headers of calls to an account that its client is shown (`inviteParameters`).",
    )
    contact_policy: Literal["never", "private", "always"] = Field(
        default="private",
        description="When requests to a peer go where it was heard rather than where its Contact says. `private`: if "
        "the Contact is a private address and the peer is on the Internet. `never`, `always`: for networks where that "
        "guess is wrong. Connections that a peer opened are used in any case.",
    )
    reliable_provisionals: Literal["required", "described", "always"] = Field(
        default="described",
        description="Which of our provisional responses a caller that can is to acknowledge (100rel). `required`: "
        "where it demands that. `described`: those with early media besides. `always`: every one.",
    )
    early_media: Literal["newest", "first", "none"] = Field(
        default="newest",
        description="Whose early media is heard when a proxy lets several phones ring. `none`: nobody's; choose it for "
        "a network whose announcements confuse callers.",
    )
    session_expires_s: int = Field(
        default=1800,
        ge=0,
        le=86_400,
        description="Seconds after which a call that neither side refreshes is over (RFC 4028), where the peer knows "
        "session timers. Shorter finds calls earlier whose peer has died; 0 asks for no timer.",
    )
    max_tcp_connections: int = Field(
        default=1024,
        ge=1,
        le=65_536,
        description="TCP, TLS, WS and WSS connections taken at once; further ones are closed at accept. Ours to peers "
        "do not count.",
    )
    max_tcp_connections_per_host: int = Field(
        default=1024,
        ge=1,
        le=65_536,
        description="Of these, from one address. Lower it where no proxy and no office NAT stands before many users.",
    )
    keep_alive_s: float = Field(
        default=90.0,
        ge=5,
        le=3600,
        description="Seconds between signs of life on TCP and TLS connections that we opened and on every WebSocket. "
        "Shorter holds NATs open that forget quickly, and finds a dead peer sooner.",
    )
    udp_keep_alive_s: float = Field(
        default=29.0,
        ge=0,
        le=3600,
        description="Longest silence in seconds towards a registrar over UDP that names none itself (RFC 5626). "
        "Shorter holds NATs open that forget quickly; 0 sends no keep-alives.",
    )
    tcp_idle_s: float = Field(
        default=1800.0,
        ge=1,
        le=86_400,
        description="Seconds without a byte from the peer after which a TCP connection is closed. Servers call back on "
        "the connection that registered, so keep it above `register_expires_s`.",
    )

    @model_validator(mode="after")
    def _some_transport(self) -> Self:
        ports = (self.tls_port, self.ws_port, self.wss_port)
        if not (self.udp or self.tcp or any(port is not None for port in ports)):
            msg = "udp and tcp cannot both be off without another transport"
            raise ValueError(msg)
        if self.tls.certificate is None and (self.tls_port is not None or self.wss_port is not None):
            msg = "tls_port and wss_port need tls.certificate"
            raise ValueError(msg)
        return self
