"""Session timers: the clock after which a call that nobody refreshes is over.   RFC 4028.

Owns the interval, who refreshes and when; `session` sends the refresh. Either side may be the refresher, and that may
change with every refresh.
"""

from __future__ import annotations

from typing import Protocol
from weakref import proxy

from trunkline.errors import SipParseError
from trunkline.sip.core import Core
from trunkline.sip.headers import SessionExpires, parse_number
from trunkline.sip.message import Message, Request, Response
from trunkline.sip.types import HeaderFields

_REFRESH = "refresh"
_EXPIRE = "expire"
_AGAIN_S = 10.0
"""Until the next try where a refresh was refused for now."""
_GRACE_S = 32


def session_expires_of(message: Message) -> SessionExpires | None:
    """Read Session-Expires; None if there is none, or none that can be read."""
    text = message.headers.get("Session-Expires")
    try:
        return None if text is None else SessionExpires.parse(text)
    except SipParseError:
        return None


def least_of(message: Message) -> int:
    """Read Min-SE; the protocol's 90 seconds where it says nothing.   RFC 4028 section 5."""
    try:
        return max(90, parse_number((message.headers.get("Min-SE") or "").partition(";")[0]))
    except SipParseError:
        return 90


def wanted_headers(core: Core, least_s: int) -> HeaderFields:
    """Ask for a timer where there is none yet, of least_s at least; nothing if we want none.   RFC 4028 section 7.1."""
    wanted = core.config.session_expires_s
    if not wanted:
        return ()
    return (("Session-Expires", str(max(wanted, least_s))), ("Min-SE", str(least_s)))


def is_too_brief(core: Core, request: Request) -> bool:
    """Whether a request asks for less than we take: 422.   RFC 4028 section 9."""
    asked = session_expires_of(request)
    return asked is not None and asked.seconds < core.config.session_least_s and _knows_timers(request)


class Session(Protocol):
    """What is timed."""

    def refresh(self, now: float) -> None:
        """Send a refresh, which is due."""

    def expire(self, now: float) -> None:
        """End: no refresh came."""


class SessionTimer:
    """The timer of one dialog. session: keeps its timer, not the timer it."""

    def __init__(self, core: Core, session: Session) -> None:
        self.least_s = core.config.session_least_s
        self._core = core
        self._session: Session = proxy(session)
        self._interval_s: int | None = None
        self._is_refresher = False

    def request_headers(self) -> HeaderFields:
        """Say in INVITE, re-INVITE and UPDATE what we want.   RFC 4028 sections 7.1, 7.4."""
        if self._interval_s is None:
            return wanted_headers(self._core, self.least_s)
        refresher = "uac" if self._is_refresher else "uas"
        value = SessionExpires(max(self._interval_s, self.least_s), refresher)
        return (("Session-Expires", str(value)), ("Min-SE", str(self.least_s)))

    def accept(self, now: float, request: Request) -> HeaderFields:
        """Decide as the UAS, start, and say so in the 2xx.   RFC 4028 section 9."""
        asked, knows = session_expires_of(request), _knows_timers(request)
        wanted = self._core.config.session_expires_s
        if asked is None and not (knows and wanted):
            self.stop()
            return ()
        seconds = wanted if asked is None else min(asked.seconds, wanted or asked.seconds)
        seconds = max(seconds, least_of(request), self._core.config.session_least_s)
        refresher = (asked.refresher if asked is not None else None) or ("uac" if knows else "uas")
        self._start(now, seconds, is_refresher=refresher == "uas")
        require = (("Require", "timer"),) if refresher == "uac" else ()
        return (("Session-Expires", str(SessionExpires(seconds, refresher))), *require)

    def take(self, now: float, response: Response) -> None:
        """Start as the UAC from a 2xx; without the header there is no timer.   RFC 4028 section 7.2."""
        granted = session_expires_of(response)
        if granted is None or granted.seconds == 0:
            self.stop()
        else:
            self._start(now, granted.seconds, is_refresher=granted.refresher != "uas")

    def try_again(self, now: float) -> None:
        """Refresh a little later: it was not possible now."""
        if self._interval_s is not None:
            self._core.timers.set(self, _REFRESH, now + _AGAIN_S)

    def stop(self) -> None:
        """Have no timer."""
        self._interval_s = None
        self._core.timers.cancel(self, _REFRESH)
        self._core.timers.cancel(self, _EXPIRE)

    def handle_timer(self, now: float, name: str) -> None:
        """Refresh half way; end shortly before the end.   RFC 4028 section 10."""
        if name == _REFRESH:
            self._session.refresh(now)
        else:
            self.stop()
            self._session.expire(now)

    def _start(self, now: float, seconds: int, *, is_refresher: bool) -> None:
        self._interval_s, self._is_refresher = seconds, is_refresher
        self._core.timers.cancel(self, _REFRESH)
        if is_refresher:
            self._core.timers.set(self, _REFRESH, now + seconds / 2)
        self._core.timers.set(self, _EXPIRE, now + seconds - min(_GRACE_S, seconds / 3))


def _knows_timers(request: Request) -> bool:
    return "timer" in request.option_tags("Supported") or "timer" in request.option_tags("Require")
