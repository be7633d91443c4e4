"""The SIP user agent: ties transactions, dialogs, calls and registrations together.

Sans-IO: the driver hands in bytes, resolved routes and the time, then drains `poll_query`, `poll_transmit`,
`poll_event` and arms one timer from `poll_timeout`.   RFC 3261.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from trunkline.sip.types import (
    Account,
    Event,
    HeaderFields,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    Path,
    RegistrationId,
    RouteQuery,
    Transmit,
    UaConfig,
)


class UserAgent:
    """One user agent, UAC and UAS.

    rng: tags, branches, Call-IDs, nonces and jitter come from it. accept_methods: methods outside dialogs that come
    up as `IncomingRequest` (e.g. `REGISTER` at a registrar); others than INVITE, ACK, CANCEL, BYE, OPTIONS are
    answered 405 or 501.
    """

    def __init__(self, config: UaConfig, rng: Random, *, accept_methods: frozenset[str] = frozenset()) -> None:
        raise NotImplementedError

    # --- verbs of the application ---

    def register(self, now: float, account: Account, expires_s: int = 600) -> RegistrationId:
        """Keep a binding at the account's registrar until `unregister`."""
        raise NotImplementedError

    def unregister(self, now: float, registration: RegistrationId) -> None:
        """Take the binding back; ends in `Unregistered`. Unknown ids are ignored."""
        raise NotImplementedError

    def invite(self, now: float, request: InviteRequest) -> InviteId:
        """Call somebody. LocalProtocolError if the target or an extra header cannot be put on the wire."""
        raise NotImplementedError

    def ring(self, now: float, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        """Send a provisional response to an inbound INVITE. InvalidCallState once it is answered or ended."""
        raise NotImplementedError

    def answer(self, now: float, invite: InviteId, sdp: str) -> None:
        """Answer an inbound INVITE with 200. InvalidCallState once it is answered or ended."""
        raise NotImplementedError

    def hangup(self, now: float, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        """End a call whatever its state: CANCEL, BYE, or a final refusal (status, 480 by default).

        Emits `InviteEnded(LOCAL)` at once; what the wire still needs goes on underneath. Dead ids are ignored.
        """
        raise NotImplementedError

    def reinvite(self, now: float, invite: InviteId, sdp: str) -> None:
        """Offer a changed session. InvalidCallState if not confirmed or while another INVITE is pending."""
        raise NotImplementedError

    def answer_reinvite(self, now: float, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        """Answer a `ReinviteReceived`: with sdp and 200, or refuse it with a status (488)."""
        raise NotImplementedError

    def send_info(self, now: float, invite: InviteId, content_type: str, body: bytes) -> None:
        """Send INFO in the confirmed dialog; ends in `InfoAnswered`. InvalidCallState if not confirmed."""
        raise NotImplementedError

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
        raise NotImplementedError

    # --- verbs of the driver ---

    def handle_datagram(self, now: float, data: bytes, path: Path) -> None:
        """Take one datagram, or one frame of a stream (`parser.StreamFramer`)."""
        raise NotImplementedError

    def handle_routes(self, now: float, query: int, paths: Sequence[Path]) -> None:
        """Answer a `RouteQuery`: paths in the order to try; none means that there is no way."""
        raise NotImplementedError

    def handle_unreachable(self, now: float, path: Path, reason: str) -> None:
        """Learn that the transport could not deliver to this peer: ICMP, connection refused or lost."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        """Run what is due."""
        raise NotImplementedError

    def poll_query(self) -> RouteQuery | None:
        """Next hop that the shell is to resolve."""
        raise NotImplementedError

    def poll_transmit(self) -> Transmit | None:
        """Next bytes to send."""
        raise NotImplementedError

    def poll_event(self) -> Event | None:
        """Next event for the application."""
        raise NotImplementedError

    def poll_timeout(self) -> float | None:
        """When `handle_timeout` is due, or None."""
        raise NotImplementedError
