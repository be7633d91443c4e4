"""Dialogs: the state that two user agents share beyond one transaction.

Owns identity, CSeq numbers, route set and remote target; builds the frame of requests within the dialog. Knows no
transactions and no timers.   RFC 3261 section 12.
"""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.sip.headers import HeaderList, NameAddr, SipUri, Uri
from trunkline.sip.message import Message, Request, Response
from trunkline.sip.types import Path

DialogId = tuple[str, str, str]
"""Call-ID, local tag, remote tag."""


@dataclass(slots=True)
class Dialog:
    """One dialog, early or confirmed.

    route_set: the next hop first. remote_cseq: None until the peer sent one. flow: on which the peer was heard last.
    """

    sip_call_id: str
    local: NameAddr
    remote: NameAddr
    remote_target: Uri
    route_set: tuple[NameAddr, ...]
    local_cseq: int
    remote_cseq: int | None
    is_confirmed: bool
    flow: Path | None = None

    @classmethod
    def of_uac(cls, request: Request, response: Response, flow: Path | None) -> Dialog:
        """Make the dialog of a response to our request.   RFC 3261 section 12.1.2.

        A response that lacks a Contact leaves us with the address that was called.
        """
        contacts = response.contacts
        return cls(
            sip_call_id=request.sip_call_id,
            local=_identity(request.from_),
            remote=_identity(response.to),
            remote_target=contacts[0].uri.as_target if contacts else request.uri,
            route_set=tuple(reversed(response.record_routes)),
            local_cseq=request.cseq.number,
            remote_cseq=None,
            is_confirmed=response.status >= 200,
            flow=flow,
        )

    @classmethod
    def of_uas(cls, request: Request, local_tag: str, flow: Path) -> Dialog:
        """Make the dialog that our response to a request begins.   RFC 3261 section 12.1.1.

        A peer of RFC 2543 may name no Contact, which leaves us with its From.
        """
        contacts = request.contacts
        return cls(
            sip_call_id=request.sip_call_id,
            local=NameAddr(request.to.uri, parameters=(("tag", local_tag),)),
            remote=_identity(request.from_),
            remote_target=(contacts[0] if contacts else request.from_).uri.as_target,
            route_set=request.record_routes,
            local_cseq=0,
            remote_cseq=request.cseq.number,
            is_confirmed=False,
            flow=flow,
        )

    def confirm(self, response: Response) -> None:
        """Take a 2xx: target and route set anew, the rest as it was.   RFC 3261 section 13.2.2.4."""
        self.is_confirmed = True
        self.route_set = tuple(reversed(response.record_routes))
        self.refresh_target(response)

    @property
    def id(self) -> DialogId:
        """Identity as seen from here. A peer of RFC 2543 may have no tag."""
        return self.sip_call_id, self.local.tag or "", self.remote.tag or ""

    @property
    def next_uri(self) -> Uri:
        """Where requests go: the first route, or the remote target."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def next_cseq(self) -> int:
        """Count our CSeq up."""
        self.local_cseq += 1
        return self.local_cseq

    def request(self, method: str) -> Request:
        """Build a request without Via, CSeq and Contact.   RFC 3261 section 12.2.1.1."""
        uri, routes = self.remote_target, self.route_set
        if routes and not _is_loose(routes[0].uri):
            # A strict router wants itself as Request-URI and the target as the last route.
            uri, routes = routes[0].uri, (*routes[1:], NameAddr(self.remote_target))
        headers = HeaderList()
        for route in routes:
            headers.add("Route", str(route))
        headers.add("Max-Forwards", "70")
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.sip_call_id)
        return Request(method, uri, headers)

    def accept_cseq(self, number: int) -> bool:
        """Note the CSeq of a new request from the peer; False if it is out of order.   RFC 3261 section 12.2.2."""
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Message, flow: Path | None = None) -> None:
        """Take the Contact of a target refresh (re-INVITE and its 2xx), and the flow that a request came on."""
        self.flow = flow or self.flow
        contacts = message.contacts
        if contacts:
            self.remote_target = contacts[0].uri.as_target


def _identity(address: NameAddr) -> NameAddr:
    """Keep URI and tag: the name was shown once, and is the peer's text."""
    return NameAddr(address.uri, parameters=() if address.tag is None else (("tag", address.tag),))


def _is_loose(uri: Uri) -> bool:
    return not isinstance(uri, SipUri) or uri.has_parameter("lr")


def dialog_id_of(request: Request) -> DialogId:
    """Return the dialog that a request from the peer names."""
    return request.sip_call_id, request.to.tag or "", request.from_.tag or ""
