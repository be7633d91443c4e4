"""What the call flows of the RFCs are shown with: three user agents of ours, proxies, and what was on the wire.

A flow is what user agents said, in order: who sent, and the method or the status with its method. Proxies are heard
only by what they change.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from sip.emulation import ANSWER, OFFER, Agent, Host, Network
from sip.test_transfer import Trio
from sip.writing import reply
from trunkline.sip.headers import NameAddr, SipUri, Via
from trunkline.sip.message import Request, Response
from trunkline.sip.parser import parse_message
from trunkline.sip.types import IncomingInvite, InviteId, InviteRequest, Path, Transport

RINGING = ["A INVITE", "B 100 INVITE", "B 180 INVITE"]
ANSWERED = ["B 200 INVITE", "A ACK"]

_serial = count(1)


class Flow(Trio):
    """Alice (A), Bob (B) and Carol (C), and what they say."""

    def said(self) -> list[str]:
        """What was sent since the last look: `A INVITE`, `B 180 INVITE`."""
        names = {self.alice.address: "A", self.bob.address: "B", self.carol.address: "C"}
        lines = []
        for _, address, data in self.network.log:
            if address in names:
                message = parse_message(data)
                what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
                lines.append(f"{names[address]} {what}")
        self.network.log.clear()
        return lines

    def dial(self, caller: Agent | None = None, callee: Agent | None = None) -> tuple[InviteId, InviteId]:
        """Somebody, else Alice, calls somebody, else Bob."""
        caller, callee = caller or self.alice, callee or self.bob
        asked = InviteRequest(target_uri=f"sip:x@{callee.address[0]}", sdp=OFFER, caller="a")
        call = caller.ua.invite(caller.now, asked)
        self.pass_time(caller)
        return call, callee.last(IncomingInvite).id

    def ring(self) -> tuple[InviteId, InviteId]:
        """Bob rings."""
        call, at_bob = self.dial()
        self.bob.ua.ring(self.bob.now, at_bob)
        self.pass_time(self.bob)
        return call, at_bob

    def connect(self) -> tuple[InviteId, InviteId]:
        """Alice and Bob talk."""
        call, at_bob = self.ring()
        self.bob.ua.answer(self.bob.now, at_bob, ANSWER)
        self.pass_time(self.bob)
        return call, at_bob

    def hang_up(self, agent: Agent, call: InviteId, status: int | None = None) -> None:
        """End or refuse a call."""
        agent.ua.hangup(agent.now, call, status)
        self.pass_time(agent)


class Proxy(Host):
    """A stateless proxy that stays in the path of the dialogs it begins.   RFC 3261 sections 16.4, 16.6, 16.11.

    onward: where to it sends what has no route left; None goes by the Request-URI. challenge: it wants credentials of
    this realm with every INVITE, whatever they are. passed: methods that went through.
    """

    def __init__(
        self,
        network: Network,
        host: str,
        onward: str | None = None,
        *,
        challenge: str | None = None,
        is_down: bool = False,
    ) -> None:
        super().__init__(network, (host, 5060))
        self.passed: list[str] = []
        self._onward = onward
        self._challenge = challenge
        self._is_down = is_down
        self._refused: set[str] = set()

    def receive(self, data: bytes, path: Path) -> None:
        message = parse_message(data)
        if isinstance(message, Response):
            self._return(message)
        elif message.method == "ACK" and message.top_via.branch in self._refused:
            pass  # of our own refusal
        elif message.method != "ACK" and (status := self._refusal(message)) is not None:
            self._refused.add(message.top_via.branch or "")
            realm = f'Digest realm="{self._challenge}", nonce="n{next(_serial)}", qop="auth", algorithm=SHA-256'
            extra = (("Proxy-Authenticate", realm),) if status == 407 else ()
            self._send(reply(message, status, extra=extra), path.remote)
        else:
            self._forward(message)

    def _refusal(self, request: Request) -> int | None:
        if self._is_down:
            return 503
        given = request.headers.get_all("Proxy-Authorization")
        is_known = self._challenge is None or any(f'realm="{self._challenge}"' in value for value in given)
        return None if is_known or request.method != "INVITE" or request.to.tag is not None else 407

    def _forward(self, request: Request) -> None:
        headers = request.headers.copy()
        routes = [NameAddr.parse(value) for value in headers.get_all("Route")]
        headers.remove("Route")
        mine = [route for route in routes if isinstance(route.uri, SipUri) and route.uri.host == self.address[0]]
        routes = routes[1:] if mine and routes[0] in mine else routes
        for route in routes:
            headers.add("Route", str(route))
        if request.to.tag is None and request.method == "INVITE":
            headers.prepend("Record-Route", f"<sip:{self.address[0]};lr>")
        headers.prepend("Via", str(Via("UDP", *self.address, (("branch", f"{request.top_via.branch}-p"),))))
        headers.set("Max-Forwards", str(int(headers.get("Max-Forwards") or "70") - 1))
        self.passed.append(request.method)
        target = routes[0].uri if routes else request.uri
        assert isinstance(target, SipUri)
        host = self._onward if self._onward is not None and not routes and request.to.tag is None else target.host
        self._send(replace(request, headers=headers), (host, target.port or 5060))

    def _return(self, response: Response) -> None:
        headers = response.headers.copy()
        _, *left = response.vias
        headers.remove("Via")
        for via in reversed(left):
            headers.prepend("Via", str(via))
        self._send(replace(response, headers=headers), (left[0].host, left[0].port or 5060))

    def _send(self, message: Request | Response, to: tuple[str, int]) -> None:
        self.network.send(self, message.to_bytes(), Path(Transport.UDP, self.address, to))
