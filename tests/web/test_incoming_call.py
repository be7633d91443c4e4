"""A call to the page: it rings, and is answered, rejected or missed."""

import pytest
from playwright.sync_api import Page, expect

from web.conftest import until
from web.fake_gateway import FakeGateway, make_offer

pytestmark = pytest.mark.e2e


def test_ring_names_the_caller_and_offers_both_choices(phone: Page, gateway: FakeGateway) -> None:
    gateway.ring_page(visible_name="Bob Builder")
    dialog = phone.get_by_role("alertdialog", name="Incoming call")
    expect(dialog).to_be_visible()
    expect(phone.locator("#incoming-caller")).to_have_text("Bob Builder")
    expect(dialog.get_by_role("button", name="Answer")).to_be_focused()
    expect(dialog.get_by_role("button", name="Reject")).to_be_visible()
    expect(phone).to_have_title("Bob Builder is calling")
    gateway.expect_nothing()


def test_caller_without_a_name_is_shown_by_address(phone: Page, gateway: FakeGateway) -> None:
    gateway.ring_page(caller="sip:bob@example.org;user=phone", visible_name="")
    expect(phone.locator("#incoming-caller")).to_have_text("bob@example.org")


def test_ring_is_a_sound(page: Page, gateway: FakeGateway, sign_in_page: Page) -> None:
    page.evaluate(
        """() => {
            window.ringing = new Set();
            const start = OscillatorNode.prototype.start;
            OscillatorNode.prototype.start = function (...when) {
                ringing.add(Math.round(this.frequency.value));
                return start.apply(this, when);
            };
        }"""
    )
    page.click("#use-demo")
    gateway.accept_session()
    expect(page.locator("body")).to_have_attribute("data-view", "phone")
    gateway.ring_page()
    until(page, "ringing.size >= 3")


def test_answer_frame_and_established_call(phone: Page, gateway: FakeGateway) -> None:
    call = gateway.ring_page()
    phone.click("#answer")

    answer = gateway.expect("answer")

    sdp = answer.pop("sdp")
    assert answer == {
        "callId": "incoming-1",
        "incoming": True,
        "hasAudio": True,
        "hasVideo": False,
        "status": "PENDING",
        "mediaProvider": "WebRTC",
        "sipSDP": [],
        "caller": "bob",
        "callee": "demo",
        "visibleName": "Bob",
        "custom": {},
    }
    assert "a=setup:active" in sdp
    assert "a=mid:audio" in sdp
    assert "a=sendrecv" in sdp
    gateway.status("talk", call, "ESTABLISHED")
    expect(phone.locator("#call-status")).to_have_text("In call")
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#remote-party")).to_have_text("bob")
    expect(phone).to_have_title("Trunkline phone")
    assert phone.evaluate("document.getElementById('remote-audio').srcObject.getAudioTracks().length") == 1
    phone.keyboard.press("3")
    assert gateway.expect("sendDtmf")["callId"] == "incoming-1"
    gateway.status("finish", call, "FINISH", reason="normal")
    expect(phone.locator("#call-status")).to_have_text("Call ended")


def test_enter_answers(phone: Page, gateway: FakeGateway) -> None:
    gateway.ring_page()
    expect(phone.locator("#answer")).to_be_focused()
    phone.keyboard.press("Enter")
    gateway.expect("answer")


def test_offer_may_follow_the_ring_and_the_click(phone: Page, gateway: FakeGateway) -> None:
    call = {"callId": "late", "caller": "bob", "callee": "demo", "incoming": True, "status": "RING"}
    gateway.send("notifyIncomingCall", call)
    phone.click("#answer")
    expect(phone.locator("#incoming-title")).to_have_text("Answering…")
    gateway.expect_nothing()
    gateway.send("setRemoteSDP", "late", make_offer())
    assert gateway.expect("answer")["callId"] == "late"


def test_ring_frame_that_comes_after_the_click_does_not_ring_again(phone: Page, gateway: FakeGateway) -> None:
    call = gateway.ring_page()
    phone.click("#answer")
    gateway.expect("answer")
    gateway.status("ring", call, "RING")
    gateway.send("ping")
    gateway.expect("pong")
    expect(phone.locator("#incoming-title")).to_have_text("Answering…")


@pytest.mark.parametrize("way", ["button", "escape"])
def test_reject(phone: Page, gateway: FakeGateway, way: str) -> None:
    gateway.ring_page()
    expect(phone.locator("#incoming")).to_be_visible()
    if way == "button":
        phone.click("#reject")
    else:
        phone.keyboard.press("Escape")
    assert gateway.expect("hangup") == {"callId": "incoming-1"}
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#call-status")).to_have_text("Call declined (Bob)")


def test_caller_who_gives_up_leaves_a_missed_call(phone: Page, gateway: FakeGateway) -> None:
    call = gateway.ring_page()
    expect(phone.locator("#incoming")).to_be_visible()
    gateway.status("finish", call, "FINISH", reason="cancelled", sipStatus=487)
    expect(phone.locator("#call-status")).to_have_text("Missed call (Bob)")
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone).to_have_title("Trunkline phone")
    expect(phone.locator("#dial-field")).to_be_focused()


def test_phone_behind_the_ring_cannot_be_reached(phone: Page, gateway: FakeGateway) -> None:
    gateway.ring_page()
    expect(phone.locator("#answer")).to_be_focused()
    seen = set()
    for _ in range(12):
        phone.keyboard.press("Tab")
        seen.add(phone.evaluate("document.activeElement.id || document.activeElement.dataset.digit || ''"))
    assert {"answer", "reject"} <= seen
    assert not seen & {"dial-field", "call", "1", "5"}


def test_second_caller_is_turned_away_while_the_first_call_is_not_answered(phone: Page, gateway: FakeGateway) -> None:
    phone.click("[data-number='echo']")
    first = gateway.expect("call")
    gateway.status("ring", first, "RING")
    expect(phone.locator("#call-status")).to_have_text("Ringing…")
    gateway.ring_page("incoming-2")
    assert gateway.expect("hangup") == {"callId": "incoming-2"}
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#call-status")).to_have_text("Ringing…")


def test_call_rings_on_when_the_microphone_fails_and_can_still_be_answered(phone: Page, gateway: FakeGateway) -> None:
    phone.evaluate(
        """() => {
            const { mediaDevices } = navigator;
            const open = mediaDevices.getUserMedia.bind(mediaDevices);
            mediaDevices.getUserMedia = () => {
                mediaDevices.getUserMedia = open;
                return Promise.reject(new DOMException('', 'NotAllowedError'));
            };
        }"""
    )
    gateway.ring_page()
    phone.click("#answer")
    expect(phone.locator("#incoming-problem")).to_contain_text("The browser may not use the microphone.")
    gateway.expect_nothing()
    phone.click("#answer")
    gateway.expect("answer")


def test_description_that_is_no_sdp_ends_the_call(phone: Page, gateway: FakeGateway) -> None:
    gateway.send("setRemoteSDP", "bad", "this is not SDP")
    gateway.send("notifyIncomingCall", {"callId": "bad", "caller": "bob", "callee": "demo", "status": "RING"})
    phone.click("#answer")
    assert gateway.expect("hangup") == {"callId": "bad"}
    expect(phone.locator("#call-status")).to_have_text("The audio set-up was not understood (bob)")
