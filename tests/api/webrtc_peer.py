"""aiortc as a browser: one peer connection that sends a tone and judges what it hears."""

from __future__ import annotations

import asyncio
import fractions
from typing import Self

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack
from av import AudioFrame

RATE_HZ = 48_000
FRAME = 960
LEVEL = 8_000
TIMEOUT_S = 15.0


class ToneTrack(AudioStreamTrack):
    """A continuous sine wave in 20 ms frames."""

    def __init__(self, frequency_hz: float) -> None:
        super().__init__()
        self._frequency_hz = frequency_hz
        self._sample = 0
        self._start_s: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._start_s is None:
            self._start_s = loop.time()
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self._start_s + self._sample / RATE_HZ - loop.time()))
        at = np.arange(self._sample, self._sample + FRAME)
        wave = (LEVEL * np.sin(2 * np.pi * self._frequency_hz * at / RATE_HZ)).astype(np.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._sample, fractions.Fraction(1, RATE_HZ)
        self._sample += FRAME
        return frame


class WebRtcPeer:
    """One call's peer connection. codec: the only one offered, e.g. `audio/opus`."""

    def __init__(self, codec: str, frequency_hz: float = 1000.0) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.track = ToneTrack(frequency_hz)
        self._heard: MediaStreamTrack | None = None
        self._has_track = asyncio.Event()
        self._is_up = asyncio.Event()
        transceiver = self.connection.addTransceiver(self.track, direction="sendrecv")
        capabilities = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([each for each in capabilities if each.mimeType == codec])

        @self.connection.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            self._heard = track
            self._has_track.set()

        @self.connection.on("connectionstatechange")
        def on_state() -> None:
            if self.connection.connectionState == "connected":
                self._is_up.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def offer(self) -> str:
        """Return the SDP of an offer without candidates, as WCS clients send it."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        lines = self.connection.localDescription.sdp.splitlines()
        return "\r\n".join(line for line in lines if "candidate" not in line) + "\r\n"

    async def take(self, sdp: str) -> None:
        """Take the gateway's answer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def answer(self, sdp: str) -> str:
        """Take the gateway's offer and return the answer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription.sdp

    async def connected(self) -> None:
        """Wait for ICE and DTLS."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._is_up.wait()

    async def hear(self, seconds: float) -> tuple[float, float]:
        """Listen for a time; return the strongest frequency in Hz and its share of the power."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._has_track.wait()
            assert self._heard is not None
            samples: list[np.ndarray] = []
            count, rate = 0, RATE_HZ
            while count < seconds * rate:
                frame = await self._heard.recv()
                rate = frame.sample_rate
                channels = len(frame.layout.channels)
                samples.append(frame.to_ndarray().reshape(-1)[::channels].astype(np.float64))
                count += len(samples[-1])
        return strongest(np.concatenate(samples), rate)


def strongest(samples: np.ndarray, rate_hz: int) -> tuple[float, float]:
    """Return the strongest frequency and the share of the power within 20 Hz of it."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    if power.sum() == 0:
        return 0.0, 0.0
    peak = frequencies[int(power.argmax())]
    return float(peak), float(power[np.abs(frequencies - peak) <= 20].sum() / power.sum())
