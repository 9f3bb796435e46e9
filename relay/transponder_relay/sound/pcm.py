"""The one form that decoded sound has in the relay: 48 kHz, stereo, signed 16 bit, interleaved, little-endian.

Sixteen bits are what browsers capture and what libopus and G.711 give, and they cannot hold a NaN, which the AAC
encoder refuses.
"""

from array import array
from typing import Final

from av import AudioFrame
from av.audio.resampler import AudioResampler

RATE: Final = 48_000
BLOCK: Final = 1024
"""Samples of one AAC frame. Blocks begin at multiples of it on the stream clock."""

SAMPLE_BYTES: Final = 4
"""One sample of both channels."""

BLOCK_BYTES: Final = BLOCK * SAMPLE_BYTES


Frames = tuple[tuple[int, bytes], ...]
"""FLV bodies with their times in ms on the stream clock."""


def milliseconds(block: int) -> int:
    """The stream clock, in ms, at the first sample of a block (rounded, so that no error adds up)."""
    return (block * 64 + 1) // 3


def packed(frame: AudioFrame) -> bytes:
    """The samples of a packed 16-bit frame, without the padding of its buffer."""
    return bytes(memoryview(frame.planes[0])[: frame.samples * frame.layout.nb_channels * 2])


def doubled(mono: bytes) -> bytes:
    """Both channels from one, at the same level (FFmpeg's own upmix takes 3 dB off)."""
    stereo = bytearray(2 * len(mono))
    stereo[0::4] = stereo[2::4] = mono[0::2]
    stereo[1::4] = stereo[3::4] = mono[1::2]
    return bytes(stereo)


def faded(pcm: bytes) -> bytes:
    """The same going down to silence, linearly."""
    values = array("h", pcm)
    length = len(values)
    return array("h", (value * (length - n) // length for n, value in enumerate(values))).tobytes()


class Resampler:
    """Frames of one rate, format and layout (mono or stereo) into PCM of the relay.

    Output is aligned with input: sample n of the source lies at n * 48000 / rate. The filter holds the newest samples
    back until more input comes; `held` says how many (in 48 kHz samples).
    """

    def __init__(self, source_rate: int) -> None:
        self._rate = source_rate
        self._resampler: AudioResampler | None = None
        self._taken = 0
        self._given = 0

    @property
    def held(self) -> int:
        return self._taken * RATE // self._rate - self._given

    def convert(self, frame: AudioFrame) -> bytes:
        mono = frame.layout.nb_channels == 1
        if self._resampler is None:
            # floats inside: the 16-bit filter is audibly worse
            self._resampler = AudioResampler("s16", frame.layout, RATE, options={"internal_sample_fmt": "fltp"})
        pcm = b"".join(packed(f) for f in self._resampler.resample(frame))
        self._taken += frame.samples
        self._given += len(pcm) // (2 if mono else SAMPLE_BYTES)
        return doubled(pcm) if mono else pcm


class Downsampler:
    """Blocks of PCM of the relay into mono, 16 bit, of a lower rate, aligned as `Resampler` is."""

    def __init__(self, rate: int) -> None:
        self._resampler = AudioResampler("s16", "mono", rate, options={"internal_sample_fmt": "fltp"})

    def convert(self, pcm: bytes) -> bytes:
        frame = AudioFrame("s16", "stereo", len(pcm) // SAMPLE_BYTES)
        frame.sample_rate = RATE
        frame.planes[0].update(pcm)
        return b"".join(packed(f) for f in self._resampler.resample(frame))
