"""Hold, transfer and the second call on the page: the frames that go out, and what the person sees."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from web.fake_gateway import FakeGateway, Json

pytestmark = pytest.mark.e2e


def established(phone: Page, gateway: FakeGateway) -> Json:
    """Call somebody; return the call's object once it stands."""
    phone.fill("#dial-field", "echo")
    phone.keyboard.press("Enter")
    call = gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")
    return call


def hold(phone: Page, gateway: FakeGateway, call: Json) -> None:
    gateway.status("hold", call, "HOLD", heldBy=["a"])
    expect(phone.locator("#hold")).to_have_text("Resume")


def consulted(phone: Page, gateway: FakeGateway) -> tuple[Json, Json]:
    """Call somebody and then, while that waits, somebody else."""
    first = established(phone, gateway)
    phone.click("#transfer")
    phone.fill("#transfer-target", "200")
    phone.click("#consult")
    assert gateway.expect("hold") == {"callId": first["callId"]}
    gateway.status("hold", first, "HOLD", heldBy=["a"])
    second = gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")
    assert second["callee"] == "200"
    return first, second


def test_hold_and_resume_follow_what_the_gateway_says(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    phone.click("#hold")
    assert gateway.expect("hold") == {"callId": call["callId"]}
    expect(phone.locator("#hold")).to_have_text("Hold")
    hold(phone, gateway, call)
    expect(phone.locator("#call-status")).to_have_text("On hold")
    expect(phone.locator("#hold")).to_have_attribute("aria-pressed", "true")
    phone.click("#hold")
    assert gateway.expect("unhold") == {"callId": call["callId"]}
    gateway.status("talk", call, "ESTABLISHED", heldBy=[])
    expect(phone.locator("#hold")).to_have_text("Hold")
    expect(phone.locator("#call-status")).to_have_text("In call")


def test_far_side_that_holds_is_shown_and_can_still_be_held(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    gateway.status("hold", call, "HOLD", heldBy=["b"])
    expect(phone.locator("#call-status")).to_have_text("On hold")
    expect(phone.locator("#hold")).to_have_text("Hold")


def test_refused_hold_is_told_and_the_call_goes_on(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    phone.click("#hold")
    gateway.expect("hold")
    gateway.send("fail", {"apiMethod": "hold", "callId": call["callId"], "info": "488 Not Acceptable Here"})
    expect(phone.locator("#call-problem")).to_have_text("Could not hold: 488 Not Acceptable Here")
    expect(phone.locator("body")).to_have_attribute("data-call", "established")


def test_blind_transfer_by_keyboard_sends_no_tones(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    phone.click("#transfer")
    expect(phone.locator("#transfer-target")).to_be_focused()
    phone.keyboard.type("200")
    phone.keyboard.press("Enter")
    assert gateway.expect("transfer") == {"callId": call["callId"], "target": "200"}
    expect(phone.locator("#transfer-form")).to_be_hidden()
    gateway.send("notifyTransferEvent", {"callId": call["callId"], "status": "COMPLETED", "target": "200"})
    gateway.status("finish", call, "FINISH", reason="transferred")
    expect(phone.locator("#call-status")).to_have_text("Call transferred")


def test_escape_leaves_the_transfer_and_not_the_call(phone: Page, gateway: FakeGateway) -> None:
    established(phone, gateway)
    phone.click("#transfer")
    phone.keyboard.press("Escape")
    expect(phone.locator("#transfer-form")).to_be_hidden()
    gateway.expect_nothing()


def test_attended_transfer_connects_the_call_that_waits_to_the_other(phone: Page, gateway: FakeGateway) -> None:
    first, second = consulted(phone, gateway)
    expect(phone.locator("#other-party")).to_have_text("echo")
    expect(phone.locator("#remote-party")).to_have_text("200")
    phone.click("#join")
    assert gateway.expect("transfer") == {"callId": first["callId"], "targetCallId": second["callId"]}
    gateway.status("finish", second, "FINISH", reason="normal")
    gateway.status("finish", first, "FINISH", reason="transferred")
    expect(phone.locator("body")).to_have_attribute("data-call", "idle")
    expect(phone.locator("#call-status")).to_have_text("Call transferred")


def test_swap_holds_one_and_resumes_the_other(phone: Page, gateway: FakeGateway) -> None:
    first, second = consulted(phone, gateway)
    phone.click("#swap")
    assert gateway.expect("hold") == {"callId": second["callId"]}
    assert gateway.expect("unhold") == {"callId": first["callId"]}
    expect(phone.locator("#remote-party")).to_have_text("echo")
    expect(phone.locator("#other-party")).to_have_text("200")


def test_the_call_that_waits_comes_forward_when_the_other_ends(phone: Page, gateway: FakeGateway) -> None:
    first, second = consulted(phone, gateway)
    gateway.status("finish", second, "FINISH", reason="normal")
    expect(phone.locator("#remote-party")).to_have_text("echo")
    expect(phone.locator("#call-status")).to_have_text("On hold")
    expect(phone.locator("#other-call")).to_be_hidden()
    phone.click("#hold")
    assert gateway.expect("unhold") == {"callId": first["callId"]}


def test_second_caller_waits_until_answered_and_the_first_is_held(phone: Page, gateway: FakeGateway) -> None:
    first = established(phone, gateway)
    gateway.ring_page()
    expect(phone.locator("#incoming")).to_be_visible()
    expect(phone.locator("body")).to_have_attribute("data-call", "established")
    phone.click("#answer")
    answer = gateway.expect("answer")
    assert gateway.expect("hold") == {"callId": first["callId"]}
    gateway.status("talk", answer, "ESTABLISHED")
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#remote-party")).to_have_text("bob")
    expect(phone.locator("#other-party")).to_have_text("echo")


def test_second_caller_is_rejected_and_the_first_call_goes_on(phone: Page, gateway: FakeGateway) -> None:
    established(phone, gateway)
    gateway.ring_page()
    phone.click("#reject")
    assert gateway.expect("hangup") == {"callId": "incoming-1"}
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#call-status")).to_have_text("In call")


def transferred(gateway: FakeGateway, call: Json, status: str, **fields: Any) -> None:
    """Say how a transfer fares that the far side has asked for."""
    about = {"callId": call["callId"], "status": status, "incoming": True, "target": "sip:300@pbx.example", **fields}
    gateway.send("notifyTransferEvent", about)


def announced(gateway: FakeGateway, call: Json) -> Json:
    """Announce the call that is to take over."""
    successor = {"callId": "successor-1", "parentCallId": call["callId"], "caller": "demo", "callee": "300"}
    successor |= {"incoming": False, "status": "PENDING", "visibleName": ""}
    gateway.send("notifyIncomingCall", successor)
    return successor


def test_the_call_goes_on_with_whom_the_far_side_transfers_us_to(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    media = phone.evaluate_handle("document.getElementById('remote-audio').srcObject")
    transferred(gateway, call, "PENDING", needsAnswer=False)
    transferred(gateway, call, "PROCESSING")
    expect(phone.locator("#transfer-text")).to_have_text("You are being transferred to 300@pbx.example…")
    expect(phone.locator("#follow-transfer")).to_be_hidden()
    successor = announced(gateway, call)
    gateway.status("talk", successor, "ESTABLISHED")
    transferred(gateway, call, "COMPLETED")
    gateway.status("finish", call, "FINISH")
    expect(phone.locator("#remote-party")).to_have_text("300")
    expect(phone.locator("#transfer-notice")).to_be_hidden()
    expect(phone.locator("#call-status")).to_have_text("In call")
    assert phone.evaluate("before => document.getElementById('remote-audio').srcObject === before", media)
    expect(phone.locator("#incoming")).to_be_hidden()
    phone.click("#hangup")
    assert gateway.expect("hangup") == {"callId": "successor-1"}


def test_a_transfer_that_does_not_succeed_leaves_the_call_as_it_was(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    transferred(gateway, call, "PROCESSING")
    successor = announced(gateway, call)
    phone.click("#stay-transfer")
    assert gateway.expect("rejectTransfer") == {"callId": call["callId"]}
    transferred(gateway, call, "FAILED")
    gateway.status("finish", successor, "FAILED")
    expect(phone.locator("#call-problem")).to_have_text("The transfer did not succeed")
    expect(phone.locator("#call-status")).to_have_text("In call")
    phone.click("#hangup")
    assert gateway.expect("hangup") == {"callId": call["callId"]}


def test_a_transfer_that_needs_our_leave_is_asked_for(phone: Page, gateway: FakeGateway) -> None:
    call = established(phone, gateway)
    transferred(gateway, call, "PENDING", needsAnswer=True)
    expect(phone.locator("#transfer-text")).to_have_text("You are to be transferred to 300@pbx.example")
    phone.click("#follow-transfer")
    assert gateway.expect("acceptTransfer") == {"callId": call["callId"]}
