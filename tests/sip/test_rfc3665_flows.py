"""Call flows of RFC 3665, message by message, as a user agent sees them. Names and section numbers are the RFC's.

3.5 (an application level gateway) shows a user agent nothing that 3.2 does not.
"""

from __future__ import annotations

from sip.emulation import ANSWER, OFFER
from sip.flows import ANSWERED, RINGING, Flow, Proxy
from sip.test_registrar import CONTACT, Page
from sip.test_registration import Registrar
from trunkline.sip.parser import parse_message
from trunkline.sip.registrar import BindingLimits, Bindings
from trunkline.sip.types import (
    Account,
    Hop,
    IncomingInvite,
    InviteConfirmed,
    InviteFailed,
    InviteId,
    InviteRequest,
    Registered,
    RegistrationFailed,
    ReinviteReceived,
)

# --- section 2: registration ------------------------------------------------------------------------------------------

AT_SERVER = Account(login="alice", password="secret", domain="10.0.0.2")


class Registering(Flow):
    """Alice, with a registrar in Bob's place."""

    def __init__(self, password: str = "secret") -> None:
        super().__init__()
        self.registrar = Registrar(self.network, {"alice": password})
        self.bob = self.registrar.agent
        self.registration = self.alice.ua.register(self.alice.now, AT_SERVER, 600)
        self.pass_time(self.alice)


def test_3665_2_1_successful_new_registration() -> None:
    flow = Registering()
    assert flow.said() == ["A REGISTER", "B 401 REGISTER", "A REGISTER", "B 200 REGISTER"]
    assert flow.alice.events == [Registered(flow.registration, 600)]


def test_3665_2_2_update_of_contact_list() -> None:
    flow = Registering()
    other = Account(login="alice", password="secret", domain="10.0.0.2", display_name="Alice's second phone")
    flow.said()
    flow.alice.ua.register(flow.alice.now, other, 600)
    flow.pass_time(flow.alice)
    assert flow.said() == ["A REGISTER", "B 401 REGISTER", "A REGISTER", "B 200 REGISTER"]
    first, second = (event for event in flow.alice.events if isinstance(event, Registered))
    assert first.id != second.id


def test_3665_2_3_request_for_current_contact_list() -> None:
    page = Page(Bindings(BindingLimits(min_expires_s=60, max_expires_s=600, per_address=3, total=5)))
    assert page.ask(0.0, CONTACT, expires=120) == 200
    assert page.ask(10.0) == 200, "no Contact: a question"
    assert page.contacts(10.0) == ["sip:h4x@k2v.invalid;transport=ws"]


def test_3665_2_4_cancellation_of_registration() -> None:
    flow = Registering()
    flow.said()
    flow.alice.ua.unregister(flow.alice.now, flow.registration)
    flow.pass_time(flow.alice)
    assert flow.said() == ["A REGISTER", "B 200 REGISTER"]
    assert flow.registrar.bindings == {}


def test_3665_2_5_unsuccessful_registration() -> None:
    flow = Registering("another")
    assert flow.said() == ["A REGISTER", "B 401 REGISTER", "A REGISTER", "B 401 REGISTER"]
    assert [type(event) for event in flow.alice.events] == [RegistrationFailed]


# --- section 3: sessions ----------------------------------------------------------------------------------------------


def test_3665_3_1_successful_session_establishment() -> None:
    flow = Flow()
    _, at_bob = flow.connect()
    flow.hang_up(flow.bob, at_bob)
    assert flow.said() == [*RINGING, *ANSWERED, "B BYE", "A 200 BYE"]
    flow.settle()


class Proxied(Flow):
    """Two proxies of two domains stand between Alice and Bob. realms: who of them wants credentials."""

    def __init__(self, *realms: str | None) -> None:
        super().__init__()
        one, two = realms or (None, None)
        self.first = Proxy(self.network, "10.0.0.11", "10.0.0.12", challenge=one)
        self.second = Proxy(self.network, "10.0.0.12", self.bob.address[0], challenge=two)

    def call_by(self, **how: object) -> InviteId:
        asked = InviteRequest(target_uri="sip:bob@biloxi.example", sdp=OFFER, caller="a", **how)  # type: ignore[arg-type]
        call = self.alice.ua.invite(self.alice.now, asked)
        self.pass_time(self.alice, seconds=1)
        at_bob = self.bob.last(IncomingInvite).id
        self.bob.ua.ring(self.bob.now, at_bob)
        self.pass_time(self.bob)
        self.bob.ua.answer(self.bob.now, at_bob, ANSWER)
        self.pass_time(self.bob)
        return call


