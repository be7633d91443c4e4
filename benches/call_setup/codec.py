"""What reading and writing one INVITE costs, beside the PyPI package `sipmessage`, in turns in one process.

Each side reads the same 1.4 kB from bytes, makes typed values of the same headers, and writes the message again.
Neither sees the same bytes twice: every copy has a branch, a Call-ID and tags of its own. What calls have in common on
a trunk (CSeq, the callee's address, the carrier's identity) is the same in all of them, and may be remembered.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from benches.call_setup.rows import CodecFigures
from sipmessage import Message as TheirMessage

from trunkline.sip.message import Request
from trunkline.sip.parser import parse_message

_SDP = (
    "v=0\r\no=- 2890844526 2890844526 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
    "m=audio 49170 RTP/AVP 8 0 18 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:18 annexb=no\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
    "a=maxptime:40\r\na=sendrecv\r\n"
)
_HEAD = (
    "INVITE sip:+496912345678@gateway.example.net:5060;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK{n:08x}a1;rport;received=198.51.100.7\r\n"
    "Via: SIP/2.0/UDP 203.0.113.20:5062;branch=z9hG4bK{n:08x}b2;rport=5062\r\n"
    "Record-Route: <sip:198.51.100.7;lr;ftag=as{n:08x}>\r\n"
    "Max-Forwards: 69\r\n"
    'From: "Alice Example" <sip:+4930987654@carrier.example.com;user=phone>;tag=as{n:08x}\r\n'
    "To: <sip:+496912345678@gateway.example.net;user=phone>\r\n"
    "Call-ID: {n:032x}@203.0.113.20\r\n"
    "CSeq: 102 INVITE\r\n"
    "Contact: <sip:+4930987654@203.0.113.20:5062;transport=udp>\r\n"
    "User-Agent: Carrier Class Softswitch 4.2.1\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PRACK, UPDATE\r\n"
    "Supported: replaces, timer, 100rel\r\n"
    "Session-Expires: 1800;refresher=uac\r\n"
    "Min-SE: 90\r\n"
    "P-Asserted-Identity: <sip:+4930987654@carrier.example.com>\r\n"
    "P-Charging-Vector: icid-value={n:032x};icid-generated-at=203.0.113.20\r\n"
    "Accept: application/sdp\r\n"
    "Session-ID: {n:032x};remote=00000000000000000000000000000000\r\n"
    "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n"
)


def invite(number: int) -> bytes:
    """One INVITE of about 1.4 kB; each number gives another branch, Call-ID and tag."""
    return (_HEAD.format(n=number, length=len(_SDP)) + _SDP).encode()


def ours(data: bytes) -> bytes:
    request = parse_message(data)
    assert isinstance(request, Request)
    _ = request.vias, request.from_, request.to, request.sip_call_id, request.cseq, request.contacts
    _ = request.record_routes, request.routes, request.number("Max-Forwards"), request.content_type
    return request.to_bytes()


def theirs(data: bytes) -> bytes:
    request = TheirMessage.parse(data)
    _ = request.via, request.from_address, request.to_address, request.call_id, request.cseq, request.contact
    _ = request.record_route, request.route, request.max_forwards, request.content_type
    return bytes(request)


def measure(rounds: int = 15, messages: int = 400) -> CodecFigures:
    """Time both on the same messages, in turns."""
    _check_same()
    taken: dict[Callable[[bytes], bytes], list[float]] = {ours: [], theirs: []}
    gc.collect()
    for at in range(rounds):
        copies = [invite(at * messages + number) for number in range(messages)]
        for work, times in taken.items():
            start = time.process_time()
            for copy in copies:
                work(copy)
            times.append((time.process_time() - start) / messages * 1e6)
    pairs = zip(taken[theirs], taken[ours], strict=True)
    return CodecFigures(min(taken[ours]), min(taken[theirs]), tuple(their / our for their, our in pairs))


def _check_same() -> None:
    """Make sure that both have read the same message, and written it."""
    data = invite(1)
    lines = {line for line in data.split(b"\r\n") if line}
    for work in (ours, theirs):
        assert lines == {line for line in work(data).split(b"\r\n") if line}, work.__name__
