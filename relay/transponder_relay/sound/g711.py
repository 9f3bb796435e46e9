"""G.711 for FLV (annex E.4.2.1, sound formats 7 and 8): 8 kHz, mono, encoded or passed on byte by byte.

A block of 1024 samples at 48 kHz is 170 2/3 bytes, so a frame has 170 or 171. Frames do not depend on each other.
"""

from array import array
from collections.abc import Callable
from functools import cache
from typing import Final, Literal

import av
from av import AudioFrame, Packet

from transponder_crd.resource import AudioCodec
from transponder_relay.media import AudioConfig
from transponder_relay.sound.concealment import HISTORY, concealed
from transponder_relay.sound.decoders import G711_LONGEST
from transponder_relay.sound.pcm import Downsampler, Frames, milliseconds, packed

RATE: Final = 8000
KEPT: Final = 6 * RATE
"""More than is ever filled with silence at once (`live.FILL_LIMIT`)."""
_TOLERANCE: Final = 8
"""Bytes (1 ms), as `live.TOLERANCE`."""

_FLAGS: Final = {AudioCodec.PCMA: b"\x72", AudioCodec.PCMU: b"\x82"}
_SILENT: Final = {AudioCodec.PCMA: b"\xd5", AudioCodec.PCMU: b"\xff"}
_NAMES: Final[dict[AudioCodec, Literal["pcm_alaw", "pcm_mulaw"]]] = {
    AudioCodec.PCMA: "pcm_alaw",
    AudioCodec.PCMU: "pcm_mulaw",
}
G711_CONFIGS: Final = {
    codec: AudioConfig(RATE, 1, 64_000, b"", number) for codec, number in ((AudioCodec.PCMA, 7), (AudioCodec.PCMU, 8))
}


def start(block: int) -> int:
    """The first 8 kHz sample of a block."""
    return (block * 512 + 1) // 3


def g711_frame(codec: AudioCodec, block: int, samples: bytes) -> Frames:
    """The one frame of a block."""
    return ((milliseconds(block), _FLAGS[codec] + samples),)


def g711_silence(codec: AudioCodec, block: int) -> Frames:
    return g711_frame(codec, block, _SILENT[codec] * (start(block + 1) - start(block)))


@cache
def _levels(codec: AudioCodec) -> "array[int]":
    """The sample that each byte stands for."""
    context = av.CodecContext.create(_NAMES[codec], "r")
    context.sample_rate, context.layout = RATE, "mono"
    (frame,) = context.decode(Packet(bytes(range(256))))
    return array("h", packed(frame))


@cache
def _compress(codec: AudioCodec) -> Callable[[bytes], bytes]:
    """From 16-bit samples to bytes; keeps no past."""
    context = av.CodecContext.create(_NAMES[codec], "w")
    context.sample_rate, context.layout, context.format = RATE, "mono", "s16"
    context.open()

    def compress(pcm: bytes) -> bytes:
        frame = AudioFrame("s16", "mono", len(pcm) // 2)
        frame.sample_rate = RATE
        frame.planes[0].update(pcm)
        return b"".join(bytes(packet) for packet in context.encode(frame))

    return compress


def crossfaded(codec: AudioCodec, before: Frames, after: Frames) -> Frames:
    """One block that goes from the one sound to the other: a cut would be heard as a click."""
    ((time, old),), ((_, new),) = before, after
    levels, length = _levels(codec), len(new) - 1
    pairs = enumerate(zip(old[1:], new[1:], strict=True))
    mixed = array("h", ((levels[a] * (length - n) + levels[b] * n) // length for n, (a, b) in pairs))
    return ((time, new[:1] + _compress(codec)(mixed.tobytes())),)


class G711Encoder:
    """Blocks of the relay's PCM in, frames out two blocks later, as an AAC encoder has them."""

    def __init__(self, codec: AudioCodec, block: int) -> None:
        self._codec = codec
        self._first = self._block = block
        self._downsampler = Downsampler(RATE)
        self._pcm = bytearray()

    def encode(self, pcm: bytes) -> Frames:
        self._pcm += self._downsampler.convert(pcm)
        self._block += 1
        block = self._block - 3
        if block < self._first:
            return ()
        size = 2 * (start(block + 1) - start(block))
        samples = bytes(self._pcm[:size])
        del self._pcm[:size]
        return g711_frame(self._codec, block, _compress(self._codec)(samples))


class G711Line:
    """The publisher's own bytes by their place on the stream clock."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0
        self._codec: AudioCodec | None = None
        self._silent = b"\xff"

    def restart(self, codec: AudioCodec | None) -> None:
        """Forget what came. `codec`: that of the publisher, if it is G.711."""
        self._bytes.clear()
        self._codec = codec
        self._silent = _SILENT.get(codec, b"\xff") if codec else b"\xff"

    def write(self, payload: bytes, position: int) -> None:
        """A packet whose first sample is at `position` (48 kHz). What overlaps is dropped, a gap is concealed, then
        silent."""
        if not 0 < len(payload) <= G711_LONGEST:
            return
        at = round(position / 6)
        end = self._start + len(self._bytes)
        if not self._bytes or at - end > KEPT:
            self._bytes.clear()
            self._start = end = at
        if at - end > _TOLERANCE:
            self._bytes += self._made_up(at - end) + self._silent * (at - end)
            del self._bytes[at - self._start :]
        elif end - at > _TOLERANCE:
            payload = payload[end - at :]
        self._bytes += payload
        surplus = len(self._bytes) - KEPT - G711_LONGEST
        if surplus > 0:
            self._drop(surplus)

    def _made_up(self, count: int) -> bytes:
        if self._codec is None:
            return b""
        levels = _levels(self._codec)
        made_up = concealed(array("h", (levels[b] for b in self._bytes[-HISTORY:])), count)
        return _compress(self._codec)(made_up.tobytes()) if made_up else b""

    def block(self, block: int) -> bytes:
        """The bytes of a block, silent where there are none. Those before it are forgotten."""
        first, end = start(block), start(block + 1)
        self._drop(max(0, min(first - self._start, len(self._bytes))))
        lead = min(max(0, self._start - first), end - first) if self._bytes else end - first
        samples = bytes(self._bytes[: end - first - lead])
        return (self._silent * lead + samples).ljust(end - first, self._silent)

    def _drop(self, count: int) -> None:
        del self._bytes[:count]
        self._start += count
