"""The settings of our side of SIP.

Owns names, units, defaults and ranges; must not open sockets or look up addresses.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from trunkline.config.section import Port, Section

SrtpSuiteName = Literal[
    "AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_32",
]


class SipConfig(Section):
    """Our side of SIP."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  phones and trunks come from the network
        description="Address to bind for UDP and TCP. Name one address on a host with several.",
    )
    port: Port = Field(default=5060, description="UDP and TCP port. 0 takes any free one.")
    udp: bool = Field(default=True, description="Listen and send by UDP.")
    tcp: bool = Field(default=True, description="Listen and send by TCP.")
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
    max_tcp_connections: int = Field(
        default=1024,
        ge=1,
        le=65_536,
        description="TCP connections taken at once; further ones are closed at accept. Ours to peers do not count.",
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
        if not (self.udp or self.tcp):
            msg = "udp and tcp cannot both be off"
            raise ValueError(msg)
        return self
