"""One request as the UAC sees it: route, transaction, credentials, the next address, CANCEL.

Owns everything between "send this" and one final outcome. Credentials leave only on paths to the account's own server,
on requests that we began there.   RFC 3261 sections 8.1, 9.1, 22; RFC 3263 section 4.3 (next address).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trunkline.errors import SipParseError
from trunkline.sip.auth.digest import Attempt, Credentials
from trunkline.sip.core import Core
from trunkline.sip.headers import HeaderList, NameAddr, Parameters, SipUri, parse_number, plain_text
from trunkline.sip.message import Request, Response
from trunkline.sip.phrases import reason_phrase
from trunkline.sip.transaction import ClientTransaction, Failure, State
from trunkline.sip.types import Account, Address, HeaderFields, Hop, Path

_LIMIT = "limit"
_CANCEL = "cancel"
_NO_ROUTE = "no route"
_SILENCE = "silence"
_SHORT_REST_S = 5.0
_ADDED_BYTES = 250
"""Via, CSeq, Contact and User-Agent, roughly; credentials take as much again."""


class AccountAccess:
    """An account at its server: credentials, and the addresses that may see them.

    home: the server's hop. addresses: what `home` resolved to so far. service_routes: the way that its registrar wants
    our requests to take (RFC 3608). is_outbound: it wants requests of a dialog of ours to come by the way on which we
    registered (RFC 5626 section 4.3).
    """

    def __init__(self, core: Core, account: Account) -> None:
        server = SipUri.of(None, account.outbound_proxy or account.domain)  # an IPv6 literal loses its brackets
        self.account = account
        self.home = Hop(server.host, account.port, account.transport)
        self.credentials = Credentials(account.authentication_name or account.login, account.password, core.rng)
        self.addresses: set[Address] = set()
        self.service_routes: tuple[NameAddr, ...] = ()
        self.is_outbound = False

    def may_see(self, path: Path) -> bool:
        """Whether the far end of this path is the account's server."""
        return path.remote in self.addresses


def challenges_of(response: Response) -> HeaderFields:
    """Return WWW-Authenticate and Proxy-Authenticate of a response, for whoever has the password."""
    return tuple(
        (name, plain_text(value))
        for name in ("WWW-Authenticate", "Proxy-Authenticate")
        for value in response.headers.get_all(name)
    )


