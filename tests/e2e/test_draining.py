"""A restart that nobody notices: a call goes on, with audio, until somebody hangs up; then the process ends."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from harness.audio import assert_has_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.network import Network
from harness.phone_page import PhonePage
from test_browser_calls_phone import LISTEN_S, PHONE_DBFS, PHONE_HZ


def test_call_outlives_the_signal_to_stop_and_the_node_ends_with_it(
    network: Network,
    artifacts: Path,
    kamailio: Kamailio,
    open_page: Callable[..., PhonePage],
    phone: Callable[..., Baresip],
) -> None:
    with Gateway(network.core, artifacts, {"calls": {"drain_s": 60.0}}) as gateway:
        page = open_page()
        page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
        page.expect_session("REGISTERED")
        callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
        page.call("phone")
        page.expect_status("ESTABLISHED")
        os.kill(gateway.pid, signal.SIGTERM)
        gateway.wait_for("node_draining")
        assert gateway.request("GET", "/health")[0] == 503
        heard = page.listen(LISTEN_S)
        assert gateway.is_running()
        page.hang_up()
        callee.wait_event("CALL_CLOSED")
        assert gateway.wait_end(10) == 0
    assert_has_tone(judge(heard, RECORDING_RATE_HZ), PHONE_HZ)
    assert_has_tone(judge(*callee.heard()), MICROPHONE_HZ)
