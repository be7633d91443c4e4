"""What the user agent answers to requests from outside.   RFC 3261 section 8.2, RFC 3581."""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.writing import ack, reply, request
from trunkline.errors import LocalProtocolError
from trunkline.sip.message import Request, Response
from trunkline.sip.parser import PING, PONG
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    IncomingRequest,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteProgress,
    InviteRequest,
    Path,
    ReinviteAnswered,
    ReinviteReceived,
    Transport,
    UaConfig,
)

US = ("10.0.0.1", 5060)


class Stage:
    """Our user agent and one scripted peer."""

    def __init__(self, config: UaConfig | None = None, accept: frozenset[str] = frozenset()) -> None:
        self.network = Network()
        self.us = Agent(self.network, "10.0.0.1", config=config, accept=accept)
        self.peer = Peer(self.network, "10.0.0.9")

    def ask(self, message: Request | bytes) -> list[Response]:
        """Send and return the responses to it."""
        before = len(self.peer.responses())
        self.peer.send(message, US)
        self.network.run(0.1)
        return self.peer.responses()[before:]

    def status(self, message: Request | bytes) -> int | None:
        """The final status, None for silence."""
        return next((response.status for response in self.ask(message) if response.status >= 200), None)

    def call(self) -> IncomingInvite:
        """Get called; returns the event."""
        self.invite = request("INVITE", body=OFFER)
        self.ask(self.invite)
        return self.us.last(IncomingInvite)

    def answered(self, *, with_ack: bool = True) -> IncomingInvite:
        """Get called and answer."""
        call = self.call()
        self.us.ua.answer(self.us.now, call.id, ANSWER)
        self.us.drain()
        self.network.run(0.1)
        self.ok = self.peer.responses("INVITE")[-1]
        if with_ack:
            self.ask(ack(self.invite, self.ok))
        return call

    def within(self, method: str, cseq: int, body: str = "", **more: object) -> Request:
        """A request of the peer in the answered dialog."""
        return request(method, cseq=cseq, to_tag=self.ok.to.tag, body=body, **more)  # type: ignore[arg-type]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_invite_is_met_with_100_at_once(stage: Stage) -> None:
    (trying,) = stage.ask(request("INVITE", body=OFFER, extra=(("Timestamp", "54"),)))
    assert trying.status == 100
    assert trying.to.tag is None
    assert trying.headers.get("Timestamp") == "54"


def test_repeated_invite_makes_one_call(stage: Stage) -> None:
    invite = request("INVITE", body=OFFER)
    for _ in range(5):
        stage.ask(invite)
    assert len(stage.us.got(IncomingInvite)) == 1


def test_options_tells_what_we_can_do(stage: Stage) -> None:
    (response,) = stage.ask(request("OPTIONS"))
    assert response.status == 200
    assert (
        response.headers.get("Allow")
        == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, SUBSCRIBE, MESSAGE"
    )
    assert response.headers.get("Accept") == "application/sdp, multipart/mixed"
    assert response.to.tag


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (request("SUBSCRIBE"), 489),
        (request("REFER"), 403),
        (request("NOTIFY"), 481),
        (request("PUBLISH"), 405),
        (request("REGISTER"), 405),
        (request("MESSAGE", body=OFFER), 415),
        (request("NEWMETHOD"), 501),
        (request("BYE"), 481),
        (request("BYE", to_tag="nobody"), 481),
        (request("INFO"), 481),
        (request("CANCEL"), 481),
        (request("OPTIONS", to_tag="nobody"), 481),
        (request("INVITE", to_tag="nobody", body=OFFER), 481),
        (request("OPTIONS", "urn:service:sos"), 416),
        (request("OPTIONS", "tel:+15551234"), 200),
        (request("OPTIONS", extra=(("Require", "nothingSupportsThis"),)), 420),
        (request("INVITE", body=OFFER, extra=(("Content-Encoding", "gzip"),)), 415),
        (request("INVITE", body=OFFER, extra=(("Contact", "<sip:second@10.0.0.9>"),)), 400),
    ],
    ids=lambda value: value.method if isinstance(value, Request) else str(value),
)
def test_request_is_refused_with_the_status_that_fits(stage: Stage, message: Request, status: int) -> None:
    assert stage.status(message) == status
    stage.network.run(40)
    assert not any(stage.us.ua.load.values())
    assert stage.us.events == []


