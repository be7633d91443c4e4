"""Datagrams and streams to messages: framing, limits, and that any bytes end in a value or in SipParseError."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sip.writing import request
from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.headers import HeaderList, NameAddr, SipUri, Via
from trunkline.sip.message import Message, Request, Response
from trunkline.sip.parser import (
    MAX_HEADERS,
    MAX_LINE_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_VIAS,
    PING,
    BadRequestError,
    StreamFramer,
    parse_message,
)

HEAD = (
    "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)


def build(*extra: str, body: str = "", head: str = HEAD) -> bytes:
    return (head + "".join(f"{line}\r\n" for line in extra) + "\r\n" + body).encode()


def test_compact_forms_and_folding_are_undone() -> None:
    message = parse_message(
        b"OPTIONS sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP h\r\n ;branch=z9hG4bKx,\r\n\tSIP/2.0/TCP i\r\nf:<sip:a@h>;tag=1\r\n"
        b"t : <sip:b@h>\r\ni: c\r\nCSeq: 1\r\n OPTIONS\r\nl: 3\r\nc: text/plain; charset=x\r\ns:\r\n\r\nabcdef"
    )
    assert [via.host for via in message.vias] == ["h", "i"]
    assert message.cseq.method == "OPTIONS"
    assert message.body == b"abc"
    assert message.content_type == "text/plain"
    assert message.headers.get("subject") == ""
    assert {"Via", "From", "To", "Call-ID", "Content-Length"} <= {name for name, _ in message.headers}


def test_response_may_lack_its_reason() -> None:
    text = HEAD.replace("OPTIONS sip:b@h SIP/2.0", "SIP/2.0 200")
    message = parse_message((text + "\r\n").encode())
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "")


def test_body_without_content_length_runs_to_the_end_of_a_datagram() -> None:
    assert parse_message(build(body="xyz")).body == b"xyz"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 9999",), 400),
        (("Content-Length: -1",), 400),
        (("Content-Length: 0", "l: 0"), 400),
        (("Content-Length: 1e1",), 400),
        (("Max-Forwards: 256",), 400),
        (("Call-ID: second",), 400),
        (("Via: what",), 400),
        (("Contact: <sip:a@h",), 400),
        (("Record-Route: \0",), 400),
        (("Route: <x>",), 400),
        (("CSeq: 2 OPTIONS",), 400),
    ],
)
def test_request_with_an_error_inside_can_be_answered(lines: tuple[str, ...], status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_message(build(*lines))
    assert caught.value.status == status
    assert caught.value.request.method == "OPTIONS"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"),
        ("CSeq: 1 OPTIONS\r\n", ""),
        ("Call-ID: c\r\n", ""),
        ("Call-ID: c", "Call-ID:"),
        ("sip:b@h SIP", "<sip:b@h> SIP"),
        ("tag=1", 'tag="\x01"'),
    ],
)
def test_request_without_what_it_must_have_can_be_answered(old: str, new: str) -> None:
    with pytest.raises(BadRequestError):
        parse_message(build(head=HEAD.replace(old, new, 1)))


def test_other_version_is_505() -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_message(build(head=HEAD.replace("h SIP/2.0", "h SIP/7.0", 1)))
    assert caught.value.status == 505


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"hello",
        b"OPTIONS sip:b@h SIP/2.0",
        b"OPTIONS sip:b@h SIP/2.0\nVia: x\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"SIP/2.0 99 Low\r\n\r\n",
        b"SIP/2.0 4294967301 better not\r\n\r\n",
        b"INV\0TE sip:b@h SIP/2.0\r\n\r\n",
        HEAD.encode() + b"Bad Name: x\r\n\r\n",
        HEAD.encode() + b"no colon\r\n\r\n",
        HEAD.encode() + b"X: a\rb\r\n\r\n",
        HEAD.encode() + b"X: a\nY: b\r\n\r\n",
        bytes(range(256)) * 4,
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(SipParseError) as caught:
        parse_message(data)
    assert not isinstance(caught.value, BadRequestError)


@pytest.mark.parametrize(
    "data",
    [
        build("X: " + "a" * MAX_LINE_BYTES),
        build("X: a", *[" b" * 100] * 100),
        build(*["X: a"] * MAX_HEADERS),
        build(body="x" * MAX_MESSAGE_BYTES),
        build(*["X: a"] * 10_000),
        build("Via: " + ", ".join(["SIP/2.0/UDP h"] * MAX_VIAS)),
    ],
    ids=["long line", "long folded line", "many headers", "long message", "very many headers", "many vias"],
)
def test_message_over_a_limit_is_refused(data: bytes) -> None:
    with pytest.raises(SipParseError):
        parse_message(data)


def test_bytes_that_are_not_utf8_survive_unchanged() -> None:
    data = build("Subject: \xff".encode("latin-1").decode("latin-1"), body="")
    raw = data.replace("\xff".encode(), b"\xff\xfe")
    assert b"Subject: \xff\xfe\r\n" in parse_message(raw).to_bytes()


def test_builder_refuses_line_breaks_and_nul() -> None:
    headers = HeaderList()
    for name, value in (("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0b"), ("X Y", "a"), ("X\r\nY", "a"), ("", "a")):
        for put in (headers.add, headers.set, headers.prepend):
            with pytest.raises(LocalProtocolError):
                put(name, value)
    with pytest.raises(LocalProtocolError):
        headers.prepend_via(Via("UDP", "h\r\nX: 1"))
    assert len(headers) == 0
    with pytest.raises(LocalProtocolError):
        Request("OPTIONS", SipUri("sip", "a\r\nX: 1", "h"), headers).to_bytes()
    with pytest.raises(LocalProtocolError):
        Request("OPT IONS", SipUri("sip", "a", "h"), headers).to_bytes()
    with pytest.raises(LocalProtocolError):
        Response(200, "OK\r\nX: 1", headers).to_bytes()


def test_written_content_length_is_the_bodys() -> None:
    message = request("OPTIONS", extra=(("Content-Length", "5000"),), body="häh")
    assert message.to_bytes().count(b"Content-Length: 4\r\n") == 1
    assert message.to_bytes().count(b"Content-Length") == 1


# --- streams ---------------------------------------------------------------------------------------------------------

FIRST, SECOND = build("Content-Length: 4", body="abcd"), build("l: 0")


def cut(data: bytes, *sizes: int) -> list[bytes]:
    framer, found, start = StreamFramer(), [], 0
    for size in (*sizes, len(data)):
        framer.feed(data[start : start + size])
        found += list(framer.frames())
        start += size
    return found


@given(st.lists(st.integers(1, 40), max_size=40))
def test_stream_gives_the_same_messages_however_it_is_cut(sizes: list[int]) -> None:
    data = FIRST + b"\r\n" + SECOND + PING + FIRST + PING + PING + SECOND
    assert cut(data, *sizes) == [FIRST, SECOND, PING, FIRST, PING, PING, SECOND]


@pytest.mark.parametrize(
    "data",
    [
        build(),
        build("Content-Length: 70000"),
        build("Content-Length: -4"),
        build("Content-Length: 4", "l: 5"),
        build("Content-Length: 99999999999"),
        b"x" * (MAX_MESSAGE_BYTES + 1),
    ],
    ids=["no length", "huge length", "negative length", "two lengths", "absurd length", "no end of headers"],
)
def test_stream_that_cannot_be_framed_is_given_up(data: bytes) -> None:
    with pytest.raises(SipParseError):
        cut(data)


def test_half_a_message_waits() -> None:
    assert cut(FIRST[:-1]) == []
    assert cut(b"\r") == cut(b"\r\n") == cut(b"\r\n\r") == []


# --- properties ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=600))
@example(b"SIP/2.0 200 OK\r\n\r\n")
@example(b"A sip:x SIP/2.0\r\nVia:\r\n\r\n")
def test_any_bytes_end_in_a_message_or_a_parse_error(data: bytes) -> None:
    with contextlib.suppress(SipParseError):
        parse_message(data)


_LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["Via", "From", "To", "CSeq", "Call-ID", "Contact", "Route", "Record-Route", "l", "X", "Max-Forwards"]
        ),
        st.text(st.sampled_from(' \t<>";,=:@[]/\\%\0aA1.-é\udc80'), max_size=20),
    ),
    max_size=8,
)


@given(_LINES, st.sampled_from(["OPTIONS sip:a@h SIP/2.0", "SIP/2.0 200 OK", "INVITE sip: SIP/2.0"]), st.booleans())
def test_any_headers_end_in_a_message_or_a_parse_error(lines: list[tuple[str, str]], start: str, is_full: bool) -> None:
    head = HEAD.replace("OPTIONS sip:b@h SIP/2.0", start) if is_full else start + "\r\n"
    data = (head + "".join(f"{n}: {v}\r\n" for n, v in lines) + "\r\n").encode("utf-8", "surrogateescape")
    try:
        message = parse_message(data)
    except SipParseError:
        return
    # What passed can be used without further care, and written again.
    _ = message.vias, message.from_, message.to, message.cseq, message.contacts, message.record_routes
    assert parse_message(message.to_bytes()).headers.get_all("Via") == message.headers.get_all("Via")


_TOKENS = st.text(st.sampled_from("abcXYZ019-.!%*_+`'~"), min_size=1, max_size=8)
_HOSTS = st.sampled_from(["h", "example.org", "10.0.0.1", "2001:db8::1"])
_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
_URIS = st.builds(
    lambda user, host, port, params: replace(SipUri.of(user, host, port), parameters=tuple(params.items())),
    st.none() | st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12),
    _HOSTS,
    st.none() | st.integers(1, 65535),
    st.dictionaries(st.sampled_from(["lr", "transport", "user"]), st.none() | st.sampled_from(["tcp", "phone"])),
)
_ADDRESSES = st.builds(lambda uri, name, tag: NameAddr(uri, name, (("tag", tag),)), _URIS, _TEXT, _TOKENS)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    method = draw(_TOKENS)
    headers = HeaderList()
    for _ in range(draw(st.integers(1, 3))):
        headers.add("Via", str(Via("UDP", draw(_HOSTS), 5060, (("branch", draw(_TOKENS)), ("rport", None)))))
    headers.add("From", str(draw(_ADDRESSES)))
    headers.add("To", str(draw(_ADDRESSES)))
    headers.add("Call-ID", draw(_TOKENS))
    headers.add("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}")
    for address in draw(st.lists(_ADDRESSES, max_size=2)):
        headers.add("Contact", str(address))
    for name, value in draw(st.lists(st.tuples(_TOKENS.map(lambda t: f"X-{t}"), _TEXT), max_size=4)):
        headers.add(name, value.strip(" \t"))
    body = draw(st.binary(max_size=40))
    if draw(st.booleans()):
        return Request(method, draw(_URIS), headers, body)
    return Response(draw(st.integers(100, 699)), draw(_TEXT).strip(" "), headers, body)


@given(messages())
def test_message_is_the_same_after_writing_and_reading(message: Message) -> None:
    again = parse_message(message.to_bytes())
    again.headers.remove("Content-Length")
    assert again == message
    assert (again.from_, again.to, again.cseq, again.vias) == (message.from_, message.to, message.cseq, message.vias)
