"""Sound for tests: tones and beeps as Opus, G.711 or WAV in; what a soundtrack sent, decoded and measured."""

import struct
from collections.abc import Collection, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from transponder_relay.media import AudioTag, SoundPacket

RATE = 48_000
BLOCK = 1024

Samples = npt.NDArray[np.float64]
"""Mono, 1 = full scale."""


def tone(hertz: float, seconds: float, level: float = 0.5, rate: int = RATE) -> Samples:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def beeps(seconds: float, rate: int = RATE, hertz: float = 1000) -> Samples:
    """50 ms of tone at 0.25, 0.75, 1.25 ... s, silence between."""
    time = np.arange(round(seconds * rate)) / rate
    return np.where(((time - 0.25) % 0.5) < 0.05, 0.5 * np.sin(2 * np.pi * hertz * time), 0)


def _encoded(codec: str, samples: Samples, rate: int, layout: str, options: dict[str, str]) -> list[Any]:
    context: Any = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = rate, layout, "s16"
    context.time_base, context.options = Fraction(1, rate), options
    context.open()
    size = context.frame_size or rate // 50
    packets = []
    for start in range(0, len(samples) - size + 1, size):
        pcm = np.repeat((samples[start : start + size] * 32767).astype(np.int16), 2 if layout == "stereo" else 1)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        packets += context.encode(frame)
    return packets


def opus(samples: Samples, at: int = 0, layout: str = "stereo", **options: str) -> list[tuple[int, SoundPacket]]:
    """(position, packet of 20 ms): sample n of the source is heard at position `at` + n."""
    packets = _encoded("libopus", samples, RATE, layout, options or {"b": "128000"})
    return [(at + p.pts, SoundPacket(at + p.pts, 0.0, bytes(p))) for p in packets]


def g711(samples: Samples, codec: str, at: int = 0) -> list[tuple[int, SoundPacket]]:
    """The same for PCMU or PCMA; samples at 8 kHz."""
    name = {"PCMU": "pcm_mulaw", "PCMA": "pcm_alaw"}[codec]
    packets = _encoded(name, samples, 8000, "mono", {})
    return [(at + p.pts * 6, SoundPacket(p.pts, 0.0, bytes(p))) for p in packets]


def wav(samples: Samples, rate: int = RATE, channels: int = 1, bits: int = 16, floating: bool = False) -> bytes:
    """A RIFF WAV file, the same samples on all channels."""
    frames = np.repeat(samples, channels)
    match bits, floating:
        case 8, False:
            data = np.round(frames * 127 + 128).astype(np.uint8).tobytes()
        case 24, False:
            wide = np.round(frames * 0x7FFFFF).astype("<i4")
            data = wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        case _, False:
            data = np.round(frames * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()
        case _:
            data = frames.astype(f"<f{bits // 8}").tobytes()
    align = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 3 if floating else 1, channels, rate, rate * align, align, bits)
    return riff((b"fmt ", fmt), (b"data", data))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


class Recorder:
    """SoundEvents that keeps everything."""

    def __init__(self) -> None:
        self.tags: dict[str, list[AudioTag]] = {}
        self.changes: list[str] = []

    def on_audio(self, output_ids: Collection[str], tag: AudioTag) -> None:
        for output_id in output_ids:
            self.tags.setdefault(output_id, []).append(tag)

    def on_sound_change(self, output_id: str) -> None:
        self.changes.append(output_id)

    def heard(self, output_id: str) -> "Heard":
        return Heard(self.tags[output_id])


class Heard:
    """The decoded sound of one output, addressed by seconds of the stream clock."""

    def __init__(self, tags: list[AudioTag]) -> None:
        blocks = [round(tag.time * 48 / BLOCK) for tag in tags]
        assert all(b - a == 1 for a, b in pairwise(blocks)), "frames are missing or doubled"
        assert all(abs(tag.time - block * BLOCK / 48) <= 0.5 for tag, block in zip(tags, blocks, strict=True))
        self.start = blocks[0] * BLOCK
        self.samples = decode(tags)

    def _span(self, start: float, end: float) -> Samples:
        low, high = round(start * RATE) - self.start, round(end * RATE) - self.start
        assert 0 <= low < high <= len(self.samples), "asks for what was not sent"
        return self.samples[low:high]

    def peak(self, start: float, end: float) -> float:
        return float(np.abs(self._span(start, end)).max())

    def level(self, start: float, end: float) -> float:
        """RMS."""
        return float(np.sqrt(np.mean(self._span(start, end) ** 2)))

    def hertz(self, start: float, end: float) -> float:
        """The strongest frequency, to within 1 / (end - start)."""
        span = self._span(start, end)
        spectrum = np.abs(np.fft.rfft(span * np.hanning(len(span))))
        return float(np.argmax(spectrum) / (end - start))

    def spans(self, hertz: float, level: float = 0.1, window: float = 0.01) -> list[tuple[float, float]]:
        """(start, end) in seconds wherever this tone is heard, to the window."""
        size = round(window * RATE)
        count = len(self.samples) // size
        reference = np.exp(-2j * np.pi * hertz * np.arange(size) / RATE)
        strength = np.abs(self.samples[: count * size].reshape(count, size) @ reference) * 2 / size
        edges = np.flatnonzero(np.diff(np.concatenate(([0], strength > level, [0])).astype(int)))
        return [((a * size + self.start) / RATE, (b * size + self.start) / RATE) for a, b in edges.reshape(-1, 2)]

    def lag(self, reference: Samples, at: int = 0) -> int:
        """Samples by which `reference` (its sample n belongs at position `at` + n) is heard too late."""
        size = 1 << (len(self.samples) + len(reference)).bit_length()
        product = np.fft.rfft(self.samples, size) * np.conj(np.fft.rfft(reference, size))
        peak = int(np.argmax(np.fft.irfft(product, size)))
        return (peak if peak < size // 2 else peak - size) + self.start - at


def decode(tags: Iterable[AudioTag]) -> Samples:
    """The left channel; sample 0 belongs to the time of the first tag."""
    tags = list(tags)
    context: Any = av.CodecContext.create("aac", "r")
    context.extradata = tags[0].config.sequence_header[2:]
    context.open()
    frames = [frame for tag in tags for frame in context.decode(av.Packet(tag.body[2:]))]
    assert all(frame.samples == BLOCK and frame.sample_rate == RATE for frame in frames)
    assert len(frames) == len(tags)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)