def test_405_and_415_and_420_name_what_would_be_taken(stage: Stage) -> None:
    assert stage.ask(request("PUBLISH"))[0].headers.get("Allow")
    text = request("INVITE", body="hello")
    text.headers.set("Content-Type", "text/plain")
    assert stage.ask(text)[0].headers.get("Accept") == "application/sdp, multipart/mixed"
    unsupported = stage.ask(request("OPTIONS", extra=(("Require", "a, b"),)))[0]
    assert unsupported.headers.get("Unsupported") == "a, b"


def test_ack_that_belongs_nowhere_is_met_with_silence(stage: Stage) -> None:
    assert stage.ask(request("ACK", to_tag="nobody")) == []
    assert stage.ask(request("ACK")) == []


def test_max_forwards_of_zero_is_not_carried_on(stage: Stage) -> None:
    spent = request("INVITE", body=OFFER)
    spent.headers.set("Max-Forwards", "0")
    assert stage.status(spent) == 483
    spent = request("OPTIONS")
    spent.headers.set("Max-Forwards", "0")
    assert stage.status(spent) == 200


def test_request_that_arrives_twice_by_different_ways_is_a_loop(stage: Stage) -> None:
    stage.ask(request("INVITE", body=OFFER))
    assert stage.status(request("INVITE", body=OFFER)) == 482
    assert len(stage.us.got(IncomingInvite)) == 1


def test_call_that_is_forked_to_two_contacts_of_ours_rings_at_both(stage: Stage) -> None:
    """As a registrar does with two windows of one user."""
    uris = ["sip:window-1@10.0.0.1", "sip:window-2@10.0.0.1"]
    for uri in uris:
        stage.ask(request("INVITE", uri, body=OFFER))
    assert [invite.callee for invite in stage.us.got(IncomingInvite)] == uris
    assert stage.status(request("INVITE", uris[1], body=OFFER)) == 482


def test_response_goes_back_to_the_port_it_came_from_when_rport_is_asked_for(stage: Stage) -> None:
    behind_nat = Peer(stage.network, "10.0.0.9", 61234)
    message = request("OPTIONS", host="192.168.1.7")
    message.headers.set("Via", "SIP/2.0/UDP 192.168.1.7:5060;rport;branch=z9hG4bKnat")
    behind_nat.send(message, US)
    stage.network.run(0.1)
    via = behind_nat.responses()[0].top_via
    assert (via.parameter("received"), via.parameter("rport")) == ("10.0.0.9", "61234")


def test_response_goes_to_the_sent_by_port_without_rport(stage: Stage) -> None:
    other_port = Peer(stage.network, "10.0.0.9", 5080)
    message = request("OPTIONS", host="phone.example")
    message.headers.set("Via", "SIP/2.0/UDP phone.example:5080;branch=z9hG4bKx, SIP/2.0/UDP proxy;branch=z9hG4bKy")
    stage.peer.send(message, US)
    stage.network.run(0.1)
    assert stage.peer.responses() == []
    newest, older = other_port.responses()[0].vias
    assert newest.parameter("received") == "10.0.0.9"
    assert older.host == "proxy"


def test_new_requests_ask_for_rport_and_name_our_address(stage: Stage) -> None:
    stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    invite = stage.peer.requests("INVITE")[0]
    assert invite.top_via.has_parameter("rport")
    assert (invite.top_via.host, invite.contacts[0].uri) == ("10.0.0.1", invite.contacts[0].uri)
    assert str(invite.contacts[0].uri) == "sip:me@10.0.0.1:5060"
    assert invite.headers.get("User-Agent") == "Trunkline"
    assert invite.headers.get("Max-Forwards") == "70"


def test_advertised_host_is_what_peers_are_told() -> None:
    stage = Stage(UaConfig(advertised_host="gw.example.org"))
    stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    invite = stage.peer.requests("INVITE")[0]
    assert invite.top_via.host == "gw.example.org"
    assert str(invite.contacts[0].uri) == "sip:me@gw.example.org:5060"
    assert str(invite.from_.uri) == "sip:me@gw.example.org"


