"""Outgoing registrations: one binding kept at a registrar.

Owns refresh, back-off after failures and de-registration. A wrong password or any other permanent refusal ends the
attempts until the application registers anew. A way to the registrar that is lost, or a network that is back, is no
failure: the binding is renewed at once.   RFC 3261 section 10.2, 20.33 (Retry-After); RFC 3327 (Path),
RFC 3608 (Service-Route), RFC 5626 (one flow, `reg-id` 1).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from uuid import UUID

from trunkline.errors import SipParseError
from trunkline.sip.bindings.keep_alive import KeepAlive
from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.headers import HeaderList, NameAddr, SipUri, parse_number, plain_text
from trunkline.sip.message import Request, Response
from trunkline.sip.types import Account, Hop, Registered, RegistrationFailed, RegistrationId, Unregistered

_NEXT = "next"
_TEMPORARY = frozenset((408, 423, 429, 480, 491))
"""Refusals below 500 after which trying again can help."""
_MAX_EXPIRES_S = 86_400
_MAX_ROUTES = 16
_STABLE_S = 120.0
"""A way that lasts for so long was a good one (RFC 5626 section 4.5)."""
_FLOW_TIMER_S = range(10, 3_601)
"""What we take of Flow-Timer; less would be a flood, more is no keep-alive."""


class State(StrEnum):
    """Where a registration stands."""

    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"
    FAILED = "failed"
    UNREGISTERING = "unregistering"
    OVER = "over"


class Registration:
    """One binding. contact_user: the random user part that tells our bindings apart.

    on_recovered: called when it is bound again after failures. Each registration is an instance of its own to the
    registrar: two browsers of one user must not push each other out.
    """

    def __init__(
        self,
        core: Core,
        registration_id: RegistrationId,
        access: AccountAccess,
        *,
        keep_alive: KeepAlive,
        expires_s: int,
        on_over: Callable[[RegistrationId], None],
        on_recovered: Callable[[float, Registration], None],
    ) -> None:
        self.id = registration_id
        self.state = State.REGISTERING
        self.contact_user = core.token()
        self._core = core
        self._access = access
        self._keep_alive = keep_alive
        self._on_over = on_over
        self._on_recovered = on_recovered
        self._instance = f'"<{UUID(int=core.rng.getrandbits(128), version=4).urn}>"'
        self._is_outbound_refused = False
        self._not_before = 0.0
        self._expires_s = expires_s
        self._sip_call_id = core.token()
        self._cseq = 0
        self._failures = 0
        self._short_flows = 0
        self._bound_at = 0.0
        self._has_raised_expires = False
        self._may_be_bound = False
        self._wants_to_end = False
        self._client: ClientRequest | None = None

    @property
    def account(self) -> Account:
        """Whose binding it is."""
        return self._access.account

    def start(self, now: float) -> None:
        """Send the first REGISTER."""
        self._send(now, self._expires_s)

    def unregister(self, now: float) -> None:
        """Take the binding back, after the request in flight if there is one."""
        if self.state in (State.UNREGISTERING, State.OVER):
            return
        self._core.timers.cancel(self, _NEXT)
        self._wants_to_end = True
        if self._client is None:
            self._unbind(now)

    @property
    def home(self) -> Hop:
        """Where its registrar is."""
        return self._access.home

    def handle_timer(self, now: float, name: str) -> None:
        """Refresh, or try again."""
        self._send(now, self._expires_s)

    def handle_flow_lost(self, now: float, delay_s: float) -> None:
        """Register on a new way: calls no longer find us on the one that is lost.   RFC 5626 section 4.5."""
        if self.state is not State.REGISTERED or self._client is not None:
            return
        self._short_flows = self._short_flows + 1 if now - self._bound_at < _STABLE_S else 0
        if self._short_flows > 1:  # a server that closes after each answer would be flooded
            delay_s += self._pause(self._short_flows - 2)
        self._core.timers.set(self, _NEXT, now + delay_s)

    def hurry(self, now: float, delay_s: float) -> None:
        """Register after the delay, since what was in the way may be gone; a Retry-After is kept to."""
        if self.state is State.WAITING and now + delay_s >= self._not_before:
            self._failures = 0
            self._core.timers.set(self, _NEXT, now + delay_s)

    # --- outcome of a REGISTER ---

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take the registrar's answer."""
        self._client = None
        if self.state is State.UNREGISTERING:
            self._over()
        elif response.status < 300:
            self._bound(now, client, response)
        elif response.status == 423 and self._raise_expires(response):
            self._send(now, self._expires_s)
        elif response.status == 439 and not self._is_outbound_refused:
            self._is_outbound_refused = True  # RFC 5626 section 4.2.1: a proxy on the way does not know it
            self._send(now, self._expires_s)
        else:
            self._failed(now, response.status, response.reason, _seconds(response, "Retry-After"))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Count silence as a failure that may pass."""
        self._client = None
        if self.state is State.UNREGISTERING:
            self._over()
        else:
            self._may_be_bound = self._may_be_bound or status == 408
            self._failed(now, status, reason, None)

    def _bound(self, now: float, client: ClientRequest, response: Response) -> None:
        self._may_be_bound = True
        self._access.service_routes = _service_routes(response)
        is_outbound = "outbound" in response.option_tags("Require") and not self._is_outbound_refused
        self._access.is_outbound = is_outbound
        granted = self._granted(response)
        if granted == 0 and not self._wants_to_end:
            self._failed(now, 480, "The registrar did not keep the binding", None)
            return
        self.state = State.REGISTERED
        self._bound_at = now
        has_recovered, self._failures = self._failures > 0, 0
        self._has_raised_expires = False
        if self._wants_to_end:
            self._unbind(now)
            return
        assert client.path is not None
        asked_s = _seconds(response, "Flow-Timer")
        self._keep_alive.keep(
            now,
            self,
            self.home,
            client.path,
            flow_timer_s=asked_s if asked_s in _FLOW_TIMER_S else None,
            is_outbound=is_outbound,
        )
        self._core.emit(Registered(self.id, granted))
        if has_recovered:
            self._on_recovered(now, self)
        self._core.timers.set(self, _NEXT, now + max(1.0, granted * self._core.config.refresh_fraction))

    def _failed(self, now: float, status: int, reason: str, retry_after_s: int | None) -> None:
        self._keep_alive.release(self)
        if self._wants_to_end:
            self._unbind(now)
            return
        retry_in_s: float | None = None
        if status in _TEMPORARY or 500 <= status < 600:
            retry_in_s = self._back_off(retry_after_s)
            self._not_before = 0.0 if retry_after_s is None else now + retry_in_s
            self.state = State.WAITING
            self._core.timers.set(self, _NEXT, now + retry_in_s)
        else:
            self.state = State.FAILED
        self._core.emit(RegistrationFailed(self.id, status, plain_text(reason), retry_in_s))

    def _back_off(self, retry_after_s: int | None) -> float:
        """Double from retry_min_s to retry_max_s, less up to a half so that many clients do not come together."""
        wait = self._pause(self._failures)
        self._failures += 1
        return wait if retry_after_s is None else max(wait, min(retry_after_s, _MAX_EXPIRES_S))

    def _pause(self, times: int) -> float:
        config = self._core.config
        ceiling: float = min(config.retry_max_s, config.retry_min_s * (1 << min(times, 16)))
        return ceiling * self._core.rng.uniform(0.5, 1.0)

    def _raise_expires(self, response: Response) -> bool:
        """Accept the registrar's Min-Expires, once an attempt.   RFC 3261 section 10.2.8."""
        minimum = _seconds(response, "Min-Expires")
        if minimum is None or self._has_raised_expires or not self._expires_s < minimum <= _MAX_EXPIRES_S:
            return False
        self._has_raised_expires = True
        self._expires_s = minimum
        return True

    def _granted(self, response: Response) -> int:
        """Lifetime of our binding: of our Contact, else of Expires, else as asked.   RFC 3261 section 10.2.4."""
        for contact in response.contacts:
            if isinstance(contact.uri, SipUri) and contact.uri.username == self.contact_user:
                try:
                    return parse_number(contact.parameter("expires") or "")
                except SipParseError:
                    break
        granted = _seconds(response, "Expires")
        return self._expires_s if granted is None else granted

    # --- sending ---

    def _unbind(self, now: float) -> None:
        self._keep_alive.release(self)
        if not self._may_be_bound:
            self._over()
            return
        self._send(now, 0)
        self.state = State.UNREGISTERING

    def _over(self) -> None:
        self.state = State.OVER
        self._on_over(self.id)
        self._core.emit(Unregistered(self.id))

    def _send(self, now: float, expires_s: int) -> None:
        account = self._access.account
        aor = NameAddr(SipUri.of(account.login, account.domain), account.display_name or "")
        headers = HeaderList()
        headers.add("Max-Forwards", "70")
        headers.add("From", str(aor.with_parameter("tag", self._core.token())))
        headers.add("To", str(aor))
        headers.add("Call-ID", self._sip_call_id)
        headers.add("Expires", str(expires_s))
        for name, value in self._core.capabilities:
            headers.add(name, f"{value}, path, outbound" if name == "Supported" else value)
        if self.state is not State.REGISTERED:
            self.state = State.REGISTERING
        self._client = ClientRequest(
            self._core,
            self,
            Request("REGISTER", SipUri.of(None, account.domain), headers),
            hop=self._access.home,
            next_cseq=self._next_cseq,
            contact_user=self.contact_user,
            contact_parameters=()
            if self._is_outbound_refused
            else (("reg-id", "1"), ("+sip.instance", self._instance)),
            access=self._access,
        )
        self._client.start(now)

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq


def _seconds(response: Response, name: str) -> int | None:
    """Read a header of delta-seconds; a comment or parameter after the number is left out."""
    text = (response.headers.get(name) or "").partition(";")[0].partition("(")[0]
    try:
        return parse_number(text)
    except SipParseError:
        return None


def _service_routes(response: Response) -> tuple[NameAddr, ...]:
    """Read the routes that later requests are to take; none if they cannot be read.   RFC 3608 section 6.1."""
    try:
        return response.headers.many("Service-Route", NameAddr.parse)[:_MAX_ROUTES]
    except SipParseError:
        return ()
