"""The SIP side's transfers: who sends whom on, and who takes whose place.

Owns a REFER of the far side's until its outcome is told, ours until it is known, and the call that is to replace the
dialog. Makes no leg: `sip_leg` does.   RFC 3515, RFC 3891, RFC 5589.
"""

from __future__ import annotations

from typing import Final

from trunkline.calls.events import LegReferred, LegReplaced, LegStayed, LegTransferred, LegUnsendable
from trunkline.calls.legs.sip_media import SipMedia
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import LegDirection, LegKind
from trunkline.calls.ports import LegPort
from trunkline.calls.sip_events import Newcomer
from trunkline.errors import InvalidCallState, LocalProtocolError, NoRoute
from trunkline.sdp.negotiator import Negotiator
from trunkline.sip.headers import SipUri
from trunkline.sip.types import InviteId, ReferAnswered, ReferProgress, ReferReceived, ReferRequest
from trunkline.trunks.identity import user_of
from trunkline.trunks.model import MediaTerms

_NO_TRANSFER: Final = frozenset((403, 405, 420, 488, 501, 603))
"""Refusals of a REFER that are about REFER itself, or the far side's will, and not about whom it names."""

TransferEvent = ReferReceived | ReferAnswered | ReferProgress | Newcomer
"""What the user agent tells about transfers."""


class SipTransfers(SipMedia):
    """A SIP leg's transfers. sip: the user agent. domain: where a number is one that the far side can call.

    remote_offer, takes_info, terms: as in `SipMedia`.
    """

    __slots__ = (
        *("_domain", "_has_consulted", "_invite", "_is_over", "_is_sent_on"),
        *("_referral", "_replacement", "_sip"),
    )

    def __init__(
        self,
        context: LegContext,
        kind: LegKind,
        direction: LegDirection,
        sdp: Negotiator,
        *,
        sip: SipAccess,
        domain: str,
        remote_offer: str | None = None,
        takes_info: bool = False,
        terms: MediaTerms,
    ) -> None:
        super().__init__(context, kind, direction, sdp, remote_offer=remote_offer, takes_info=takes_info, terms=terms)
        self._sip = sip
        self._domain = domain
        self._invite: InviteId | None = None
        self._is_over = False
        self._is_sent_on = False
        """Whether the far side has agreed to call somebody else."""
        self._has_consulted = False
        """Whether that is somebody with whom we have a call."""
        self._referral: ReferReceived | None = None
        """A transfer that the far side has asked for, until its outcome is told."""
        self._replacement: Newcomer | None = None
        """Who wants to take the far side's place, and has no answer yet."""

    def _hear_of_transfer(self, event: TransferEvent) -> None:
        side, post = self._context.side, self._context.post
        match event:
            case ReferReceived() if self._referral is not None:
                self._sip.verbs.answer_refer(event.refer, 491)
            case ReferReceived():
                self._referral = event
                post(LegReferred(side, user_of(event.target_uri), user_of(event.referred_by or "")))
            case ReferAnswered() | ReferProgress():
                self._sent_on(event)
            case Newcomer(invite) if self._is_early_inbound:
                self._sip.verbs.hangup(invite.id, 481)  # RFC 3891 section 3: an early dialog must be one that we began
            case Newcomer(invite) if self._replacement is not None:
                self._sip.verbs.hangup(invite.id, 491)
            case Newcomer(invite):
                self._replacement = event
                post(LegReplaced(side, user_of(invite.caller)))

    @property
    def _is_early_inbound(self) -> bool:
        return self._leg.direction is LegDirection.INBOUND and self._context.call.answered_at is None

    def _sent_on(self, event: ReferAnswered | ReferProgress) -> None:
        """Learn how the far side fares with its transfer.   RFC 3515 section 2.4.5, RFC 5589 section 6.1.

        Many phones hang up as soon as they have agreed, and some tell no more than that they are trying.
        """
        side, status = self._context.side, event.status
        is_last = event.is_final if isinstance(event, ReferProgress) else status >= 300 or not event.is_watched
        self._is_sent_on = status < 300
        if isinstance(event, ReferAnswered) and status in _NO_TRANSFER and self._has_consulted:
            self._context.post(LegUnsendable(side, status, event.reason))
            return
        if is_last:
            self._context.post(LegTransferred(side) if status < 300 else LegStayed(side, status, event.reason))

    def send_on(self, target: str, consulted: LegPort | None) -> None:
        """Send REFER: blind, or with the dialog of another leg to replace.   RFC 3515, RFC 3891."""
        if self._invite is None or self._is_over:
            raise InvalidCallState("the SIP side has not answered")
        if consulted is None:
            request = ReferRequest(target_uri=target if ":" in target else str(SipUri.of(target, self._domain)))
        elif isinstance(consulted, SipTransfers) and consulted._invite is not None:
            request = ReferRequest(replaces=consulted._invite)
        else:
            raise InvalidCallState("the call to transfer to has no SIP side")
        self._has_consulted = consulted is not None
        try:
            self._sip.verbs.refer(self._invite, request)
        except LocalProtocolError as error:
            raise NoRoute(str(error)) from error

    def answer_referral(self, status: int) -> None:
        """Answer REFER.   RFC 3515 section 2.4.2."""
        if self._referral is not None:
            self._sip.verbs.answer_refer(self._referral.refer, status)
            if status >= 300:
                self._referral = None

    def tell_referral(self, status: int, phrase: str) -> None:
        """Send NOTIFY, which the subscription of a REFER outlives its call for.   RFC 3515 section 2.4.4."""
        if self._referral is not None:
            self._sip.verbs.notify_refer(self._referral.refer, status, phrase or None)
            if status >= 200:
                self._referral = None

    def refuse_replacement(self, status: int) -> None:
        """Refuse the call that is to replace this leg's dialog; nothing if there is none.   RFC 3891 section 3."""
        refused, self._replacement = self._replacement, None
        if refused is not None:
            self._sip.verbs.hangup(refused.invite.id, status)
