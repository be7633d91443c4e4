"""Where a call that is redirected goes next.

Owns the places that the 3xx responses to one INVITE have named: each is tried once, the best first.
RFC 3261 sections 8.1.3.4 and 20.10 (`q`).
"""

from __future__ import annotations

from trunkline.sip.headers import NameAddr, SipUri, Uri
from trunkline.sip.message import Response

MAX_TARGETS = 5
"""Places that one call is sent on to, whoever names them: nobody is led around for ever."""

_FOLLOWED = frozenset((300, 301, 302))
"""305 names a proxy and 380 another kind of service: neither is a place for the same call."""
_SCHEMES = frozenset(("sip", "sips", "tel"))


class Redirects:
    """The places left to try. target: where the call was sent first."""

    def __init__(self, target: Uri) -> None:
        self._named = {str(target)}
        self._left: list[Uri] = []

    def take(self, response: Response) -> None:
        """Note what a final response names; the newest names come before older ones."""
        if response.status not in _FOLLOWED:
            return
        fresh: list[Uri] = []
        for contact in sorted(response.contacts, key=_preference, reverse=True):
            uri = _target_of(contact)
            if uri.scheme in _SCHEMES and str(uri) not in self._named and len(self._named) <= MAX_TARGETS:
                self._named.add(str(uri))
                fresh.append(uri)
        self._left = fresh + self._left

    def next(self) -> Uri | None:
        """Take the next place; None if there is none left."""
        return self._left.pop(0) if self._left else None


def _target_of(contact: NameAddr) -> Uri:
    """Return the URI as it may stand in a request line: without headers, which are the redirecting side's wishes."""
    uri = contact.uri.as_target
    if isinstance(uri, SipUri):
        parameters = tuple(each for each in uri.parameters if each[0].lower() != "method")
        return SipUri(uri.scheme, uri.user, uri.host, uri.port, parameters, uri.password)
    return uri


def _preference(contact: NameAddr) -> float:
    try:
        return float(contact.parameter("q") or 1)
    except ValueError:
        return 0.0
