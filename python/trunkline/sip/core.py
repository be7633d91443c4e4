"""What all machines of one user agent share: queues out, timers, transactions, routes, dialogs, random tokens.

Owns no protocol rule of its own but one: how our Via and Contact name us.   RFC 3261 sections 8.1.1, 18.1.1; RFC 3581.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2s
from itertools import count
from random import Random
from typing import Protocol

from trunkline.sip.dialog import Dialog, DialogId
from trunkline.sip.finding.outages import Outages
from trunkline.sip.headers import NameAddr, Parameters, Replaces, SipUri, Uri, Via
from trunkline.sip.message import Request, Response
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction import BRANCH_COOKIE, CancelUser, ServerTransaction, ServerUser, Timing, TransactionLayer
from trunkline.sip.types import (
    Alias,
    ContactPolicy,
    Event,
    HeaderFields,
    Hop,
    InviteId,
    Path,
    ReferId,
    RouteQuery,
    Transport,
    UaConfig,
)

METHODS = (
    *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "PRACK", "UPDATE"),
    *("REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE"),
)
"""What every user agent of ours takes."""
KNOWN_METHODS = frozenset((*METHODS, "REGISTER", "PUBLISH"))
"""Methods that are refused with 405 rather than 501 where we do not take them."""
OPTION_TAGS: tuple[str, ...] = ("100rel", "timer", "replaces", "norefersub")
"""Extensions that a peer may require of us (Supported)."""

RoutesReady = Callable[[float, Sequence[Path]], None]


class DialogOwner(CancelUser, Protocol):
    """The usage to which a dialog's requests go."""

    @property
    def call(self) -> InviteId | None:
        """The call that lives in the dialog; None if only its end does."""

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Answer a request within the dialog."""

    def handle_ack(self, now: float, request: Request) -> None:
        """Take the ACK of a 2xx."""


class Referral(Protocol):
    """A REFER of a peer's, until it is over."""

    def answer(self, now: float, status: int, reason: str | None) -> None:
        """Accept or refuse it."""

    def notify(self, now: float, status: int, reason: str | None) -> None:
        """Tell the peer how the new call is going."""


_TRANSPORTS = {transport.value: transport for transport in Transport}


def hop_of(uri: Uri, *, transport: Transport | None = None) -> Hop | None:
    """Say where a request to this URI goes, None if by no way that we speak.   RFC 3263 section 4.

    transport: used where the URI names none.
    """
    if not isinstance(uri, SipUri):
        return None
    named, is_secure = uri.parameter("transport"), uri.scheme == "sips"
    chosen = _TRANSPORTS.get(named.lower()) if named else transport
    if named and chosen is None:
        return None
    if is_secure and chosen is not None:
        chosen = chosen.secured
        if chosen is None:
            return None
    return Hop(uri.parameter("maddr") or uri.host, uri.port, chosen, is_secure)


def _is_behind_nat(uri: Uri, source: str) -> bool:
    """Whether a Contact cannot be reached from here: `.invalid`, or a private address of somebody on the Internet."""
    if not isinstance(uri, SipUri):
        return True
    if uri.host.lower().endswith(".invalid"):
        return True
    return _is_global(source) is True and _is_global(uri.host) is False


