"""The question to a server whether it is there: OPTIONS outside dialogs.   RFC 3261 section 11.

Owns one question from `start` to its one answer. What an answer means is the application's to judge.
"""

from __future__ import annotations

from trunkline.errors import SipParseError
from trunkline.sip.client import AccountAccess, ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.headers import HeaderList, NameAddr, SipUri, parse_number
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.types import Probed, ProbeId


class Probe:
    """One OPTIONS to the server of an account, as the account. It is never authenticated: a challenge is an answer."""

    def __init__(self, core: Core, probe_id: ProbeId, access: AccountAccess, timeout_s: float) -> None:
        account = access.account
        own = NameAddr(SipUri.of(account.login, account.domain))
        server = SipUri.of(None, account.domain)
        headers = HeaderList()
        headers.add("Max-Forwards", "70")
        headers.add("From", str(own.with_parameter("tag", core.token())))
        headers.add("To", str(NameAddr(server)))
        headers.add("Call-ID", core.token())
        headers.add("Accept", SDP)
        self.id = probe_id
        self._core = core
        self._client = ClientRequest(
            core,
            self,
            Request("OPTIONS", server, headers),
            hop=access.home,
            next_cseq=lambda: 1,
            contact_user=account.login,
            silence_s=timeout_s,
        )

    def start(self, now: float) -> None:
        """Ask."""
        self._client.start(now)

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Tell the answer."""
        self._core.emit(Probed(self.id, response.status, retry_after_s(response)))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Tell that there is none."""
        self._core.emit(Probed(self.id, status, None))


def retry_after_s(response: Response) -> int | None:
    """Read Retry-After, without the comment or parameter behind it; None if there is none.   RFC 3261 20.33."""
    try:
        return parse_number((response.headers.get("Retry-After") or "").partition(";")[0].partition("(")[0])
    except SipParseError:
        return None
