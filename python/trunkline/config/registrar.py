"""The settings of pages that speak SIP over WebSocket themselves: who they are, and who knows their passwords.

Owns names, units, defaults and ranges; must not open sockets or look up addresses.
"""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from trunkline.config.section import Port, Section

_LOGIN = r"^[^\x00-\x20\x7f<>\"@:;,?/]{1,128}$"


class PageAccountConfig(Section):
    """An account at a SIP server: its calls go out by it, and it is registered while one of the user's pages is."""

    login: str = Field(pattern=_LOGIN, description="User part of its address.")
    password: SecretStr = Field(description="Its password.")
    domain: str = Field(min_length=1, max_length=255, description="Its domain, or the server's address.")
    authentication_name: str | None = Field(default=None, description="Digest user name. Default: `login`.")
    outbound_proxy: str | None = Field(default=None, description="Host to send to instead of `domain`.")
    port: Port | None = Field(default=None, description="Port of `domain` or `outbound_proxy`. Default: from the DNS.")
    transport: Literal["udp", "tcp", "tls"] | None = Field(default=None, description="Default: from the DNS, else UDP.")


class PageUserConfig(Section):
    """A user whose pages register here."""

    login: str = Field(pattern=_LOGIN, description="User part of the address that the page registers.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    ha1: SecretStr | None = Field(
        default=None,
        description="In the place of `password`: the MD5 of `login:realm:password` as 32 hexadecimal digits, so that "
        "no password stands in the file.",
    )
    display_name: str = Field(default="", max_length=128, description="Name that its calls show if the page says none.")
    account: PageAccountConfig | None = Field(
        default=None,
        description="Account at a SIP server for calls beyond this gateway's own pages. Default: none; "
        "they go over trunks then, by the rules of `routing.outbound`.",
    )

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.password is None) == (self.ha1 is None):
            msg = "either password or ha1 is needed"
            raise ValueError(msg)
        ha1 = "" if self.ha1 is None else self.ha1.get_secret_value()
        if self.ha1 is not None and (len(ha1) != 32 or set(ha1.lower()) - set("0123456789abcdef")):
            msg = "ha1 is 32 hexadecimal digits"
            raise ValueError(msg)
        return self


class UpstreamConfig(Section):
    """The SIP server behind us, which knows the users: what a page that is not in `users` registers at and calls by."""

    host: str = Field(min_length=1, max_length=255, description="Name or address of the server.")
    port: Port | None = Field(default=None, description="Its port. Default: from the DNS, else 5060 or 5061.")
    transport: Literal["udp", "tcp", "tls"] | None = Field(default=None, description="Default: from the DNS, else UDP.")


class RegistrarConfig(Section):
    """Pages that register by SIP over WebSocket (`sip.ws_port`, `sip.wss_port`). Without users and upstream, none."""

    realm: str = Field(
        default="trunkline",
        min_length=1,
        max_length=128,
        pattern=r"^[^\x00-\x1f\"\\\\]+$",
        description="Realm of the challenges; part of every `ha1`.",
    )
    algorithms: tuple[Literal["SHA-512-256", "SHA-256", "MD5"], ...] = Field(
        default=("MD5",),
        min_length=1,
        description="Digest algorithms asked for, best first. JsSIP and SIP.js know MD5 alone, and look at the first "
        "challenge only; use WSS.",
    )
    users: tuple[PageUserConfig, ...] = Field(
        default=(), max_length=100_000, description="Users that this node knows itself."
    )
    upstream: UpstreamConfig | None = Field(
        default=None,
        description="Where everybody else is known. Their pages keep address and password; only their WebSocket's URL "
        "changes. Default: nowhere.",
    )
    min_expires_s: int = Field(
        default=60, ge=10, le=3_600, description="Shorter registrations are refused with 423, which pages mend at once."
    )
    max_expires_s: int = Field(
        default=3_600,
        ge=60,
        le=86_400,
        description="Longer ones are granted this much. A page that closes is forgotten at once.",
    )
    max_contacts: int = Field(default=10, ge=1, le=100, description="Pages of one user at once; more are refused, 403.")
    max_bindings: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Pages of all users at once; more are refused, 503."
    )
    reconnect_s: float = Field(
        default=20.0,
        ge=0,
        le=300,
        description="Seconds that an answered call waits for its page to connect and register anew after its WebSocket "
        "was lost; its audio goes on meanwhile. 0 ends it at once.",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.min_expires_s > self.max_expires_s:
            msg = "min_expires_s is above max_expires_s"
            raise ValueError(msg)
        if len({user.login for user in self.users}) != len(self.users):
            msg = "two users have the same login"
            raise ValueError(msg)
        if any(user.ha1 is not None for user in self.users) and "MD5" not in self.algorithms:
            msg = "ha1 needs MD5 among the algorithms"
            raise ValueError(msg)
        return self
