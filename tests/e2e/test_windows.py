"""One user in several places: two browser windows and a SIP phone ring at once, and who is first has the call."""

from collections.abc import Callable

import pytest
from harness.audio import assert_has_tone, judge
from harness.baresip import Baresip
from harness.browser import RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.phone_page import PhonePage

HZ, DBFS = 700.0, -12.0
LISTEN_S = 3.0


def _window(open_page: Callable[..., PhonePage], kamailio: Kamailio) -> PhonePage:
    page = open_page()
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
    page.expect_session("REGISTERED")
    return page


@pytest.mark.parametrize("who", ["window", "phone"])
def test_all_places_of_a_user_ring_and_the_others_hear_who_has_answered(
    gateway: Gateway,
    kamailio: Kamailio,
    open_page: Callable[..., PhonePage],
    phone: Callable[..., Baresip],
    who: str,
) -> None:
    """All of them are registered with the one SIP server, which forks the call and says to whom it took it away."""
    caller = phone(tone_hz=HZ, tone_dbfs=DBFS, port=5090)
    desk = phone("web", port=5100, answers="manual")
    first, second = (_window(open_page, kamailio) for _ in range(2))
    caller.dial(f"sip:web@{DOMAIN}")
    for window in (first, second):
        window.expect_incoming("phone")
    desk.wait_event("CALL_INCOMING")
    if who == "window":
        second.answer()
        second.expect_status("ESTABLISHED")
        assert_has_tone(judge(second.listen(LISTEN_S), RECORDING_RATE_HZ), HZ)
    else:
        desk.command("accept")
        second.expect_phase("idle")
        second.expect_reason("answered_elsewhere")
    first.expect_phase("idle")
    first.expect_reason("answered_elsewhere")
    if who == "window":
        desk.wait_event("CALL_CLOSED")
    caller.wait_event("CALL_ESTABLISHED")
    caller.hang_up()
    second.expect_phase("idle")
