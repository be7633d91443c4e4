"""A call that is redirected goes on to where it was sent, by its account's server and by nobody else's word."""

from itertools import pairwise

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.writing import reply
from trunkline.sip.invite.redirects import MAX_TARGETS
from trunkline.sip.message import Request
from trunkline.sip.types import Account, InviteAnswered, InviteEnded, InviteFailed, InviteId, InviteRequest

US = ("10.0.0.1", 5060)
ACCOUNT = Account(login="alice", password="secret", domain="10.0.0.9")


class Stage:
    """Our user agent, and the server of its account. contacts: what the server says of a user part."""

    def __init__(self, contacts: dict[str, tuple[int, str]], account: Account | None = ACCOUNT) -> None:
        self.network = Network()
        self.us = Agent(self.network, US[0])
        self.server = Peer(self.network, "10.0.0.9")
        self.elsewhere = Peer(self.network, "10.0.0.66")
        self.contacts = contacts
        self.server.on_message = self._answer  # type: ignore[assignment]
        target = "sip:bob@10.0.0.9"
        self.call = self.us.ua.invite(
            self.us.now, InviteRequest(target_uri=target, sdp=OFFER, account=account, caller="alice")
        )
        self.us.drain()
        self.network.run(1)

    @property
    def called(self) -> list[str]:
        return [str(each.uri) for each in self.server.requests("INVITE")]

    def _answer(self, message: Request) -> None:
        if not isinstance(message, Request) or message.method != "INVITE":
            return
        user = str(message.uri).partition(":")[2].partition("@")[0]
        status, contact = self.contacts[user]
        if status == 200:
            answer = reply(message, 200, contact=contact, body=ANSWER)
        else:
            answer = reply(message, status, extra=(("Contact", contact),) if contact else ())
        self.server.send(answer, US)


def test_redirected_call_is_answered_where_it_was_sent() -> None:
    stage = Stage({"bob": (302, "<sip:carol@10.0.0.66>"), "carol": (200, "sip:carol@10.0.0.9")})
    first, second = stage.server.requests("INVITE")
    assert str(second.uri) == "sip:carol@10.0.0.66"
    assert second.to.uri == first.to.uri, "whom the caller meant"
    assert (second.sip_call_id, second.from_) == (first.sip_call_id, first.from_)
    assert second.cseq.number == first.cseq.number + 1
    assert second.body == first.body
    assert stage.us.last(InviteAnswered).id == stage.call
    assert not stage.elsewhere.raw, "the account's server decides where its user may call"


def test_places_are_tried_best_first_and_each_once() -> None:
    contacts = "<sip:low@x.example>;q=0.1, <sip:high@x.example;method=INVITE?Subject=x>;q=0.9, <sip:bob@10.0.0.9>"
    stage = Stage({"bob": (300, contacts), "high": (486, ""), "low": (302, "<sip:high@x.example>")})
    assert stage.called == ["sip:bob@10.0.0.9", "sip:high@x.example", "sip:low@x.example"]
    assert stage.us.events[-1] == InviteFailed(stage.call, 302, "Moved Temporarily")


def test_6xx_speaks_for_all_places() -> None:
    stage = Stage({"bob": (300, "<sip:one@x.example>, <sip:two@x.example>"), "one": (603, "")})
    assert len(stage.called) == 2
    assert stage.us.events[-1] == InviteFailed(stage.call, 603, "Decline")


def test_nobody_is_led_around_for_ever() -> None:
    users = ["bob", *(f"u{number}" for number in range(20))]
    stage = Stage({user: (302, f"<sip:{after}@x.example>") for user, after in pairwise(users)})
    assert len(stage.called) == 1 + MAX_TARGETS
    assert isinstance(stage.us.events[-1], InviteFailed)


@pytest.mark.parametrize(
    ("status", "contact"), [(302, ""), (302, "<http://x.example>"), (305, "<sip:p@x>"), (380, "<sip:p@x>")]
)
def test_what_names_no_place_for_the_same_call_ends_it(status: int, contact: str) -> None:
    stage = Stage({"bob": (status, contact)})
    assert stage.called == ["sip:bob@10.0.0.9"]
    assert stage.us.last(InviteFailed).status == status


def test_without_an_account_a_redirection_is_not_followed() -> None:
    stage = Stage({"bob": (302, "<sip:carol@10.0.0.66>")}, account=None)
    assert stage.called == ["sip:bob@10.0.0.9"]
    assert not stage.elsewhere.raw
    assert stage.us.events[-1] == InviteFailed(stage.call, 302, "Moved Temporarily")


def test_call_that_was_given_up_is_not_sent_on() -> None:
    stage = Stage({"bob": (200, "sip:bob@10.0.0.9")})
    stage.server.on_message = None
    call: InviteId = stage.us.ua.invite(
        stage.us.now, InviteRequest(target_uri="carol", sdp=OFFER, account=ACCOUNT, caller="alice")
    )
    stage.us.drain()
    stage.network.run(0.1)
    invite = stage.server.requests("INVITE")[-1]
    stage.us.ua.hangup(stage.us.now, call)
    stage.us.drain()
    stage.server.send(reply(invite, 302, extra=(("Contact", "<sip:dave@x.example>"),)), US)
    stage.network.run(1)
    assert stage.us.last(InviteEnded).id == call
    assert len(stage.server.requests("INVITE")) == 2
