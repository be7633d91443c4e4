"""REFER within a call, both ways, and the implicit subscription that tells how it went.

`OutgoingRefer` asks and listens, `IncomingRefer` is asked and tells. A REFER is over with its final NOTIFY, with the
subscription's time, or with a refusal; an incoming one may outlive its call, since its dialog does (RFC 5057).
RFC 3515, 3892, 4488, 6665.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.sip.client import AccountAccess
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import SIPFRAG, EventPackage, SubscriptionState, plain_text, read_sipfrag
from trunkline.sip.invite.errand import Errand, Outcome
from trunkline.sip.message import Request
from trunkline.sip.phrases import reason_phrase
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import InviteId, ReferAnswered, ReferId, ReferProgress

_UNANSWERED = "unanswered"
_SILENCE = "silence"
_EXPIRY = "expiry"
SUBSCRIPTION_S = 180
"""How long we tell, and listen where the peer does not say: a call rings no longer."""
_MAX_SUBSCRIPTION_S = 3_600


class OutgoingRefer:
    """Our REFER. on_over: called once, with whether the dialog is lost."""

    def __init__(
        self,
        core: Core,
        invite: InviteId,
        refer_id: ReferId,
        request: Request,
        *,
        dialog: Dialog,
        access: AccountAccess | None,
        contact_user: str,
        on_over: Callable[[float, OutgoingRefer, Outcome | None], None],
    ) -> None:
        self.id = refer_id
        self._core = core
        self._invite = invite
        self._on_over = on_over
        self._wants_news = (request.headers.get("Refer-Sub") or "true").lower() != "false"
        self._last = (100, reason_phrase(100))
        self._is_over = False
        self._errand = Errand(core, dialog, request, self._answered, access=access, contact_user=contact_user)

    def start(self, now: float) -> None:
        """Send the REFER."""
        self._errand.start(now)

    def is_meant_by(self, event: EventPackage) -> bool:
        """Whether a NOTIFY of this event is about us. Many peers leave the id out.   RFC 3515 section 2.4.6."""
        named = event.parameter("id")
        return event.package == "refer" and (named is None or named == str(self._errand.cseq))

    def handle_notify(self, now: float, request: Request, state: SubscriptionState) -> None:
        """Report what the peer says about the call that it makes."""
        said = read_sipfrag(request.body) if request.content_type == SIPFRAG else None
        if said is not None:
            self._last = said
        is_final = state.is_terminated or self._last[0] >= 200
        if is_final:
            self._finish(now)
        else:
            expires_s = min(state.expires_s or SUBSCRIPTION_S, _MAX_SUBSCRIPTION_S)
            self._core.timers.set(self, _SILENCE, now + expires_s)
        if said is not None or is_final:
            self._core.emit(
                ReferProgress(self._invite, self.id, self._last[0], plain_text(self._last[1]), is_final=is_final)
            )

    def handle_timer(self, now: float, name: str) -> None:
        """Take silence for the end.   RFC 6665 section 4.1.2.4 (timer N)."""
        self._finish(now)
        self._core.emit(ReferProgress(self._invite, self.id, 408, "", is_final=True))

    def end(self) -> None:
        """Listen no longer, without a word: the call is over."""
        self._is_over = True
        self._core.timers.cancel(self, _SILENCE)

    def _answered(self, now: float, outcome: Outcome) -> None:
        if self._is_over:  # a NOTIFY overtook the response and was final, or the call ended
            return
        is_accepted = outcome.status < 300
        response = outcome.response
        denied = response is not None and (response.headers.get("Refer-Sub") or "").strip().lower() == "false"
        is_watched = is_accepted and self._wants_news and not denied
        self._core.emit(
            ReferAnswered(self._invite, self.id, outcome.status, plain_text(outcome.reason), is_watched=is_watched)
        )
        if not is_watched:
            self._finish(now, outcome)
        elif not self._core.timers.is_set(self, _SILENCE):
            self._core.timers.set(self, _SILENCE, now + self._core.time_limit_s)

    def _finish(self, now: float, outcome: Outcome | None = None) -> None:
        self.end()
        self._on_over(now, self, outcome)


class IncomingRefer:
    """A REFER that we got. on_over: called once, when nothing more can be sent."""

    def __init__(
        self,
        core: Core,
        refer_id: ReferId,
        transaction: ServerTransaction,
        *,
        dialog: Dialog,
        access: AccountAccess | None,
        contact_user: str,
        on_over: Callable[[ReferId], None],
    ) -> None:
        self.id = refer_id
        self.is_watched = (transaction.request.headers.get("Refer-Sub") or "").strip().lower() != "false"
        self._core = core
        self._transaction = transaction
        self._dialog = dialog
        self._access = access
        self._contact_user = contact_user
        self._on_over = on_over
        self._expires_at: float | None = None
        self._last = (100, reason_phrase(100))
        self._is_sending = False
        self._has_news = False
        self._is_final = False

    def start(self, now: float) -> None:
        """Wait for the application, for half of the time that the peer waits.   RFC 4320 section 4.2."""
        self._core.timers.set(self, _UNANSWERED, now + self._core.time_limit_s / 2)

    def answer(self, now: float, status: int, reason: str | None) -> None:
        """Accept or refuse; nothing if that is done. An accepted one is told `100 Trying` at once."""
        if self._expires_at is not None or self._transaction.is_answered:
            return
        self._core.timers.cancel(self, _UNANSWERED)
        response = self._core.response(self._transaction.request, status, reason)
        if status < 300:
            response.headers.add("Contact", str(self._core.contact(self._transaction.path, self._contact_user)))
            if not self.is_watched:
                response.headers.add("Refer-Sub", "false")
        self._transaction.respond(now, response)
        if status >= 300 or not self.is_watched:
            self._on_over(self.id)
            return
        self._expires_at = now + SUBSCRIPTION_S
        self._core.timers.set(self, _EXPIRY, self._expires_at)
        self._tell(now)

    def notify(self, now: float, status: int, reason: str | None) -> None:
        """Tell the peer where the new call is; a final status ends the subscription. Nothing before `answer`."""
        if self._expires_at is None or self._is_final:
            return
        self._last = (status, reason or reason_phrase(status))
        if status >= 200:
            self._is_final = True
            self._core.timers.cancel(self, _EXPIRY)
        self._tell(now)

    def handle_subscribe(self, now: float, transaction: ServerTransaction) -> None:
        """Take a refresh or the end of the subscription.   RFC 6665 section 4.2.1."""
        response = self._core.response(transaction.request, 200)
        wants_end = (transaction.request.headers.get("Expires") or "").strip() == "0"
        response.headers.add("Expires", "0" if wants_end else str(SUBSCRIPTION_S))
        response.headers.add("Contact", str(self._core.contact(transaction.path, self._contact_user)))
        transaction.respond(now, response)
        if wants_end:
            self._is_final = True
            self._core.timers.cancel(self, _EXPIRY)
        elif self._expires_at is not None and not self._is_final:
            self._expires_at = now + SUBSCRIPTION_S
            self._core.timers.set(self, _EXPIRY, self._expires_at)
        self._tell(now)

    def is_meant_by(self, event: EventPackage) -> bool:
        """Whether a SUBSCRIBE of this event is about us."""
        named = event.parameter("id")
        return event.package == "refer" and named in (None, str(self._transaction.request.cseq.number))

    def handle_timer(self, now: float, name: str) -> None:
        """Refuse in the application's place, or end what took too long."""
        if name == _UNANSWERED:
            self.answer(now, 500, None)
        else:
            self._is_final = True
            self._tell(now)

    # --- NOTIFY: one at a time, the newest news only ---

    def _tell(self, now: float) -> None:
        if self._is_sending:
            self._has_news = True
            return
        self._is_sending, self._has_news = True, False
        status, phrase = self._last
        request = self._dialog.request("NOTIFY")
        request.headers.add("Event", f"refer;id={self._transaction.request.cseq.number}")
        request.headers.add("Subscription-State", self._state(now))
        body = f"SIP/2.0 {status} {phrase}\r\n".encode()
        Errand(
            self._core,
            self._dialog,
            request.with_body(f"{SIPFRAG};version=2.0", body),
            self._told,
            access=self._access,
            contact_user=self._contact_user,
        ).start(now)

    def _state(self, now: float) -> str:
        if not self._is_final:
            return f"active;expires={max(1, int((self._expires_at or now) - now))}"
        return f"terminated;reason={'noresource' if self._last[0] >= 200 else 'timeout'}"

    def _told(self, now: float, outcome: Outcome) -> None:
        self._is_sending = False
        if outcome.status >= 300:
            self._is_final = True
            self._core.timers.cancel(self, _EXPIRY)
            self._on_over(self.id)
        elif self._has_news:
            self._tell(now)
        elif self._is_final:
            self._on_over(self.id)
