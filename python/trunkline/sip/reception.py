"""The reception of requests from outside: what is answered at once, what a dialog gets, what the application.

Owns the order in which a new request is judged and the requests that wait for the application's word. What is refused,
and with what, is `inspection`'s.   RFC 3261 section 8.2, RFC 3581.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trunkline.sip import inspection
from trunkline.sip.bindings import Accounts
from trunkline.sip.core import Core
from trunkline.sip.dialog import dialog_id_of
from trunkline.sip.gate import Admitted, Gate, Ignored, Turned
from trunkline.sip.headers import Replaces, SipUri, plain_text
from trunkline.sip.invite import InboundInvite, InviteUsage
from trunkline.sip.message import Request
from trunkline.sip.parser import BadRequestError
from trunkline.sip.transaction import ServerKey, ServerTransaction, server_key
from trunkline.sip.types import (
    Alias,
    HeaderFields,
    IncomingInvite,
    IncomingRequest,
    IncomingRequestId,
    InviteId,
    MessageReceived,
    Path,
    Transport,
)

_RETRY_AFTER_S = 5


class Reception:
    """Takes what peers ask of one user agent.

    invites: the user agent's calls; inbound ones are added here, and `on_over` takes them out.
    gate: judges what belongs to nothing of ours.
    """

    def __init__(
        self,
        core: Core,
        accounts: Accounts,
        invites: dict[InviteId, InviteUsage],
        on_over: Callable[[InviteId], None],
        gate: Gate | None = None,
    ) -> None:
        self.is_closing = False
        self._core = core
        self._accounts = accounts
        self._invites = invites
        self._on_over = on_over
        self._gate = gate
        self._peer = ""
        """Who sends the request that is being taken, as the gate says."""
        core.take_message = self._take_message
        self._waiting: dict[IncomingRequestId, _Unanswered] = {}

    def take(self, now: float, request: Request, path: Path) -> None:
        """Give a request to its transaction, or turn it away where there are too many."""
        inspection.stamp(request, path)
        transactions = self._core.transactions
        key, back = server_key(request), inspection.response_path(request, path)
        if request.method != "ACK" and not transactions.is_known(key):
            is_full = transactions.server_count >= self._core.config.max_transactions
            if is_full and request.method != "CANCEL" and request.to.tag is None:
                self._core.counters["overload"] += 1
                response = self._core.response(request, 503)
                response.headers.add("Retry-After", str(_RETRY_AFTER_S))
                transactions.transmit(back, response.to_bytes())
                return
            if self._gate is not None and self._is_strange(request, key):
                verdict = self._gate.judge(now, request, path)
                if not isinstance(verdict, Admitted):
                    self._turn_away(request, back, verdict)
                    return
                self._peer = verdict.peer
        if path.transport is Transport.TLS and request.top_via.has_parameter("alias"):
            self._core.aliases.append(Alias(path, request.top_via.port or path.transport.default_port))
        transactions.handle_request(now, request, back, key)
        self._peer = ""

    def _is_strange(self, request: Request, key: ServerKey) -> bool:
        """Whether a request that is new belongs to nothing of ours: no dialog, no Contact that we registered."""
        if request.method == "CANCEL":
            return self._core.transactions.invite_of(key) is None
        if request.to.tag is not None:
            return dialog_id_of(request) not in self._core.dialogs
        called = request.uri.username if isinstance(request.uri, SipUri) else ""
        return self._accounts.binding_of(called) is None

    def _turn_away(self, request: Request, back: Path, verdict: Turned | Ignored) -> None:
        self._core.counters[verdict.counter] += 1
        if isinstance(verdict, Turned):
            response = self._core.response(request, verdict.status)
            for name, value in verdict.headers:
                response.headers.add(name, value)
            self._core.transactions.transmit(back, response.to_bytes())

    def answer_bad(self, error: BadRequestError, path: Path) -> None:
        """Answer what cannot be taken, where anything may be answered."""
        answer = inspection.answer_bad(self._core, error, path)
        if answer is not None and (self._gate is None or self._gate.may_answer(path)):
            self._core.transactions.transmit(*answer)

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """Take a request that the transaction layer sees for the first time."""
        request = transaction.request
        refusal = inspection.refusal(self._core, transaction, is_closing=self.is_closing)
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
            for name, value in (*self._core.capabilities, ("Accept", inspection.ACCEPTED_BODIES)):
                response.headers.add(name, value)
            transaction.respond(now, response)
        elif request.method == "MESSAGE":
            called = request.uri.username if isinstance(request.uri, SipUri) else ""
            self._take_message(now, transaction, called, None)
        else:
            self._leave_to_application(now, transaction)

    def _take_message(
        self, now: float, transaction: ServerTransaction, contact_user: str, call: InviteId | None
    ) -> None:
        request = transaction.request
        self._core.emit(
            MessageReceived(
                self._wait(now, transaction),
                self._accounts.binding_of(contact_user),
                call,
                sender=plain_text(str(request.from_.uri)),
                display_name=plain_text(request.from_.display_name),
                recipient=plain_text(str(request.to.uri)),
                content_type=request.content_type or "text/plain",
                text=request.body.decode("utf-8", "replace"),
                path=transaction.path,
                target=plain_text(str(request.uri)),
                headers=_plain_fields(request) if call is None else (),
                asserted=tuple(plain_text(str(known.uri)) for known in request.asserted_identities),
                privacy=tuple(plain_text(word) for word in request.privacy),
                peer=self._peer,
            )
        )

    def handle_stray_ack(self, now: float, request: Request) -> None:
        """Give the ACK of a 2xx to its dialog."""
        owner = self._core.dialogs.get(dialog_id_of(request))
        if owner is not None:
            owner.handle_ack(now, request)

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
        waiting = self._waiting.get(request)
        if waiting is None:
            return
        response = self._core.response(waiting.transaction.request, status, reason)
        for name, value in headers:
            response.headers.add(name, value)
        waiting.transaction.respond(now, replace(response, body=body))
        if status >= 200:
            self._core.timers.cancel(waiting, "expire")
            del self._waiting[request]

    def _handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        invite = self._core.transactions.invite_of(transaction.key)
        if invite is None:
            transaction.respond(now, self._core.response(transaction.request, 481))
            return
        transaction.respond(now, self._core.response(transaction.request, 200, to_tag=invite.to_tag))
        if invite.owner is not None:
            invite.owner.handle_cancel(now, invite, transaction.request)

    def _handle_invite(self, now: float, transaction: ServerTransaction) -> None:
        request = transaction.request
        loop_key = f"{self._peer} {request.uri} {request.from_.uri}"
        if self._core.has_been_here(request, loop_key):
            self._core.counters["loops"] += 1
            transaction.respond(now, self._core.response(request, 482))
            return
        transaction.respond(now, request.response(100))
        called = request.uri.username if isinstance(request.uri, SipUri) else ""
        binding = self._accounts.binding_of(called)
        usage = InboundInvite(
            self._core,
            InviteId(self._core.new_id()),
            transaction,
            contact_user=called or self._core.token(),
            on_over=self._on_over,
        )
        transaction.owner = usage
        self._invites[usage.id] = usage
        usage.start(now)
        self._core.emit(
            IncomingInvite(
                usage.id,
                binding,
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
                loop_key=loop_key,
                peer=self._peer,
            )
        )

    def _replaced(self, request: Request) -> InviteId | None:
        """Find the call that an INVITE replaces; `inspection` has made sure that it is there."""
        text = request.headers.get("Replaces")
        return None if text is None else self._core.call_of(Replaces.parse(text))

    def _leave_to_application(self, now: float, transaction: ServerTransaction) -> None:
        request = transaction.request
        self._core.emit(
            IncomingRequest(
                self._wait(now, transaction),
                request.method,
                str(request.uri),
                _plain_fields(request),
                request.body,
                transaction.path,
            )
        )

    def _wait(self, now: float, transaction: ServerTransaction) -> IncomingRequestId:
        """Let a request wait for `respond`."""
        waiting = _Unanswered(self, IncomingRequestId(self._core.new_id()), transaction)
        self._waiting[waiting.id] = waiting
        self._core.timers.set(waiting, "expire", now + self._core.time_limit_s)
        return waiting.id


class _Unanswered:
    """An `IncomingRequest` that waits for `respond`."""

    def __init__(self, reception: Reception, request_id: IncomingRequestId, transaction: ServerTransaction) -> None:
        self.id = request_id
        self.transaction = transaction
        self._reception = reception

    def handle_timer(self, now: float, name: str) -> None:
        """Refuse in the application's place."""
        self._reception.respond(now, self.id, 500)


def _plain_fields(request: Request) -> HeaderFields:
    return tuple([(name, plain_text(value)) for name, value in request.headers])
