"""A call from the page: its frames, its states in words, its ends."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from web.conftest import until
from web.fake_gateway import FakeGateway, answer_to

pytestmark = pytest.mark.e2e


def dial(phone: Page, number: str) -> None:
    phone.fill("#dial-field", number)
    phone.click("#call")


def test_offer_goes_out_at_once_in_the_fields_of_the_wire(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "echo")

    call = gateway.expect("call")

    sdp, call_id = call.pop("sdp"), call.pop("callId")
    assert call == {
        "incoming": False,
        "hasAudio": True,
        "hasVideo": False,
        "status": "PENDING",
        "mediaProvider": "WebRTC",
        "sipSDP": [],
        "caller": "demo",
        "callee": "echo",
        "visibleName": "demo",
        "custom": {},
    }
    assert len(call_id) == 36
    assert "m=audio" in sdp
    assert "m=video" not in sdp
    assert "opus/48000/2" in sdp
    assert "a=candidate" not in sdp, "nobody waited for candidates"


def test_states_are_told_in_words(phone: Page, gateway: FakeGateway) -> None:
    status = phone.locator("#call-status")
    dial(phone, "echo")
    call = gateway.expect("call")
    expect(status).to_have_text("Calling…")
    expect(phone.locator("#remote-party")).to_have_text("echo")
    expect(phone.locator("body")).to_have_attribute("data-call", "outgoing")
    gateway.status("notifyTryingResponse", call, "TRYING")
    gateway.status("ring", call, "RING", sipStatus=180)
    expect(status).to_have_text("Ringing…")
    gateway.send("setRemoteSDP", call["callId"], answer_to(call["sdp"]))
    gateway.status("talk", call, "ESTABLISHED", sipStatus=200)
    expect(status).to_have_text("In call")
    expect(status).to_have_attribute("data-status", "ESTABLISHED")
    expect(phone.locator("body")).to_have_attribute("data-call", "established")
    expect(phone.locator("#call-timer")).to_have_text("0:01")
    gateway.status("finish", call, "FINISH", reason="normal", info="Normal call clearing")
    expect(status).to_have_text("Call ended")
    expect(status).to_have_attribute("data-status", "FINISH")
    expect(phone.locator("body")).to_have_attribute("data-call", "idle")
    expect(phone.locator("#dial-field")).to_be_focused()
    expect(phone.locator("#dial-field")).to_have_value("echo")


def test_far_sides_audio_reaches_the_audio_element_and_leaves_it(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "echo")
    call = gateway.accept_call()
    until(phone, "document.getElementById('remote-audio').srcObject?.getAudioTracks()[0]?.readyState === 'live'")
    gateway.status("finish", call, "FINISH")
    until(phone, "document.getElementById('remote-audio').srcObject === null")


def test_timer_counts_minutes(phone: Page, gateway: FakeGateway) -> None:
    phone.clock.install()
    dial(phone, "echo")
    gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")
    phone.clock.fast_forward(754_000)
    expect(phone.locator("#call-timer")).to_have_text("12:34")


def test_answer_repeated_after_early_media_is_harmless(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "echo")
    call = gateway.expect("call")
    answer = answer_to(call["sdp"])
    # The repetitions come while the browser is still at work on the first.
    gateway.send_together([("setRemoteSDP", call["callId"], answer)] * 3)
    gateway.status("ring", call, "SESSION_PROGRESS")
    expect(phone.locator("#call-status")).to_have_text("Ringing…")
    gateway.status("talk", call, "ESTABLISHED")
    expect(phone.locator("#call-status")).to_have_text("In call")


ENDS: list[tuple[dict[str, Any], str]] = [
    ({"status": "BUSY", "sipStatus": 486, "reason": "busy"}, "Busy"),
    ({"status": "FAILED", "sipStatus": 480, "reason": "no_answer"}, "No answer"),
    ({"status": "FAILED", "sipStatus": 404, "reason": "not_found"}, "Number not found"),
    ({"status": "FAILED", "sipStatus": 480, "reason": "unavailable"}, "Not available right now"),
    ({"status": "FAILED", "sipStatus": 484, "reason": "address_incomplete"}, "Number incomplete"),
    ({"status": "FAILED", "sipStatus": 603, "reason": "declined"}, "Declined"),
    ({"status": "FAILED", "sipStatus": 401, "reason": "authentication_failed"}, "Wrong login or password"),
    ({"status": "FAILED", "sipStatus": 403, "reason": "forbidden"}, "Not allowed to call this number"),
    ({"status": "FAILED", "sipStatus": 503, "reason": "server_unreachable"}, "SIP server not reachable"),
    ({"status": "FAILED", "sipStatus": 408, "reason": "request_timeout"}, "No response from the SIP server"),
    ({"status": "FAILED", "sipStatus": 500, "reason": "server_error"}, "The SIP server had an error"),
    (
        {"status": "FAILED", "sipStatus": 488, "reason": "no_common_codecs"},
        "No audio format in common with the other side",
    ),
    ({"status": "FAILED", "reason": "capacity"}, "All lines are in use; try again soon"),
    ({"status": "FAILED", "reason": "media_inactive"}, "Call ended: no audio arrived any more"),
    # A reason that this page does not know yet, or none at all: the SIP status decides, then the text.
    ({"status": "FAILED", "sipStatus": 486, "reason": "brand_new"}, "Busy"),
    ({"status": "BUSY"}, "Busy"),
    ({"status": "FAILED", "sipStatus": 604}, "Number not found"),
    ({"status": "FAILED", "sipStatus": 421}, "Call rejected (SIP 421)"),
    ({"status": "FAILED", "sipStatus": 580}, "The SIP server had an error (SIP 580)"),
    ({"status": "FAILED", "info": "Failed by RTMP writer error"}, "Failed by RTMP writer error"),
    ({"status": "FAILED"}, "Call failed"),
]


def test_each_failure_has_its_own_words(phone: Page, gateway: FakeGateway) -> None:
    status = phone.locator("#call-status")
    for frame, text in ENDS:
        dial(phone, "1000")
        gateway.status("finish", gateway.expect("call"), **frame)
        expect(status).to_have_text(text)
        expect(status).to_have_attribute("data-status", frame["status"])
        expect(status).to_have_attribute("data-sip-status", str(frame.get("sipStatus", "")))
        expect(phone.locator("#call")).to_be_visible()


def test_408_of_a_phone_that_rang_means_no_answer(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "1000")
    call = gateway.expect("call")
    gateway.status("ring", call, "RING")
    gateway.status("finish", call, "FAILED", sipStatus=408, reason="request_timeout")
    expect(phone.locator("#call-status")).to_have_text("No answer")


def test_call_that_the_gateway_refuses_to_start_ends(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "1000")
    call = gateway.expect("call")
    gateway.send("fail", {"apiMethod": "CallStatusEvent", "id": call["callId"], "info": "No free media port"})
    expect(phone.locator("#call-status")).to_have_text("No free media port")
    expect(phone.locator("#call")).to_be_visible()


@pytest.mark.parametrize("is_established", [False, True])
def test_hangup_names_the_call_and_ends_it_at_once(phone: Page, gateway: FakeGateway, is_established: bool) -> None:
    dial(phone, "echo")
    call = gateway.accept_call() if is_established else gateway.expect("call")
    phone.click("#hangup")
    assert gateway.expect("hangup") == {"callId": call["callId"]}
    text = "Call ended" if is_established else "Call cancelled"
    expect(phone.locator("#call-status")).to_have_text(text)
    # The gateway's own word comes later and changes nothing.
    gateway.status("finish", call, "FAILED", reason="internal")
    gateway.send("ping")
    gateway.expect("pong")
    expect(phone.locator("#call-status")).to_have_text(text)


def test_next_call_starts_clean(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "echo")
    first = gateway.accept_call()
    phone.click("#mute")
    phone.keyboard.press("7")
    gateway.expect("sendDtmf")
    phone.click("#hangup")
    gateway.expect("hangup")
    dial(phone, "tone")
    second = gateway.accept_call()
    assert second["callId"] != first["callId"]
    expect(phone.locator("#remote-party")).to_have_text("tone")
    expect(phone.locator("#mute")).to_have_attribute("aria-pressed", "false")
    expect(phone.locator("#digits-sent")).to_have_text("")


def test_demo_number_is_called_with_one_click(phone: Page, gateway: FakeGateway) -> None:
    phone.click("[data-number='tone']")
    assert gateway.accept_call()["callee"] == "tone"
    expect(phone.locator("[data-number='echo']")).to_be_disabled()


def test_nothing_to_dial_is_said_and_not_sent(phone: Page, gateway: FakeGateway) -> None:
    phone.click("#call")
    expect(phone.locator("#call-status")).to_have_text("Type a number first")
    gateway.expect_nothing()


# --- keyboard and pad ---


def test_typing_anywhere_dials_and_enter_calls(phone: Page, gateway: FakeGateway) -> None:
    phone.locator("#sign-out").focus()
    phone.keyboard.type("12*#e")
    expect(phone.locator("#dial-field")).to_have_value("12*#e")
    phone.keyboard.press("Enter")
    assert gateway.expect("call")["callee"] == "12*#e"


def test_pad_fills_the_field_and_erase_takes_back(phone: Page, gateway: FakeGateway) -> None:
    for digit in "19*0#":
        phone.click(f"[data-digit='{digit}']")
    expect(phone.locator("#dial-field")).to_have_value("19*0#")
    phone.click("#erase")
    expect(phone.locator("#dial-field")).to_have_value("19*0")
    phone.keyboard.press("Escape")
    expect(phone.locator("#dial-field")).to_have_value("")
    expect(phone.locator("#erase")).to_be_hidden()


@pytest.mark.parametrize("where", ["pad", "nowhere"])
def test_enter_calls_what_the_mouse_dialed(phone: Page, gateway: FakeGateway, where: str) -> None:
    phone.click("[data-digit='4']")
    phone.click("[data-digit='2']")
    if where == "nowhere":
        phone.evaluate("document.activeElement.blur()")
    phone.keyboard.press("Enter")
    assert gateway.expect("call")["callee"] == "42"


def test_pad_works_by_keyboard_alone(phone: Page, gateway: FakeGateway) -> None:
    phone.locator("[data-digit='7']").focus()
    phone.keyboard.press("Enter")
    phone.keyboard.press("Space")
    expect(phone.locator("#dial-field")).to_have_value("77")
    gateway.expect_nothing()


def test_keys_and_pad_send_dtmf_in_a_call(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "digits")
    call = gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")
    phone.keyboard.press("5")
    assert gateway.expect("sendDtmf") == {"callId": call["callId"], "dtmf": "5", "type": "RFC2833"}
    phone.click("[data-digit='#']")
    assert gateway.expect("sendDtmf") == {"callId": call["callId"], "dtmf": "#", "type": "RFC2833"}
    phone.keyboard.press("x")
    gateway.expect_nothing()
    expect(phone.locator("#digits-sent")).to_have_text("5#")


def test_digits_before_the_answer_go_nowhere(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "digits")
    gateway.expect("call")
    phone.keyboard.press("5")
    gateway.expect_nothing()
    expect(phone.locator("#digits-sent")).to_have_text("")


def test_escape_hangs_up(phone: Page, gateway: FakeGateway) -> None:
    dial(phone, "echo")
    call = gateway.accept_call()
    phone.keyboard.press("Escape")
    assert gateway.expect("hangup") == {"callId": call["callId"]}


def test_enter_held_down_after_dialing_does_not_hang_up(phone: Page, gateway: FakeGateway) -> None:
    phone.fill("#dial-field", "echo")
    phone.keyboard.down("Enter")
    gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")
    phone.locator("#hangup").focus()
    phone.keyboard.down("Enter")  # without `up` in between this is a repeat
    gateway.expect_nothing()
    phone.keyboard.up("Enter")
    phone.keyboard.press("Enter")
    gateway.expect("hangup")


# --- microphone ---


def test_mute_silences_the_track_that_is_sent(phone: Page, gateway: FakeGateway) -> None:
    phone.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (wanted) => (window.opened = await open(wanted));
        }"""
    )
    enabled = "opened.getAudioTracks()[0].enabled"
    dial(phone, "echo")
    gateway.accept_call()
    assert phone.evaluate(enabled) is True
    phone.get_by_role("button", name="Mute").click()
    expect(phone.locator("#mute")).to_have_attribute("aria-pressed", "true")
    assert phone.evaluate(enabled) is False
    phone.click("#mute")
    assert phone.evaluate(enabled) is True
    phone.click("#hangup")
    assert phone.evaluate("opened.getAudioTracks()[0].readyState") == "ended", "the microphone is let go"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("NotAllowedError", "The browser may not use the microphone."),
        ("NotFoundError", "No microphone found."),
        ("NotReadableError", "The microphone is in use by another program."),
    ],
)
def test_microphone_trouble_is_told_and_nothing_is_sent(
    phone: Page, gateway: FakeGateway, error: str, text: str
) -> None:
    phone.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)); }", error
    )
    dial(phone, "echo")
    expect(phone.locator("#call-status")).to_contain_text(text)
    expect(phone.locator("#call")).to_be_visible()
    gateway.expect_nothing()


