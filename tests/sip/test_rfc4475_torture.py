"""Torture messages: what the user agent makes of each oddity that RFC 4475 names.

Messages are our own, as short as the oddity allows; names and section numbers are the RFC's. `verdict` is the final
status that goes back, None for silence; a call that comes up is answered 200 by the test.
"""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, Agent, Network, Peer
from trunkline.sip.parser import parse_message
from trunkline.sip.types import IncomingInvite

SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0\r\n"
VIA = "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK-t\r\n"
REST = "From: <sip:a@10.0.0.9>;tag=1\r\nTo: <sip:b@10.0.0.1>\r\nCall-ID: torture\r\nMax-Forwards: 70\r\n"
CONTACT = "Contact: <sip:a@10.0.0.9>\r\n"


OPTIONS = "OPTIONS sip:b@10.0.0.1 SIP/2.0"


def invite(extra: str = "", *, uri: str = "sip:b@10.0.0.1", rest: str = REST, length: int = len(SDP)) -> bytes:
    kind = "" if "Content-Type" in extra else "Content-Type: application/sdp\r\n"
    head = (
        f"INVITE {uri} SIP/2.0\r\n{VIA}{rest}CSeq: 8 INVITE\r\n{CONTACT}{extra}{kind}Content-Length: {length}\r\n\r\n"
    )
    return (head + SDP).encode()


def options(extra: str = "", *, line: str = OPTIONS, rest: str = REST, cseq: str = "") -> bytes:
    cseq = cseq or f"9 {line.split()[0]}"
    return f"{line}\r\n{VIA}{rest}CSeq: {cseq}\r\n{extra}Content-Length: 0\r\n\r\n".encode()


WSINV = (
    b"INVITE sip:b@10.0.0.1;unknownparam SIP/2.0\r\nTO :\r\n sip:b@10.0.0.1 ;   tag    = 19n\r\n"
    b'from   : "J \\\\\\""       <sip:a@10.0.0.9>\r\n  ;\r\n  tag = 98\r\nMaX-fOrWaRdS: 0068\r\n'
    b"Call-ID: torture\r\nContent-Length   : 0\r\ncseq: 0009\r\n  INVITE\r\n"
    b"Via  : SIP  /   2.0\r\n /UDP\r\n    10.0.0.9;rport;branch=390skd\r\ns :\r\n"
    b"UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nRoute:\r\n <sip:services.example.com;lr;unknown=value>\r\n"
    b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ik ,\r\n"
    b" SIP  /    2.0   / UDP  192.168.255.111\r\n ; branch=\r\n z9hG4bK30239\r\n"
    b'm:"Quoted string \\"\\"" <sip:a@10.0.0.9>;newparam =\r\n      newvalue ;secondparam ; q = 0.33\r\n\r\n'
)

UNUSUAL = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@10.0.0.1"
INTMETH = (
    f"!interesting-Method0123456789_*+`.%indeed'~ {UNUSUAL} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.9;rport;branch=z9hG4bK-.!%66*_+`'~\r\n"
    f'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <{UNUSUAL}>\r\n'
    "From: token1~` token2'+_ token3*%!.- <sip:a@10.0.0.9> ;fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.\r\n"
    "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\nCSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\r\n"
    "Max-Forwards: 255\r\nextensionHeader-!.%*+_`'~:大停電\r\nContent-Length: 0\r\n\r\n"
).encode()

INV2543 = (
    "INVITE sip:b@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9\r\nFrom: <sip:a@10.0.0.9>\r\nTo: <sip:b@10.0.0.1>\r\n"
    f"Call-ID: old\r\nCSeq: 1 INVITE\r\n{CONTACT}Content-Type: application/sdp\r\n\r\n{SDP}"
).encode()

