"""Digits between kinds, with peers that are not ours: SIPp by INFO and as telephone-events, Chromium as events."""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.audio import Samples, mu_law, tone
from harness.browser import RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp

PCAPS = Path("/usr/share/sip-tester")
"""Captures of the Debian package of SIPp, one key each."""
SIPP_PORT = 6060
KEYS = "123456789*0#"
NAMES = {"*": "star", "#": "pound"}
RECORD_BYTES = 16
RTP_OFFSET = 42
"""Ethernet, IPv4 and UDP before it."""


def _open_unregistered(open_page: Callable[..., PhonePage]) -> PhonePage:
    """Open the page with an account that dials SIPp directly and registers nowhere."""
    page = open_page()
    page.page.uncheck("#register")
    page.sign_in("web", "", CORE, CORE, SIPP_PORT)
    page.expect_session("ESTABLISHED")
    return page


def _digits(gateway: Gateway) -> list[dict[str, Any]]:
    status, (call,) = gateway.post("/call/find_all")
    assert status == 200
    return list(call["dtmfDigits"])


def _wait_until(has_come: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not has_come():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _share(samples: Samples, frequency_hz: float) -> float:
    """Return the share of all power within 15 Hz of a frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(samples), 1 / RECORDING_RATE_HZ) - frequency_hz) <= 15
    return float(spectrum[near].sum() / spectrum.sum())


def test_digits_travel_by_info_to_and_from_a_phone_without_telephone_events(
    network: Network, gateway: Gateway, open_page: Callable[..., PhonePage], artifacts: Path
) -> None:
    page = _open_unregistered(open_page)
    silence = mu_law(tone(440.0, 2.0, 8_000, -90.0))
    with Sipp(network.core, artifacts / "sipp", "callee_talks_by_info", port=SIPP_PORT, says=silence) as callee:
        page.call("7000")
        page.expect_status("ESTABLISHED")
        heard = page.listen(6.0)
        page.page.evaluate("() => window.__e2e.peers.at(-1).getSenders()[0].dtmf.insertDTMF('5#', 200, 150)")
        _wait_until(lambda: "Signal=#" in callee.messages.read_text(errors="replace"))
        digits = _digits(gateway)
        page.hang_up()
        page.expect_phase("idle")
        callee.assert_passed()
    assert [(each["digit"], each["leg"], each["type"]) for each in digits] == [
        ("7", "b", "info"),
        ("5", "a", "rfc4733"),
        ("#", "a", "rfc4733"),
    ]
    assert digits[0]["durationMs"] == 600
    assert all(180 <= each["durationMs"] <= 260 for each in digits[1:])
    # Chromium sounds the events that it is sent.
    shares = [_share(heard, frequency_hz) for frequency_hz in (852.0, 1_209.0)]
    assert min(shares) > 0.25, shares
    assert gateway.metrics()['trunkline_sip_events_total{kind="info_malformed"}'] == 1
    assert gateway.metrics()['trunkline_sip_events_total{kind="info_unsupported"}'] == 1


def _without_ends(capture: bytes) -> bytes:
    """Take the packets away that say that the key came up."""
    kept, place = capture[:24], 24
    while place < len(capture):
        (length,) = struct.unpack_from("<I", capture, place + 8)
        record = capture[place : place + RECORD_BYTES + length]
        has_ended = record[RECORD_BYTES + RTP_OFFSET + 12 + 1] & 0x80
        kept += b"" if has_ended else record
        place += len(record)
    return kept


@pytest.mark.parametrize(
    ("change", "says"),
    [(bytes, b""), (_without_ends, b""), (bytes, None)],
    ids=["whole", "without_ends", "beside_an_echo"],
)
def test_every_key_of_a_telephone_is_one_digit(
    network: Network,
    gateway: Gateway,
    open_page: Callable[..., PhonePage],
    artifacts: Path,
    change: Callable[[bytes], bytes],
    says: bytes | None,
) -> None:
    page = _open_unregistered(open_page)
    folder = artifacts / "sipp"
    folder.mkdir(parents=True)
    for key in KEYS:
        name = f"dtmf_2833_{NAMES.get(key, key)}.pcap"
        (folder / name).write_bytes(change((PCAPS / name).read_bytes()))
    # As an echo it sends what it hears under our own SSRC, and the keys under theirs.
    with Sipp(network.core, folder, "callee_presses_keys", port=SIPP_PORT, says=says) as callee:
        page.call("7000")
        page.expect_status("ESTABLISHED")
        _wait_until(lambda: len(_digits(gateway)) >= len(KEYS))
        page.page.wait_for_timeout(1_000)
        digits = _digits(gateway)
        page.hang_up()
        page.expect_phase("idle")
        callee.assert_passed()
    assert "".join(each["digit"] for each in digits) == KEYS
    assert all(each["type"] == "rfc4733" and each["leg"] == "b" for each in digits)
    assert all(80 <= each["durationMs"] <= 300 for each in digits), digits
