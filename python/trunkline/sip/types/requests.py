"""What the application tells the user agent: settings, accounts, calls to make; and the ids that it gets back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from trunkline.sip.types.paths import Hop, Transport

RegistrationId = NewType("RegistrationId", int)
"""One outgoing registration, from `register` until `Unregistered` or for as long as it keeps failing."""

InviteId = NewType("InviteId", int)
"""One INVITE usage, inbound or outbound, with all its early dialogs and the one that is confirmed."""

ProbeId = NewType("ProbeId", int)
"""One question to a server whether it is there, until `Probed`."""

ReferId = NewType("ReferId", int)
"""One REFER, ours or the peer's, until its outcome is known."""

RequestId = NewType("RequestId", int)
"""One request of ours outside any dialog, until `RequestAnswered`."""

MessageId = NewType("MessageId", int)
"""One MESSAGE of ours, until it is answered."""

IncomingRequestId = NewType("IncomingRequestId", int)
"""One request outside any dialog that waits for `respond`."""

HeaderFields = tuple[tuple[str, str], ...]
"""Header names and unfolded values, in order."""


class ContactPolicy(StrEnum):
    """When requests to a peer without a proxy go where it was heard rather than where its Contact says.

    On a connection that the Contact's host has opened, and on every WebSocket, they do in any case.
    """

    NEVER = "never"
    PRIVATE = "private"
    """The Contact is a private address, or `.invalid`, and the peer is on the Internet: it is behind a NAT."""
    ALWAYS = "always"


class Reliability(StrEnum):
    """Which provisional responses of ours are sent reliably (RFC 3262), to peers that can take it."""

    REQUIRED = "required"
    """Only where the caller demands it."""
    DESCRIBED = "described"
    """Those with a session description besides: early media does not depend on luck."""
    ALWAYS = "always"