def test_3665_3_2_session_establishment_through_two_proxies() -> None:
    flow = Proxied()
    flow.call_by(hop=Hop("10.0.0.11"))
    flow.hang_up(flow.bob, flow.bob.last(InviteConfirmed).id)
    assert flow.said() == [*RINGING, *ANSWERED, "B BYE", "A 200 BYE"]
    assert flow.first.passed == flow.second.passed == ["INVITE", "ACK", "BYE"], "the dialog keeps to its route"
    flow.settle()


def test_3665_3_3_session_with_multiple_proxy_authentication() -> None:
    flow = Proxied("atlanta.example", "biloxi.example")
    account = Account(login="alice", password="secret", domain="10.0.0.11")
    flow.call_by(account=account)
    flow.hang_up(flow.bob, flow.bob.last(InviteConfirmed).id)
    # Each proxy refuses and is acknowledged; the third INVITE has credentials for both.
    expected = ["A INVITE", "A ACK", "A INVITE", "A ACK", *RINGING, *ANSWERED, "B BYE", "A 200 BYE"]
    assert flow.said() == expected
    flow.settle()


def test_3665_3_4_successful_session_with_proxy_failure() -> None:
    flow = Proxied()
    Proxy(flow.network, "10.0.0.10", is_down=True)
    flow.alice.names["atlanta.example"] = ["10.0.0.10", "10.0.0.11"]
    flow.call_by(hop=Hop("atlanta.example"))
    flow.hang_up(flow.bob, flow.bob.last(InviteConfirmed).id)
    assert flow.said() == ["A INVITE", "A ACK", *RINGING, *ANSWERED, "B BYE", "A 200 BYE"]
    flow.settle()


def test_3665_3_6_session_via_redirect_and_sdp_in_ack() -> None:
    flow = Flow()
    _, at_bob = flow.dial()
    flow.hang_up(flow.bob, at_bob, 302)
    assert flow.said() == ["A INVITE", "B 100 INVITE", "B 302 INVITE", "A ACK"]
    assert flow.alice.last(InviteFailed).status == 302, "whether it is followed is for whoever pays for the call to say"
    flow.alice.on_event = lambda event: (
        flow.alice.ua.answer_reinvite(flow.alice.now, event.id, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    flow.alice.ua.invite(flow.alice.now, InviteRequest(target_uri="sip:b@10.0.0.3", sdp=None, caller="a"))
    flow.pass_time(flow.alice)
    at_carol = flow.carol.last(IncomingInvite)
    assert at_carol.sdp is None
    flow.carol.ua.answer(flow.carol.now, at_carol.id, OFFER)
    flow.pass_time(flow.carol)
    acks = [parse_message(data) for _, _, data in flow.network.log if data.startswith(b"ACK")]
    assert [ack.sdp for ack in acks] == [ANSWER]
    assert flow.said() == ["A INVITE", "C 100 INVITE", "C 200 INVITE", "A ACK"]
    assert flow.carol.last(InviteConfirmed).sdp == ANSWER
    flow.settle()


def test_3665_3_7_session_with_reinvite() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    flow.said()
    flow.alice.on_event = lambda event: (
        flow.alice.ua.answer_reinvite(flow.alice.now, call, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    flow.bob.ua.reinvite(flow.bob.now, at_bob, OFFER)
    flow.pass_time(flow.bob)
    flow.hang_up(flow.bob, at_bob)
    assert flow.said() == ["B INVITE", "A 100 INVITE", "A 200 INVITE", "B ACK", "B BYE", "A 200 BYE"]


def test_3665_3_8_unsuccessful_no_answer() -> None:
    flow = Flow()
    call, _ = flow.ring()
    flow.hang_up(flow.alice, call)
    assert flow.said() == [*RINGING, "A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"]
    flow.settle()


def test_3665_3_9_unsuccessful_busy() -> None:
    flow = Flow()
    _, at_bob = flow.dial()
    flow.hang_up(flow.bob, at_bob, 486)
    assert flow.said() == ["A INVITE", "B 100 INVITE", "B 486 INVITE", "A ACK"]
    flow.settle()


def test_3665_3_10_unsuccessful_no_response() -> None:
    flow = Flow()
    del flow.network.hosts[flow.bob.address]
    flow.alice.ua.invite(flow.alice.now, InviteRequest(target_uri="sip:b@10.0.0.2", sdp=OFFER, caller="a"))
    flow.pass_time(flow.alice, seconds=40)
    assert flow.said() == ["A INVITE"] * 7


def test_3665_3_11_unsuccessful_temporarily_unavailable() -> None:
    flow = Flow()
    _, at_bob = flow.ring()
    flow.hang_up(flow.bob, at_bob, 480)
    assert flow.said() == [*RINGING, "B 480 INVITE", "A ACK"]
