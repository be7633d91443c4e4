"""A real Chromium judges our answers and our offer: `setRemoteDescription` succeeds, the audio is on, video is off."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from peers import require
from trunkline.media.types import WebRtcLocal
from trunkline.sdp import CodecPolicy, SessionIdentity, parse, webrtc

pytestmark = pytest.mark.e2e

LOCAL = WebRtcLocal((("127.0.0.1", 45678), ("192.0.2.1", 45678)), "ours", "p" * 24, ":".join(["AB"] * 32), 99, "node1")
IDENTITY = SessionIdentity(7, 1, "127.0.0.1")
POLICY = CodecPolicy()

OFFER = """async ([bundlePolicy, kinds]) => {
  window.connection = new RTCPeerConnection({ bundlePolicy });
  for (const [kind, direction] of kinds) connection.addTransceiver(kind, { direction });
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}"""
TAKE_ANSWER = """async (sdp) => {
  let streams = null;
  connection.ontrack = (event) => { streams = event.streams.length; };
  await connection.setRemoteDescription({ type: 'answer', sdp });
  const audio = connection.getTransceivers().find((one) => one.receiver.track.kind === 'audio');
  const videos = connection.getTransceivers().filter((one) => one.receiver.track.kind === 'video');
  return {
    state: connection.signalingState, streams, audio: audio.currentDirection,
    video: videos.map((one) => one.currentDirection),
  };
}"""
TAKE_OFFER = """async (sdp) => {
  window.connection = new RTCPeerConnection();
  let streams = null;
  connection.ontrack = (event) => { streams = event.streams.length; };
  await connection.setRemoteDescription({ type: 'offer', sdp });
  for (const one of connection.getTransceivers()) one.direction = 'sendrecv';
  await connection.setLocalDescription();
  return { streams, sdp: connection.localDescription.sdp };
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    program = shutil.which("chromium")
    require(program, "chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser.new_page()
        finally:
            browser.close()


AUDIO, VIDEO = ["audio", "sendrecv"], ["video", "sendrecv"]


@pytest.mark.parametrize("bundle_policy", ["max-compat", "balanced", "max-bundle"])
@pytest.mark.parametrize(
    "kinds",
    [[AUDIO], [AUDIO, VIDEO], [VIDEO, AUDIO], [AUDIO, ["video", "recvonly"]], [VIDEO, VIDEO, AUDIO]],
    ids=["audio", "audio, video", "video, audio", "audio, video received", "two videos, audio"],
)
def test_takes_our_answer(page: Page, bundle_policy: str, kinds: list[list[str]]) -> None:
    offer = page.evaluate(OFFER, [bundle_policy, kinds])
    answer = webrtc.answer_offer(parse(offer), LOCAL, POLICY, IDENTITY).description
    result: dict[str, Any] = page.evaluate(TAKE_ANSWER, str(answer))
    assert result["state"] == "stable"
    assert result["audio"] == "sendrecv"
    assert result["streams"] == 1
    # A rejected transceiver is taken off the connection, an inactive one stays.
    assert set(result["video"]) <= {"inactive"}


def test_answers_our_offer(page: Page) -> None:
    offer = webrtc.make_offer(LOCAL, POLICY, IDENTITY)
    result: dict[str, Any] = page.evaluate(TAKE_OFFER, str(offer))
    assert result["streams"] == 1
    negotiated = webrtc.accept_answer(offer, parse(result["sdp"]))
    assert negotiated.remote.is_dtls_client
    assert [codec.name for codec in negotiated.audio.send[:3]] == ["opus", "PCMU", "PCMA"]