def test_late_offer_gets_ours_and_the_ack_brings_the_answer(stage: Stage) -> None:
    stage.invite = request("INVITE")
    stage.ask(stage.invite)
    call = stage.us.last(IncomingInvite)
    assert call.sdp is None
    stage.us.ua.answer(stage.us.now, call.id, OFFER)
    stage.us.drain()
    stage.network.run(0.1)
    ok = stage.peer.responses("INVITE")[-1]
    assert ok.sdp == OFFER
    acknowledgement = request("ACK", to_tag=ok.to.tag, body=ANSWER)
    stage.ask(acknowledgement)
    assert stage.us.events[-1] == InviteConfirmed(call.id, ANSWER)


def test_dialog_keeps_record_routes_and_follows_a_new_contact(stage: Stage) -> None:
    proxy = Peer(stage.network, "10.0.0.8")
    routes = (("Record-Route", "<sip:10.0.0.8;lr;x=1>, <sip:10.0.0.7;lr>"),)
    stage.invite = request("INVITE", body=OFFER, extra=routes)
    stage.ask(stage.invite)
    call = stage.us.last(IncomingInvite)
    stage.us.ua.answer(stage.us.now, call.id, ANSWER)
    stage.us.drain()
    stage.network.run(0.1)
    stage.ok = stage.peer.responses("INVITE")[-1]
    assert stage.ok.headers.get("Record-Route") == routes[0][1]
    stage.ask(ack(stage.invite, stage.ok))
    moved = request("INVITE", cseq=2, to_tag=stage.ok.to.tag, body=OFFER)
    moved.headers.set("Contact", "<sip:peer@10.9.9.9:5099>")
    stage.ask(moved)
    stage.us.ua.answer_reinvite(stage.us.now, call.id, ANSWER)
    stage.us.drain()
    stage.network.run(0.1)
    stage.ask(stage.within("ACK", 2))
    stage.us.ua.hangup(stage.us.now, call.id)
    stage.us.drain()
    stage.network.run(0.1)
    (bye,) = proxy.requests("BYE")
    assert [str(route.uri) for route in bye.routes] == ["sip:10.0.0.8;lr;x=1", "sip:10.0.0.7;lr"]
    assert str(bye.uri) == "sip:peer@10.9.9.9:5099"


def test_strict_router_gets_itself_as_the_request_uri(stage: Stage) -> None:
    proxy = Peer(stage.network, "10.0.0.8")
    stage.invite = request("INVITE", body=OFFER, extra=(("Record-Route", "<sip:10.0.0.8>"),))
    stage.ask(stage.invite)
    call = stage.us.last(IncomingInvite)
    stage.us.ua.answer(stage.us.now, call.id, ANSWER)
    stage.us.drain()
    stage.network.run(0.1)
    stage.ask(ack(stage.invite, stage.peer.responses("INVITE")[-1]))
    stage.us.ua.hangup(stage.us.now, call.id)
    stage.us.drain()
    stage.network.run(0.1)
    (bye,) = proxy.requests("BYE")
    assert str(bye.uri) == "sip:10.0.0.8"
    assert [str(route.uri) for route in bye.routes] == ["sip:peer@10.0.0.9"]


def test_request_out_of_order_within_a_dialog_is_refused(stage: Stage) -> None:
    stage.answered()
    assert stage.status(stage.within("INFO", 5)) == 200
    assert stage.status(stage.within("INFO", 3)) == 500
    assert stage.status(stage.within("INFO", 6)) == 200


def test_second_reinvite_while_one_waits_is_told_to_retry(stage: Stage) -> None:
    call = stage.answered()
    (trying,) = stage.ask(stage.within("INVITE", 2, OFFER))
    assert trying.status == 100
    (refusal,) = stage.ask(stage.within("INVITE", 3, OFFER))
    assert refusal.status == 500
    assert 0 <= int(refusal.headers.get("Retry-After") or "") <= 10
    assert stage.us.got(ReinviteReceived) == [ReinviteReceived(call.id, OFFER)]


def test_reinvite_before_the_ack_is_refused_with_491(stage: Stage) -> None:
    stage.answered(with_ack=False)
    assert stage.status(stage.within("INVITE", 2, OFFER)) == 491


