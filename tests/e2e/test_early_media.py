"""Early media: what a callee plays before it answers is heard in the browser, and the answer changes nothing of it."""

from pathlib import Path
from typing import Any

from harness.audio import assert_tone, judge, mu_law, tone
from harness.browser import RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.network import Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp

PHONE_HZ = 700.0
PHONE_DBFS = -12.0
LISTEN_S = 4.0
LOOP_S = 10.0
"""Whole periods: SIPp plays it again and again."""
RATE_HZ = 8000


def _callee(network: Network, folder: Path, scenario: str) -> Sipp:
    says = mu_law(tone(PHONE_HZ, LOOP_S, RATE_HZ, PHONE_DBFS))
    return Sipp(network.core, folder, scenario, port=6060, says=says)


def _call(gateway: Gateway) -> dict[str, Any]:
    status, (call,) = gateway.post("/call/find_all")
    assert status == 200
    return dict(call)


def test_browser_hears_the_phone_before_it_answers(
    network: Network, gateway: Gateway, page: PhonePage, artifacts: Path
) -> None:
    with _callee(network, artifacts / "sipp", "callee_plays_early") as callee:
        page.call("7000")
        page.expect_status("RING")
        early = page.listen(LISTEN_S)
        page.expect_status("RING")
        assert (_call(gateway)["status"], _call(gateway)["sipStatus"]) == ("RING", 183)
        assert_tone(judge(early, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)

        page.expect_status("ESTABLISHED", timeout_s=20)
        assert (_call(gateway)["sipStatus"], _call(gateway)["earlyMedia"]) == (200, True)
        answered = page.listen(LISTEN_S)
        page.hang_up()
        page.expect_phase("idle")
        page.expect_status("FINISH")
        callee.assert_passed()
    assert_tone(judge(answered, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)


def test_phone_describes_itself_early_and_speaks_only_once_it_has_answered(
    network: Network, gateway: Gateway, page: PhonePage, artifacts: Path
) -> None:
    with _callee(network, artifacts / "sipp", "callee_describes_early_and_plays_late") as callee:
        page.call("7000")
        page.expect_status("ESTABLISHED")
        assert page.statuses()[-2:] == ["RING", "ESTABLISHED"]
        assert _call(gateway)["earlyMedia"] is True
        answered = page.listen(LISTEN_S)
        page.hang_up()
        page.expect_phase("idle")
        callee.assert_passed()
    assert_tone(judge(answered, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
