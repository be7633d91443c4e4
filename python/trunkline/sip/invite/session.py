"""One dialog's session: offers both ways by re-INVITE and UPDATE, glare, and the session timer.

Owns what changes a session once there is a dialog, early or confirmed. `uac` and `uas` feed it what came before: the
offer and answer of the first INVITE, its provisional responses and its PRACKs.   RFC 3261 section 14, RFC 3311,
RFC 3264, RFC 6337, RFC 4028.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import proxy

from trunkline.errors import InvalidCallState
from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import plain_text
from trunkline.sip.invite.answers import RepeatedAnswer
from trunkline.sip.invite.endings import Acknowledgement
from trunkline.sip.invite.errand import Errand, Outcome
from trunkline.sip.invite.exchange import Exchange, Step
from trunkline.sip.invite.session_timer import SessionTimer, is_too_brief, least_of
from trunkline.sip.message import SDP, Message, Request, Response
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import EndCause, InviteId, ReinviteAnswered, ReinviteFailed, ReinviteReceived

_GLARE = "glare"
_UNANSWERED = "unanswered"
_RETRY_AFTER_S = 10


class Call(Protocol):
    """What a session needs of its call."""

    id: InviteId
    contact_user: str
    access: AccountAccess | None

    @property
    def is_over(self) -> bool:
        """Whether its terminal event was emitted."""
        ...

    def lose(self, now: float, cause: EndCause, status: int | None = None) -> None:
        """End it with a BYE of ours, for a reason that is not the application's."""


@dataclass(slots=True)
class Question:
    """What the application is to answer: an offer, or a request for ours.

    transaction: of the request that brought it, None where a response did. is_offer: False if ours is asked for.
    """

    is_offer: bool
    on_answer: Callable[[float, str], None]
    on_refuse: Callable[[float, int], None]
    transaction: ServerTransaction | None = None


