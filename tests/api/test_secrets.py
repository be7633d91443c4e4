"""No password leaves the node: not by its log, not by an answer."""

import io
from collections.abc import Iterator

import pytest
from node import gateway

from logs import logged


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Every line down to debug, in the form of a running node."""
    with logged("debug") as written:
        yield written


async def test_a_run_with_calls_and_failures_writes_no_password_and_no_digits(log):
    async with gateway(calls={"find_retention_s": 60}) as node, node.browser() as browser:
        await browser.login(node)
        await browser.expect("registered")
        await browser.call("102")
        await browser.expect("talk")
        await browser.send("sendDtmf", {"callId": "call-1", "dtmf": "918273", "type": "RFC2833"})
        await browser.send("hangup", {"callId": "call-1"})
        await browser.expect("finish")
        await browser.send("connection", {**node.account(), "sipPort": "nonsense"})
        await browser.expect("fail")
        await node.startup("101", sipPassword="another-secret", sipRegisterRequired=True)
        await node.until("rest-1", "FAILED")
        seen = str(browser.seen)
    text = log.getvalue()
    assert "call_ended" in text
    for secret in ("demo-secret", "another-secret", "918273"):
        assert secret not in text
        assert secret not in seen
