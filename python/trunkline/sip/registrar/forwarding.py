"""A REGISTER passed on for somebody else: ours on the wire, theirs in what it says.

Owns one request until its final response. Knows no password: a challenge is handed back to whoever has it, and the
credentials of the answer come in as they were sent. Those cover the method and the digest-uri, and neither changes on
the way (RFC 7616 section 3.4.3).   RFC 3261 section 10.2, RFC 3327 (Path).
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.client import ClientRequest
from trunkline.sip.core import Core
from trunkline.sip.headers import HeaderList, NameAddr, check_field, parse_uri, plain_text
from trunkline.sip.message import Request, Response
from trunkline.sip.types import RegisterRequest, RequestAnswered, RequestId


class ForwardedRegister:
    """One of them. on_over: called before its outcome is told."""

    def __init__(
        self, core: Core, request_id: RequestId, wanted: RegisterRequest, on_over: Callable[[RequestId], None]
    ) -> None:
        self._core = core
        self._id = request_id
        self._on_over = on_over
        self._client = ClientRequest(
            core,
            self,
            _request(core, wanted),
            hop=wanted.hop,
            next_cseq=lambda: wanted.cseq,
            contact_user=wanted.contact_user,
            contact_parameters=wanted.contact_parameters,
        )

    def start(self, now: float) -> None:
        """Send it."""
        self._client.start(now)

    def handle_provisional(self, now: float, client: ClientRequest, response: Response) -> None:
        """Wait on."""

    def handle_final(self, now: float, client: ClientRequest, response: Response) -> None:
        """Hand the response back."""
        fields = tuple((name, plain_text(value)) for name, value in response.headers)
        self._over(RequestAnswered(self._id, response.status, plain_text(response.reason), fields))

    def handle_no_response(self, now: float, client: ClientRequest, status: int, reason: str) -> None:
        """Hand back that there is none."""
        self._over(RequestAnswered(self._id, status, plain_text(reason), ()))

    def _over(self, event: RequestAnswered) -> None:
        self._on_over(self._id)
        self._core.emit(event)


def _request(core: Core, wanted: RegisterRequest) -> Request:
    """Build it without Via, CSeq and our Contact. LocalProtocolError if something in it cannot be put on the wire."""
    for text in (wanted.uri, wanted.aor, wanted.sip_call_id):
        check_field("To", text)
    try:
        uri, aor = parse_uri(wanted.uri), NameAddr(parse_uri(wanted.aor))
    except SipParseError as error:
        raise LocalProtocolError(f"not an address: {error}") from error
    headers = HeaderList()
    headers.add("Max-Forwards", "69")
    headers.add("From", str(aor.with_parameter("tag", core.token())))
    headers.add("To", str(aor))
    headers.add("Call-ID", wanted.sip_call_id)
    if wanted.contact_user is None:
        headers.add("Contact", "*")
    if wanted.expires_s is not None:
        headers.add("Expires", str(wanted.expires_s))
    for name, value in core.capabilities:
        headers.add(name, f"{value}, path" if name == "Supported" else value)
    for name, value in wanted.credentials:
        check_field(name, value)
        headers.add(name, value)
    return Request("REGISTER", uri, headers)
