"""Bodies of several parts: a call begins by the description among them, and fails only over what must be understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.writing import reply, request
from trunkline.sip.bodies import MAX_PARTS, parts_of
from trunkline.sip.message import Request, Response
from trunkline.sip.types import IncomingInvite, InviteAnswered, InviteRequest

US = ("10.0.0.1", 5060)
LOCATION = "Content-Type: application/pidf+xml\r\nContent-ID: <a@b>\r\n{more}\r\n<presence/>"
DESCRIPTION = f"Content-Type: application/sdp\r\n\r\n{OFFER}"


def multipart(*parts: str, boundary: str = "b1") -> str:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def location(handling: str = "") -> str:
    more = f"Content-Disposition: render;handling={handling}\r\n" if handling else ""
    return LOCATION.format(more=more)


def invite(body: str, content_type: str = 'multipart/mixed;boundary="b1"', disposition: str = "") -> Request:
    extra = (("Content-Disposition", disposition),) if disposition else ()
    return request("INVITE", extra=extra).with_body(content_type, body.encode())


def offer_or_status(message: Request) -> str | int | None:
    """Call our user agent: the offer that it reports, or what it answers."""
    network = Network()
    us, peer = Agent(network, US[0]), Peer(network, "10.0.0.9")
    peer.send(message, US)
    network.run(0.1)
    calls = us.got(IncomingInvite)
    return calls[0].sdp if calls else peer.responses()[-1].status


@pytest.mark.parametrize(
    "body",
    [
        multipart(DESCRIPTION, location()),
        multipart(location("optional"), DESCRIPTION),
        multipart(location(), DESCRIPTION).replace("\r\n--b1", "\n--b1"),
        "a preamble\r\n" + multipart(location(), DESCRIPTION) + "an epilogue",
        multipart(location(), DESCRIPTION).replace("--b1--\r\n", ""),
    ],
    ids=["first", "last", "bare line feeds", "preamble and epilogue", "not closed"],
)
def test_call_begins_by_the_description_among_the_parts(body: str) -> None:
    offer = offer_or_status(invite(body))
    assert isinstance(offer, str)
    assert offer.rstrip() == OFFER.rstrip()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (invite(multipart(DESCRIPTION, location("required"))), 415),
        (invite(multipart(location())), 415),
        (invite(multipart(DESCRIPTION), "multipart/mixed"), 415),
        (invite("no mark at all"), 415),
        (invite("x", "application/isup"), 415),
        (invite("x", "application/isup", "signal;handling=required"), 415),
        (invite("x", "application/isup", "signal;handling=optional"), None),
        (invite(multipart(location("optional"))), None),
    ],
)
def test_what_must_be_understood_and_is_not_is_refused_and_what_need_not_be_makes_a_late_offer(
    message: Request, status: int | None
) -> None:
    assert offer_or_status(message) == status


def test_refusal_says_what_would_be_taken() -> None:
    network = Network()
    Agent(network, US[0])
    peer = Peer(network, "10.0.0.9")
    peer.send(invite("x", "application/isup"), US)
    network.run(0.1)
    assert peer.responses()[-1].headers.get("Accept") == "application/sdp, multipart/mixed"


def test_answer_in_one_part_of_a_200_is_found() -> None:
    network = Network()
    us, peer = Agent(network, US[0]), Peer(network, "10.0.0.9")
    us.ua.invite(us.now, InviteRequest(target_uri="sip:bob@10.0.0.9", sdp=OFFER, caller="us"))
    us.drain()
    network.run(0.1)
    ok: Response = reply(peer.requests("INVITE")[0], 200, contact="sip:bob@10.0.0.9")
    body = multipart("Content-Type: application/isup\r\n\r\nxyz", f"Content-Type: application/sdp\r\n\r\n{ANSWER}")
    peer.send(ok.with_body("multipart/mixed; boundary=b1", body.encode()), US)
    network.run(0.1)
    answer = us.last(InviteAnswered).sdp
    assert answer is not None
    assert answer.rstrip() == ANSWER.rstrip()


def test_parts_hold_any_bytes_and_are_bounded_in_number() -> None:
    raw = bytes(range(256))
    body = b"--b1\r\nContent-Type: application/isup\r\n\r\n" + raw + b"\r\n--b1--\r\n"
    (part,) = parts_of("multipart/mixed;boundary=b1", "", body)
    assert (part.content_type, part.handling, part.body) == ("application/isup", "", raw)
    many = parts_of("multipart/mixed;boundary=b1", "", b"--b1\r\n\r\nx\r\n" * 10_000)
    assert len(many) == MAX_PARTS


@given(st.binary(max_size=200), st.text(max_size=40))
def test_no_body_and_no_boundary_is_too_strange(body: bytes, boundary: str) -> None:
    for part in parts_of(f"multipart/mixed;boundary={boundary}", "", body):
        assert part.body in body
