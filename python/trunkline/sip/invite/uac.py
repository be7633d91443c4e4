"""Outbound calls: INVITE until it is answered, refused or given up.

Owns early dialogs, PRACK, CANCEL and the forks that answer besides the first.   RFC 3261 sections 9.1, 13.2; RFC 3262
section 4; RFC 3960; RFC 4028 section 7.3 (422). Where a redirected call goes is `redirects`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from trunkline.errors import InvalidCallState, SipParseError
from trunkline.sip.client import AccountAccess, ClientRequest, challenges_of
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import RAck, parse_number, plain_text
from trunkline.sip.invite.endings import Acknowledgement, Farewell, reason_headers
from trunkline.sip.invite.errand import Errand, Outcome
from trunkline.sip.invite.exchange import Exchange, Phase, Step
from trunkline.sip.invite.redirects import Redirects
from trunkline.sip.invite.session import Question, Session
from trunkline.sip.invite.session_timer import least_of, wanted_headers
from trunkline.sip.invite.usage import InviteUsage
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.probe import retry_after_s
from trunkline.sip.types import (
    EarlyMedia,
    EndCause,
    Hop,
    InviteAnswered,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
)

_MAX_FORKS = 32
"""Early dialogs of one INVITE that we keep; answers of others are still acknowledged and ended."""


@dataclass(slots=True)
class _Branch:
    """One early dialog. reliable: RSeq of the last reliable response, None before the first."""

    session: Session
    reliable: int | None = None


class OutboundInvite(InviteUsage):
    """A call that we make. request: without Via, CSeq and Contact."""

    def __init__(
        self,
        core: Core,
        invite_id: InviteId,
        request: Request,
        *,
        hop: Hop | None,
        contact_user: str,
        access: AccountAccess | None,
        on_over: Callable[[InviteId], None],
        silence_s: float | None = None,
        loop_key: str = "",
    ) -> None:
        super().__init__(core, invite_id, contact_user=contact_user, access=access, on_over=on_over)
        self._branches: dict[str, _Branch] = {}
        self._acks: dict[tuple[str, int], Acknowledgement] = {}
        self._is_trying = False
        self._cseq = count(1)
        self._hop = hop
        self._request = request
        self._silence_s = silence_s
        self._loop_key = loop_key
        self._least_s = 0
        self._exchange = Exchange()
        if request.sdp is not None:
            self._exchange.take(Step.OFFER_SENT, request.sdp)
        self._described_by: str | None = None
        self._redirects = Redirects(request.uri)
        self._initial = self._client(core.config.session_least_s)

    def _client(self, least_s: int) -> ClientRequest:
        """Make the INVITE, asking for a session timer of at least this many seconds."""
        headers = self._request.headers.copy()
        for name, value in wanted_headers(self._core, least_s):
            headers.add(name, value)
        return ClientRequest(
            self._core,
            self,
            Request("INVITE", self._request.uri, headers, self._request.body),
            hop=self._hop,
            next_cseq=self._cseq.__next__,
            contact_user=self.contact_user,
            access=self.access,
            silence_s=self._silence_s,
            loop_key=self._loop_key,
        )

    def start(self, now: float) -> None:
        """Send the INVITE."""
        self._initial.start(now)

    def hangup(self, now: float, status: int | None, reason: str | None) -> None:
        """CANCEL, or BYE once there is a dialog."""
        headers = reason_headers(status, reason)
        self._finish(now, EndCause.LOCAL, status=status)
        if self.session is not None:
            self._end_dialog(now, headers)
        else:
            self._initial.cancel(now, headers)

    @property
    def can_be_replaced(self) -> bool:
        """An early dialog may be replaced where we are the caller."""
        return not self._is_over

    # --- provisional responses ---

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Report progress, acknowledge what is reliable."""
        if self._is_over or self.session is not None:
            return
        if not self._is_trying:
            self._is_trying = True
            self._core.emit(InviteTrying(self.id))
        if response.status == 100:
            return
        branch = self._branch_of(client, response)
        if branch is None:
            self._report(response, None, is_offer=False)
            return
        number = _reliable_number(response)
        if number is None:
            may_preview = branch.session.exchange.phase in (Phase.OURS, Phase.NONE)
            self._report(response, response.sdp if may_preview else None, is_offer=False)
        elif branch.reliable is None or number == branch.reliable + 1:
            branch.reliable = number
            self._acknowledge(now, branch.session, response, number)

    def _branch_of(self, client: ClientRequest, response: Response) -> _Branch | None:
        tag = response.to.tag
        if tag is None or client.sent is None:
            return None
        branch = self._branches.get(tag)
        if branch is None and len(self._branches) < _MAX_FORKS:
            dialog = Dialog.of_uac(client.sent, response, client.path)
            branch = _Branch(self._new_session(dialog))
            self._branches[tag] = branch
            self._core.dialogs[dialog.id] = self
        if branch is not None:
            branch.session.note_abilities(response)
        return branch

    def _new_session(self, dialog: Dialog) -> Session:
        return Session(self._core, self, dialog, self._exchange.fork(), is_call_id_ours=True)

    def _acknowledge(self, now: float, session: Session, response: Response, number: int) -> None:
        """Send PRACK: at once, or with the answer where the response holds an offer.   RFC 3262 sections 4, 5."""
        sdp, exchange = response.sdp, session.exchange
        request = session.dialog.request("PRACK")
        request.headers.add("RAck", str(RAck(number, response.cseq)))

        def send(now: float, answer: str | None) -> None:
            whole = request if answer is None else request.with_body(SDP, answer.encode())
            Errand(self._core, session.dialog, whole, self._pracked, access=self.access).start(now)

        def refuse(now: float, status: int) -> None:
            send(now, None)
            if not self._is_over:
                self._finish(now, EndCause.LOCAL, status=status)
                self._initial.cancel(now, reason_headers(status, None))

        if sdp is not None and exchange.phase is Phase.NONE:
            exchange.take(Step.OFFER_RECEIVED, sdp)
            self._report(response, sdp, is_offer=True)
            session.ask(now, Question(is_offer=True, on_answer=send, on_refuse=refuse), sdp)
            return
        if sdp is not None and exchange.phase is Phase.OURS:
            exchange.take(Step.ANSWER_RECEIVED, sdp)
        else:
            sdp = None
        send(now, None)
        self._report(response, sdp, is_offer=False)

    def _pracked(self, now: float, outcome: Outcome) -> None:
        """Nothing: a PRACK that is refused or lost shows in the INVITE's own fate."""

    def _report(self, response: Response, sdp: str | None, *, is_offer: bool) -> None:
        policy, tag = self._core.config.early_media, response.to.tag or ""
        if sdp is not None and not is_offer:
            is_first = self._described_by in (None, tag)
            if policy is EarlyMedia.NONE or (policy is EarlyMedia.FIRST and not is_first):
                sdp = None
            else:
                self._described_by = tag
        phrase = plain_text(response.reason)
        self._core.emit(
            InviteProgress(
                self.id, response.status, phrase, sdp, response.takes_info, fork=plain_text(tag), is_offer=is_offer
            )
        )

    # --- the final response ---

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Take the answer: acknowledge it, and end what nobody wants."""
        if response.status < 300:
            self._handle_2xx(now, client, response)
        elif response.status == 422 and not self._is_over and least_of(response) > self._least_s:
            self._least_s = least_of(response)
            self._start_anew(now)
        elif not self._is_over and self._follow(now, response):
            pass
        else:
            cause, wait_s = response.reason_cause("q.850"), retry_after_s(response)
            refusal = InviteFailed(
                self.id, response.status, plain_text(response.reason), cause, wait_s, challenges_of(response)
            )
            self._fail(now, refusal)

    def _start_anew(self, now: float) -> None:
        self._forget_early(now)
        self._initial = self._client(max(self._least_s, self._core.config.session_least_s))
        self._initial.start(now)

    def _follow(self, now: float, response: Response) -> bool:
        """Call the next place that was named; False if there is none. A 6xx speaks for all of them.

        An account's server gets the call again, and decides where its user may call. Nobody else's word is followed:
        the call would come from our address, which may be trusted where whoever redirects is not.
        """
        self._redirects.take(response)
        target = self._redirects.next() if self.access is not None and response.status < 600 else None
        if target is None:
            return False
        self._request = Request("INVITE", target, self._request.headers, self._request.body)
        self._core.counters["redirects"] += 1
        self._start_anew(now)
        return True

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Fail the call."""
        self._fail(now, InviteFailed(self.id, status, plain_text(reason)))

    def _handle_2xx(self, now: float, client: ClientRequest, response: Response) -> None:
        """Acknowledge each 2xx; keep the first dialog, end any other with BYE.   RFC 3261 section 13.2.2.4."""
        sent, tag = client.sent, response.to.tag or ""
        assert sent is not None
        key = (tag, sent.cseq.number)
        known = self._acks.get(key)
        if known is not None:
            known.send(now)
            return
        branch = self._branches.get(tag)
        session = self._new_session(Dialog.of_uac(sent, response, client.path)) if branch is None else branch.session
        is_wanted = not self._is_over and self.session is None
        is_offer = is_wanted and session.exchange.phase is Phase.NONE and response.sdp is not None
        ack = self._acks[key] = Acknowledgement(
            self._core, session.dialog, sent, self.access, waits_for_answer=is_offer
        )
        session.dialog.confirm(response)
        ack.send(now)
        if not is_wanted:
            Farewell(self._core, session.dialog, self.access).start(now)
            return
        self._forget_early(now, but=session)
        self.session = session
        self._core.dialogs[session.dialog.id] = self
        session.note_abilities(response)
        session.timer.take(now, response)
        sdp = self._description_of(session, response)
        self._core.emit(InviteAnswered(self.id, sdp, response.takes_info, is_offer=is_offer))
        if is_offer:
            session.ask_about_response(now, response.sdp or "", ack)

    def _description_of(self, session: Session, response: Response) -> str | None:
        """Return what the far side said in this dialog: here, or before in a reliable 18x.   RFC 6337 section 2.2."""
        exchange = session.exchange
        if exchange.phase is Phase.OURS and not exchange.rounds:
            if response.sdp is not None:
                exchange.take(Step.ANSWER_RECEIVED, response.sdp)
            else:
                exchange.withdraw()
            return response.sdp
        return exchange.remote if exchange.rounds else response.sdp

    def _fail(self, now: float, refusal: InviteFailed) -> None:
        if not self._is_over:
            self._mark_over(now)
            self._core.emit(refusal)

    # --- early dialogs ---

    def _handle_bye(self, now: float, request: Request) -> None:
        if self.session is None:
            self._initial.cancel(now)
        super()._handle_bye(now, request)

    def lose(self, now: float, cause: EndCause, status: int | None = None) -> None:
        """End the call: with CANCEL while it is early."""
        if self.session is None and not self._is_over:
            self._finish(now, cause, status=status)
            self._initial.cancel(now)
        else:
            super().lose(now, cause, status)

    def _session_of(self, request: Request) -> Session | None:
        if self.session is not None:
            return self.session
        branch = self._branches.get(request.from_.tag or "")
        return None if branch is None else branch.session

    def _sessions(self) -> list[Session]:
        early = [branch.session for branch in self._branches.values() if branch.session is not self.session]
        return super()._sessions() + early

    def _session_for_offer(self) -> Session:
        if self.session is None and not self._is_over:
            agreed = [branch.session for branch in self._branches.values() if branch.session.exchange.rounds]
            if len(agreed) != 1:
                raise InvalidCallState("there is not exactly one early dialog to change")
            return agreed[0]
        return super()._session_for_offer()

    def _mark_over(self, now: float) -> None:
        super()._mark_over(now)
        self._forget_early(now)

    def _forget_early(self, now: float, but: Session | None = None) -> None:
        for branch in self._branches.values():
            if branch.session is not but and branch.session is not self.session:
                branch.session.close(now)
                self._core.dialogs.pop(branch.session.dialog.id, None)
        self._branches.clear()


def _reliable_number(response: Response) -> int | None:
    """Return the RSeq of a reliable provisional response, None if it is not one.   RFC 3262 section 4."""
    if "100rel" not in response.option_tags("Require"):
        return None
    try:
        return parse_number(response.headers.get("RSeq") or "")
    except SipParseError:
        return None