def test_reinvite_that_is_cancelled_is_over_and_the_call_goes_on(stage: Stage) -> None:
    call = stage.answered()
    stage.ask(stage.within("INVITE", 2, OFFER, branch="re"))
    responses = stage.ask(stage.within("CANCEL", 2, branch="re"))
    assert sorted((r.status, r.cseq.method) for r in responses) == [(200, "CANCEL"), (487, "INVITE")]
    stage.us.ua.answer_reinvite(stage.us.now, call.id, ANSWER)
    stage.us.drain()
    assert stage.status(stage.within("INFO", 3)) == 200
    assert stage.us.got(InviteEnded) == []


def test_late_offer_in_a_reinvite_reports_the_answer_from_the_ack(stage: Stage) -> None:
    call = stage.answered()
    stage.ask(stage.within("INVITE", 2))
    assert stage.us.events[-1] == ReinviteReceived(call.id, None)
    stage.us.ua.answer_reinvite(stage.us.now, call.id, OFFER)
    stage.us.drain()
    stage.network.run(0.1)
    stage.ask(stage.within("ACK", 2, ANSWER))
    assert stage.us.events[-1] == ReinviteAnswered(call.id, ANSWER)


def test_bye_with_a_reinvite_unanswered_ends_both(stage: Stage) -> None:
    call = stage.answered()
    stage.ask(stage.within("INVITE", 2, OFFER))
    responses = stage.ask(stage.within("BYE", 3, extra=(("Reason", 'Q.850;cause=16;text="Normal"'),)))
    assert sorted((r.status, r.cseq.method) for r in responses) == [(200, "BYE"), (487, "INVITE")]
    assert stage.us.events[-1] == InviteEnded(call.id, EndCause.REMOTE_BYE, cause=16)
    stage.ask(stage.within("ACK", 2))
    stage.network.run(100)
    assert not any(stage.us.ua.load.values())


def test_caller_may_end_an_early_dialog_with_bye(stage: Stage) -> None:
    call = stage.call()
    stage.us.ua.ring(stage.us.now, call.id)
    stage.us.drain()
    stage.network.run(0.1)
    ringing = stage.peer.responses("INVITE")[-1]
    responses = stage.ask(request("BYE", cseq=2, to_tag=ringing.to.tag))
    assert sorted((r.status, r.cseq.method) for r in responses) == [(200, "BYE"), (487, "INVITE")]
    assert stage.us.events[-1] == InviteEnded(call.id, EndCause.REMOTE_BYE)


def test_cancel_after_the_answer_changes_nothing(stage: Stage) -> None:
    call = stage.call()
    stage.us.ua.answer(stage.us.now, call.id, ANSWER)
    stage.us.drain()
    cancel = request("CANCEL")
    cancel.headers.set("Via", str(stage.invite.top_via))
    accepted, answered = sorted(stage.ask(cancel), key=lambda response: response.cseq.method)
    assert accepted.status == answered.status == 200
    assert accepted.to.tag == answered.to.tag, "some peers take the tag of the last response for the dialog's"
    assert stage.us.got(InviteEnded) == []


def test_answers_of_two_forks_keep_the_first_and_end_the_second(stage: Stage) -> None:
    call = stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    (invite,) = stage.peer.requests("INVITE")
    for tag in ("left", "right"):
        stage.peer.send(reply(invite, 183, tag=tag, contact=f"sip:{tag}@10.0.0.9", body=ANSWER), US)
    for tag in ("right", "left", "right", "left"):
        stage.peer.send(reply(invite, 200, tag=tag, contact=f"sip:{tag}@10.0.0.9", body=ANSWER), US)
    stage.network.run(0.2)
    assert len(stage.us.got(InviteProgress)) == 2
    assert stage.us.got(InviteAnswered) == [InviteAnswered(call, ANSWER)]
    assert sorted(m.to.tag or "" for m in stage.peer.requests("ACK")) == ["left", "left", "right", "right"]
    (bye,) = stage.peer.requests("BYE")
    assert (bye.to.tag, str(bye.uri)) == ("left", "sip:left@10.0.0.9")


