"""SHELL: one call of the test phone, from its first event to its last.

Owns the order of things in one call: ring, answer, be heard, hang up. Must not decide who is called or what a number
means: `phone` and `numbers` do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeVar

from trunkline.calls.ports import MediaPort, SipPort
from trunkline.demo.link import Link, open_link
from trunkline.demo.numbers import Behaviour
from trunkline.errors import CapacityError, InvalidCallState, MediaError, NegotiationError, SdpError
from trunkline.media import types as media_types
from trunkline.media.types import BridgeFailed, DtmfReceived, DtmfTones, EndpointClosed, MediaInactive, PlayDone, Tone
from trunkline.sip import types as sip_types
from trunkline.sip.types import (
    IncomingInvite,
    InfoReceived,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteRequest,
    ReferReceived,
    ReinviteReceived,
)

TEST_TONE: Final = Tone(frequencies_hz=(440.0,))
GREETING: Final = Tone(frequencies_hz=(660.0,))

_MAX_EVENTS = 256

Event = sip_types.Event | media_types.Event
_EventT = TypeVar("_EventT", InviteAnswered, InviteConfirmed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds.

    ring_s: before an answer. greeting_s: of the tone before something else. silence_s: once the media
    plane calls the caller silent, so that its gateway, which hears of it in the same moment, may say first why the call
    ends. longest_call_s: whatever the caller does.
    """

    ring_s: float = 1.0
    greeting_s: float = 1.5
    silence_s: float = 2.0
    longest_call_s: float = 3600.0


class _CallOverError(Exception):
    """The far side or the media plane ended the call."""


class DemoCall:
    """One call. Run either `answer` or `call`, once, and feed it events by `put` all the while."""

    def __init__(self, sip: SipPort, media: MediaPort, rng: Random, pace: Pace) -> None:
        self._sip = sip
        self._media = media
        self._rng = rng
        self._pace = pace
        self._events: asyncio.Queue[Event] = asyncio.Queue(_MAX_EVENTS)
        self._link: Link | None = None
        self._reads_back = False
        self._digits: deque[str] = deque()
        self._is_playing_digit = False

    def put(self, event: Event) -> None:
        """Hand over an event of this call. What a flood overfills is lost, but never the end of the call."""
        if self._events.full() and isinstance(event, InviteEnded | InviteFailed):
            self._events.get_nowait()
        with suppress(asyncio.QueueFull):
            self._events.put_nowait(event)

    async def answer(self, invite: IncomingInvite, behaviour: Behaviour) -> bool:
        """Do with an inbound call what its number says. Returns whether it was answered and played to its own end."""
        status = None
        try:
            async with asyncio.timeout(self._pace.longest_call_s):
                return await self._answer(invite, behaviour)
        except (SdpError, NegotiationError, CapacityError) as error:
            status = error.sip_status
        except MediaError:
            status = 503
        except (_CallOverError, InvalidCallState, TimeoutError):
            pass
        self._sip.hangup(invite.id, status)
        return False

    async def call(self, request: InviteRequest, on_started: Callable[[InviteId], None]) -> None:
        """Call somebody, greet with a tone, and be an echo until either side hangs up.

        request: its sdp is filled in here. on_started: told the id at once, so that events find their way to `put`.
        """
        invite: InviteId | None = None
        try:
            async with asyncio.timeout(self._pace.longest_call_s), self._opened(None) as link:
                self._link = link
                invite = self._sip.invite(replace(request, sdp=link.offer()))
                on_started(invite)
                answered = await self._next(InviteAnswered)
                await link.accept_answer(answered.sdp)
                await link.echo()
                await link.play(GREETING)
                await self._serve(self._pace.greeting_s)
                await link.stop_play()
                await self._serve()
        except (_CallOverError, InvalidCallState, SdpError, NegotiationError, CapacityError, MediaError, TimeoutError):
            if invite is not None:
                self._sip.hangup(invite)

    async def _answer(self, invite: IncomingInvite, behaviour: Behaviour) -> bool:
        match behaviour:
            case Behaviour.BUSY:
                self._sip.hangup(invite.id, 486)
                return False
            case Behaviour.NOT_FOUND:
                self._sip.hangup(invite.id, 404)
                return False
            case Behaviour.NO_ANSWER:
                self._sip.ring(invite.id)
                await self._serve()
            case _:
                pass
        async with self._opened(invite.sdp) as link:
            self._sip.ring(invite.id)
            await self._serve(self._pace.ring_s)
            self._link = link
            if invite.sdp is not None:
                self._sip.answer(invite.id, await link.accept_offer(invite.sdp))
            else:
                self._sip.answer(invite.id, link.offer())
                await link.accept_answer((await self._next(InviteConfirmed)).sdp)
            await self._behave(behaviour, link)
            self._sip.hangup(invite.id)
        return True

    async def _behave(self, behaviour: Behaviour, link: Link) -> None:
        """Do the audible part; returns when it is for us to hang up."""
        match behaviour:
            case Behaviour.ECHO:
                await link.echo()
                await self._serve()
            case Behaviour.TONE:
                await link.play(TEST_TONE)
                await self._serve()
            case Behaviour.DIGITS:
                self._reads_back = True
                await self._serve()
            case Behaviour.CALL_ME:
                await link.play(GREETING)
                await self._serve(self._pace.greeting_s)
            case Behaviour.BUSY | Behaviour.NOT_FOUND | Behaviour.NO_ANSWER:
                return

    def _opened(self, offer: str | None) -> AbstractAsyncContextManager[Link]:
        return open_link(self._media, self._rng, self.put, offer=offer)

    async def _next(self, kind: type[_EventT]) -> _EventT:
        """Wait for an event; what comes before it is served."""
        while True:
            event = await self._events.get()
            if isinstance(event, kind):
                return event
            await self._handle(event)

    async def _serve(self, duration_s: float | None = None) -> None:
        """Serve events for a while, or for good: the end of the call raises `_CallOverError`."""
        deadline = None if duration_s is None else asyncio.get_running_loop().time() + duration_s
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await self._events.get()
            except TimeoutError:
                return
            await self._handle(event)

    async def _handle(self, event: Event) -> None:
        match event:
            case InviteEnded() | InviteFailed() | EndpointClosed() | BridgeFailed():
                raise _CallOverError
            case MediaInactive():
                await self._serve(self._pace.silence_s)
                raise _CallOverError
            case ReferReceived(refer=refer):
                self._sip.answer_refer(refer, 603)
            case ReinviteReceived() if self._link is not None:
                await self._answer_reinvite(event, self._link)
            case InviteConfirmed(sdp=str() as answer) if self._link is not None:
                await self._link.accept_answer(answer)
            case DtmfReceived(digit=digit) if self._reads_back:
                await self._read_back(digit)
            case InfoReceived(digit=digit) if self._reads_back:
                await self._read_back(digit)
            case PlayDone() if self._reads_back:
                self._is_playing_digit = False
                await self._read_back()
            case _:
                pass

    async def _read_back(self, digit: str | None = None) -> None:
        """Play a digit as tones, once those before it are through."""
        if digit is not None:
            self._digits.append(digit)
        if self._link is not None and self._digits and not self._is_playing_digit:
            self._is_playing_digit = True
            await self._link.play(DtmfTones(self._digits.popleft()))

    async def _answer_reinvite(self, event: ReinviteReceived, link: Link) -> None:
        try:
            self._sip.answer_reinvite(event.id, await link.accept_offer(event.sdp) if event.sdp else link.offer())
        except (SdpError, NegotiationError):
            self._sip.answer_reinvite(event.id, status=488)
