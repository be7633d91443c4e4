"""Who of the pages may be called where: REGISTER over WebSocket, judged here or by the server behind us.

A user of our own table is judged here, and if it has an account at a SIP server, that is registered for as long as one
of its pages is. Anybody else's REGISTER goes to the upstream server, if there is one: it has the passwords, so its
challenges are the page's to answer; it learns a Contact of ours, which leads to the page for as long as the page's
WebSocket lives. Knows no call.   RFC 3261 section 10.3, RFC 7118, RFC 3608.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.pages.passwords import CHALLENGES, Passwords
from trunkline.calls.ports import Clock, TimerHandle
from trunkline.calls.sip_events import RegistrationEvent
from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.auth.digest import HashedPassword
from trunkline.sip.headers import HeaderList, NameAddr, SipUri, parse_number
from trunkline.sip.registrar import (
    UNHEARD,
    Binding,
    BindingLimits,
    Bindings,
    Refusal,
    RegisterForm,
    Reply,
    read_form,
)
from trunkline.sip.types import (
    Account,
    HeaderFields,
    Hop,
    IncomingRequest,
    Path,
    Registered,
    RegisterRequest,
    RegistrationId,
    RequestAnswered,
)

_PASSED_BACK: Final = (*CHALLENGES, "min-expires", "retry-after", "warning")
_MAX_ROUTES: Final = 8
_MAX_WAITING: Final = 1_000
"""REGISTERs that wait for the upstream server; more are answered 503."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageUser:
    """A user that we know ourselves. account: at the SIP server that carries its calls; without one, trunks do."""

    login: str
    password: str | HashedPassword
    display_name: str = ""
    account: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """users: by login. realm, algorithms: of our challenges. upstream: the server behind us, None if there is none.

    reconnect_s: how long an answered call outlives its page's WebSocket. register_expires_s: asked for with accounts.
    """

    users: Mapping[str, PageUser] = field(default_factory=dict)
    realm: str = "trunkline"
    algorithms: tuple[str, ...] = ("MD5",)
    upstream: Hop | None = None
    limits: BindingLimits = field(default_factory=BindingLimits)
    reconnect_s: float = 20.0
    register_expires_s: int = 300

    @property
    def is_used(self) -> bool:
        """Whether any page can register."""
        return bool(self.users) or self.upstream is not None


@dataclass(slots=True)
class _Passage:
    """The series of REGISTERs that we send upstream for one binding. contact_user: of our Contact there."""

    sip_call_id: str
    contact_user: str
    cseq: int = 0
    routes: tuple[str, ...] = ()


