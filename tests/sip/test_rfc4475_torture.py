"""The 49 messages of RFC 4475, each with its verdict: what the user agent answers, None for silence.

Where the RFC leaves a choice, the entry says which is ours. INVITE and REGISTER that come up are answered 200 by the
test, as a callee and a registrar would.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sip.emulation import ANSWER, Agent, Network, Peer
from trunkline.errors import SipParseError
from trunkline.sip.headers import SipUri
from trunkline.sip.message import Request, Response
from trunkline.sip.parser import parse_message
from trunkline.sip.types import IncomingInvite, IncomingRequest

VECTORS = Path(__file__).parents[1] / "vectors" / "sip" / "rfc4475"

VERDICTS: dict[str, int | None] = {
    # 3.1.1 valid messages
    "wsinv": 481,  # well-formed; its To tag names a dialog that we do not have
    "intmeth": 501,
    "esc01": 200,
    "escnull": 200,
    "esc02": 501,  # RE%47IST%45R is a method of its own
    "lwsdisp": 200,
    "longreq": 200,
    "dblreq": 200,  # the INVITE glued behind it is not looked at
    "semiuri": 200,
    "transports": 200,
    "mpart01": 415,  # a MESSAGE of several parts
    "unreason": None,
    "noreason": None,
    # 3.1.2 invalid messages
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 200,  # blanks behind the version cannot be misread
    "escruri": 200,  # the headers in the Request-URI are left out
    "baddate": 200,  # the date is nobody's business here
    "regbadct": 400,
    "badaspec": 200,  # blanks within the angle brackets cannot be misread
    "baddn": None,  # as published, it lacks the empty line that ends the headers
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": None,
    # 3.2 transaction layer
    "badbranch": 200,
    # 3.3 application layer
    "insuf": None,  # a response would have neither From, To nor Call-ID
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 200,  # the registrar's to judge
    "bext01": 420,
    "invut": 415,
    "regaut01": 200,  # the registrar's to judge
    "multi01": 400,
    "mcl01": 400,
    "bcast": None,
    "zeromf": 200,  # OPTIONS ends at us
    "cparam01": 200,
    "cparam02": 200,
    "regescrt": 200,
    "sdp01": 200,  # what Accept means for the answer is for calls to judge
    # 3.4 backward compatibility
    "inv2543": 200,  # neither branch, tag nor Contact
}


def read(name: str) -> bytes:
    return (VECTORS / f"{name}.dat").read_bytes()


def test_every_message_has_a_verdict() -> None:
    assert {path.stem for path in VECTORS.glob("*.dat")} == set(VERDICTS)
    assert len(VERDICTS) == 49


@pytest.mark.parametrize(("name", "verdict"), VERDICTS.items(), ids=VERDICTS)
def test_torture_message_gets_its_verdict(name: str, verdict: int | None) -> None:
    network = Network()
    us, peer = Agent(network, "10.0.0.1", accept=frozenset({"REGISTER"})), Peer(network, "10.0.0.9")

    def answer(event: object) -> None:
        if isinstance(event, IncomingInvite):
            us.ua.answer(us.now, event.id, ANSWER)
        elif isinstance(event, IncomingRequest):
            us.ua.respond(us.now, event.id, 200)

    us.on_event = answer
    peer.send(read(name), us.address)
    network.run(0.05)
    said = [data for _, sender, data in network.log if sender == us.address]
    finals = [status for data in said if (status := int(data.split()[1])) >= 200]
    assert finals == ([] if verdict is None else [verdict])
    network.run(500)
    assert not any(us.ua.load.values()), "nothing stays behind"


@pytest.mark.parametrize("name", VERDICTS)
def test_what_is_read_is_written_so_that_it_is_read_the_same(name: str) -> None:
    try:
        message = parse_message(read(name))
    except SipParseError:
        return
    again = parse_message(message.to_bytes())
    assert again.to_bytes() == message.to_bytes()
    assert (again.from_, again.to, again.cseq, again.vias) == (message.from_, message.to, message.cseq, message.vias)


def test_wsinv_is_read_to_the_letter() -> None:
    message = parse_message(read("wsinv"))
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert (message.to.tag, message.from_.tag) == ("1918181833n", "98asjd8")
    assert message.headers.get("max-forwards") == "0068"
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert message.contacts[0].parameter("newparam") == "newvalue"
    assert message.contacts[0].has_parameter("secondparam")
    assert message.headers.get("Subject") == ""
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert len(message.body) == 150


def test_intmeth_returns_what_it_brought() -> None:
    message = parse_message(read("intmeth"))
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert parse_message(message.to_bytes()).to == message.to


def test_escapes_stay_what_they_were() -> None:
    assert b"\0" not in parse_message(read("escnull")).to_bytes()
    escaped = parse_message(read("esc01"))
    assert isinstance(escaped, Request)
    assert isinstance(escaped.uri, SipUri)
    assert (escaped.uri.host, escaped.uri.user) == ("example.net", "sips%3Auser%40example.com")
    semicolon = parse_message(read("semiuri"))
    assert isinstance(semicolon, Request)
    assert isinstance(semicolon.uri, SipUri)
    assert (semicolon.uri.user, semicolon.uri.parameters) == ("user;par=u%40example.net", ())


def test_bodies_and_reasons_are_whole() -> None:
    parts = parse_message(read("mpart01"))
    assert len(parts.body) == 553
    assert read("mpart01").endswith(parts.body)
    unusual, empty = parse_message(read("unreason")), parse_message(read("noreason"))
    assert isinstance(unusual, Response)
    assert isinstance(empty, Response)
    assert unusual.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (empty.status, empty.reason) == (100, "")


def test_truncated_and_spliced_messages_never_raise() -> None:
    network = Network()
    us = Agent(network, "10.0.0.1")
    peer = Peer(network, "10.0.0.9")
    for name in VERDICTS:
        message = read(name)
        for end in range(0, len(message), max(1, len(message) // 50)):
            peer.send(message[:end], us.address)
            peer.send(message[:end] + message[end + 7 :], us.address)
    network.run(1)