def test_fork_that_answers_after_cancel_is_ended(stage: Stage) -> None:
    call = stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    (invite,) = stage.peer.requests("INVITE")
    stage.peer.send(reply(invite, 180), US)
    stage.network.run(0.1)
    stage.us.ua.hangup(stage.us.now, call, 487, "caller left")
    stage.us.drain()
    stage.network.run(0.1)
    (cancel,) = stage.peer.requests("CANCEL")
    assert cancel.top_via == invite.top_via
    assert cancel.headers.get("Reason") == 'SIP;cause=487;text="caller left"'
    stage.peer.send(reply(invite, 200, tag="late", contact="sip:late@10.0.0.9"), US)
    stage.network.run(0.1)
    assert [m.to.tag for m in stage.peer.requests("BYE")] == ["late"]
    stage.peer.send(reply(stage.peer.requests("BYE")[0], 200), US)
    stage.network.run(100)
    assert not any(stage.us.ua.load.values())


def test_cancel_that_brings_nothing_is_given_up_after_64_t1(stage: Stage) -> None:
    call = stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    stage.peer.send(reply(stage.peer.requests("INVITE")[0], 180), US)
    stage.network.run(0.1)
    stage.us.ua.hangup(stage.us.now, call)
    stage.us.drain()
    stage.network.run(33)
    assert not any(stage.us.ua.load.values())


def test_answer_without_contact_is_still_acknowledged_and_ended(stage: Stage) -> None:
    call = stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    stage.peer.send(reply(stage.peer.requests("INVITE")[0], 200, body=ANSWER), US)
    stage.network.run(0.1)
    assert stage.us.events[-1] == InviteAnswered(call, ANSWER)
    assert len(stage.peer.requests("ACK")) == 1


def test_contact_that_cannot_be_reached_leaves_nothing_behind(stage: Stage) -> None:
    call = stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me"))
    stage.us.drain()
    stage.network.run(0.1)
    invite = stage.peer.requests("INVITE")[0]
    stage.peer.send(reply(invite, 200, contact="sips:x@10.0.0.9", body=ANSWER), US)
    stage.network.run(0.1)
    stage.us.ua.hangup(stage.us.now, call)
    stage.us.drain()
    stage.network.run(100)
    assert not any(stage.us.ua.load.values())


def test_application_answers_requests_it_asked_for() -> None:
    stage = Stage(accept=frozenset({"REGISTER"}))
    stage.peer.send(request("REGISTER", extra=(("Contact", "*"), ("Expires", "0"))), US)
    stage.network.run(0.1)
    event = stage.us.last(IncomingRequest)
    assert (event.method, event.uri) == ("REGISTER", "sip:bob@10.0.0.1")
    with pytest.raises(LocalProtocolError):
        stage.us.ua.respond(stage.us.now, event.id, 200, headers=(("X", "a\r\nX-Injected: 1"),))
    stage.us.ua.respond(stage.us.now, event.id, 200, headers=(("Expires", "0"),))
    stage.us.ua.respond(stage.us.now, event.id, 500)
    stage.us.drain()
    stage.network.run(0.1)
    assert [response.status for response in stage.peer.responses()] == [200]


def test_request_that_the_application_forgets_is_refused() -> None:
    stage = Stage(accept=frozenset({"REGISTER"}))
    stage.peer.send(request("REGISTER"), US)
    stage.network.run(33)
    assert [response.status for response in stage.peer.responses()] == [100, 500]
    stage.network.run(33)
    assert not any(stage.us.ua.load.values())


def test_flood_is_answered_503_while_calls_in_progress_are_served() -> None:
    stage = Stage(UaConfig(max_transactions=10))
    stage.answered()
    statuses = [stage.status(request("OPTIONS", call_id=f"flood-{n}")) for n in range(30)]
    assert statuses[-15:] == [503] * 15
    refused = stage.ask(request("OPTIONS", call_id="flood-x"))[0]
    assert refused.headers.get("Retry-After") == "5"
    assert stage.us.ua.load["transactions"] <= 11
    assert stage.status(stage.within("BYE", 2)) == 200
    stage.network.run(33)
    assert stage.status(request("OPTIONS", call_id="later")) == 200


def test_invite_expires_when_its_caller_said(stage: Stage) -> None:
    stage.ask(request("INVITE", body=OFFER, extra=(("Expires", "20"),)))
    stage.us.ua.ring(stage.us.now, stage.us.last(IncomingInvite).id)
    stage.us.drain()
    stage.network.run(19)
    assert [response.status for response in stage.peer.responses("INVITE")] == [100, 180]
    stage.network.run(2)
    assert stage.peer.responses("INVITE")[2].status == 487
    assert stage.us.last(InviteEnded).reason is EndCause.NO_ANSWER


