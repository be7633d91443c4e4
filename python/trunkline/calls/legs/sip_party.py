"""Whom a SIP leg talks to, and by which user agent; what the end of a SIP call means.

Owns no state. Knows no SIP message.   RFC 3261 section 21.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from trunkline.calls.model import EndReason
from trunkline.calls.ports import LegContext, LegPort, SipPort
from trunkline.calls.sip_events import Newcomer, SipEvents
from trunkline.errors import SipParseError
from trunkline.sdp.negotiator import Negotiator, RtpNegotiator
from trunkline.sdp.security import SecurityPolicy
from trunkline.sip.headers import NameAddr, SipUri
from trunkline.sip.types import (
    Account,
    EndCause,
    HeaderFields,
    Hop,
    Identity,
    IncomingInvite,
    InviteRequest,
    MessageRequest,
)
from trunkline.trunks.model import MediaTerms

ENDED: Final[dict[EndCause, EndReason]] = {
    EndCause.REMOTE_BYE: EndReason.NORMAL,
    EndCause.NO_ACK: EndReason.REQUEST_TIMEOUT,
    EndCause.NO_ANSWER: EndReason.NO_ANSWER,
    EndCause.DIALOG_LOST: EndReason.REQUEST_TIMEOUT,
    EndCause.SESSION_EXPIRED: EndReason.REQUEST_TIMEOUT,
}
"""Why a call is over that the user agent ended, or its far side."""


def is_elsewhere(status: int | None, q850: int | None) -> bool:
    """Whether the Reason of a CANCEL says that the call was answered at another place.   RFC 3326 section 2.

    Q.850 calls that non-selected user clearing.
    """
    return (status is not None and 200 <= status < 300) or q850 == EndReason.ANSWERED_ELSEWHERE.value.q850


@dataclass(frozen=True, slots=True)
class SipAccess:
    """The user agent's verbs, and where its events come back."""

    verbs: SipPort
    events: SipEvents


def replace_leg(sip: SipAccess, invite: IncomingInvite, make: Callable[[LegContext], LegPort] | None = None) -> None:
    """Give a call to the leg whose place it is to take; 481 if that is over.   RFC 3891 section 3.

    make: its leg, if it is to be other than the one whose place it takes would make.

    Only for calls of somebody who may call here. Beyond that, who knows a dialog's tags has them from one of its sides.
    """
    if not sip.events.replace(Newcomer(invite, make)):
        sip.verbs.hangup(invite.id, 481)


class Course(Protocol):
    """The trunks that one call may take, one after the other. Holds a line of the one that is tried."""

    def failed(self, status: int, retry_after_s: int | None, *, has_rung: bool) -> OutboundCall | None:
        """Give the line back and return the next try; None if the failure stands.

        status: SIP's, or 0 if the trunk could not even be asked.
        """
        ...

    def answered(self) -> None:
        """Learn that the call has found its trunk."""

    def onward(self, target: str) -> OutboundCall:
        """Return another call by this one's trunk, under its limits. CapacityError or NoRoute if that cannot be."""
        ...

    def over(self) -> None:
        """Give the line back, if it is still held: the call is over. May be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """Whom to call and as whom.

    account: None for a call by another way: `hop` then says where it goes and `from_uri` who calls. contact_user: user
    part of our Contact, where the far side is to know us by one. routes, credentials: as in `InviteRequest`.
    on_challenge: gets the challenges of a refusal that somebody else's password could answer.
    register_expires_s: take a binding before the INVITE and give it back after the call; None if the account is
    registered by its session, or needs no registration. replaces: the dialog at the target that this one takes the
    place of, as a header value (RFC 3891). referred_by: URI of who wants the call made (RFC 3892). terms: what the call
    and its trunk want of media. from_uri: who calls, where that is not the account; identity, headers: what else is
    said. trunk: its name, empty for none. course: knows which trunk comes next; None if there is nothing to try but
    this.
    """

    account: Account | None
    target: str
    display_name: str = ""
    register_expires_s: int | None = None
    replaces: str | None = None
    referred_by: str | None = None
    terms: MediaTerms = field(default_factory=MediaTerms)
    from_uri: str | None = None
    contact_user: str | None = None
    hop: Hop | None = None
    routes: tuple[str, ...] = ()
    credentials: HeaderFields = ()
    on_challenge: Callable[[HeaderFields], None] = lambda _: None
    identity: Identity | None = None
    headers: HeaderFields = ()
    max_forwards: int = 70
    max_breadth: int | None = None
    loop_key: str = ""
    silence_s: float | None = None
    trunk: str = ""
    course: Course | None = None

    @property
    def domain(self) -> str:
        """The domain in which a number is one that the far side can call."""
        return self.server if self.account is None else self.account.domain

    @property
    def server(self) -> str:
        """The host that SIP goes to."""
        if self.hop is not None:
            return self.hop.host if self.hop.flow is None else self.hop.flow.remote[0]
        return "" if self.account is None else self.account.outbound_proxy or self.account.domain


def request_of(call: OutboundCall, sdp: str | None) -> InviteRequest:
    """Return what the user agent is asked for."""
    return InviteRequest(
        target_uri=call.target,
        sdp=sdp,
        account=call.account,
        display_name=call.display_name or None,
        caller=call.contact_user,
        from_uri=call.from_uri,
        hop=call.hop,
        routes=call.routes,
        credentials=call.credentials,
        extra_headers=call.headers
        if call.referred_by is None
        else (*call.headers, ("Referred-By", f"<{call.referred_by}>")),
        replaces=call.replaces,
        identity=call.identity,
        max_forwards=call.max_forwards,
        max_breadth=call.max_breadth,
        loop_key=call.loop_key,
        silence_s=call.silence_s,
    )


def message_of(call: OutboundCall, text: str, content_type: str) -> MessageRequest:
    """Return a text that goes where such a call would, and says the same of who sends it."""
    return MessageRequest(
        text=text,
        content_type=content_type,
        target_uri=call.target,
        account=call.account,
        display_name=call.display_name or None,
        from_uri=call.from_uri,
        extra_headers=call.headers,
        identity=call.identity,
        max_forwards=call.max_forwards,
        hop=call.hop,
        routes=call.routes,
        credentials=call.credentials,
    )


def rtp_negotiator(
    what: OutboundCall | IncomingInvite, security: SecurityPolicy | None, terms: MediaTerms
) -> Negotiator:
    """Make what negotiates RTP with a peer, under the node's policy or the trunk's own."""
    if security is not None and terms.security is not None:
        security = replace(security, mode=terms.security)
    return RtpNegotiator(security, server_of(what))


def server_of(what: OutboundCall | IncomingInvite) -> str:
    """Return the host that SIP goes to or came from: its address family is the one to offer media in."""
    if isinstance(what, IncomingInvite):
        return what.path.remote[0]
    return what.server


def domain_of(what: OutboundCall | IncomingInvite) -> str:
    """Return the domain in which a number is one that the far side can call."""
    if isinstance(what, OutboundCall):
        return what.domain
    try:
        uri = NameAddr.parse(what.caller).uri
    except SipParseError:
        return what.path.remote[0]
    return uri.host if isinstance(uri, SipUri) else what.path.remote[0]
