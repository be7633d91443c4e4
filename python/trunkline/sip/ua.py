"""The SIP user agent: ties transactions, dialogs, calls and registrations together.

Sans-IO: the driver hands in bytes, resolved routes and the time, then drains `poll_query`, `poll_transmit`,
`poll_event` and arms one timer from `poll_timeout`. Owns the rules for requests from outside: what is answered, what
is refused, and with what.   RFC 3261 section 8.2, RFC 3581.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from trunkline.errors import InvalidCallState, LocalProtocolError, SipParseError
from trunkline.sip import inspection
from trunkline.sip.client import AccountAccess
from trunkline.sip.core import Core, hop_of
from trunkline.sip.dialog import dialog_id_of
from trunkline.sip.headers import ReferTo, Replaces, SipUri, check_field, plain_text
from trunkline.sip.invite import InboundInvite, InviteUsage, OutboundInvite
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.origination import initial_invite, target_of
from trunkline.sip.parser import PING, PONG, BadRequestError, is_keep_alive, parse_branch, parse_message
from trunkline.sip.registration import Registration
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import (
    Account,
    Event,
    HeaderFields,
    IncomingInvite,
    IncomingRequest,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    Path,
    ReferId,
    ReferRequest,
    RegistrationId,
    RouteQuery,
    Transmit,
    UaConfig,
)

_RETRY_AFTER_S = 5


class UserAgent:
    """One user agent, UAC and UAS.

    rng: tags, branches, Call-IDs, nonces and jitter come from it; give it one that cannot be guessed. accept_methods:
    methods outside dialogs that come up as `IncomingRequest` (e.g. `REGISTER` at a registrar); others than INVITE,
    ACK, CANCEL, OPTIONS are refused there.
    """

    def __init__(self, config: UaConfig, rng: Random, *, accept_methods: frozenset[str] = frozenset()) -> None:
        self._core = Core(config, rng, self, accept_methods)
        self._accept_methods = accept_methods
        self._registrations: dict[RegistrationId, Registration] = {}
        self._bindings: dict[str, Registration] = {}
        self._contact_users: dict[Account, str] = {}
        self._invites: dict[InviteId, InviteUsage] = {}
        self._requests: dict[IncomingRequestId, _Unanswered] = {}
        self._accesses: weakref.WeakValueDictionary[Account, AccountAccess] = weakref.WeakValueDictionary()
        self._is_closing = False

    # --- verbs of the application ---

    def register(self, now: float, account: Account, expires_s: int = 600) -> RegistrationId:
        """Keep a binding at the account's registrar until `unregister`.

        LocalProtocolError if the account's texts cannot be put on the wire.
        """
        registration_id = RegistrationId(self._core.new_id())
        registration = Registration(
            self._core,
            registration_id,
            self._access(account),
            expires_s=expires_s,
            on_over=self._forget_registration,
        )
        registration.start(now)
        self._registrations[registration_id] = registration
        self._bindings[registration.contact_user] = registration
        self._contact_users[account] = registration.contact_user
        return registration_id

    def unregister(self, now: float, registration: RegistrationId) -> None:
        """Take the binding back; ends in `Unregistered`. Unknown ids are ignored."""
        known = self._registrations.get(registration)
        if known is not None:
            known.unregister(now)

    def invite(self, now: float, request: InviteRequest) -> InviteId:
        """Call somebody. LocalProtocolError if the target or an extra header cannot be put on the wire.

        With an account the call goes through the account's server, whatever the target's host.
        """
        account = request.account
        access = None if account is None else self._access(account)
        target = target_of(request.target_uri, account)
        template = initial_invite(self._core, request, target, routes=() if access is None else access.service_routes)
        invite_id = InviteId(self._core.new_id())
        usage = OutboundInvite(
            self._core,
            invite_id,
            template,
            hop=hop_of(target) if access is None else access.home,
            contact_user=self._contact_user(account, request.caller),
            access=access,
            on_over=self._forget_invite,
        )
        self._invites[invite_id] = usage
        usage.start(now)
        return invite_id

    def ring(self, now: float, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        """Send a provisional response to an inbound INVITE. InvalidCallState once it is answered or ended."""
        if not 101 <= status <= 199:
            raise LocalProtocolError(f"{status} is not a provisional status")
        self._inbound(invite).ring(now, status, sdp)

    def answer(self, now: float, invite: InviteId, sdp: str) -> None:
        """Answer an inbound INVITE with 200. InvalidCallState once it is answered or ended."""
        self._inbound(invite).answer(now, sdp)

    def hangup(self, now: float, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        """End a call whatever its state: CANCEL, BYE, or a final refusal (status, 480 by default).

        Emits `InviteEnded(LOCAL)` at once; what the wire still needs goes on underneath. Dead ids are ignored.
        reason: the phrase of the refusal, or the text of a Reason header beside status.
        """
        check_field("Reason", reason or "")
        known = self._invites.get(invite)
        if known is not None:
            known.hangup(now, status, reason)

    def reinvite(self, now: float, invite: InviteId, sdp: str | None) -> None:
        """Offer a changed session, or ask the far side for its offer (None); by UPDATE before the call is answered.

        Ends in `ReinviteAnswered` or `ReinviteFailed`; with None in `ReinviteReceived`, or `ReinviteFailed`. A glare
        (491) is tried again by itself. InvalidCallState while another offer is pending, or where none may be made.
        """
        self._call(invite).reinvite(now, sdp)

    def answer_reinvite(self, now: float, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        """Answer a `ReinviteReceived`: with sdp and 200, or refuse it with a status (488).

        An offer in a 2xx cannot be refused: the call ends then. Nothing happens if the peer has withdrawn it;
        InvalidCallState if the call is over.
        """
        if status < 200 or (status < 300 and sdp is None):
            raise LocalProtocolError("a re-INVITE is answered with a description or a refusal")
        self._call(invite).answer_reinvite(now, sdp, status)

    def send_info(self, now: float, invite: InviteId, content_type: str, body: bytes) -> None:
        """Send INFO in the confirmed dialog; ends in `InfoAnswered`. InvalidCallState if not confirmed."""
        self._call(invite).send_info(now, content_type, body)

    def refer(self, now: float, invite: InviteId, request: ReferRequest) -> ReferId:
        """Ask the far side of a confirmed call to call somebody else: a transfer. `ReferAnswered` comes of it.

        InvalidCallState if a call that it names is not confirmed; LocalProtocolError if it names nobody.
        """
        return self._call(invite).refer(now, self._refer_to(request), request)

    def answer_refer(self, now: float, refer: ReferId, status: int = 202, reason: str | None = None) -> None:
        """Accept a `ReferReceived`, or refuse it (603, 403). Those that were answered or are over are ignored."""
        if not 200 <= status <= 699:
            raise LocalProtocolError(f"{status} is not a final status")
        check_field("Reason", reason or "")
        known = self._core.referrals.get(refer)
        if known is not None:
            known.answer(now, status, reason)

    def notify_refer(self, now: float, refer: ReferId, status: int, reason: str | None = None) -> None:
        """Tell who asked for a transfer how the new call is going; a final status is the last news.

        status, reason: as the new call got them. Ids that are over are ignored, also after their call has ended.
        """
        if not 100 <= status <= 699:
            raise LocalProtocolError(f"{status} is not a status")
        check_field("Reason", reason or "")
        known = self._core.referrals.get(refer)
        if known is not None:
            known.notify(now, status, reason)

    def respond(
        self,
        now: float,
        request: IncomingRequestId,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderFields = (),
        body: bytes = b"",
    ) -> None:
        """Answer an `IncomingRequest`. Requests that were answered or have expired are ignored."""
        waiting = self._requests.get(request)
        if waiting is None:
            return
        response = self._core.response(waiting.transaction.request, status, reason)
        for name, value in headers:
            response.headers.add(name, value)
        waiting.transaction.respond(now, replace(response, body=body))
        if status >= 200:
            self._core.timers.cancel(waiting, "expire")
            del self._requests[request]

    def shutdown(self, now: float) -> None:
        """Refuse new calls, end all calls and take all bindings back; done when `is_idle`."""
        self._is_closing = True
        for registration in list(self._registrations.values()):
            registration.unregister(now)
        for usage in list(self._invites.values()):
            usage.hangup(now, None, None)

    # --- verbs of the driver ---

    def handle_datagram(self, now: float, data: bytes, path: Path) -> None:
        """Take one datagram, or one frame of a stream (`parser.StreamFramer`). Bad input is counted, not raised."""
        self._core.counters["received"] += 1
        if is_keep_alive(data):
            if data == PING and path.transport.is_reliable:
                self._core.transactions.transmit(path, PONG)
            return
        try:
            message = parse_message(data)
        except BadRequestError as error:
            self._core.counters["malformed"] += 1
            answer = inspection.answer_bad(self._core, error, path)
            if answer is not None:
                self._core.transactions.transmit(*answer)
            return
        except SipParseError:
            self._core.counters["malformed"] += 1
            return
        if isinstance(message, Response):
            if not self._core.transactions.handle_response(now, message):
                self._core.counters["stray_responses"] += 1
        else:
            self._take_request(now, message, path)

    def has_taken(self, data: bytes) -> bool:
        """Whether this request is a copy of one that has a transaction. Looks at the method and the top Via only."""
        return self._core.transactions.has_branch(*parse_branch(data))

    def handle_routes(self, now: float, query: int, paths: Sequence[Path]) -> None:
        """Answer a `RouteQuery`: paths in the order to try; none means that there is no way."""
        self._core.handle_routes(now, query, paths)

    def handle_unreachable(self, now: float, path: Path, detail: str = "") -> None:
        """Learn that the transport could not deliver to this peer: ICMP, connection refused or lost.

        detail: what is wrong, for whoever can mend it.
        """
        self._core.counters["unreachable"] += 1
        self._core.transactions.handle_unreachable(now, path, detail)

    def handle_timeout(self, now: float) -> None:
        """Run what is due."""
        while (due := self._core.timers.pop_due(now)) is not None:
            owner, name = due
            owner.handle_timer(now, name)

    def poll_query(self) -> RouteQuery | None:
        """Next hop that the shell is to resolve."""
        return self._core.queries.popleft() if self._core.queries else None

    def poll_transmit(self) -> Transmit | None:
        """Next bytes to send."""
        outbox = self._core.transactions.outbox
        return outbox.popleft() if outbox else None

    def poll_event(self) -> Event | None:
        """Next event for the application."""
        return self._core.events.popleft() if self._core.events else None

    def poll_timeout(self) -> float | None:
        """When `handle_timeout` is due, or None."""
        return self._core.timers.next_deadline()

    @property
    def is_idle(self) -> bool:
        """Whether no call and no binding is left and no request of ours waits for its answer."""
        return not self._registrations and not self._invites and self._core.is_quiet

    @property
    def counters(self) -> Mapping[str, int]:
        """Counts since start.

        received, malformed, stray_responses, refused, overload, unreachable; of INFO: info_malformed, info_unsupported,
        info_limited.
        """
        return Counter(self._core.counters)

    @property
    def load(self) -> Mapping[str, int]:
        """What lives now: registrations, invites, transfers (of peers), dialogs, transactions, timers."""
        transactions = self._core.transactions
        return {
            "registrations": len(self._registrations),
            "invites": len(self._invites),
            "transfers": len(self._core.referrals),
            "dialogs": len(self._core.dialogs),
            "transactions": transactions.client_count + transactions.server_count,
            "timers": len(self._core.timers),
        }

    # --- requests from outside ---

    def _take_request(self, now: float, request: Request, path: Path) -> None:
        inspection.stamp(request, path)
        transactions = self._core.transactions
        back = inspection.response_path(request, path)
        is_full = transactions.server_count >= self._core.config.max_transactions
        is_new_work = request.method not in ("ACK", "CANCEL") and request.to.tag is None
        if is_full and is_new_work and not transactions.is_known(request):
            self._core.counters["overload"] += 1
            response = self._core.response(request, 503)
            response.headers.add("Retry-After", str(_RETRY_AFTER_S))
            transactions.transmit(back, response.to_bytes())
        else:
            transactions.handle_request(now, request, back)

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Take a request that the transaction layer sees for the first time."""
        request = transaction.request
        refusal = inspection.refusal(self._core, transaction, is_closing=self._is_closing)
        if refusal is not None:
            self._core.counters["refused"] += 1
            transaction.respond(now, refusal)
        elif request.method == "CANCEL":
            self._handle_cancel(now, transaction)
        elif request.to.tag is not None:
            owner = self._core.dialogs[dialog_id_of(request)]
            transaction.owner = owner
            owner.handle_request(now, transaction)
        elif request.method == "INVITE":
            self._handle_invite(now, transaction)
        elif request.method == "OPTIONS":
            response = self._core.response(request, 200)
            for name, value in (*self._core.capabilities, ("Accept", SDP)):
                response.headers.add(name, value)
            transaction.respond(now, response)
        else:
            waiting = _Unanswered(self, IncomingRequestId(self._core.new_id()), transaction)
            self._requests[waiting.id] = waiting
            self._core.timers.set(waiting, "expire", now + self._core.time_limit_s)
            self._core.emit(
                IncomingRequest(
                    waiting.id, request.method, str(request.uri), _plain_fields(request), request.body, transaction.path
                )
            )

    def handle_stray_ack(self, now: float, request: Request) -> None:
        """Give the ACK of a 2xx to its dialog."""
        owner = self._core.dialogs.get(dialog_id_of(request))
        if owner is not None:
            owner.handle_ack(now, request)

    def _handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        invite = self._core.transactions.invite_of(transaction.request)
        if invite is None:
            transaction.respond(now, self._core.response(transaction.request, 481))
            return
        transaction.respond(now, self._core.response(transaction.request, 200, to_tag=invite.to_tag))
        if invite.owner is not None:
            invite.owner.handle_cancel(now, invite)

    def _handle_invite(self, now: float, transaction: ServerTransaction) -> None:
        request = transaction.request
        transaction.respond(now, request.response(100))
        called = request.uri.username if isinstance(request.uri, SipUri) else ""
        binding = self._bindings.get(called)
        usage = InboundInvite(
            self._core,
            InviteId(self._core.new_id()),
            transaction,
            contact_user=called or self._core.token(),
            on_over=self._forget_invite,
        )
        transaction.owner = usage
        self._invites[usage.id] = usage
        usage.start(now)
        self._core.emit(
            IncomingInvite(
                usage.id,
                None if binding is None else binding.id,
                caller=plain_text(str(request.from_.uri)),
                display_name=plain_text(request.from_.display_name),
                callee=plain_text(str(request.uri if binding is None else request.to.uri)),
                sdp=request.sdp,
                headers=_plain_fields(request),
                path=transaction.path,
                takes_info=request.takes_info,
                replaces=self._replaced(request),
                asserted=tuple(plain_text(str(known.uri)) for known in request.asserted_identities),
                privacy=tuple(plain_text(word) for word in request.privacy),
                max_forwards=70 if (left := request.number("Max-Forwards")) is None else left,
                max_breadth=request.number("Max-Breadth"),
            )
        )

    # --- helpers of the verbs ---

    def _access(self, account: Account) -> AccountAccess:
        for text in (account.login, account.authentication_name, account.display_name):
            check_field("From", text or "")
        access = self._accesses.get(account)
        if access is None:
            SipUri.of(account.login, account.domain)
            SipUri.of(None, account.outbound_proxy or account.domain)
            access = self._accesses[account] = AccountAccess(self._core, account)
        return access

    def _contact_user(self, account: Account | None, caller: str | None) -> str:
        """Use the binding's user part where the account is registered, so that the peer can call it."""
        known = None if account is None else self._contact_users.get(account)
        return known or caller or self._core.token()

    def _call(self, invite: InviteId) -> InviteUsage:
        usage = self._invites.get(invite)
        if usage is None:
            raise InvalidCallState("the call is over")
        return usage

    def _refer_to(self, request: ReferRequest) -> ReferTo:
        if request.replaces is None:
            if request.target_uri is None:
                raise LocalProtocolError("a transfer to nobody")
            return ReferTo(target_of(request.target_uri, None))
        dialog = self._call(request.replaces).confirmed_dialog()
        target = dialog.remote_target if request.target_uri is None else target_of(request.target_uri, None)
        return ReferTo(target, Replaces(dialog.sip_call_id, dialog.remote.tag or "", dialog.local.tag or ""))

    def _replaced(self, request: Request) -> InviteId | None:
        """Find the call that an INVITE replaces; `inspection` has made sure that it is there."""
        text = request.headers.get("Replaces")
        return None if text is None else self._core.call_of(Replaces.parse(text))

    def _inbound(self, invite: InviteId) -> InboundInvite:
        usage = self._call(invite)
        if not isinstance(usage, InboundInvite):
            raise InvalidCallState("not an inbound call")
        return usage

    def _forget_registration(self, registration: RegistrationId) -> None:
        over = self._registrations.pop(registration)
        del self._bindings[over.contact_user]
        if self._contact_users.get(over.account) == over.contact_user:
            del self._contact_users[over.account]

    def _forget_invite(self, invite: InviteId) -> None:
        self._invites.pop(invite, None)


class _Unanswered:
    """An `IncomingRequest` that waits for `respond`."""

    def __init__(self, ua: UserAgent, request_id: IncomingRequestId, transaction: ServerTransaction) -> None:
        self.id = request_id
        self.transaction = transaction
        self._ua = ua

    def handle_timer(self, now: float, name: str) -> None:
        """Refuse in the application's place."""
        self._ua.respond(now, self.id, 500)


def _plain_fields(request: Request) -> HeaderFields:
    return tuple((name, plain_text(value)) for name, value in request.headers)
