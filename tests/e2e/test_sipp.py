"""SIPp as callee and caller, with lost and repeated messages; the REST calls that dial it."""

import time
from collections.abc import Callable
from pathlib import Path

from harness.gateway import SIP_PORT, Gateway
from harness.kamailio import Kamailio
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp

SIPP_PORT = 6060


def _open_unregistered(open_page: Callable[..., PhonePage]) -> PhonePage:
    """Open the page with an account that dials SIPp directly and registers nowhere."""
    page = open_page()
    page.page.uncheck("#register")
    page.sign_in("web", "", CORE, CORE, SIPP_PORT)
    page.expect_session("ESTABLISHED")
    return page


def test_callee_that_loses_and_repeats_responses(
    network: Network, gateway: Gateway, open_page: Callable[..., PhonePage], artifacts: Path
) -> None:
    page = _open_unregistered(open_page)
    callee = Sipp(network.core, artifacts / "sipp", "callee_loses_responses", port=SIPP_PORT, retransmits=False)
    with callee:
        page.call("7000")
        page.expect_status("ESTABLISHED")
        assert page.statuses()[-2:] == ["RING", "ESTABLISHED"]
        callee.wait_received("ACK", 3)
        page.hang_up()
        page.expect_phase("idle")
        callee.assert_passed()


def test_caller_that_repeats_invite_and_delays_ack(
    network: Network, page: PhonePage, kamailio: Kamailio, artifacts: Path
) -> None:
    contact = kamailio.contact_of("web")
    caller = Sipp(
        network.core,
        artifacts / "sipp",
        "caller_repeats_and_delays",
        port=SIPP_PORT,
        target=f"{CORE}:{SIP_PORT}",
        keys={"contact": contact},
        retransmits=False,
    )
    with caller:
        page.expect_incoming("Sipp")
        page.answer()
        page.expect_status("ESTABLISHED")
        caller.assert_passed()
    page.expect_phase("idle")


def test_rest_call_is_started_found_and_terminated(network: Network, gateway: Gateway, artifacts: Path) -> None:
    call = _rest_call("rest-call-1")
    with Sipp(network.core, artifacts / "sipp", "callee_answers", port=SIPP_PORT) as callee:
        assert gateway.post("/call/startup", call)[0] == 200
        assert gateway.post("/call/startup", call)[0] == 409
        seen = _statuses_until(gateway, "rest-call-1", "ESTABLISHED")
        assert seen[-1] == "ESTABLISHED", seen
        assert "RING" in seen, seen
        status, found = gateway.post("/call/find_all")
        assert status == 200
        assert [(row["callId"], row["callee"], row["incoming"]) for row in found] == [("rest-call-1", "7000", False)]
        assert gateway.post("/call/send_dtmf", {"callId": "rest-call-1", "dtmf": "5", "type": "RFC2833"})[0] == 200
        assert gateway.post("/call/terminate", {"callId": "rest-call-1"})[0] == 200
        callee.assert_passed()
    assert gateway.post("/call/find", {"callId": "rest-call-1"})[0] == 404
    assert gateway.post("/call/terminate", {"callId": "rest-call-1"})[0] == 404


def test_rest_sends_a_text_in_a_call_and_is_told_why_a_digit_was_refused(
    network: Network, gateway: Gateway, artifacts: Path
) -> None:
    with Sipp(network.core, artifacts / "sipp", "callee_reads_and_refuses", port=SIPP_PORT) as callee:
        assert gateway.post("/call/startup", _rest_call("rest-call-1"))[0] == 200
        _statuses_until(gateway, "rest-call-1", "ESTABLISHED")
        text = {"callId": "rest-call-1", "to": "7000", "body": "your code is 7"}
        assert gateway.post("/message/send", text) == (200, {})
        status, why = gateway.post("/call/send_dtmf", {"callId": "rest-call-1", "dtmf": "5", "type": "INFO"})
        assert (status, why["code"], why["sipStatus"], why["q850"]) == (502, "leg_rejected", 415, 88)
        assert gateway.post("/call/terminate", {"callId": "rest-call-1"})[0] == 200
        callee.assert_passed()


def _rest_call(call_id: str) -> dict[str, str]:
    return {
        "callId": call_id,
        "callee": "7000",
        "visibleName": "Operator",
        "hasAudio": "true",
        "hasVideo": "false",
        "sipLogin": "robot",
        "sipDomain": CORE,
        "sipPort": str(SIPP_PORT),
        "sipRegisterRequired": "false",
    }


def _statuses_until(gateway: Gateway, call_id: str, last: str, timeout_s: float = 10) -> list[str]:
    """Poll `find` and return the statuses seen, in order, without repetition."""
    seen: list[str] = []
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status, found = gateway.post("/call/find", {"callId": call_id})
        assert status == 200, (status, seen)
        if not seen or seen[-1] != found[0]["status"]:
            seen.append(found[0]["status"])
        if seen[-1] == last:
            break
        time.sleep(0.03)
    return seen
