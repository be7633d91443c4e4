"""The SIP user agent: ties transactions, dialogs, calls and registrations together.

Sans-IO: the driver hands in bytes, resolved routes and the time, then drains `poll_query`, `poll_transmit`,
`poll_event` and arms one timer from `poll_timeout`. Owns the verbs and the calls; `reception` takes requests from
outside, `accounts` keeps registrations.   RFC 3261 section 8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

from trunkline.errors import InvalidCallState, LocalProtocolError, SipParseError
from trunkline.sip.bindings import Accounts
from trunkline.sip.bindings.stun import is_stun
from trunkline.sip.core import Core, hop_of
from trunkline.sip.gate import Gate
from trunkline.sip.headers import ReferTo, Replaces, check_field
from trunkline.sip.invite import InboundInvite, InviteUsage, OutboundInvite
from trunkline.sip.message import Request, Response
from trunkline.sip.messaging import METHOD, OutgoingMessage, with_text
from trunkline.sip.origination import initial_invite, initial_message, target_of
from trunkline.sip.parser import PING, PONG, BadRequestError, is_keep_alive, parse_branch, parse_message
from trunkline.sip.probe import Probe
from trunkline.sip.reception import Reception
from trunkline.sip.registrar.forwarding import ForwardedRegister
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import (
    Account,
    Alias,
    Event,
    FlowClosed,
    HeaderFields,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    MessageId,
    MessageRequest,
    Path,
    ProbeId,
    ReferId,
    ReferRequest,
    RegisterRequest,
    RegistrationId,
    RequestId,
    RouteQuery,
    Transmit,
    UaConfig,
)


class UserAgent:
    """One user agent, UAC and UAS.

    rng: tags, branches, Call-IDs, nonces and jitter come from it; give it one that cannot be guessed. accept_methods:
    methods outside dialogs that come up as `IncomingRequest` (e.g. `REGISTER` at a registrar); others than INVITE,
    ACK, CANCEL, OPTIONS are refused there. gate: judges new requests before anything is kept of them; None lets all in.
    """

    def __init__(
        self, config: UaConfig, rng: Random, *, accept_methods: frozenset[str] = frozenset(), gate: Gate | None = None
    ) -> None:
        self._core = Core(config, rng, self, accept_methods)
        self._accounts = Accounts(self._core)
        self._invites: dict[InviteId, InviteUsage] = {}
        self._forwarded: dict[RequestId, ForwardedRegister] = {}
        self._reception = Reception(self._core, self._accounts, self._invites, self._forget_invite, gate)

    # --- verbs of the application ---

    def register(self, now: float, account: Account, expires_s: int = 600) -> RegistrationId:
        """Keep a binding at the account's registrar until `unregister`.

        LocalProtocolError if the account's texts cannot be put on the wire.
        """
        return self._accounts.register(now, account, expires_s)

    def unregister(self, now: float, registration: RegistrationId) -> None:
        """Take the binding back; ends in `Unregistered`. Unknown ids are ignored."""
        self._accounts.unregister(now, registration)

    def probe(self, now: float, account: Account, timeout_s: float) -> ProbeId:
        """Ask the account's server whether it is there; ends in `Probed`. LocalProtocolError as `register`.

        timeout_s: how long each address of it may be silent.
        """
        probe = Probe(self._core, ProbeId(self._core.new_id()), self._accounts.access(account), timeout_s)
        probe.start(now)
        return probe.id

    def invite(self, now: float, request: InviteRequest) -> InviteId:
        """Call somebody. LocalProtocolError if the target or an extra header cannot be put on the wire.

        With an account the call goes through the account's server, whatever the target's host.
        """
        account = request.account
        access = None if account is None else self._accounts.access(account)
        target = target_of(request.target_uri, account)
        template = initial_invite(self._core, request, target, routes=() if access is None else access.service_routes)
        invite_id = InviteId(self._core.new_id())
        usage = OutboundInvite(
            self._core,
            invite_id,
            template,
            hop=request.hop or (hop_of(target) if access is None else access.home),
            contact_user=self._accounts.contact_user(account, request.caller),
            access=access,
            on_over=self._forget_invite,
            silence_s=request.silence_s,
            loop_key=request.loop_key,
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

    def refuse(
        self, now: float, invite: InviteId, status: int, reason: str | None = None, headers: HeaderFields = ()
    ) -> None:
        """Refuse an inbound INVITE as `hangup` does, with headers of the application's besides: challenges.

        InvalidCallState once it is answered or over.
        """
        check_field("Reason", reason or "")
        self._inbound(invite).refuse(now, status, reason, headers)

    def move(self, invite: InviteId, flow: Path) -> None:
        """Send what follows in a call on another flow: the peer has connected anew. Dead ids are ignored."""
        known = self._invites.get(invite)
        if known is not None:
            known.move(flow)

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

    def send_message(self, now: float, message: MessageRequest) -> MessageId:
        """Send a text; `MessageAnswered` comes of it.

        LocalProtocolError if it cannot be put on the wire; InvalidCallState if the call it names is not confirmed.
        """
        message_id = MessageId(self._core.new_id())
        if message.within is not None:
            call = self._call(message.within)
            dialog = call.confirmed_dialog()
            template = with_text(dialog.request(METHOD), message)
            OutgoingMessage(self._core, message_id, template).send_within(now, dialog, call.access)
            return message_id
        access = None if message.account is None else self._accounts.access(message.account)
        target = target_of(message.target_uri, message.account)
        routes = () if access is None else access.service_routes
        template = initial_message(self._core, message, target, routes=routes)
        hop = message.hop or (hop_of(target) if access is None else access.home)
        OutgoingMessage(self._core, message_id, template).send(now, hop, access)
        return message_id

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

    def forward_register(self, now: float, request: RegisterRequest) -> RequestId:
        """Pass a REGISTER on; ends in `RequestAnswered`. LocalProtocolError if it cannot be put on the wire."""
        request_id = RequestId(self._core.new_id())
        forwarded = ForwardedRegister(self._core, request_id, request, self._forget_request)
        self._forwarded[request_id] = forwarded
        forwarded.start(now)
        return request_id

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
        self._reception.respond(now, request, status, reason=reason, headers=headers, body=body)

    def close(self) -> None:
        """Take no new calls from now on: 503, also to OPTIONS, so that peers go elsewhere. Calls that stand go on."""
        self._reception.is_closing = True

    def shutdown(self, now: float) -> None:
        """Refuse new calls, end all calls and take all bindings back; done when `is_idle`."""
        self.close()
        self._accounts.shutdown(now)
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
        if is_stun(data):
            self._accounts.handle_stun(now, data, path)
            return
        try:
            message = parse_message(data)
        except BadRequestError as error:
            self._core.counters["malformed"] += 1
            self._reception.answer_bad(error, path)
            return
        except SipParseError:
            self._core.counters["malformed"] += 1
            return
        if isinstance(message, Response):
            if not self._core.transactions.handle_response(now, message):
                self._core.counters["stray_responses"] += 1
        else:
            self._reception.take(now, message, path)

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
        if path.connection and path.transport.is_websocket:
            self._core.emit(FlowClosed(path))
        self._accounts.handle_unreachable(now, path)

    def handle_network_change(self, now: float) -> None:
        """Learn that the machine's addresses or routes have changed: failed registrations are tried again."""
        self._accounts.handle_network_change(now)

    def handle_timeout(self, now: float, *, most: int | None = None) -> None:
        """Run what is due: all, or so many; `poll_timeout` then still says that it is time."""
        count = 0
        while (most is None or count < most) and (due := self._core.timers.pop_due(now)) is not None:
            count += 1
            owner, name = due
            owner.handle_timer(now, name)

    def poll_query(self) -> RouteQuery | None:
        """Next hop that the shell is to resolve."""
        return self._core.queries.popleft() if self._core.queries else None

    def poll_transmit(self) -> Transmit | None:
        """Next bytes to send."""
        outbox = self._core.transactions.outbox
        return outbox.popleft() if outbox else None

    def poll_alias(self) -> Alias | None:
        """Next connection on which a peer wants to be sent requests as well."""
        return self._core.aliases.popleft() if self._core.aliases else None

    def poll_event(self) -> Event | None:
        """Next event for the application."""
        return self._core.events.popleft() if self._core.events else None

    def poll_timeout(self) -> float | None:
        """When `handle_timeout` is due, or None."""
        return self._core.timers.next_deadline()

    @property
    def timer_slack_s(self) -> float:
        """How much later `handle_timeout` may come without harm: little beside the shortest of our intervals, T1."""
        return self._core.config.t1_s / 25

    @property
    def is_idle(self) -> bool:
        """Whether no call and no binding is left and no request of ours waits for its answer."""
        return not self._accounts and not self._invites and self._core.is_quiet

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
            "registrations": len(self._accounts),
            "invites": len(self._invites),
            "transfers": len(self._core.referrals),
            "dialogs": len(self._core.dialogs),
            "transactions": transactions.client_count + transactions.server_count,
            "timers": len(self._core.timers),
        }

    # --- requests from outside, as the transaction layer hands them up ---

    def handle_request(self, now: float, transaction: ServerTransaction) -> None:
        """See `Reception.handle_request`."""
        self._reception.handle_request(now, transaction)

    def handle_stray_ack(self, now: float, request: Request) -> None:
        """See `Reception.handle_stray_ack`."""
        self._reception.handle_stray_ack(now, request)

    # --- helpers of the verbs ---

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

    def _inbound(self, invite: InviteId) -> InboundInvite:
        usage = self._call(invite)
        if not isinstance(usage, InboundInvite):
            raise InvalidCallState("not an inbound call")
        return usage

    def _forget_request(self, request: RequestId) -> None:
        self._forwarded.pop(request, None)

    def _forget_invite(self, invite: InviteId) -> None:
        self._invites.pop(invite, None)