class Session:
    """Offer and answer within one dialog. question: what the application has not answered yet.

    call: keeps its sessions, not they the call.
    """

    def __init__(self, core: Core, call: Call, dialog: Dialog, exchange: Exchange, *, is_call_id_ours: bool) -> None:
        self.dialog = dialog
        self.exchange = exchange
        self.timer = SessionTimer(core, self)
        self.answers = RepeatedAnswer(core, call)
        self.question: Question | None = None
        self._core = core
        self._call: Call = proxy(call)
        self._access = call.access
        self._is_call_id_ours = is_call_id_ours
        self._peer_methods: tuple[str, ...] = ()
        self._outgoing: ClientRequest | Errand | None = None
        self._offer: str | None = None
        self._is_refresh = False
        self._has_raised_least = False
        self._rounds_at_glare = 0
        self._acks: dict[int, Acknowledgement] = {}
        self._is_closed = False

    def note_abilities(self, message: Message) -> None:
        """Remember what the peer allows, where it says so."""
        self._peer_methods = message.option_tags("Allow") or self._peer_methods

    @property
    def _is_over(self) -> bool:
        """Whether the call is, or this branch of it."""
        return self._is_closed or self._call.is_over

    # --- ours ---

    def offer(self, now: float, sdp: str | None) -> None:
        """Offer a change, or ask for an offer with None; see `UserAgent.reinvite`."""
        is_free = self._outgoing is None and self.question is None and not self.answers.is_waiting
        if not is_free or not self.exchange.may_offer or self._core.timers.is_set(self, _GLARE):
            raise InvalidCallState("another offer is pending")
        if not self.dialog.is_confirmed and (sdp is None or not self._can_update or not self.exchange.rounds):
            raise InvalidCallState("the far side takes no offer before it answers the call")
        self._send(now, sdp, is_refresh=False)

    @property
    def _can_update(self) -> bool:
        return "UPDATE" in self._peer_methods

    def _send(self, now: float, sdp: str | None, *, is_refresh: bool) -> None:
        """Send re-INVITE; or UPDATE where there is nothing to offer, or the call is not answered yet."""
        self._offer, self._is_refresh = sdp, is_refresh
        by_update = self._can_update and (is_refresh or not self.dialog.is_confirmed)
        request = self.dialog.request("UPDATE" if by_update else "INVITE")
        for name, value in (*self._core.capabilities, *self.timer.request_headers()):
            request.headers.add(name, value)
        if sdp is not None and not (by_update and is_refresh):
            request = request.with_body(SDP, sdp.encode())
            self.exchange.take(Step.OFFER_SENT, sdp)
        call = self._call
        if by_update:
            errand = Errand(
                self._core,
                self.dialog,
                request,
                self._update_answered,
                access=self._access,
                contact_user=call.contact_user,
            )
            self._outgoing = errand
            errand.start(now)
        else:
            client = ClientRequest(
                self._core,
                self,
                request,
                hop=self._core.hop_within(self.dialog),
                next_cseq=self.dialog.next_cseq,
                contact_user=call.contact_user,
                access=self._access,
            )
            self._outgoing = client
            client.start(now)

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take the outcome of a re-INVITE.   RFC 3261 sections 12.2.1.2, 14.1."""
        if response.status < 300:
            self._handle_2xx(now, client, response)
        else:
            self._refused(now, Outcome(response.status, response.reason, response))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Take silence as 408."""
        self._refused(now, Outcome(status, reason))

    def _handle_2xx(self, now: float, client: ClientRequest, response: Response) -> None:
        assert client.sent is not None
        number = client.sent.cseq.number
        known = self._acks.get(number)
        if known is not None:
            known.send(now)
            return
        self.dialog.refresh_target(response)
        self.note_abilities(response)
        is_offer = self._offer is None and response.sdp is not None and not self._is_over
        ack = self._acks[number] = Acknowledgement(
            self._core,
            self.dialog,
            client.sent,
            self._access,
            waits_for_answer=is_offer,
        )
        ack.send(now)
        self._outgoing = None
        if self._is_over:
            return
        self.timer.take(now, response)
        if is_offer:
            self.ask_about_response(now, response.sdp or "", ack)
        else:
            self._answered(response.sdp)

    def ask_about_response(self, now: float, offer: str, ack: Acknowledgement) -> None:
        """Have the application answer an offer in a 2xx: the answer goes with the ACK.   RFC 3261 section 13.2.1."""

        def refuse(now: float, status: int) -> None:
            ack.release(now, None)
            self._call.lose(now, EndCause.LOCAL, status)

        self.exchange.take(Step.OFFER_RECEIVED, offer)
        self.ask(now, Question(True, ack.release, refuse), offer)

    def _answered(self, sdp: str | None) -> None:
        """Report an answer; the one of a refresh only if it says something new."""
        before, was_open = self.exchange.remote, not self.exchange.may_offer
        if sdp is not None and was_open:
            self.exchange.take(Step.ANSWER_RECEIVED, sdp)
        else:
            self.exchange.withdraw()
        if not self._is_refresh or (sdp is not None and was_open and sdp != before):
            self._core.emit(ReinviteAnswered(self._call.id, sdp))

    def _update_answered(self, now: float, outcome: Outcome) -> None:
        response = outcome.response
        if response is None or outcome.status >= 300:
            self._refused(now, outcome)
            return
        self._outgoing = None
        self.dialog.refresh_target(response)
        self.note_abilities(response)
        if not self._is_over:
            self.timer.take(now, response)
            self._answered(response.sdp)

    def _refused(self, now: float, outcome: Outcome) -> None:
        self._outgoing = None
        self.exchange.withdraw()
        if self._is_over:
            return
        if outcome.status == 491:
            # RFC 3261 section 14.1: the owner of the Call-ID waits longer, so that one of the two goes first.
            wait = self._core.rng.randrange(210, 401) if self._is_call_id_ours else self._core.rng.randrange(201)
            self._rounds_at_glare = self.exchange.rounds
            self._core.timers.set(self, _GLARE, now + wait / 100)
            return
        if outcome.status == 422 and outcome.response is not None and not self._has_raised_least:
            self._has_raised_least = True
            self.timer.least_s = max(self.timer.least_s, least_of(outcome.response))
            self._send(now, self._offer, is_refresh=self._is_refresh)
            return
        if self._is_refresh:
            self.timer.try_again(now)
        else:
            self._core.emit(ReinviteFailed(self._call.id, outcome.status, plain_text(outcome.reason)))
        if outcome.is_dialog_lost:
            self._call.lose(now, EndCause.DIALOG_LOST, outcome.status)

    # --- theirs ---

    def handle_reinvite(self, now: float, transaction: ServerTransaction) -> None:
        """Pass a re-INVITE up, or refuse it.   RFC 3261 section 14.2."""
        request = transaction.request
        if self.question is not None:
            self.ask_to_retry(now, transaction)
        elif self._outgoing is not None or self.answers.is_waiting:
            transaction.respond(now, self._core.response(request, 491))
        elif not self._refuse_brief(now, transaction):
            transaction.respond(now, request.response(100))
            self.note_abilities(request)
            if request.sdp is not None:
                self.exchange.take(Step.OFFER_RECEIVED, request.sdp)

            def answer(now: float, sdp: str) -> None:
                self.dialog.refresh_target(request, transaction.path)
                self.send_answer(now, transaction, self._core.response(request, 200), sdp)

            self.ask(
                now, Question(request.sdp is not None, answer, self._refuser(transaction), transaction), request.sdp
            )

    def handle_update(self, now: float, transaction: ServerTransaction) -> None:
        """Refresh, or pass an offer up.   RFC 3311 section 5.2."""
        request = transaction.request
        if self._refuse_brief(now, transaction):
            return
        if request.sdp is None:
            self.note_abilities(request)
            self._answer_update(now, transaction, None)
            return
        if self.question is not None:
            self.ask_to_retry(now, transaction)
        elif self._outgoing is not None or self.exchange.collision is not None:
            status = 491 if self._outgoing is not None else self.exchange.collision or 491
            response = self._core.response(request, status)
            if status == 500:
                response.headers.add("Retry-After", str(self._core.rng.randrange(_RETRY_AFTER_S + 1)))
            transaction.respond(now, response)
        else:
            self.note_abilities(request)
            self.exchange.take(Step.OFFER_RECEIVED, request.sdp)

            def answer(now: float, sdp: str) -> None:
                self._answer_update(now, transaction, sdp)

            self.ask(now, Question(True, answer, self._refuser(transaction), transaction), request.sdp)

    def handle_cancel(self, now: float, transaction: ServerTransaction) -> None:
        """Withdraw a re-INVITE that is not answered yet."""
        if self.question is not None and transaction is self.question.transaction:
            self._drop_question()
            transaction.respond(now, self._core.response(transaction.request, 487))

    def acknowledged(self, transaction: ServerTransaction, ack: Request) -> None:
        """Take the ACK of a 2xx: a late offer's answer comes with it."""
        if transaction.request.sdp is not None:
            return
        if ack.sdp is not None and not self.exchange.may_offer:
            self.exchange.take(Step.ANSWER_RECEIVED, ack.sdp)
        else:
            self.exchange.withdraw()

    def ask(self, now: float, question: Question, offer: str | None) -> None:
        """Pass an offer up, or the wish for ours; refused with 500 if nobody answers in half of 64*T1."""
        self.question = question
        self._core.timers.set(self, _UNANSWERED, now + self._core.time_limit_s / 2)
        self._core.emit(ReinviteReceived(self._call.id, offer))

    def answer(self, now: float, sdp: str | None, status: int) -> None:
        """Answer what was asked; see `UserAgent.answer_reinvite`. Nothing happens if it was withdrawn."""
        question = self.question
        if question is None:
            return
        self._drop_question(keeps_offer=sdp is not None)
        if sdp is None or status >= 300:
            question.on_refuse(now, max(status, 400))
            return
        self.exchange.take(Step.ANSWER_SENT if question.is_offer else Step.OFFER_SENT, sdp)
        question.on_answer(now, sdp)

    def send_answer(self, now: float, transaction: ServerTransaction, response: Response, sdp: str | None) -> None:
        """Send a 2xx to INVITE and repeat it until its ACK.   RFC 3261 section 13.3.1.4."""
        self._complete(now, transaction, response)
        if sdp is not None:
            response = response.with_body(SDP, sdp.encode())
        self.answers.send(now, transaction, response)

    def ask_to_retry(self, now: float, transaction: ServerTransaction) -> None:
        """Refuse a request while an earlier one waits for our answer.   RFC 3261 section 14.2."""
        response = self._core.response(transaction.request, 500)
        response.headers.add("Retry-After", str(self._core.rng.randrange(_RETRY_AFTER_S + 1)))
        transaction.respond(now, response)

    def _answer_update(self, now: float, transaction: ServerTransaction, sdp: str | None) -> None:
        self.dialog.refresh_target(transaction.request, transaction.path)
        response = self._core.response(transaction.request, 200)
        self._complete(now, transaction, response)
        transaction.respond(now, response if sdp is None else response.with_body(SDP, sdp.encode()))

    def _complete(self, now: float, transaction: ServerTransaction, response: Response) -> None:
        response.headers.add("Contact", str(self._core.contact(transaction.path, self._call.contact_user)))
        for name, value in (*self._core.capabilities, *self.timer.accept(now, transaction.request)):
            response.headers.add(name, value)

    def _refuser(self, transaction: ServerTransaction) -> Callable[[float, int], None]:
        def refuse(now: float, status: int) -> None:
            transaction.respond(now, self._core.response(transaction.request, status))

        return refuse

    def _refuse_brief(self, now: float, transaction: ServerTransaction) -> bool:
        if not is_too_brief(self._core, transaction.request):
            return False
        response = self._core.response(transaction.request, 422)
        response.headers.add("Min-SE", str(self._core.config.session_least_s))
        transaction.respond(now, response)
        return True

    def _drop_question(self, *, keeps_offer: bool = False) -> None:
        self.question = None
        self._core.timers.cancel(self, _UNANSWERED)
        if not keeps_offer:
            self.exchange.withdraw()

    # --- time, and the end ---

    def handle_timer(self, now: float, name: str) -> None:
        """Offer again after glare, unless the session has changed since; or refuse in the application's place."""
        if name == _UNANSWERED:
            self.answer(now, None, 500)
        elif self.exchange.rounds != self._rounds_at_glare and self._offer is not None and not self._is_refresh:
            self._core.emit(ReinviteFailed(self._call.id, 491, "The session has changed since"))
        elif self.question is not None or self.answers.is_waiting or not self.exchange.may_offer:
            self._core.timers.set(self, _GLARE, now + self._core.timing.t1)
        else:
            self._send(now, self._offer, is_refresh=self._is_refresh)

    def close(self, now: float) -> None:
        """Leave no question, no request and no timer behind; a 2xx of ours still waits for its ACK."""
        self._is_closed = True
        self.timer.stop()
        self._core.timers.cancel(self, _GLARE)
        question = self.question
        self._drop_question()
        if question is not None:
            if question.transaction is not None:
                question.transaction.respond(now, self._core.response(question.transaction.request, 487))
            else:
                question.on_refuse(now, 487)
        if isinstance(self._outgoing, ClientRequest):
            self._outgoing.cancel(now)

    def refresh(self, now: float) -> None:
        """Send a refresh: UPDATE without a word, or the description that was agreed on.   RFC 4028 section 10."""
        is_free = self._outgoing is None and self.question is None and not self.answers.is_waiting
        if not is_free or not self.exchange.may_offer or self._core.timers.is_set(self, _GLARE):
            self.timer.try_again(now)
        else:
            self._has_raised_least = False
            self._send(now, self.exchange.local, is_refresh=True)

    def expire(self, now: float) -> None:
        """End the call: its peer has not shown for too long that it is there."""
        self._call.lose(now, EndCause.SESSION_EXPIRED, 408)
