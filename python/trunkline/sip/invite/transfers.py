"""The transfers of one call: REFERs sent and received, and which of them a NOTIFY or SUBSCRIBE means.

RFC 3515, 3892, 6665; RFC 5057 on what they share with the call.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.errors import SipParseError
from trunkline.sip.client import AccountAccess
from trunkline.sip.core import Core
from trunkline.sip.dialog import Dialog
from trunkline.sip.headers import EventPackage, NameAddr, ReferTo, SubscriptionState, plain_text
from trunkline.sip.invite.errand import Outcome
from trunkline.sip.invite.refer import IncomingRefer, OutgoingRefer
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import InviteId, ReferId, ReferReceived, ReferRequest

TRANSFER_METHODS = ("REFER", "NOTIFY", "SUBSCRIBE")
_MAX_REFERS = 8
"""Transfers that a peer may ask for at once within one call."""


class Transfers:
    """What one call has under way. on_dialog_lost: the peer does not know the dialog; with the status that says so."""

    def __init__(
        self,
        core: Core,
        call: InviteId,
        *,
        contact_user: str,
        access: AccountAccess | None,
        on_dialog_lost: Callable[[float, int], None],
    ) -> None:
        self._core = core
        self._call = call
        self._contact_user = contact_user
        self._access = access
        self._on_dialog_lost = on_dialog_lost
        self._sent: list[OutgoingRefer] = []
        self._received: list[IncomingRefer] = []

    def refer(self, now: float, dialog: Dialog, target: ReferTo, request: ReferRequest) -> ReferId:
        """Send REFER; see `UserAgent.refer`."""
        referred_by = request.referred_by or dialog.local.uri.address_of_record
        message = dialog.request("REFER")
        message.headers.add("Refer-To", str(target))
        message.headers.add("Referred-By", f"<{referred_by}>")
        if not request.is_watched:
            message.headers.add("Refer-Sub", "false")
        for name, value in self._core.capabilities:
            message.headers.add(name, value)
        refer = OutgoingRefer(
            self._core,
            self._call,
            ReferId(self._core.new_id()),
            message,
            dialog=dialog,
            access=self._access,
            contact_user=self._contact_user,
            on_over=self._sent_over,
        )
        self._sent.append(refer)
        refer.start(now)
        return refer.id

    def end(self) -> None:
        """Listen no longer: the call is over. What was received goes on telling."""
        for refer in self._sent:
            refer.end()
        self._sent.clear()

    def handle_request(self, now: float, dialog: Dialog, transaction: ServerTransaction) -> None:
        """Answer a request of `TRANSFER_METHODS`."""
        match transaction.request.method:
            case "REFER":
                self._handle_refer(now, dialog, transaction)
            case "NOTIFY":
                self._handle_notify(now, transaction)
            case _:
                self._handle_subscribe(now, transaction)

    def _handle_refer(self, now: float, dialog: Dialog, transaction: ServerTransaction) -> None:
        """Pass a transfer up.   RFC 3515 section 2.4.2, RFC 3892."""
        request = transaction.request
        values = request.headers.get_all("Refer-To")
        try:
            target = ReferTo.parse(values[0]) if len(values) == 1 else None
            written = request.headers.get("Referred-By")
            referred_by = None if written is None else plain_text(str(NameAddr.parse(written).uri))
        except SipParseError:
            target = referred_by = None
        if target is None:
            transaction.respond(now, self._core.response(request, 400, "A REFER needs exactly one Refer-To"))
            return
        if target.method != "INVITE" or len(self._received) >= _MAX_REFERS:
            transaction.respond(now, self._core.response(request, 603))
            return
        refer = IncomingRefer(
            self._core,
            ReferId(self._core.new_id()),
            transaction,
            dialog=dialog,
            access=self._access,
            contact_user=self._contact_user,
            on_over=self._received_over,
        )
        self._core.referrals[refer.id] = refer
        self._received.append(refer)
        refer.start(now)
        replaces = target.replaces
        self._core.emit(
            ReferReceived(
                self._call,
                refer.id,
                target_uri=plain_text(str(target.target)),
                replaces=None if replaces is None else str(replaces),
                replaced=None if replaces is None else self._core.call_of(replaces),
                referred_by=referred_by,
                is_watched=refer.is_watched,
            )
        )

    def _received_over(self, refer_id: ReferId) -> None:
        self._core.referrals.pop(refer_id, None)
        self._received = [refer for refer in self._received if refer.id != refer_id]

    def _handle_notify(self, now: float, transaction: ServerTransaction) -> None:
        """Give the news of a transfer to who waits for it.   RFC 6665 section 4.1.3."""
        request = transaction.request
        try:
            event = EventPackage.parse(request.headers.get("Event") or "")
            state = SubscriptionState.parse(request.headers.get("Subscription-State") or "")
        except SipParseError:
            transaction.respond(now, self._core.response(request, 400, "Bad Event or Subscription-State"))
            return
        refer = next((refer for refer in self._sent if refer.is_meant_by(event)), None)
        if event.package != "refer":
            response = self._core.response(request, 489)
            response.headers.add("Allow-Events", "refer")
            transaction.respond(now, response)
        elif refer is None:
            transaction.respond(now, self._core.response(request, 481))
        else:
            transaction.respond(now, self._core.response(request, 200))
            refer.handle_notify(now, request, state)

    def _handle_subscribe(self, now: float, transaction: ServerTransaction) -> None:
        """Let a peer renew or end the subscription that its REFER made.   RFC 6665 section 4.2.1."""
        request = transaction.request
        try:
            event = EventPackage.parse(request.headers.get("Event") or "")
        except SipParseError:
            event = EventPackage("")
        refer = next((refer for refer in self._received if refer.is_meant_by(event)), None)
        if refer is None:
            response = self._core.response(request, 481 if event.package == "refer" else 489)
            if response.status == 489:
                response.headers.add("Allow-Events", "refer")
            transaction.respond(now, response)
        else:
            refer.handle_subscribe(now, transaction)

    def _sent_over(self, now: float, refer: OutgoingRefer, outcome: Outcome | None) -> None:
        if refer in self._sent:
            self._sent.remove(refer)
        if outcome is not None and outcome.is_dialog_lost:
            self._on_dialog_lost(now, outcome.status)