CASES: list[tuple[str, bytes, int | None]] = [
    # 3.1.1 valid messages
    ("wsinv", WSINV, 481),  # well-formed; it names a dialog that we do not have
    ("intmeth", INTMETH, 501),
    ("esc01", invite(uri="sip:sips%3Auser%40example.com@10.0.0.1"), 200),
    ("escnull", options(rest=REST.replace("sip:b@", "sip:null-%00-null@")), 200),
    ("esc02", options(line="RE%47IST%45R sip:b@10.0.0.1 SIP/2.0"), 501),
    ("lwsdisp", options(rest=REST.replace("From: <", "From: caller<")), 200),
    ("longreq", invite("".join(f"Unknown-{'long' * 10}-{n}: {'x' * 200}\r\n" for n in range(60))), 200),
    ("dblreq", options() + invite(), 200),
    ("semiuri", options(line="OPTIONS sip:user;par=u%40example.net@10.0.0.1 SIP/2.0"), 200),
    ("transports", options("Via: SIP/2.0/UNKNOWN t4;branch=z9hG4bKzz, SIP/2.0/TLS t3;branch=z9hG4bKy\r\n"), 200),
    ("unreason", b"SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe\r\n" + options().partition(b"\r\n")[2], None),
    ("noreason", b"SIP/2.0 100 \r\n" + options().partition(b"\r\n")[2], None),
    # 3.1.2 invalid messages
    ("badinv01", invite(rest=REST.replace("From: ", "From: ;;,")), 400),
    ("clerr", invite(length=9999), 400),
    ("ncl", invite(length=-999), 400),
    ("scalar02", options(cseq="36893488147419103232 OPTIONS"), 400),
    ("scalarlg", b"SIP/2.0 4294967301 better not\r\n" + options().partition(b"\r\n")[2], None),
    ("quotbal", options(rest=REST.replace("To: <", 'To: "Mr. J. User <')), 400),
    ("ltgtruri", invite(uri="<sip:b@10.0.0.1>"), 400),
    ("lwsruri", invite(uri="sip:b@10.0.0.1; lr"), 400),
    ("lwsstart", options(line="OPTIONS  sip:b@10.0.0.1  SIP/2.0"), 400),
    ("trws", options(line="OPTIONS sip:b@10.0.0.1 SIP/2.0  "), None),
    ("escruri", invite(uri="sip:b@10.0.0.1?Route=%3Csip:x%3E"), 200),  # RFC: 400, or ignore the headers; we ignore
    ("baddate", invite("Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"), 200),
    ("regbadct", invite().replace(CONTACT.encode(), b"Contact: sip:user@example.com?Route=%3Csip:x%3E\r\n"), 400),
    ("badaspec", options(rest=REST.replace("<sip:b@10.0.0.1>", "< sip:b@10.0.0.1 >")), 200),
    ("baddn", options(rest=REST.replace("From: <", "From: Bell, Alexander <")), 200),
    ("badvers", options(line="OPTIONS sip:b@10.0.0.1 SIP/7.0"), 505),
    ("mismatch01", options(cseq="8 INVITE"), 400),
    ("mismatch02", options(line="NEWMETHOD sip:b@10.0.0.1 SIP/2.0", cseq="8 INVITE"), 400),
    ("bigcode", b"SIP/2.0 4294967301 x\r\n\r\n", None),
    # 3.2, 3.3 transaction, application and transport layer
    ("badbranch", options().replace(b"z9hG4bK-t", b"z9hG4bK"), 200),
    ("insuf", f"INVITE sip:b@10.0.0.1 SIP/2.0\r\nCSeq: 1 INVITE\r\n{VIA}Content-Length: 0\r\n\r\n".encode(), None),
    ("unkscm", options(line="OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),
    ("novelsc", options(line="OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416),
    ("unksm2", options(rest=REST.replace("<sip:b@10.0.0.1>", "<isbn:2983792873>")), 200),
    ("bext01", options("Require: nothingSupportsThis, nothingSupportsThisEither\r\n"), 420),
    ("invut", invite("Content-Type: application/unknownformat\r\n"), 415),
    ("multi01", options("Call-ID: second\r\nMax-Forwards: 5\r\n"), 400),
    ("mcl01", options("Content-Length: 5\r\n"), 400),
    ("zeromf", options(rest=REST.replace("Max-Forwards: 70", "Max-Forwards: 0")), 200),
    ("cparam01", options("Contact: sip:+19725552222@gw1.example.net;unknownparam\r\n"), 200),
    ("sdp01", invite("Accept: text/nobodyKnowsThis\r\n"), 200),  # what Accept means for our answer, `calls` judges
    ("inv2543", INV2543, 200),
]


@pytest.mark.parametrize(("message", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_torture_message_gets_its_verdict(message: bytes, verdict: int | None) -> None:
    network = Network()
    us, peer = Agent(network, "10.0.0.1"), Peer(network, "10.0.0.9")
    us.on_event = lambda event: us.ua.answer(us.now, event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    peer.send(message, us.address)
    network.run(0.05)
    finals = [status for data in peer.raw if (status := int(data.split()[1])) >= 200]
    assert finals == ([] if verdict is None else [verdict])
    network.run(400)
    assert not any(us.ua.load.values()), "nothing stays behind"


def test_wsinv_is_read_to_the_letter() -> None:
    message = parse_message(WSINV)
    assert [via.transport for via in message.vias] == ["UDP", "TCP", "UDP"]
    assert message.from_.display_name == 'J \\"'
    assert message.headers.get("max-forwards") == "0068"
    assert message.contacts[0].parameter("newparam") == "newvalue"
    assert message.contacts[0].has_parameter("secondparam")
    assert message.headers.get("Subject") == ""
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"


def test_intmeth_returns_what_it_brought() -> None:
    message = parse_message(INTMETH)
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert str(message.to.uri) == UNUSUAL
    assert parse_message(message.to_bytes()).to == message.to


def test_truncated_and_spliced_messages_never_raise() -> None:
    network = Network()
    us = Agent(network, "10.0.0.1")
    peer = Peer(network, "10.0.0.9")
    for _, message, _ in CASES:
        for end in range(0, len(message), max(1, len(message) // 50)):
            peer.send(message[:end], us.address)
            peer.send(message[:end] + message[end + 7 :], us.address)
    network.run(1)