@lru_cache(maxsize=1_024)
def _is_global(host: str) -> bool | None:
    """Whether an IP literal belongs to the Internet; None for a name."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return None


def _take_no_message(now: float, transaction: ServerTransaction, contact_user: str, call: InviteId) -> None:
    raise AssertionError("the reception of requests takes messages")


class Core:
    """Shared state of one user agent."""

    def __init__(self, config: UaConfig, rng: Random, user: ServerUser, accept_methods: frozenset[str]) -> None:
        self.config = config
        self.allowed_methods = (*METHODS, *sorted(accept_methods - set(METHODS)))
        self.capabilities: HeaderFields = (
            ("Allow", ", ".join(self.allowed_methods)),
            ("Supported", ", ".join(OPTION_TAGS)),
        )
        """Allow and Supported.   RFC 3261 section 20.5, 20.37."""
        self._for_application = accept_methods
        self.rng = rng
        self.timers = TimerQueue()
        self.timing = Timing(config.t1_s, config.t2_s, config.t4_s)
        self.transactions = TransactionLayer(self.timing, self.timers, user)
        self.events: deque[Event] = deque()
        self.queries: deque[RouteQuery] = deque()
        self.aliases: deque[Alias] = deque()
        self.dialogs: dict[DialogId, DialogOwner] = {}
        self.counters: Counter[str] = Counter()
        self.outages = Outages()
        self.take_message: Callable[[float, ServerTransaction, str, InviteId], None] = _take_no_message
        """Takes a MESSAGE within a dialog: transaction, user part of our Contact there, call."""
        self.referrals: dict[ReferId, Referral] = {}
        self._waiting: dict[int, RoutesReady] = {}
        self._ids = count(1)
        self._secret = rng.randbytes(32)
        self._query_ids = count(1)

    @property
    def time_limit_s(self) -> float:
        """64*T1: how long the protocol waits for anything."""
        return 64 * self.config.t1_s

    def new_id(self) -> int:
        """Return a number for a call, a transfer, a request or a registration."""
        return next(self._ids)

    def token(self) -> str:
        """Return 80 random bits as text, for tags, branches and Call-IDs."""
        return f"{self.rng.getrandbits(80):020x}"

    def is_for_application(self, method: str) -> bool:
        """Whether the application takes this method outside dialogs."""
        return method in self._for_application

    def call_of(self, replaces: Replaces) -> InviteId | None:
        """Find the call whose dialog is named, None if it is none of ours.   RFC 3891 section 3."""
        owner = self.dialogs.get((replaces.sip_call_id, replaces.to_tag, replaces.from_tag))
        return None if owner is None else owner.call

    @property
    def is_quiet(self) -> bool:
        """Whether no dialog lives and nothing of ours waits for an answer."""
        return not self.dialogs and not self.referrals and not self._waiting and self.transactions.is_quiet

    def response(
        self, request: Request, status: int, reason: str | None = None, *, to_tag: str | None = None
    ) -> Response:
        """Build a response of ours; a To tag is made where there is none and none is given."""
        response = request.response(status, reason, to_tag=to_tag or self.token)
        response.headers.add("Server", self.config.user_agent)
        if status == 405:
            response.headers.add("Allow", ", ".join(self.allowed_methods))
        return response

    def emit(self, event: Event) -> None:
        """Queue an event for the application."""
        self.events.append(event)

    # --- routes ---

    def ask_routes(self, hop: Hop, ready: RoutesReady, *, size_bytes: int = 0) -> int:
        """Ask the shell for paths to a hop; `ready` gets them later, or never if `drop_query` is called.

        size_bytes: about how long the message will be.
        """
        query = RouteQuery(next(self._query_ids), hop, size_bytes)
        self._waiting[query.id] = ready
        self.queries.append(query)
        return query.id

    def drop_query(self, query: int) -> None:
        """Forget a question; a late answer is ignored."""
        self._waiting.pop(query, None)

    def handle_routes(self, now: float, query: int, paths: Sequence[Path]) -> None:
        """Pass the shell's answer on."""
        ready = self._waiting.pop(query, None)
        if ready is not None:
            ready(now, paths)

    def hop_within(self, dialog: Dialog) -> Hop | None:
        """Say where a request of a dialog goes: by its routes, its flow, or to its remote target.

        A peer without a proxy before it is answered on the connection that it opened, and past a NAT (`UaConfig`).
        What runs under TLS stays there. RFC 3261 section 12.2.1.1; RFC 5626 section 5.3; RFC 7118 section 5.
        """
        hop, flow = hop_of(dialog.next_uri), dialog.flow
        if hop is not None and hop.transport is Transport.WS and flow is not None and flow.transport.is_secure:
            hop = replace(hop, transport=Transport.WSS)  # a URI says `ws` for both, as Record-Route of a proxy does
        if dialog.route_set or flow is None:
            return hop
        target, source, policy = dialog.remote_target, flow.remote[0], self.config.contact_policy
        is_wanted = (
            policy is ContactPolicy.ALWAYS
            or flow.transport.is_websocket
            or (flow.transport.is_reliable and isinstance(target, SipUri) and target.host == source)
            or (policy is ContactPolicy.PRIVATE and _is_behind_nat(target, source))
        )
        if not is_wanted:
            return hop
        return replace(hop or Hop(flow.remote[0], flow.remote[1], flow.transport), flow=flow)

    # --- our own address ---

    def via(self, path: Path, *, loop_key: str = "") -> Via:
        """Make the Via of a new request on this path. loop_key: of the call that we pass on by it (`has_been_here`)."""
        host = self.config.advertised_host or path.local[0]
        mark = f"-{self._loop_mark(loop_key)}" if loop_key else ""
        parameters: Parameters = (("rport", None), ("branch", f"{BRANCH_COOKIE}{self.token()}{mark}"))
        if path.transport is Transport.TLS and self.config.offers_aliases:
            parameters = (*parameters, ("alias", None))
        return Via(path.transport.upper(), host.strip("[]"), path.local[1], parameters)

    def has_been_here(self, request: Request, loop_key: str) -> bool:
        """Whether a call that came with the same key was passed on by us, and this is it again.

        RFC 5393 section 4.2: the key is what our routing looks at, and a Via of ours carries its mark in the branch. A
        call that comes back changed is a spiral, and welcome.
        """
        mark = f"-{self._loop_mark(loop_key)}"
        return any((via.branch or "").endswith(mark) for via in request.vias)

    def _loop_mark(self, loop_key: str) -> str:
        """Nobody else can make it, so that nobody can have our calls refused as loops."""
        return blake2s(loop_key.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8).hexdigest()

    def contact(self, path: Path, user: str | None, *, is_outbound: bool = False) -> NameAddr:
        """Make our Contact for peers on this path.

        is_outbound: requests to it are to come by the way on which we registered (RFC 5626 section 4.3).
        """
        uri = SipUri.of(user, self.config.advertised_host or path.local[0], path.local[1])
        if path.transport is not Transport.UDP:
            uri = uri.with_parameter("transport", path.transport.uri_name)
        return NameAddr(uri.with_parameter("ob", None) if is_outbound else uri)
