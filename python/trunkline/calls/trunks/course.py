"""The course of one outbound call over trunks: the first that has room, and the next when it fails.

Owns the line that the call holds. What the trunk is told of callee and caller is put together here, by its policies.
RFC 3261 section 16.7 (which answers another target may mend).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.ports import Clock
from trunkline.calls.trunks.line import LIMITED, Line, Outcome
from trunkline.errors import CapacityError, LocalProtocolError, NoRoute
from trunkline.observability.logging import get_logger
from trunkline.sdp.codecs import CodecTerms
from trunkline.sip.types import HeaderFields
from trunkline.trunks.identity import Caller, allowed, shown, user_of
from trunkline.trunks.limits import Way
from trunkline.trunks.model import MediaTerms, Trunk

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An outbound call over trunks. number: as it was dialed, without separators; a number or a user.

    headers: custom ones; each trunk lets its own through. codecs: what the call wants besides its trunk.
    max_forwards, max_breadth: what is left of both if the call is passed on, and its loop_key, by which it is known
    if it comes again.
    """

    number: str
    caller: Caller
    headers: HeaderFields = ()
    codecs: CodecTerms = field(default_factory=CodecTerms)
    max_forwards: int = 70
    max_breadth: int | None = None
    loop_key: str = ""


class Course:
    """One call's way over lines, in their order. Holds one of them at a time."""

    def __init__(self, lines: Iterable[Line], order: Order, clock: Clock) -> None:
        self._lines = list(lines)
        self._order = order
        self._clock = clock
        self._held: Line | None = None
        self._last: Line | None = None
        """The trunk of the newest try, also when its line is given back."""
        self._is_answered = False

    def first(self) -> OutboundCall:
        """Take the first line. CapacityError if none is there or has room, NoRoute if none can write the number."""
        causes: list[Exception] = []
        call = self._next(causes)
        if call is not None:
            return call
        raise next((cause for cause in causes if isinstance(cause, CapacityError)), NoRoute("no trunk takes this call"))

    def failed(self, status: int, retry_after_s: int | None, *, has_rung: bool) -> OutboundCall | None:
        """See `legs.sip_party.Course`. Who rang and did not pick up is not asked again elsewhere."""
        line, self._held = self._held, None
        if line is None:
            return None
        line.capacity.release(Way.OUTBOUND)
        if status:
            line.note_call(status, retry_after_s)
            line.last_failure = f"a call got {status}"
        may_go_on = status == 0 or (status in line.trunk.failover_statuses and not (status == 408 and has_rung))
        following = self._next([]) if may_go_on else None
        line.count(Way.OUTBOUND, Outcome.FAILED if following is None else Outcome.FAILED_OVER)
        if following is not None:
            _log.warning("trunk_failed_over", trunk=line.trunk.name, next=following.trunk, sip_status=status)
        return following

    def answered(self) -> None:
        """See `legs.sip_party.Course`."""
        if self._held is not None:
            self._is_answered = True
            self._held.note_call(200)
            self._held.count(Way.OUTBOUND, Outcome.ANSWERED)

    def over(self) -> None:
        """See `legs.sip_party.Course`."""
        held, self._held = self._held, None
        if held is not None:
            held.capacity.release(Way.OUTBOUND)
            if not self._is_answered:
                held.count(Way.OUTBOUND, Outcome.ABANDONED)

    def onward(self, target: str) -> OutboundCall:
        """See `legs.sip_party.Course`."""
        if self._last is None:
            raise NoRoute("the call has no trunk")
        return Course((self._last,), replace(self._order, number=user_of(target)), self._clock).first()

    def _next(self, causes: list[Exception]) -> OutboundCall | None:
        """Take the next line that is there and has room. causes: gets why the others did not do."""
        while self._lines:
            line = self._lines.pop(0)
            if not line.is_usable:
                line.count(Way.OUTBOUND, Outcome.SKIPPED)
                causes.append(CapacityError(f"trunk {line.trunk.name} is {line.state}"))
                continue
            try:
                call = outbound_call(line.trunk, self._order, self)
            except LocalProtocolError as error:
                line.count(Way.OUTBOUND, Outcome.FAILED)
                causes.append(error)
                continue
            limited = line.capacity.admit(self._clock.now(), Way.OUTBOUND)
            if limited is not None:
                line.count(Way.OUTBOUND, LIMITED[limited])
                causes.append(CapacityError(f"trunk {line.trunk.name} takes no more calls now"))
                continue
            self._held = self._last = line
            return call
        return None


def outbound_call(trunk: Trunk, order: Order, course: Course | None = None) -> OutboundCall:
    """Write a call for a trunk: numbers, identity, headers, media. LocalProtocolError if that makes no address."""
    account, caller, media = trunk.account, order.caller, trunk.media
    number = trunk.numbers.outbound_callee(order.number)
    if not number:
        raise LocalProtocolError("nothing is left of the number")
    own = trunk.numbers.outbound_caller(caller.number)
    told = shown(caller, own, account.login, account.domain, trunk.identity)
    codecs = CodecTerms(
        order.codecs.audio or media.codecs.audio, order.codecs.may_transcode and media.codecs.may_transcode
    )
    return OutboundCall(
        account=account,
        target=number,
        display_name=told.display_name,
        terms=MediaTerms(codecs=codecs, dtmf=media.dtmf, security=media.security, is_late_offer=media.is_late_offer),
        from_uri=told.from_uri,
        identity=told.identity,
        headers=(*allowed(order.headers, trunk.headers_out), *caller.passed),
        max_forwards=order.max_forwards,
        max_breadth=order.max_breadth,
        loop_key=order.loop_key,
        silence_s=trunk.silence_s,
        trunk=trunk.name,
        course=course,
    )