class EarlyMedia(StrEnum):
    """Whose session description `InviteProgress` carries when a proxy has forked the call.   RFC 3960."""

    NEWEST = "newest"
    FIRST = "first"
    NONE = "none"
    """Nobody's: the caller hears what its own side makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UaConfig:
    """Settings of one user agent; times in seconds.

    advertised_host: host of Via and Contact; None means the local address of the path to the peer.
    t1_s, t2_s, t4_s: round-trip estimate, retransmission ceiling, time a message lives in the network (RFC 3261
    table 4). ring_limit_s: an INVITE without a final answer ends after this long. refresh_fraction: the part of the
    granted expiry after which a registration is refreshed. retry_min_s, retry_max_s: bounds of the back-off after a
    failed registration. max_transactions: requests from outside are answered 503 above this many. contact_policy: what
    is done about Contacts of peers behind a NAT. failover_s: a server that gives no sign of life for so long is left
    for the next one, where there is a next one. udp_keep_alive_s: longest silence towards a registrar over UDP, where
    it names none itself; 0 for no keep-alives.
    reliable_provisionals: which of ours a peer that can is to acknowledge. early_media: whose description a caller's
    progress reports carry. session_expires_s: how long a session is to last without a refresh, 0 to ask for no session
    timer; session_least_s: the least that we take (RFC 4028 wants 90 at least). offers_aliases: servers that we call
    by TLS may call us on the same connection (RFC 5923); for a user agent that listens for TLS.
    """

    user_agent: str = "Trunkline"
    advertised_host: str | None = None
    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0
    ring_limit_s: float = 180.0
    refresh_fraction: float = 0.8
    retry_min_s: float = 5.0
    retry_max_s: float = 300.0
    max_transactions: int = 20_000
    contact_policy: ContactPolicy = ContactPolicy.PRIVATE
    failover_s: float = 4.0
    udp_keep_alive_s: float = 29.0
    reliable_provisionals: Reliability = Reliability.DESCRIBED
    early_media: EarlyMedia = EarlyMedia.NEWEST
    session_expires_s: int = 1_800
    session_least_s: int = 90
    offers_aliases: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user's account at a SIP server.

    login: user part of the address of record. authentication_name: digest user name when it differs from login.
    transport: None leaves it to the DNS (RFC 3263), and to UDP where that says nothing.
    outbound_proxy: host to send to instead of domain; `port` belongs to whichever of the two is used.
    """

    login: str
    password: str
    domain: str
    authentication_name: str | None = None
    outbound_proxy: str | None = None
    port: int | None = None
    transport: Transport | None = None
    display_name: str | None = None

    def __repr__(self) -> str:
        return f"Account({self.login}@{self.domain})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who calls, told to a trusted peer beside From.   RFC 3325, RFC 3323.

    asserted: URI for P-Asserted-Identity, what we know; preferred: URI for P-Preferred-Identity, what we ask a proxy to
    assert. privacy: words of Privacy (`id`, `user`, `header`, `none`). is_anonymous: From then names nobody.
    """

    asserted: str | None = None
    preferred: str | None = None
    privacy: tuple[str, ...] = ()
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteRequest:
    """An outbound call as the application asks for it.

    target_uri: a SIP URI, or a bare user part or number that is completed with the account's domain.
    sdp: the offer; None leaves it to the far side (a late offer), and its answer is then asked for. account: whose
    identity and credentials to use; without one, `caller` is the user part of From and nothing is ever authenticated.
    extra_headers: refused with `LocalProtocolError` if they hold CR, LF or NUL or name a header that the user agent
    owns. from_uri: what From names in the place of either, for a server that takes calls of many callers. replaces: the
    dialog to take the place of, as `ReferReceived.replaces` gave it (RFC 3891). identity: what
    else is said of the caller. max_forwards, max_breadth: of a call that we pass on, one hop less than it came with, so
    that a loop through us ends (RFC 3261 section 20.22, RFC 5393 section 5); loop_key: of that call's
    `IncomingInvite`, by which it is known if it comes again unchanged. silence_s: give up with 408 if the last
    server to ask gives no sign of life for so long; None leaves it all the time of the protocol (64*T1). hop: where it
    goes, whatever the target: a proxy, or the flow of a peer that nobody else can reach. routes: preloaded, the first
    of them first. credentials: Authorization and Proxy-Authorization as the caller itself has sent them, for a server
    that knows it and not us.
    """

    target_uri: str
    sdp: str | None
    account: Account | None = None
    display_name: str | None = None
    caller: str | None = None
    from_uri: str | None = None
    extra_headers: HeaderFields = ()
    replaces: str | None = None
    identity: Identity | None = None
    max_forwards: int = 70
    max_breadth: int | None = None
    loop_key: str = ""
    silence_s: float | None = None
    hop: Hop | None = None
    routes: tuple[str, ...] = ()
    credentials: HeaderFields = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """A REGISTER that we pass on for somebody else, whose credentials are in it as they came.

    uri: the registrar's domain, Request-URI. aor: of From and To. contact_user: user part of our Contact, which stands
    for theirs; None is `*`, all bindings. contact_parameters: of it. expires_s: None leaves it to the registrar.
    sip_call_id, cseq: of the series that it belongs to (RFC 3261 section 10.2). hop: where it goes. credentials: as in
    `InviteRequest`.
    """

    uri: str
    aor: str
    contact_user: str | None
    expires_s: int | None
    sip_call_id: str
    cseq: int
    hop: Hop
    credentials: HeaderFields = ()
    contact_parameters: HeaderFields = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferRequest:
    """A transfer as the application asks a peer for it.   RFC 3515, 3891.

    Blind: target_uri, a SIP or tel URI. Attended: replaces, another call of ours, confirmed, whose far side is to be
    called and whose dialog the new one takes the place of; target_uri is then its remote target unless given.
    referred_by: URI of who asks for it (RFC 3892), our own address of the dialog if None. is_watched: False asks the
    peer for no NOTIFYs (RFC 4488); nothing but `ReferAnswered` comes then.
    """

    target_uri: str | None = None
    replaces: InviteId | None = None
    referred_by: str | None = None
    is_watched: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A text for somebody.   RFC 3428.

    content_type: one of `messaging.ACCEPTED`. within: a call whose far side is to get it, in its dialog; without one,
    target_uri says who, and that and what follows mean what they do in `InviteRequest`.
    """

    text: str
    content_type: str = "text/plain"
    within: InviteId | None = None
    target_uri: str = ""
    account: Account | None = None
    caller: str | None = None
    display_name: str | None = None
    from_uri: str | None = None
    extra_headers: HeaderFields = ()
    identity: Identity | None = None
    max_forwards: int = 70
    hop: Hop | None = None
    routes: tuple[str, ...] = ()
    credentials: HeaderFields = ()
