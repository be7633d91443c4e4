"""The way in for the server behind us: it calls pages by the Contacts that they were registered there with.

Owns no rule about anybody else: that is the next gate's.   `sip.gate`.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.sip.gate import Admitted, Gate, Verdict
from trunkline.sip.headers import SipUri
from trunkline.sip.message import Request
from trunkline.sip.types import Path


class PageGate:
    """Lets in who calls a page's Contact, which nobody can guess. otherwise: judges all others.

    is_contact: whether the user part of a Request-URI is one; set once the pages are there.
    """

    def __init__(self, otherwise: Gate) -> None:
        self._otherwise = otherwise
        self.is_contact: Callable[[str], bool] = lambda _: False

    def judge(self, now: float, request: Request, path: Path) -> Verdict:
        """See `sip.gate.Gate`."""
        if isinstance(request.uri, SipUri) and self.is_contact(request.uri.username):
            return Admitted()
        return self._otherwise.judge(now, request, path)

    def may_answer(self, path: Path) -> bool:
        """See `sip.gate.Gate`."""
        return self._otherwise.may_answer(path)
