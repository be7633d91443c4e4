"""SIP over WebSocket on loopback, against our own other side and a client of another maker.   RFC 7118."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError
from websockets.typing import Origin, Subprotocol

from sip.certificates import Authority
from sip.emulation import ANSWER, OFFER
from sip.phones import Names, Phone, Start, phones, talk
from sip.writing import request
from trunkline.sip.message import Request, Response
from trunkline.sip.parser import parse_message
from trunkline.sip.transport import StreamLimits, TlsSettings
from trunkline.sip.types import IncomingInvite, InviteConfirmed, ReinviteFailed, Transport

UDP, WS, WSS = Transport.UDP, Transport.WS, Transport.WSS
SIP = [Subprotocol("sip")]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


def browser(phone: Phone, **options: object) -> connect:
    return connect(f"ws://127.0.0.1:{phone.port(WS)}/any/path", subprotocols=SIP, **options)  # type: ignore[arg-type]


async def next_message(socket: ClientConnection) -> Request | Response:
    """One frame is one message."""
    frame = await asyncio.wait_for(socket.recv(), 5)
    assert isinstance(frame, str), "JsSIP takes text only"
    return parse_message(frame.encode())


def invite() -> str:
    """An INVITE as a page sends it: neither its Via nor its Contact leads anywhere."""
    lines = (
        "INVITE sip:bob@gateway.example SIP/2.0",
        "Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKnashds7",
        "Max-Forwards: 70",
        "From: <sip:alice@gateway.example>;tag=1",
        "To: <sip:bob@gateway.example>",
        "Call-ID: from-a-page",
        "CSeq: 1 INVITE",
        "Contact: <sip:alice@df7jal23ls0d.invalid;transport=ws>",
        "Content-Type: application/sdp",
        f"Content-Length: {len(OFFER)}",
    )
    return "\r\n".join(lines) + "\r\n\r\n" + OFFER


async def test_page_calls_and_is_hung_up_on_its_own_connection(start: Start) -> None:
    bob = await start(UDP, WS)
    bob.answer_all()
    async with browser(bob) as socket:
        assert socket.subprotocol == "sip"
        await socket.send(invite())
        assert isinstance(trying := await next_message(socket), Response)
        assert trying.status == 100
        answer = await next_message(socket)
        assert isinstance(answer, Response)
        assert (answer.status, answer.sdp) == (200, ANSWER)
        assert f":{bob.port(WS)};transport=ws>" in str(answer.contacts[0]), "our Contact is reached by WebSocket"
        ack = request("ACK", to_tag=answer.to.tag or "", call_id="from-a-page", from_tag="1", transport="WS")
        await socket.send(ack.to_bytes().decode())
        bob.shell.hangup((await bob.wait(InviteConfirmed)).id)
        bye = await next_message(socket)
        assert isinstance(bye, Request)
        assert (bye.method, str(bye.uri)) == ("BYE", "sip:alice@df7jal23ls0d.invalid;transport=ws")
        assert bye.top_via.transport == "WS"


async def test_call_over_secure_websocket_between_two_of_ours(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("bob.example")
    tls = TlsSettings(certificate=files.certificate, key=files.key, authorities=authority.certificate)
    bob = await start(WSS, tls=tls)
    alice = await start(
        UDP, tls=TlsSettings(authorities=authority.certificate), resolver=Names({"bob.example": ["127.0.0.1"]})
    )
    await talk(alice, bob, f"sips:phone@bob.example:{bob.port(WSS)};transport=ws")
    assert alice.shell.counters["connections"] == 1


async def test_call_over_websocket_between_two_of_ours(start: Start) -> None:
    bob, alice = await start(WS), await start(UDP)
    await talk(alice, bob, bob.uri(WS))


async def test_page_that_vanishes_takes_its_requests_with_it(start: Start) -> None:
    bob = await start(WS)
    bob.answer_all()
    async with browser(bob) as socket:
        await socket.send(invite())
        incoming = await bob.wait(IncomingInvite)
        while (await next_message(socket)).cseq.method != "INVITE":
            pass
        answer = await next_message(socket)
        assert isinstance(answer, Response)
        ack = request("ACK", to_tag=answer.to.tag or "", call_id="from-a-page", from_tag="1", transport="WS")
        await socket.send(ack.to_bytes().decode())
        await bob.wait(InviteConfirmed)
        bob.events.clear()
        bob.shell.reinvite(incoming.id, OFFER)
        assert (await next_message(socket)).cseq.method == "INVITE"
    failed = await bob.wait(ReinviteFailed, 2)
    assert (failed.id, failed.status) == (incoming.id, 503), "at once, not after 32 seconds"


async def test_message_in_fragments_is_put_together_and_pings_are_answered(start: Start) -> None:
    bob = await start(WS)
    text = request("OPTIONS", host="127.0.0.1", transport="WS").to_bytes().decode()
    async with browser(bob) as socket:
        await socket.send([text[:10], text[10:50], text[50:]])
        answer = await next_message(socket)
        assert isinstance(answer, Response)
        assert answer.status == 200
        await socket.send(text.replace("z9hG4bK", "z9hG4bKx").encode())  # binary is as good
        assert isinstance(await next_message(socket), Response)
        await asyncio.wait_for(await socket.ping(), 5)
        await socket.send("\r\n\r\n")  # SIP.js' keep-alive
        assert await asyncio.wait_for(socket.recv(), 5) == "\r\n"


async def test_client_without_the_subprotocol_is_refused(start: Start) -> None:
    bob = await start(WS)
    with pytest.raises((InvalidStatus, NegotiationError)):
        await connect(f"ws://127.0.0.1:{bob.port(WS)}")
    assert bob.shell.counters["handshakes_failed"] == 1


async def test_page_of_another_origin_is_refused(start: Start) -> None:
    bob = await start(WS, origins=["https://ours.example"])
    with pytest.raises(InvalidStatus) as refused:
        await browser(bob, origin=Origin("https://theirs.example"))
    assert refused.value.response.status_code == 403
    async with browser(bob, origin=Origin("https://ours.example")):
        pass


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"A" * 20_000])
async def test_what_is_no_websocket_is_closed_and_counted(start: Start, junk: bytes) -> None:
    bob = await start(WS)
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.port(WS))
    writer.write(junk)
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            await reader.read()
    assert bob.shell.counters["handshakes_failed"] == 1
    writer.close()


async def test_message_over_the_limit_closes_the_connection(start: Start) -> None:
    bob = await start(WS)
    async with browser(bob) as socket:
        await socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert bob.shell.counters["framing_lost"] == 1


async def test_browser_that_has_died_is_found_by_its_silence(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.sip.transports.streams._PONG_LIMIT_S", 0.1)
    bob = await start(WS, limits=StreamLimits(keep_alive_s=0.2))
    async with browser(bob, ping_interval=None) as alive:
        await alive.send("\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", bob.port(WS))
        key = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        writer.write(
            f"{key}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n".encode()
        )
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                await reader.read()
        assert bob.shell.counters["flows_lost"] == 1
        await asyncio.wait_for(await alive.ping(), 5)
        writer.close()