def test_answered_invite_does_not_expire(stage: Stage) -> None:
    stage.invite = request("INVITE", body=OFFER, extra=(("Expires", "20"),))
    stage.ask(stage.invite)
    stage.us.ua.answer(stage.us.now, stage.us.last(IncomingInvite).id, ANSWER)
    stage.us.drain()
    stage.network.run(0.1)
    stage.ask(ack(stage.invite, stage.peer.responses("INVITE")[-1]))
    stage.network.run(60)
    assert not stage.us.got(InviteEnded)


def test_shutdown_ends_calls_and_refuses_new_ones(stage: Stage) -> None:
    stage.answered()
    stage.us.ua.shutdown(stage.us.now)
    stage.us.drain()
    stage.network.run(0.1)
    (bye,) = stage.peer.requests("BYE")
    assert not stage.us.ua.is_idle
    stage.peer.send(reply(bye, 200), US)
    stage.network.run(0.1)
    assert stage.us.ua.is_idle
    assert stage.status(request("INVITE", call_id="new", body=OFFER)) == 503


def test_closed_node_refuses_what_is_new_and_serves_the_call_that_stands(stage: Stage) -> None:
    stage.answered()
    stage.us.ua.close()
    for method in ("INVITE", "OPTIONS"):
        refused = stage.ask(request(method, call_id=f"new-{method}", body=OFFER if method == "INVITE" else ""))[-1]
        assert (refused.status, refused.headers.get("Retry-After")) == (503, "60")
    assert stage.status(stage.within("OPTIONS", 2)) == 200
    assert not stage.us.ua.is_idle
    assert stage.status(stage.within("BYE", 3)) == 200
    assert stage.us.ua.is_idle


def test_keep_alives_are_answered_on_streams_and_absorbed_on_udp(stage: Stage) -> None:
    udp = Path(Transport.UDP, US, ("10.0.0.9", 5060))
    tcp = Path(Transport.TCP, US, ("10.0.0.9", 5060), 7)
    for data in (PING, PONG, b"\0\0\0\0", b""):
        stage.us.ua.handle_datagram(0, data, udp)
    assert stage.us.ua.poll_transmit() is None
    stage.us.ua.handle_datagram(0, PING, tcp)
    pong = stage.us.ua.poll_transmit()
    assert pong is not None
    assert (pong.data, pong.path) == (PONG, tcp)
    assert stage.us.ua.counters.get("malformed", 0) == 0


@pytest.mark.parametrize("name", ["Via", "v", "Contact", "Call-ID", "Authorization", "Content-Length", "X:Y", "X\r\nY"])
def test_extra_header_that_is_not_the_applications_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        stage.us.ua.invite(0, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, extra_headers=((name, "value"),)))


@pytest.mark.parametrize("field", ["target_uri", "display_name", "caller", "extra"])
def test_no_field_of_a_call_injects_a_header(stage: Stage, field: str) -> None:
    poison = "x\r\nX-Injected: 1"
    fields: dict[str, object] = {"target_uri": "sip:x@10.0.0.9", "sdp": OFFER}
    fields |= {"extra_headers": (("X-Tag", poison),)} if field == "extra" else {field: poison}
    try:
        stage.us.ua.invite(0, InviteRequest(**fields))  # type: ignore[arg-type]
        stage.us.drain()
    except LocalProtocolError:
        pass
    stage.network.run(0.1)
    assert all("X-Injected" not in dict(message.headers) for message in stage.peer.received)


def test_escapes_in_a_uri_never_become_headers(stage: Stage) -> None:
    stage.us.ua.invite(
        stage.us.now,
        InviteRequest(target_uri="sip:x%0D%0AX-Injected:1@10.0.0.9?X-Injected=1&Route=%3Csip:evil%3E", sdp=OFFER),
    )
    stage.us.drain()
    stage.network.run(0.1)
    (invite,) = stage.peer.requests("INVITE")
    assert "X-Injected" not in dict(invite.headers)
    assert invite.routes == ()
    assert str(invite.uri) == "sip:x%0D%0AX-Injected:1@10.0.0.9"
