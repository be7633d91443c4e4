"""Encoders and decoders that are not ours: ffmpeg's libraries, libbcg729 and libspeex. Frames of 20 ms, mono, 16 bits.

A coder is a pair of functions over a whole recording, so that nothing is coded while packets have to be punctual.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

FRAME_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Coder:
    """encode: PCM at rate_hz to payloads of 20 ms. decode: payloads to PCM at rate_hz, None is a lost one."""

    rate_hz: int
    encode: Callable[[Pcm], list[bytes]]
    decode: Callable[[Sequence[bytes | None]], Pcm]


def ffmpeg(encoder: str, decoder: str, rate_hz: int, *, options: dict[str, str] | None = None) -> Coder:
    """Return a coder of ffmpeg's."""
    frame = round(rate_hz * FRAME_S)

    def encode(pcm: Pcm) -> list[bytes]:
        context: Any = av.codec.CodecContext.create(encoder, "w")
        context.sample_rate, context.layout, context.format = rate_hz, "mono", "s16"
        context.options = options or {}
        payloads = []
        for start in range(0, len(pcm) - frame + 1, frame):
            made = av.AudioFrame.from_ndarray(pcm[None, start : start + frame], format="s16", layout="mono")
            made.sample_rate, made.pts = rate_hz, start
            payloads += [bytes(packet) for packet in context.encode(made)]
        return payloads

    def decode(payloads: Sequence[bytes | None]) -> Pcm:
        context: Any = av.codec.CodecContext.create(decoder, "r")
        context.sample_rate, context.layout = rate_hz, "mono"
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
        heard: list[Pcm] = []
        for payload in payloads:
            if not payload:
                heard.append(np.zeros(frame, np.int16))
                continue
            for decoded in context.decode(av.Packet(payload)):
                heard += [part.to_ndarray()[0] for part in resampler.resample(decoded)]
        return np.concatenate(heard) if heard else np.zeros(0, np.int16)

    return Coder(rate_hz, encode, decode)


@cache
def _library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(name)


def has(name: str) -> bool:
    """Say whether a shared library is installed."""
    try:
        _library(name)
    except OSError:
        return False
    return True


def bcg729() -> Coder:
    """Return libbcg729: two frames of 10 ms a payload, no silence suppression."""
    frame, size = 80, 10

    def encode(pcm: Pcm) -> list[bytes]:
        library = _library("libbcg729.so.0")
        library.initBcg729EncoderChannel.restype = ctypes.c_void_p
        channel = ctypes.c_void_p(library.initBcg729EncoderChannel(ctypes.c_uint8(0)))
        payload, length = (ctypes.c_uint8 * size)(), ctypes.c_uint8()
        frames = []
        for start in range(0, len(pcm) - 2 * frame + 1, frame):
            samples = np.ascontiguousarray(pcm[start : start + frame])
            pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
            library.bcg729Encoder(channel, pointer, payload, ctypes.byref(length))
            frames.append(bytes(payload[: length.value]))
        library.closeBcg729EncoderChannel(channel)
        return [b"".join(frames[place : place + 2]) for place in range(0, len(frames) - 1, 2)]

    def decode(payloads: Sequence[bytes | None]) -> Pcm:
        library = _library("libbcg729.so.0")
        library.initBcg729DecoderChannel.restype = ctypes.c_void_p
        channel = ctypes.c_void_p(library.initBcg729DecoderChannel())
        heard: list[Pcm] = []
        for payload in payloads:
            parts = [payload[at : at + size] for at in range(0, len(payload), size)] if payload else [b"", b""]
            for part in parts:
                samples = np.zeros(frame, np.int16)
                data = (ctypes.c_uint8 * max(len(part), 1))(*part)
                erased = ctypes.c_uint8(0 if part else 1)
                pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
                is_silence = ctypes.c_uint8(1 if 0 < len(part) < size else 0)
                library.bcg729Decoder(
                    channel, data, ctypes.c_uint8(len(part)), erased, is_silence, ctypes.c_uint8(0), pointer
                )
                heard.append(samples)
        library.closeBcg729DecoderChannel(channel)
        return np.concatenate(heard)

    return Coder(8_000, encode, decode)


class _SpeexBits(ctypes.Structure):
    _fields_ = (
        ("chars", ctypes.c_void_p),
        ("bits", ctypes.c_int),
        ("char_place", ctypes.c_int),
        ("bit_place", ctypes.c_int),
        ("is_owner", ctypes.c_int),
        ("has_overflowed", ctypes.c_int),
        ("size", ctypes.c_int),
        ("reserved", ctypes.c_void_p * 2),
    )


def speex(rate_hz: int, *, quality: int = 8) -> Coder:
    """Return libspeex, narrowband at 8 kHz or wideband at 16 kHz."""
    frame, set_quality = round(rate_hz * FRAME_S), 4
    mode_id = {8_000: 0, 16_000: 1}[rate_hz]

    def library() -> ctypes.CDLL:
        loaded = _library("libspeex.so.1")
        for name in ("speex_lib_get_mode", "speex_encoder_init", "speex_decoder_init"):
            getattr(loaded, name).restype = ctypes.c_void_p
        return loaded

    def encode(pcm: Pcm) -> list[bytes]:
        lib, bits = library(), _SpeexBits()
        state = ctypes.c_void_p(lib.speex_encoder_init(ctypes.c_void_p(lib.speex_lib_get_mode(mode_id))))
        lib.speex_encoder_ctl(state, set_quality, ctypes.byref(ctypes.c_int(quality)))
        lib.speex_bits_init(ctypes.byref(bits))
        payload, payloads = ctypes.create_string_buffer(200), []
        for start in range(0, len(pcm) - frame + 1, frame):
            samples = np.ascontiguousarray(pcm[start : start + frame])
            lib.speex_bits_reset(ctypes.byref(bits))
            lib.speex_encode_int(state, samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16)), ctypes.byref(bits))
            length = lib.speex_bits_write(ctypes.byref(bits), payload, len(payload))
            payloads.append(payload.raw[:length])
        lib.speex_bits_destroy(ctypes.byref(bits))
        lib.speex_encoder_destroy(state)
        return payloads

    def decode(payloads: Sequence[bytes | None]) -> Pcm:
        lib, bits = library(), _SpeexBits()
        state = ctypes.c_void_p(lib.speex_decoder_init(ctypes.c_void_p(lib.speex_lib_get_mode(mode_id))))
        lib.speex_bits_init(ctypes.byref(bits))
        heard = []
        for payload in payloads:
            samples = np.zeros(frame, np.int16)
            pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
            if payload:
                lib.speex_bits_read_from(ctypes.byref(bits), payload, len(payload))
            lib.speex_decode_int(state, ctypes.byref(bits) if payload else None, pointer)
            heard.append(samples)
        lib.speex_bits_destroy(ctypes.byref(bits))
        lib.speex_decoder_destroy(state)
        return np.concatenate(heard)

    return Coder(rate_hz, encode, decode)
