"""RIFF WAV files (Microsoft "Multimedia Programming Interface and Data Specifications 1.0"; WAVEFORMATEXTENSIBLE)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SHORTEST_RATE: Final = 1_000
HIGHEST_RATE: Final = 384_000
LONGEST_SECONDS: Final = 3600

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""KSDATAFORMAT_SUBTYPE_*: the format tag, then these 14 bytes."""

_SAMPLE_FORMATS = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}


class WavError(ValueError):
    """The file is not a WAV file as needed; the text says which rule it breaks."""


@dataclass(frozen=True, slots=True)
class Wav:
    """A checked file. `data` is a view of the bytes it was parsed from, cut to whole frames."""

    floating: bool
    bits: int
    """8 (unsigned), 16, 24, 32 (signed) or, floating, 32, 64; little-endian."""
    channels: int
    """1 or 2."""
    rate: int
    """Hz."""
    data: memoryview

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8

    @property
    def frames(self) -> int:
        """Samples per channel; at least one."""
        return len(self.data) // self.frame_bytes


def parse_wav(content: bytes) -> Wav:
    """Check a whole file. Raises WavError.

    Mono or stereo; PCM of 8, 16, 24, 32 bit or float of 32, 64 bit; 1 to 384 kHz; up to one hour. A data chunk that
    says it is longer than the file (a recording that was not ended in order) goes to the end of the file.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise WavError("must be a RIFF WAV file: it does not begin with RIFF....WAVE")
    fmt: memoryview | None = None
    for name, body in _chunks(memoryview(content)[12:]):
        if name == b"fmt ":
            fmt = body
        elif name == b"data":
            if fmt is None:
                raise WavError("the 'fmt ' chunk must come before the 'data' chunk")
            return _checked(fmt, body)
    raise WavError("must have a 'fmt ' and a 'data' chunk")


def _chunks(rest: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    while len(rest) >= 8:
        size = int.from_bytes(rest[4:8], "little")
        yield bytes(rest[:4]), rest[8 : 8 + size]
        rest = rest[8 + size + (size & 1) :]


def _checked(fmt: memoryview, data: memoryview) -> Wav:
    if len(fmt) < 16:
        raise WavError("the 'fmt ' chunk must have at least 16 bytes")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", fmt)
    tag = _subformat(fmt) if tag == _EXTENSIBLE else tag
    if (tag, bits) not in _SAMPLE_FORMATS:
        raise WavError(f"must be PCM of 8, 16, 24 or 32 bit or float of 32 or 64 bit, not format {tag} with {bits} bit")
    if channels not in (1, 2):
        raise WavError(f"must be mono or stereo, not {channels} channels")
    if not SHORTEST_RATE <= rate <= HIGHEST_RATE:
        raise WavError(f"sample rate must be {SHORTEST_RATE} to {HIGHEST_RATE} Hz, not {rate}")
    if align != channels * bits // 8:
        raise WavError(f"block alignment must be {channels * bits // 8} bytes, not {align}")
    wav = Wav(tag == _FLOAT, bits, channels, rate, data[: len(data) // align * align])
    if wav.frames == 0:
        raise WavError("must hold at least one sample")
    if wav.frames > LONGEST_SECONDS * rate:
        raise WavError(f"must not be longer than {LONGEST_SECONDS} s")
    return wav


def _subformat(fmt: memoryview) -> int:
    if len(fmt) < 40 or fmt[26:40] != _SUBFORMAT_TAIL:
        raise WavError("the extensible 'fmt ' chunk must name a PCM or float subformat")
    return int.from_bytes(fmt[24:26], "little")
