"""What a line looks like, and what must never be in one."""

import io
import logging
from collections.abc import Iterator

import pytest

from logs import lines, logged
from trunkline.observability.logging import REDACTED, bound, configure, get_logger, mask, redact_text


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    with logged() as written:
        yield written


def test_every_line_of_a_call_says_which_call_leg_and_node(stream: io.StringIO) -> None:
    with bound(call_id="c-1", leg="a"):
        get_logger("x").info("call_answered", codec="opus")
        logging.getLogger("library").warning("odd %s", "thing")
    get_logger("x").info("node_started")
    inside, library, outside = lines(stream)
    assert (inside["event"], inside["codec"], inside["level"]) == ("call_answered", "opus", "info")
    for line in (inside, library):
        assert (line["call_id"], line["leg"], line["node"]) == ("c-1", "a", "node1")
    assert library["event"] == "odd thing"
    assert "call_id" not in outside
    assert outside["node"] == "node1"


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    get_logger("x").debug("hidden")
    logging.getLogger("library").debug("hidden")
    assert stream.getvalue() == ""


def test_console_lines_are_for_people(stream: io.StringIO) -> None:
    configure(level="debug", format_="console", node="node1", stream=stream)
    get_logger("x").debug("sip_message_sent", password="hunter2")
    line = stream.getvalue()
    assert "sip_message_sent" in line
    assert "hunter2" not in line


SIP_MESSAGE = """\
REGISTER sip:example.com SIP/2.0
From: <sip:+4915112345678@example.com>;tag=1
Authorization: Digest username="x", response="0123456789abcdef", nonce="abc"
proxy-authorization:   Digest response="feedface"

a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj
a=ice-pwd:verysecretpassword123456
"""
SECRETS = (
    *("0123456789abcdef", "feedface", "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "verysecretpassword123456"),
    *("+4915112345678", "hunter2", "4111"),
)


@pytest.mark.parametrize(
    "fields",
    [
        {"message": SIP_MESSAGE},
        {"message": SIP_MESSAGE.encode()},
        {"frame": '{"sipLogin":"x","sipPassword":"hunter2"}'},
        {"frame": {"data": [{"sipPassword": "hunter2", "authToken": "hunter2"}]}},
        {"frame": [("password=hunter2",)]},
        {"frame": '{"password": "two \\"words hunter2"}'},
        {"password": "hunter2"},
        {"Authorization": "Digest hunter2"},
        {"digits": "4111"},
        {"callee": "+4915112345678"},
        {"callee": "sip:+4915112345678@example.com"},
        {"to": "tel:+4915112345678"},
        {"thing": object.__new__(type("T", (), {"__repr__": lambda _self: "T(password='hunter2')"}))},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_no_line_holds_a_credential_a_key_or_a_whole_number(stream: io.StringIO, fields: dict[str, object]) -> None:
    get_logger("x").info("something", **fields)
    written = stream.getvalue()
    assert [secret for secret in SECRETS if secret in written] == []
    assert "something" in written


def test_no_traceback_holds_a_credential(stream: io.StringIO) -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        get_logger("x").exception("task_failed")
        logging.getLogger("library").exception("task failed")
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("Traceback") == 2


def test_what_lines_are_found_by_stays_whole(stream: io.StringIO) -> None:
    get_logger("x").info("something", call_id="12345678-9012", sip_call_id="1234567890@host", port=5060, codec="opus")
    (line,) = lines(stream)
    assert (line["call_id"], line["sip_call_id"], line["port"]) == ("12345678-9012", "1234567890@host", 5060)


def test_text_without_secrets_stays_as_it_is() -> None:
    text = "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\no=- 7793204826810525586 2 IN IP4 127.0.0.1"
    assert redact_text(text) == text
    assert redact_text("Authorization: Digest x\r\nCSeq: 1").endswith(f"{REDACTED}\r\nCSeq: 1")


@pytest.mark.parametrize(
    ("identity", "masked"),
    [("+4915112345678", "+49*********78"), ("alice1", "ali*e1"), ("alice", "alice"), ("100", "100"), ("", "")],
)
def test_masks_the_middle_of_identities(identity: str, masked: str) -> None:
    assert mask(identity) == masked
