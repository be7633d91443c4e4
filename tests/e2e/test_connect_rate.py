"""Every call connects: short calls from Chromium to the built-in test phone, on good and on bad networks."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from harness.gateway import WEBRTC_PORT, Gateway
from harness.middlebox import Middlebox, Mischief
from harness.network import CORE, Network
from harness.phone_page import PhonePage

CALLS = 100
CALLS_ON_A_BAD_NETWORK = 25
FIRST_AUDIO_S = 8

# One call after another by the page's own buttons. A call counts when DTLS stands and decoded audio has arrived.
_CALL_AGAIN_AND_AGAIN = """
async ([count, timeoutMs]) => {
  const until = async (what, test) => {
    const start = performance.now();
    while (!(await test())) {
      if (performance.now() - start > timeoutMs) throw new Error(what);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return performance.now() - start;
  };
  const phase = () => document.body.dataset.call;
  const hasAudio = async () => {
    const peer = window.__e2e.peers.at(-1);
    if (peer.connectionState !== 'connected') return false;
    for (const row of (await peer.getStats()).values()) {
      if (row.type === 'inbound-rtp' && row.packetsReceived > 0) return true;
    }
    return false;
  };
  const results = [];
  for (let call = 0; call < count; call += 1) {
    let result;
    document.querySelector('[data-number="100"]').click();
    try {
      await until('established', () => phase() === 'established');
      result = { ms: await until('audio', hasAudio) };
    } catch (error) {
      result = { failed: error.message, status: document.querySelector('#call-status').textContent };
    }
    if (phase() !== 'idle') document.querySelector('#hangup').click();
    await until('idle', () => phase() === 'idle');
    results.push(result);
  }
  return results;
}
"""


def _call_again_and_again(page: PhonePage, count: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = page.page.evaluate(_CALL_AGAIN_AND_AGAIN, [count, FIRST_AUDIO_S * 1000])
    return results


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_hundred_of_hundred_calls_connect(
    start_gateway: Callable[..., Gateway], open_page: Callable[..., PhonePage]
) -> None:
    start_gateway({"demo": {"enabled": True}})
    page = open_page()
    page.sign_in_demo()
    results = _call_again_and_again(page, CALLS)
    failed = [result for result in results if "failed" in result]
    assert (len(results), failed) == (CALLS, []), json.dumps(failed)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mischief", list(Mischief))
def test_every_call_connects_when_the_client_hello_is_mistreated(
    network: Network, start_gateway: Callable[..., Gateway], open_page: Callable[..., PhonePage], mischief: Mischief
) -> None:
    start_gateway(
        {
            "demo": {"enabled": True},
            "media": {"workers": 1, "webrtc_host": "127.0.0.1", "webrtc_advertised": [CORE]},
        }
    )
    page = open_page()
    page.sign_in_demo()
    with Middlebox(network.core, (CORE, WEBRTC_PORT), ("127.0.0.1", WEBRTC_PORT), mischief) as middlebox:
        results = _call_again_and_again(page, CALLS_ON_A_BAD_NETWORK)
    failed = [result for result in results if "failed" in result]
    assert (len(results), failed) == (CALLS_ON_A_BAD_NETWORK, []), json.dumps(failed)
    assert middlebox.mistreated == CALLS_ON_A_BAD_NETWORK
