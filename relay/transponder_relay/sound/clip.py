"""A sound file as blocks of PCM.

It is kept as it is on disk and converted block by block as it plays: an hour of speech would be 700 MB otherwise.
"""

from typing import Final

from av import AudioFrame

from transponder_relay.sound.pcm import BLOCK, BLOCK_BYTES, RATE, Resampler
from transponder_relay.sound.wav import Wav

_FORMATS: Final = {8: "u8", 16: "s16", 24: "s32", 32: "s32"}
_FLOAT_FORMATS: Final = {32: "flt", 64: "dbl"}


class Clip:
    """One loaded sound file. Two clips are the same if they are the same object."""

    def __init__(self, wav: Wav) -> None:
        self.wav = wav
        self.length = -(-wav.frames * RATE // wav.rate)
        """48 kHz samples."""
        self.blocks = -(-self.length // BLOCK)


class ClipReader:
    """Plays a clip from an offset (48 kHz samples): without a seam if `loop`; else silence follows its end."""

    def __init__(self, clip: Clip, loop: bool, offset: int = 0) -> None:
        self._wav = clip.wav
        self._loop = loop
        self._next = offset * clip.wav.rate // RATE
        self._chunk = clip.wav.rate * BLOCK // RATE + 1
        self._resampler = Resampler(clip.wav.rate)
        self._pcm = bytearray()

    def read(self) -> bytes:
        """The next block."""
        while len(self._pcm) < BLOCK_BYTES:
            self._pcm += self._resampler.convert(self._frame(self._source(self._chunk)))
        block = bytes(self._pcm[:BLOCK_BYTES])
        del self._pcm[:BLOCK_BYTES]
        return block

    def _source(self, frames: int) -> bytes:
        """The next frames as the file has them."""
        wav, size = self._wav, self._wav.frame_bytes
        wanted = frames * size
        if self._loop:
            self._next %= wav.frames
        source = bytearray(wav.data[self._next * size : self._next * size + wanted])
        while self._loop and len(source) < wanted:
            source += wav.data[: wanted - len(source)]
        self._next += frames
        zero = b"\x80" if wav.bits == 8 else b"\x00"
        return bytes(source.ljust(wanted, zero))

    def _frame(self, source: bytes) -> AudioFrame:
        wav = self._wav
        samples = len(source) // wav.frame_bytes
        if wav.bits == 24:
            source = _widened(source)
        name = (_FLOAT_FORMATS if wav.floating else _FORMATS)[wav.bits]
        frame = AudioFrame(name, "mono" if wav.channels == 1 else "stereo", samples)
        frame.sample_rate = wav.rate
        frame.planes[0].update(source)
        return frame


def _widened(source: bytes) -> bytes:
    """24-bit samples as 32-bit ones."""
    wide = bytearray(len(source) // 3 * 4)
    wide[1::4], wide[2::4], wide[3::4] = source[0::3], source[1::3], source[2::3]
    return bytes(wide)
