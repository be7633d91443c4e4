"""What we write, we read as it was: generated messages, printed and parsed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.headers import (
    CSeq,
    EventPackage,
    HeaderList,
    NameAddr,
    RAck,
    Reason,
    ReferTo,
    Replaces,
    SessionExpires,
    SipUri,
    SubscriptionState,
    Via,
    parse_uri,
)
from trunkline.sip.message import Request, Response
from trunkline.sip.parser import parse_message

tokens = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
words = st.text("abcXYZ019", min_size=1, max_size=10)
hosts = st.one_of(words, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("a-b.example.org"))
ports = st.one_of(st.none(), st.integers(1, 65535))
users = st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text and text.isprintable())
parameters = st.lists(st.tuples(words, st.one_of(st.none(), words)), max_size=3, unique_by=lambda pair: pair[0].lower())
names = st.text(max_size=20).filter(str.isprintable)


@st.composite
def uris(draw: st.DrawFn) -> SipUri:
    uri = SipUri.of(draw(st.one_of(st.none(), users)), draw(hosts), draw(ports))
    for name, value in draw(parameters):
        uri = uri.with_parameter(name, value)
    return uri


@st.composite
def addresses(draw: st.DrawFn) -> NameAddr:
    kept = tuple((f"p{name}", value) for name, value in draw(parameters))
    return NameAddr(draw(uris()), draw(names).strip(), (*kept, ("tag", draw(words))))


@st.composite
def headers(draw: st.DrawFn, method: str) -> HeaderList:
    fields = HeaderList()
    for _ in range(draw(st.integers(1, 4))):
        fields.add("Via", str(Via(draw(st.sampled_from(["UDP", "TCP", "TLS", "WS"])), draw(hosts), draw(ports))))
    fields.add("From", str(draw(addresses())))
    fields.add("To", str(draw(addresses())))
    fields.add("Call-ID", draw(tokens))
    fields.add("CSeq", str(CSeq(draw(st.integers(0, 2**31 - 1)), method)))
    for address in draw(st.lists(addresses(), max_size=3)):
        fields.add(draw(st.sampled_from(["Contact", "Route", "Record-Route"])), str(address))
    for name, value in draw(st.lists(st.tuples(words, names), max_size=4)):
        fields.add(f"X-{name}", value.strip())
    return fields


@given(st.data(), st.binary(max_size=200))
def test_request_is_read_as_it_was_written(data: st.DataObject, body: bytes) -> None:
    method = data.draw(tokens)
    request = Request(method, data.draw(uris()), data.draw(headers(method)), body)
    read = parse_message(request.to_bytes())
    assert isinstance(read, Request)
    assert (read.method, read.uri, read.body) == (request.method, request.uri, request.body)
    assert (read.from_, read.to, read.vias, read.contacts) == (
        request.from_,
        request.to,
        request.vias,
        request.contacts,
    )
    assert read.to_bytes() == request.to_bytes()


@given(st.data(), st.integers(100, 699), names)
def test_response_is_read_as_it_was_written(data: st.DataObject, status: int, reason: str) -> None:
    response = Response(status, reason.strip(), data.draw(headers("INVITE")))
    read = parse_message(response.to_bytes())
    assert isinstance(read, Response)
    assert (read.status, read.reason) == (response.status, response.reason)
    assert read.to_bytes() == response.to_bytes()


@given(uris())
def test_uri_survives(uri: SipUri) -> None:
    assert parse_uri(str(uri)) == uri


@given(tokens, words, words, st.booleans(), uris())
def test_transfer_headers_survive(call_id: str, to_tag: str, from_tag: str, is_early: bool, uri: SipUri) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, is_early)
    assert Replaces.parse(str(replaces)) == replaces
    plain = SipUri(uri.scheme, uri.user, uri.host, uri.port)
    assert ReferTo.parse(str(ReferTo(plain, replaces))) == ReferTo(plain, replaces)


@given(words, parameters, st.integers(0, 2**31 - 1), st.sampled_from([None, "uac", "uas"]), names)
def test_small_headers_survive(
    word: str, more: list[tuple[str, str | None]], number: int, refresher: str | None, text: str
) -> None:
    event = EventPackage(word.lower(), tuple(more))
    assert EventPackage.parse(str(event)) == event
    state = SubscriptionState(word.lower(), tuple(more))
    assert SubscriptionState.parse(str(state)) == state
    assert RAck.parse(str(RAck(number, CSeq(number, word)))) == RAck(number, CSeq(number, word))
    assert SessionExpires.parse(str(SessionExpires(number, refresher))) == SessionExpires(number, refresher)
    reason = Reason("SIP", number % 700, text)
    assert Reason.parse(str(reason)) == reason