def test_hangup_while_the_browser_still_asks_for_the_microphone(phone: Page, gateway: FakeGateway) -> None:
    phone.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            const allowed = new Promise((resolve) => { window.allow = resolve; });
            navigator.mediaDevices.getUserMedia = async (wanted) => {
                await allowed;
                return (window.opened = await open(wanted));
            };
        }"""
    )
    dial(phone, "echo")
    expect(phone.locator("#call-status")).to_have_text("Calling…")
    phone.click("#hangup")
    expect(phone.locator("#call-status")).to_have_text("Call cancelled")
    phone.evaluate("allow()")
    until(phone, "window.opened?.getAudioTracks()[0].readyState === 'ended'")
    gateway.expect_nothing()


def test_processing_is_on_unless_switched_off(sign_in_page: Page, gateway: FakeGateway) -> None:
    sign_in_page.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = (wanted) => { window.wanted = wanted; return open(wanted); };
        }"""
    )
    for is_on in (True, False):
        sign_in_page.evaluate("document.getElementById('more-settings').open = true")
        sign_in_page.set_checked("#processing", is_on)
        sign_in_page.click("#use-demo")
        gateway.accept_session()
        sign_in_page.click("[data-number='tone']")
        gateway.accept_call()
        assert sign_in_page.evaluate("wanted") == {
            "audio": {"echoCancellation": is_on, "noiseSuppression": is_on, "autoGainControl": is_on},
            "video": False,
        }
        sign_in_page.click("#hangup")
        gateway.expect("hangup")
        sign_in_page.click("#sign-out")
