"""Frames as text, without sockets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.schemas import dtmf_method
from trunkline.api.ws_protocol import (
    MAX_CUSTOM_BYTES,
    BadFrame,
    Connection,
    Hangup,
    Ping,
    SendDtmf,
    read_frame,
    write_frame,
)
from trunkline.calls.events import DtmfMethod
from trunkline.sip.types import Transport

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["connection", "call", "answer", "hangup", "sendDtmf", "candidate", "ping", "pong", "x"])
FIELDS = st.sampled_from(["callId", "callee", "sdp", "dtmf", "type", "custom", "sipPort", "sipLogin", "hasAudio"])


def frame(message, **fields):
    return read_frame(json.dumps({"message": message, "data": [fields]}))


def why_not(text):
    """Return why a frame cannot be taken, None if it can. Anything but a BadFrame is a crash."""
    try:
        read_frame(text)
    except BadFrame as bad:
        return bad.why
    return None


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_a_message_or_a_bad_frame(text):
    assert why_not(text) in {None, "json", "shape", "unknown_message"}


@given(NAMES, st.lists(st.dictionaries(FIELDS, JSON, max_size=6), max_size=2))
def test_any_argument_is_a_message_or_a_bad_frame(name, data):
    assert why_not(json.dumps({"message": name, "data": data})) in {None, "shape", "unknown_message"}


def test_a_bad_frame_does_not_repeat_what_was_sent():
    with pytest.raises(BadFrame) as bad:
        frame("connection", sipPassword=["hush-hush"], sipPort="hush-hush")
    assert "hush" not in bad.value.info


@pytest.mark.parametrize(
    ("sent", "port"), [("5060", 5060), (5060, 5060), ("", None), (None, None), (0, None), ("0", None)]
)
def test_ports_are_taken_as_clients_send_them(sent, port):
    message = frame("connection", sipLogin="a", sipDomain="example.org", sipPort=sent)
    assert isinstance(message, Connection)
    assert message.account().port == port


@pytest.mark.parametrize(
    ("fields", "domain", "proxy"),
    [
        ({"sipDomain": "d"}, "d", None),
        ({"sipDomain": "d", "sipProxy": "p"}, "d", "p"),
        ({"sipDomain": "d", "sipOutboundProxy": "o", "sipProxy": "p"}, "d", "o"),
        ({"sipDomain": "d", "sipOutboundProxy": "d"}, "d", None),
        ({"sipOutboundProxy": "o"}, "o", None),
    ],
)
def test_the_proxy_may_have_either_name(fields, domain, proxy):
    account = frame("connection", sipLogin="a", **fields).account()
    assert (account.domain, account.outbound_proxy) == (domain, proxy)


def test_a_login_may_be_a_number_and_the_transport_chosen():
    account = frame("connection", sipLogin=1000, sipPassword=1234, sipDomain="d", sipTransport="tcp").account()
    assert (account.login, account.password, account.transport) == ("1000", "1234", Transport.TCP)


def test_no_account_without_login_or_domain():
    assert frame("connection", appKey="defaultApp").account() is None
    assert frame("connection", sipLogin="a").account() is None


def test_the_password_is_never_echoed_and_unknown_fields_are():
    echo = frame("connection", sipLogin="a", sipPassword="hush", mediaProviders=["WebRTC"], clientVersion="2.0").echo(
        "t"
    )
    assert "hush" not in json.dumps(echo)
    assert echo == {
        "sipLogin": "a",
        "mediaProviders": ["WebRTC"],
        "clientVersion": "2.0",
        "authToken": "t",
        "status": "ESTABLISHED",
    }


def test_custom_data_of_a_call_is_limited_since_every_status_repeats_it():
    fields = {"callId": "c", "callee": "100", "sdp": "v=0"}
    largest = {"k": "x" * (MAX_CUSTOM_BYTES - len('{"k":""}'))}
    assert frame("call", **fields, custom=largest).custom == largest
    with pytest.raises(BadFrame) as bad:
        frame("call", **fields, custom={"k": largest["k"] + "x"})
    assert bad.value.info == "custom: at most 4096 bytes of JSON"
    assert (bad.value.why, bad.value.call_id) == ("shape", "c")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_json_does_not_have_are_refused(number):
    for text in (
        '{"message":"call","data":[{"callId":"c","callee":"1","sdp":"v=0","custom":{"a":[NUMBER]}}]}',
        '{"message":"connection","data":[{"a":NUMBER}]}',
    ):
        assert why_not(text.replace("NUMBER", "1e99")) is None
        assert why_not(text.replace("NUMBER", number)) == "json"


def test_digits_are_taken_as_clients_send_them():
    assert frame("sendDtmf", callId="c", dtmf=5) == SendDtmf(call_id="c", dtmf="5", type="RFC2833")
    assert frame("sendDtmf", callId="c", dtmf="a#", type="info").dtmf == "A#"
    methods = [
        dtmf_method(frame("sendDtmf", callId="c", dtmf="1", type=each).type) for each in ("RFC2833", "INFO_RELAY")
    ]
    assert methods == [DtmfMethod.RTP, DtmfMethod.INFO]


def test_frames_without_arguments_are_taken_with_null_and_without():
    for data in ("[null]", "[]", "null"):
        assert isinstance(read_frame(f'{{"message":"ping","data":{data}}}'), Ping)
    assert isinstance(read_frame('{"message":"ping"}'), Ping)


def test_what_is_written_can_be_read_by_the_far_side():
    assert json.loads(write_frame("setRemoteSDP", "id", "v=0\r\n")) == {
        "message": "setRemoteSDP",
        "data": ["id", "v=0\r\n"],
    }
    assert isinstance(read_frame(write_frame("hangup", {"callId": "c"})), Hangup)
