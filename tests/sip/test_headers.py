"""Typed headers and URIs: what they read, what they write, what they refuse."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.headers import (
    AuthValue,
    CSeq,
    HeaderList,
    NameAddr,
    OpaqueUri,
    Reason,
    SipUri,
    Via,
    parse_parameters,
    parse_uri,
    plain_text,
    quote,
    unquote,
)


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.org",
        "sips:alice@example.org:5061",
        "sip:example.org;transport=tcp",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:alice:secretword@atlanta.com;transport=tcp?subject=project%20x&priority=urgent",
        "sip:[2001:db8::10]:5070",
        "sip:bob@[2001:db8::9:1]",
        "sip:sips%3Auser%40example.com@example.net",
        "sip:null-%00-null@example.com",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:*21#@10.0.0.1",
        "sip:host;lr;maddr=239.255.255.1;ttl=15;x",
        "sip:a%3Bb%2C@h;p=%41",
        "tel:+358-555-1234567",
        "urn:service:sos",
        "nobodyknowsthisscheme:totallyopaquecontent",
    ],
)
def test_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "sip:",
        "sip:@host",
        "sip:a b@host",
        "sip:a@",
        "sip:a@h:0",
        "sip:a@h:99999",
        "sip:a@h:x",
        "sip:a@h;;x",
        "sip:a%4@h",
        "sip:a@h o",
        "sip:a@-",
        "sip:a@b@c",
        "sip:a@[::1",
        "sip:a\r\n@h",
        "sip:a@h?x\ny",
        'sip:"a"@h',
        "tel:",
        "http:a b",
        "sip:a@h\x00",
        "sip:a@h;x=\r\ny",
    ],
)
def test_uri_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_uri(text)


def test_parts_of_a_sip_uri() -> None:
    uri = parse_uri("SIP:j%40s%C3%A9@Example.ORG:5070;Transport=TCP;lr?x=y")
    assert isinstance(uri, SipUri)
    assert (uri.scheme, uri.user, uri.username, uri.host, uri.port) == (
        "sip",
        "j%40s%C3%A9",
        "j@sé",
        "Example.ORG",
        5070,
    )
    assert uri.parameter("transport") == "TCP"
    assert uri.has_parameter("lr")
    assert uri.parameter("lr") is None
    assert uri.address_of_record == "sip:j%40s%C3%A9@example.org"
    assert str(uri.as_target) == "sip:j%40s%C3%A9@Example.ORG:5070;Transport=TCP;lr"


def test_user_part_is_escaped_when_made_from_text() -> None:
    assert str(SipUri.of("a b@c\r\nX: 1", "h")) == "sip:a%20b%40c%0D%0AX%3A%201@h"
    assert SipUri.of('é:"<>', "h").username == 'é:"<>'
    assert str(SipUri.of("x", "2001:db8::1", 5060)) == "sip:x@[2001:db8::1]:5060"


@pytest.mark.parametrize("host", ["", "a b", "h\r\nX: 1", "a@b", "h:5060", "h;lr"])
def test_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(LocalProtocolError):
        SipUri.of("x", host)


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ('"Mr. \\"X\\"" <sip:x@h>;tag=1', 'Mr. "X"', "sip:x@h", "1"),
        ("Anonymous User <sip:c@h>;hidden;tag=hyh8", "Anonymous User", "sip:c@h", "hyh8"),
        ("sip:x@h;tag=9", "", "sip:x@h", "9"),
        ("<sip:x@h;lr>", "", "sip:x@h;lr", None),
        ('"a, b; c <d>"<sip:x@h> ; tag = 7', "a, b; c <d>", "sip:x@h", "7"),
        ("<tel:+1;phone-context=x>", "", "tel:+1;phone-context=x", None),
        ('"" <sip:x@h>', "", "sip:x@h", None),
    ],
)
def test_address_is_read(text: str, name: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.tag) == (name, uri, tag)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<sip:x@h",
        '"x <sip:x@h>',
        '"x" sip:x@h',
        "<sip:x@h> y",
        "sip:x@h?a=b",
        "<>",
        "x",
        '<sip:x@h>;tag="',
        "<<sip:x@h>>",
    ],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        NameAddr.parse(text)


def test_via_is_read_with_the_space_that_rfc_3261_allows() -> None:
    via = Via.parse("SIP / 2.0 / udp  [2001:db8::9] : 5070 ;branch=z9hG4bKx ;rport;received=2001:db8::8")
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "2001:db8::9", 5070, "z9hG4bKx")
    assert via.has_parameter("rport")
    assert via.parameter("received") == "2001:db8::8"
    assert Via.parse(str(via)) == via


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "SIP/2.0/UDP h:x", "HTTP/1.1 h", "SIP/2.0/UDP h;=x"]
)
def test_via_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        Via.parse(text)


def test_cseq_is_bounded() -> None:
    assert CSeq.parse("0009  INVITE") == CSeq(9, "INVITE")
    assert CSeq.parse("2147483647 ACK").number == 2**31 - 1
    for bad in ("2147483648 ACK", "-1 ACK", "1", "x ACK", "1 A CK", "9292394834772304023312 OPTIONS"):
        with pytest.raises(SipParseError):
            CSeq.parse(bad)


def test_list_is_split_outside_quotes_and_brackets() -> None:
    headers = HeaderList((("Contact", '"a,b" <sip:x@h;p=1,2>, <sip:y@h>'), ("contact", "<sip:z@h>")))
    assert [str(address.uri) for address in headers.contacts] == ["sip:x@h;p=1,2", "sip:y@h", "sip:z@h"]


@pytest.mark.parametrize("text", ["plain", 'a"b', "a\\b", '\\"', "", "ünï"])
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    assert unquote(quote(text)) == text


@pytest.mark.parametrize("text", ['x="a"b', "x=a b", "=x", "x y=1", 'x="a', "x=\0", "x=<>"])
def test_parameter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_parameters(text)


def test_parameters_keep_quotes_and_skip_empty_pieces() -> None:
    assert parse_parameters(' a ; ;b = "c;d" ;e=') == (("a", None), ("b", '"c;d"'), ("e", ""))


def test_reason_is_read_and_written() -> None:
    assert Reason.parse('Q.850 ;cause=16 ;text="Terminated"') == Reason("Q.850", 16, "Terminated")
    assert Reason.parse("SIP;cause=abc") == Reason("SIP", None, "")
    assert str(Reason("SIP", 200, 'say "hi"')) == 'SIP;cause=200;text="say \\"hi\\""'


def test_credentials_are_read_whatever_their_spacing() -> None:
    value = AuthValue.parse('Digest realm="a, b",nonce = "x" , stale=TRUE,qop="auth,auth-int"')
    assert value.parameters == (("realm", "a, b"), ("nonce", "x"), ("stale", "TRUE"), ("qop", "auth,auth-int"))


def test_plain_text_has_neither_controls_nor_broken_unicode() -> None:
    assert plain_text("a\0b\x07c\udcffd") == "a b c\ufffdd"
    assert isinstance(parse_uri("tel:1"), OpaqueUri)


@pytest.mark.parametrize(
    ("read", "made"),
    [
        (
            parse_uri("sips:a%20b:c@[2001:db8::1]:5061;lr;x=1?Subject=s"),
            SipUri("sips", "a%20b", "2001:db8::1", 5061, (("lr", None), ("x", "1")), "c", "Subject=s"),
        ),
        (parse_uri("sip:example.com"), SipUri("sip", None, "example.com")),
        (parse_uri("tel:+49"), OpaqueUri("tel", "+49")),
        (NameAddr.parse('"A" <tel:1>;tag=x'), NameAddr(OpaqueUri("tel", "1"), "A", (("tag", "x"),))),
        (Via.parse("SIP/2.0/udp h:5060;rport"), Via("UDP", "h", 5060, (("rport", None),))),
        (CSeq.parse("7 INVITE"), CSeq(7, "INVITE")),
    ],
)
def test_what_is_read_is_what_the_class_makes(read: Any, made: Any) -> None:
    assert read == made
    assert (hash(read), repr(read)) == (hash(made), repr(made))
    with pytest.raises(FrozenInstanceError):
        setattr(read, fields(read)[0].name, None)