class PageRegistrations:
    """All of one node. on_bound: told of each binding that is made or refreshed."""

    def __init__(
        self,
        settings: PageSettings,
        *,
        sip: SipAccess,
        clock: Clock,
        metrics: Metrics,
        rng: Random,
        on_bound: Callable[[Binding], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.on_bound = on_bound
        self._sip = sip
        self._clock = clock
        self._metrics = metrics
        self._secret = rng.randbytes(32)
        passwords = {user.login: user.password for user in settings.users.values()}
        self.passwords = Passwords(
            passwords, realm=settings.realm, algorithms=settings.algorithms, clock=clock, metrics=metrics, rng=rng
        )
        self._bindings = Bindings(settings.limits)
        self._passages: dict[tuple[str, str], _Passage] = {}
        self._by_contact: dict[str, tuple[str, str]] = {}
        self._accounts: dict[str, RegistrationId] = {}
        self._waiting: Counter[int] = Counter()
        """REGISTERs that are upstream, by the number of their WebSocket."""
        self._closed: set[int] = set()
        """Of these WebSockets, those that have closed meanwhile."""
        self._timer: TimerHandle | None = None

    # --- what calls ask ---

    def of(self, aor: str) -> tuple[Binding, ...]:
        """Return where an address can be reached, the newest first. aor: a login of ours, or a whole address."""
        return self._bindings.of(self._clock.now(), aor)

    def of_user(self, name: str) -> tuple[Binding, ...]:
        """Return where a user can be reached, the newest first.

        name: a login of ours, alone or as `login@domain`; of anybody else the latter.
        """
        login, _, domain = name.rpartition("@")
        if not login:
            return self.of(name) if name in self.settings.users else ()
        if login in self.settings.users:
            return tuple(binding for binding in self.of(login) if binding.domain.lower() == domain.lower())
        try:
            return self.of(SipUri.of(login, domain).address_of_record)
        except LocalProtocolError:
            return ()

    def on_flow(self, path: Path) -> tuple[Binding, ...]:
        """Return who has registered on a WebSocket."""
        return self._bindings.on_flow(self._clock.now(), path)

    def called(self, contact_user: str, registration: RegistrationId | None) -> tuple[Binding, ...] | None:
        """Return the pages that an INVITE from the SIP side is for; None if it is for no page."""
        login = next((login for login, known in self._accounts.items() if known == registration), None)
        if login is not None:
            return self.of(login)
        found = self._by_contact.get(contact_user)
        if found is None:
            return None
        return tuple(binding for binding in self.of(found[0]) if binding.key == found[1])

    def is_contact(self, contact_user: str) -> bool:
        """Whether the upstream server knows a page by this user part of a Contact."""
        return contact_user in self._by_contact

    def passage_of(self, binding: Binding) -> tuple[str, tuple[str, ...]] | None:
        """Return the user part of our Contact upstream and the routes to take; None for a user of our own."""
        passage = self._passages.get((binding.aor, binding.key))
        return None if passage is None else (passage.contact_user, passage.routes)

    # --- REGISTER ---

    def handle(self, request: IncomingRequest) -> None:
        """Judge a REGISTER and answer it, at once or when the upstream server has."""
        if not request.path.transport.is_websocket:
            self._sip.verbs.respond(request.id, 403, reason="Only over WebSocket")
            return
        form = read_form(request)
        if isinstance(form, Refusal):
            self._refuse(request, form)
        elif self.passwords.knows(form.aor.username):
            self._register_here(request, form)
        elif self.settings.upstream is not None:
            self._register_upstream(request, form, self.settings.upstream)
        else:
            # As with a user of ours and a wrong password: who asks is not told whom we know.
            reply = self.passwords.judge("REGISTER", form.aor.username, request.headers, request.path)
            self._turn_away(request, reply or Reply(403))

    def _register_here(self, request: IncomingRequest, form: RegisterForm) -> None:
        login, now = form.aor.username, self._clock.now()
        reply = self.passwords.judge("REGISTER", login, request.headers, request.path)
        if reply is not None:
            self._turn_away(request, reply)
            return
        refusal = self._bindings.check(now, login, form)
        if refusal is not None:
            self._refuse(request, refusal)
            return
        self._grant(request, login, form, None)

    def _register_upstream(self, request: IncomingRequest, form: RegisterForm, hop: Hop) -> None:
        aor = form.aor.address_of_record
        refusal = self._bindings.check(self._clock.now(), aor, form)
        if refusal is None and (len(form.wishes) > 1 or form.is_query):
            refusal = Refusal(400, "Exactly one Contact is wanted")
        if refusal is None and not self.passwords.may_go_upstream(aor, form.credentials, request.path):
            self._turn_away(request, Reply(403, UNHEARD))
            return
        if refusal is None and self._waiting.total() >= _MAX_WAITING:
            refusal = Refusal(503, None, (("Retry-After", "10"),))
        if refusal is not None:
            self._refuse(request, refusal)
            return
        wish = form.wishes[0] if form.wishes else None
        key = (aor, "*" if wish is None else wish.key)
        passage = self._passages.get(key) or self._new_passage(key)
        passage.cseq += 1
        expires_s = 0 if wish is None else wish.expires_s
        try:
            forwarded = self._sip.verbs.forward_register(
                RegisterRequest(
                    uri=form.uri,
                    aor=aor,
                    contact_user=None if wish is None else passage.contact_user,
                    expires_s=expires_s,
                    sip_call_id=passage.sip_call_id,
                    cseq=passage.cseq,
                    hop=hop,
                    credentials=form.credentials,
                    contact_parameters=() if wish is None else wish.preference,
                )
            )
        except LocalProtocolError as error:
            self._refuse(request, Refusal(400, str(error)))
            return
        self._waiting[request.path.connection] += 1
        self._sip.events.bind_request(forwarded, partial(self._answered_upstream, request, form, key, passage))

    def _is_closed(self, connection: int) -> bool:
        """Count an answer off; whether nobody is there any more to hear it."""
        is_closed = connection in self._closed
        self._waiting[connection] -= 1
        if not self._waiting[connection]:
            del self._waiting[connection]
            self._closed.discard(connection)
        return is_closed

    def _new_passage(self, key: tuple[str, str]) -> _Passage:
        """Begin a series. Its Contact is the same for the same page, so that a new one replaces the old upstream."""
        seal = hmac.new(self._secret, "\0".join(key).encode("utf-8", "surrogateescape"), "sha256").hexdigest()
        return _Passage(f"{seal[:20]}.{self._clock.now():.6f}", seal[20:40])

    def _answered_upstream(
        self,
        request: IncomingRequest,
        form: RegisterForm,
        key: tuple[str, str],
        passage: _Passage,
        answer: RequestAnswered,
    ) -> None:
        is_closed = self._is_closed(request.path.connection)
        is_taken = 200 <= answer.status < 300
        if form.credentials and (is_taken or answer.status in (401, 403, 407)):
            self.passwords.note_upstream(key[0], None if is_taken else answer.headers, request.path)
        if not is_taken:
            headers = tuple((name, value) for name, value in answer.headers if name.lower() in _PASSED_BACK)
            self._refuse(request, Refusal(answer.status, answer.reason or None, headers))
            return
        if is_closed:
            return
        fields = HeaderList.received(answer.headers)
        if form.wishes and form.wishes[0].expires_s != 0:
            passage.routes = fields.get_all("Service-Route")[:_MAX_ROUTES]
            self._passages[key] = passage
            self._by_contact[passage.contact_user] = key
        self._grant(request, key[0], form, _granted_s(fields, passage.contact_user, form))

    def _grant(self, request: IncomingRequest, aor: str, form: RegisterForm, expires_s: int | None) -> None:
        now = self._clock.now()
        made, gone = self._bindings.grant(now, aor, form, expires_s=expires_s)
        headers = self._bindings.answer_headers(now, aor, form)
        self._sip.verbs.respond(request.id, 200, headers=headers)
        for binding in made:
            _log.info("page_registered", expires_s=round(binding.expires_at - now), peer=form.path.remote[0])
            self._register_account(aor)
            self.on_bound(binding)
        self._forget(gone)
        self._changed()

    def _turn_away(self, request: IncomingRequest, reply: Reply) -> None:
        """Refuse credentials, or ask for them. What there is to log of them is logged where they were judged."""
        self._sip.verbs.respond(request.id, reply.status, reason=reply.reason, headers=reply.headers)

    def _refuse(self, request: IncomingRequest, refusal: Refusal) -> None:
        if refusal.status not in (401, 407):
            _log.warning("page_not_registered", sip_status=refusal.status, detail=refusal.reason)
        self._sip.verbs.respond(request.id, refusal.status, reason=refusal.reason, headers=refusal.headers)

    # --- the end of bindings ---

    def close_flow(self, path: Path) -> None:
        """Forget whom a WebSocket led to."""
        if path.connection in self._waiting:
            self._closed.add(path.connection)
        self._forget(self._bindings.close_flow(path))
        self._changed()

    def _expire(self) -> None:
        self._timer = None
        self._forget(self._bindings.handle_timeout(self._clock.now()))
        self._changed()

    def _forget(self, gone: tuple[Binding, ...]) -> None:
        for binding in gone:
            passage = self._passages.pop((binding.aor, binding.key), None)
            if passage is not None:
                self._by_contact.pop(passage.contact_user, None)
            if not self.of(binding.aor):
                self._unregister_account(binding.aor)

    def _changed(self) -> None:
        self._metrics.page_bindings.set(len(self._bindings))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._bindings.poll_timeout()
        if due is not None:
            self._timer = self._clock.call_later(max(0.0, due - self._clock.now()), self._expire)

    def stop(self) -> None:
        """Give the accounts' registrations back, and count no more."""
        for login in tuple(self._accounts):
            self._unregister_account(login)
        if self._timer is not None:
            self._timer.cancel()

    # --- accounts of our own users ---

    def _register_account(self, login: str) -> None:
        user = self.settings.users.get(login)
        if user is None or user.account is None or login in self._accounts:
            return
        registration = self._sip.verbs.register(user.account, self.settings.register_expires_s)
        self._accounts[login] = registration
        self._sip.events.bind_registration(registration, partial(self._account_changed, login))

    def _account_changed(self, login: str, event: RegistrationEvent) -> None:
        if isinstance(event, Registered):
            _log.debug("page_account_registered", expires_s=event.expires_s)
        else:
            _log.warning("page_account_failed", login=login, sip_status=event.status, retry_in_s=event.retry_in_s)

    def _unregister_account(self, login: str) -> None:
        registration = self._accounts.pop(login, None)
        if registration is not None:
            self._sip.events.unbind_registration(registration)
            self._sip.verbs.unregister(registration)


def _granted_s(fields: HeaderList, contact_user: str, form: RegisterForm) -> int:
    """Return how long the upstream server keeps our Contact.   RFC 3261 section 10.2.4."""
    wished = form.wishes[0].expires_s if form.wishes else 0
    try:
        for contact in fields.many("Contact", NameAddr.parse):
            if isinstance(contact.uri, SipUri) and contact.uri.username == contact_user:
                return parse_number(contact.parameter("expires") or fields.get("Expires") or "")
        return parse_number(fields.get("Expires") or "")
    except SipParseError:
        return 3_600 if wished is None else wished


def credentials_of(headers: HeaderFields) -> HeaderFields:
    """Return the credentials among the headers of a request, as they came."""
    return tuple((n, value) for n, value in headers if n.lower() in ("authorization", "proxy-authorization"))