class ClientOwner(Protocol):
    """Who wants a request sent."""

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take a 1xx."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take a final response. A 2xx to INVITE comes once for each copy, and even after `handle_no_response`."""

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Learn that there will be no final response; the status is ours (408, 487, 503)."""


class _Nobody:
    """Whom a request reports to when nothing can come any more, so that the two do not keep each other alive."""

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Nothing."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Nothing."""

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Nothing."""


_NOBODY = _Nobody()


class ClientRequest:
    """Sends one request until it has an outcome.

    template: without Via, CSeq and Contact. hop: None if there is no way to send.
    contact_user: user part of our Contact, None for no Contact at all. contact_parameters: of that header. silence_s:
    how long the last address may give no sign of life before that is the outcome; None is all the time of the protocol.
    loop_key: of the call that is passed on by this request (`Core.has_been_here`).
    """

    def __init__(
        self,
        core: Core,
        owner: ClientOwner,
        template: Request,
        *,
        hop: Hop | None,
        next_cseq: Callable[[], int],
        contact_user: str | None = None,
        contact_parameters: Parameters = (),
        access: AccountAccess | None = None,
        silence_s: float | None = None,
        loop_key: str = "",
    ) -> None:
        self.sent: Request | None = None
        self.path: Path | None = None
        self._core = core
        self._owner = owner
        self._template = template
        self._hop = hop
        self._next_cseq = next_cseq
        self._contact_user = contact_user
        self._contact_parameters = contact_parameters
        self._access = access
        self._silence_s = silence_s
        self._loop_key = loop_key
        self._attempt = None if access is None else Attempt(access.credentials, template.method)
        self._query: int | None = None
        self._paths: list[Path] = []
        self._try: _Try | None = None
        self._living = 0
        """Transactions that have not terminated."""
        self._cseq = 0
        self._cancel_headers: HeaderFields | None = None
        self._is_cancel_sent = False
        self._is_done = False

    @property
    def method(self) -> str:
        """Method of the request."""
        return self._template.method

    @property
    def is_done(self) -> bool:
        """Whether the owner has had the outcome."""
        return self._is_done

    def start(self, now: float) -> None:
        """Find a route and send."""
        if self._hop is None:
            self._core.timers.set(self, _NO_ROUTE, now)
            return
        size_bytes = self._template.about_bytes + _ADDED_BYTES * (1 if self._access is None else 2)
        self._query = self._core.ask_routes(self._hop, self._handle_routes, size_bytes=size_bytes)
        if self.method == "INVITE":
            self._core.timers.set(self, _LIMIT, now + self._core.config.ring_limit_s)

    def cancel(self, now: float, headers: HeaderFields = ()) -> None:
        """Ask the far side to give an INVITE up: now, or as soon as it has shown that it got it.

        The outcome still comes: the 487, a 2xx that crossed, or `handle_no_response`. headers: for the CANCEL (Reason).
        """
        if self._is_done or self._cancel_headers is not None:
            return
        self._cancel_headers = headers
        if self._try is None:
            self._report(now, 487, reason_phrase(487))
        elif self._try.transaction.state is State.PROCEEDING:
            self._send_cancel(now)

    def handle_timer(self, now: float, name: str) -> None:
        """Run what is due.

        `limit`: nobody answered; `cancel`: not even the CANCEL brought a final response; `no route`: no hop; `silence`:
        this server gives no sign of life.
        """
        if name == _LIMIT:
            self.cancel(now)
            self._report(now, 408, reason_phrase(408))
        elif name == _NO_ROUTE:
            self._report(now, 503, "No way to send to this address")
        elif name == _SILENCE:
            self._leave_silent_server(now)
        elif self._try is not None:
            self._try.transaction.abandon(now)
            self._report(now, 487, reason_phrase(487))

    # --- sending ---

    def _handle_routes(self, now: float, paths: Sequence[Path]) -> None:
        self._query = None
        if not paths:
            self._report(now, 503, "Server address not found")
            return
        if self._access is not None and self._hop == self._access.home:
            self._access.addresses.update(path.remote for path in paths)
        self._paths = self._core.outages.sorted(now, paths)
        self._cseq = self._next_cseq()
        self._send(now)

    def _send(self, now: float) -> None:
        self.path = path = self._paths[0]
        request = self._template
        headers = request.headers.copy()
        headers.prepend_via(self._core.via(path, loop_key=self._loop_key))
        headers.add("CSeq", f"{self._cseq} {request.method}")
        if self._contact_user is not None:
            is_outbound = self._access is not None and self._access.is_outbound and request.method != "REGISTER"
            contact = self._core.contact(path, self._contact_user, is_outbound=is_outbound)
            headers.add("Contact", str(NameAddr(contact.uri, parameters=self._contact_parameters)))
        headers.add("User-Agent", self._core.config.user_agent)
        if self._access is not None and self._access.may_see(path):
            for name, value in self._access.credentials.headers(request.method, str(request.uri)):
                headers.add(name, value)
        self.sent = Request(request.method, request.uri, headers, request.body)
        self._try = _Try(self, self.sent, path)
        self._living += 1
        self._try.transaction = self._core.transactions.send_request(now, self.sent, path, self._try)
        if len(self._paths) > 1:
            self._core.timers.set(self, _SILENCE, now + self._core.config.failover_s)
        elif self._silence_s is not None:
            self._core.timers.set(self, _SILENCE, now + self._silence_s)

    def _leave_silent_server(self, now: float) -> None:
        """Try the next server, and end what the silent one may still do about our request when it wakes up."""
        assert self._try is not None
        if self._cancel_headers is None and not self._is_done and self._try.is_silent:
            self._core.outages.note(now, self._paths[0])
            del self._paths[0]
            if self._paths:
                self._send(now)
            else:
                self._try = None
                self._report(now, 408, reason_phrase(408))

    def _send_cancel(self, now: float) -> None:
        if self.sent is None or self.path is None or self._is_cancel_sent:
            return
        self._is_cancel_sent = True
        cancel = _cancel_of(self.sent, self._cancel_headers or (), self._core.config.user_agent)
        self._core.transactions.send_request(now, cancel, self.path, None)
        self._core.timers.set(self, _CANCEL, now + self._core.time_limit_s)

    # --- outcome ---

    def handle_try(self, now: float, attempt: _Try, response: Response) -> None:
        """Take what a transaction delivers."""
        if attempt is not self._try:
            self._handle_late(now, attempt, response)
            return
        self._core.timers.cancel(self, _SILENCE)
        if response.status < 200:
            if self._cancel_headers is not None:
                self._send_cancel(now)
            if not self._is_done:
                self._owner.handle_provisional(now, self, response)
        elif self._should_retry(response):
            self._cseq = self._next_cseq()
            self._send(now)
        elif response.status == 503 and self._may_fail_over:
            self._core.outages.note(now, self._paths[0], _rest_s(response))
            del self._paths[0]
            self._send(now)
        else:
            self._core.outages.clear(attempt.path)
            self._stop_timers()
            if response.status < 300 or not self._is_done:
                self._is_done = True
                self._owner.handle_final(now, self, response)

    def handle_try_failed(self, now: float, attempt: _Try, failure: Failure) -> None:
        """Try the next address, or report."""
        if attempt is not self._try:
            return
        self._core.timers.cancel(self, _CANCEL)
        self._core.timers.cancel(self, _SILENCE)
        if attempt.is_silent and attempt.path == self._paths[0]:
            self._core.outages.note(now, self._paths[0])
        if failure is Failure.TRANSPORT and self._may_fail_over:
            del self._paths[0]
            self._send(now)
        elif failure is Failure.TRANSPORT:
            trouble = attempt.transaction.trouble
            self._report(now, 503, f"Server unreachable ({trouble})" if trouble else "Server unreachable")
        else:
            self._report(now, 408, reason_phrase(408))

    def handle_try_terminated(self, attempt: _Try) -> None:
        """Let go of a transaction that has terminated."""
        self._living -= 1
        if attempt is self._try:
            self._try = None
        self._let_go()

    def _let_go(self) -> None:
        if self._is_done and not self._living:
            self._owner = _NOBODY

    @property
    def _may_fail_over(self) -> bool:
        return len(self._paths) > 1 and self._cancel_headers is None and not self._is_done

    def _handle_late(self, now: float, attempt: _Try, response: Response) -> None:
        """Deal with a server that was left and has woken up: a call it began is cancelled, an answer is an answer.

        RFC 3263 section 4.3 leaves this open; two phones of one callee would ring otherwise.
        """
        self._core.outages.clear(attempt.path)
        if self.method != "INVITE":
            return
        if response.status < 200:
            if not attempt.is_cancelled:
                attempt.is_cancelled = True
                cancel = _cancel_of(attempt.sent, (), self._core.config.user_agent)
                self._core.transactions.send_request(now, cancel, attempt.path, None)
        elif response.status < 300:
            if not self._is_done:
                self.cancel(now)
                self._stop_timers()
                self.sent, self.path = attempt.sent, attempt.path
                self._is_done = True
            self._owner.handle_final(now, self, response)

    def _should_retry(self, response: Response) -> bool:
        if response.status not in (401, 407) or self._attempt is None or self._cancel_headers is not None:
            return False
        is_home = self._access is not None and self.path is not None and self._access.may_see(self.path)
        return is_home and self._attempt.take(response)

    def _report(self, now: float, status: int, reason: str) -> None:
        if self._is_done:
            return
        self._is_done = True
        self._core.timers.cancel(self, _LIMIT)
        self._core.timers.cancel(self, _SILENCE)
        if self._query is not None:
            self._core.drop_query(self._query)
        self._owner.handle_no_response(now, self, status, reason)
        self._let_go()

    def _stop_timers(self) -> None:
        self._core.timers.cancel(self, _LIMIT)
        self._core.timers.cancel(self, _CANCEL)


class _Try:
    """One transaction of a request: at one server, with one set of credentials."""

    transaction: ClientTransaction

    def __init__(self, client: ClientRequest, sent: Request, path: Path) -> None:
        self.sent = sent
        self.path = path
        self.is_silent = True
        self.is_cancelled = False
        self._client = client

    def handle_response(self, now: float, response: Response) -> None:
        """Pass on what the transaction delivers."""
        self.is_silent = False
        self._client.handle_try(now, self, response)

    def handle_failure(self, now: float, failure: Failure) -> None:
        """Pass on that it failed."""
        self._client.handle_try_failed(now, self, failure)

    def handle_terminated(self) -> None:
        """Pass on that nothing more comes."""
        self._client.handle_try_terminated(self)


def _cancel_of(request: Request, extra: HeaderFields, user_agent: str) -> Request:
    """Build the CANCEL of an INVITE.   RFC 3261 section 9.1."""
    headers = HeaderList()
    headers.add("Via", str(request.top_via))
    for name in ("Route", "Max-Forwards", "From", "To", "Call-ID"):
        headers.extend_received(name, request.headers)
    headers.add("CSeq", f"{request.cseq.number} CANCEL")
    for name, value in extra:
        headers.add(name, value)
    headers.add("User-Agent", user_agent)
    return Request("CANCEL", request.uri, headers)


def _rest_s(response: Response) -> float:
    """Return how long a server that answers 503 wants to be left alone; without Retry-After, for a short while."""
    try:
        return float(parse_number((response.headers.get("Retry-After") or "").partition(";")[0].partition("(")[0]))
    except SipParseError:
        return _SHORT_REST_S
