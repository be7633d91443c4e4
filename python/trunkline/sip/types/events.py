"""What the user agent tells the application.

Every `InviteId` that the application learns gets exactly one terminal event: `InviteFailed` (the far side refused an
outbound INVITE, or could not be reached) or `InviteEnded` (everything else). After it the id is dead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from trunkline.sip.types.paths import Path
from trunkline.sip.types.requests import (
    HeaderFields,
    IncomingRequestId,
    InviteId,
    MessageId,
    ProbeId,
    ReferId,
    RegistrationId,
    RequestId,
)

# --- events: registrations -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar holds our binding for this long. Comes again after each refresh."""

    id: RegistrationId
    expires_s: int


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar refused, or did not answer.

    status: SIP status; 408 for silence and 503 for "no way to reach it" are made here. reason: phrase from the wire,
    or ours. retry_in_s: when the user agent tries again by itself; None when it gave up (wrong password, forbidden).
    """

    id: RegistrationId
    status: int
    reason: str
    retry_in_s: float | None


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The binding is gone, or could not be taken back within the protocol's time. The id is dead."""

    id: RegistrationId


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a question whether a server is there. The id is dead.

    status: of any response; 408 for silence and 503 for "no way to reach it" are made here. retry_after_s: how long the
    server wants to be left alone, if it says.
    """

    id: ProbeId
    status: int
    retry_after_s: int | None


# --- events: calls ---------------------------------------------------------------------------------------------------


class EndCause(StrEnum):
    """Why an INVITE usage ended."""

    LOCAL = "local"
    """`hangup` was called."""
    REMOTE_BYE = "remote_bye"
    REMOTE_CANCEL = "remote_cancel"
    NO_ACK = "no_ack"
    """We answered and the far side never acknowledged (64*T1)."""
    NO_ANSWER = "no_answer"
    """Nobody answered an inbound INVITE within `ring_limit_s`."""
    DIALOG_LOST = "dialog_lost"
    """A request within the dialog got 481, 408 or no answer."""
    SESSION_EXPIRED = "session_expired"
    """Nobody refreshed the session in time (RFC 4028)."""


@dataclass(frozen=True, slots=True)
class InviteTrying:
    """The next hop has our INVITE (100)."""

    id: InviteId


@dataclass(frozen=True, slots=True)
class InviteProgress:
    """A provisional response other than 100.

    sdp: early media, as a rule with 183. takes_info: Allow names INFO. fork: tells the branches of a forked call apart.
    is_offer: sdp is an offer, since ours was left to the far side; `ReinviteReceived` follows and asks for the answer.
    """

    id: InviteId
    status: int
    reason: str
    sdp: str | None
    takes_info: bool = field(default=False, compare=False)
    fork: str = field(default="", compare=False)
    is_offer: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """An outbound INVITE was answered with 2xx.

    sdp: the answer, which may have come before in a reliable 18x; it is acknowledged. is_offer: sdp is an offer, since
    ours was left to the far side; `ReinviteReceived` follows, and the ACK waits for the answer. takes_info: Allow names
    INFO.
    """

    id: InviteId
    sdp: str | None
    takes_info: bool = field(default=False, compare=False)
    is_offer: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """An outbound INVITE got a final refusal. Terminal.

    status: from the wire (3xx where it is not followed: without an account, or once no place is left to try), or 408
    for silence (timer B, ring_limit_s) and 503 for "no way to reach the server". reason: the phrase that belongs to it.
    cause: Q.850 number of a Reason header (RFC 3326).
    retry_after_s: how long the server wants to be left alone, if it says.
    challenges: WWW-Authenticate and Proxy-Authenticate of a 401 or 407, for whoever has the password.
    """

    id: InviteId
    status: int
    reason: str
    cause: int | None = None
    retry_after_s: int | None = field(default=None, compare=False)
    challenges: HeaderFields = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class InviteEnded:
    """The call is over. Terminal. status: SIP status where one says why. cause: Q.850 number of a Reason header."""

    id: InviteId
    reason: EndCause
    status: int | None = None
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """Somebody calls. 100 has been sent; answer with `ring`, `answer` or `hangup`.

    registration: whose contact was called, None if the request named no contact of ours. caller, callee: addresses
    as URI text. display_name: the caller's, may be empty. sdp: the offer; None is a late offer, and `answer` then
    carries ours. headers: all of the request. takes_info: Allow names INFO. replaces: the call of ours that this one
    takes the place of, without ringing (RFC 3891): answer it, join it to the other leg of that call, and `hangup` that
    one. asserted, privacy: P-Asserted-Identity as URI texts and the words of Privacy, to be believed of trusted peers
    alone (RFC 3325). peer: who the gate has recognised, empty if nobody. max_forwards, max_breadth: what is left of
    both, for a call that is passed on.
    """

    id: InviteId
    registration: RegistrationId | None
    caller: str
    display_name: str
    callee: str
    sdp: str | None
    headers: HeaderFields
    path: Path
    takes_info: bool = field(default=False, compare=False)
    replaces: InviteId | None = None
    asserted: tuple[str, ...] = field(default=(), compare=False)
    privacy: tuple[str, ...] = field(default=(), compare=False)
    max_forwards: int = field(default=70, compare=False)
    max_breadth: int | None = field(default=None, compare=False)
    peer: str = field(default="", compare=False)
    loop_key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class InviteConfirmed:
    """Our answer to an inbound INVITE was acknowledged. sdp: the answer to a late offer."""

    id: InviteId
    sdp: str | None


@dataclass(frozen=True, slots=True)
class ReinviteReceived:
    """The far side offers a change of the session; answer with `answer_reinvite`, within 16 s (32*T1).

    It came by re-INVITE, UPDATE, PRACK, or in a response to an INVITE of ours that offered nothing. sdp: its offer,
    None asks for ours.
    """

    id: InviteId
    sdp: str | None


@dataclass(frozen=True, slots=True)
class ReinviteAnswered:
    """An offer of ours was accepted: of `reinvite`, or made in `answer_reinvite` or `ring`. sdp: the answer."""

    id: InviteId
    sdp: str | None


@dataclass(frozen=True, slots=True)
class ReinviteFailed:
    """Our offer was refused; the session goes on as before (RFC 3261 section 14.1).

    491 after glare says that the far side's offer was answered in between: make a new one from how things are now. A
    glare without that is not told: the offer is sent again.
    """

    id: InviteId
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """A DTMF digit in an INFO; it has been answered 200. digit: one of `0123456789*#ABCD`."""

    id: InviteId
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class InfoAnswered:
    """Final status of an INFO that we sent."""

    id: InviteId
    status: int


# --- events: transfers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """The far side of a call wants us to call somebody else: a transfer.   RFC 3515, 3891, 3892.

    Answer with `answer_refer` (202 or a refusal), then tell of the new call with `notify_refer` until its final
    status. Without an answer it is refused with 500. target_uri: whom to call. replaces: for `InviteRequest.replaces`,
    None for a blind transfer. replaced: the call of ours that `replaces` names, if it is one of ours: then no new call
    is needed, the two far sides may be joined at once. referred_by: URI text of who asks, if it says. is_watched: False
    if it wants no news (RFC 4488); `notify_refer` then sends nothing.
    """

    id: InviteId
    refer: ReferId
    target_uri: str
    replaces: str | None
    replaced: InviteId | None
    referred_by: str | None
    is_watched: bool


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """Final response to our REFER. From 300 on the transfer is refused and over; the call goes on as before.

    is_watched: whether `ReferProgress` will tell more; if False, a 2xx is all that will be known.
    """

    id: InviteId
    refer: ReferId
    status: int
    reason: str
    is_watched: bool


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """The far side tells how the call that we asked for is going (NOTIFY).

    status, reason: of that call. is_final: nothing more will come; a status below 200 is then as far as it got, and
    408 with an empty reason is silence. A BYE from the far side ends the call and with it these events, without a final
    one.
    """

    id: InviteId
    refer: ReferId
    status: int
    reason: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """Final response to a request of ours outside any dialog; 408 and 503 may be ours. headers: of the response."""

    id: RequestId
    status: int
    reason: str
    headers: HeaderFields


@dataclass(frozen=True, slots=True)
class FlowClosed:
    """A WebSocket that its peer had opened has closed: what is only reached by it cannot be reached any more."""

    path: Path


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A request outside any dialog that the user agent leaves to the application (`UserAgent.accept_methods`).

    Answer with `respond`; without an answer it is refused with 500 after 32 s (64*T1).
    """

    id: IncomingRequestId
    method: str
    uri: str
    headers: HeaderFields
    body: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """Somebody sends a text.   RFC 3428. Answer with `respond`; without an answer it is refused with 500.

    registration: whose Contact it came to, None if nobody's. invite: the call in whose dialog it came, if it did.
    sender, recipient: URIs. text: characters that could not be read are replaced. target: the Request-URI. headers: all
    of the message, outside dialogs. asserted, privacy, peer: as of `IncomingInvite`.
    """

    request: IncomingRequestId
    registration: RegistrationId | None
    invite: InviteId | None
    sender: str
    display_name: str
    recipient: str
    content_type: str
    text: str
    path: Path
    target: str = ""
    headers: HeaderFields = ()
    asserted: tuple[str, ...] = ()
    privacy: tuple[str, ...] = ()
    peer: str = ""


@dataclass(frozen=True, slots=True)
class MessageAnswered:
    """What became of a message of ours. status: 408 and 503 may be ours. challenges: as of `InviteFailed`."""

    id: MessageId
    status: int
    reason: str
    challenges: HeaderFields = ()


Event = (
    Registered
    | RegistrationFailed
    | Unregistered
    | Probed
    | InviteTrying
    | InviteProgress
    | InviteAnswered
    | InviteFailed
    | InviteEnded
    | IncomingInvite
    | InviteConfirmed
    | ReinviteReceived
    | ReinviteAnswered
    | ReinviteFailed
    | InfoReceived
    | InfoAnswered
    | ReferReceived
    | ReferAnswered
    | ReferProgress
    | IncomingRequest
    | RequestAnswered
    | FlowClosed
    | MessageReceived
    | MessageAnswered
)
