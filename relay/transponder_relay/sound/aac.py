"""AAC-LC by FFmpeg's encoder, and its FLV bodies (FLV specification 10.1, E.4.2; ISO/IEC 14496-3, 1.6.2.1)."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
from av import AudioFrame

from transponder_relay.media import AudioConfig
from transponder_relay.sound.pcm import BLOCK, BLOCK_BYTES, RATE

SEQUENCE_HEADER = b"\xaf\x00"
FRAME = b"\xaf\x01"
"""AUDIODATA: AAC, then AACPacketType. The other bits are constant for AAC."""

_WARM_UP = 8


class AacEncoder:
    """Blocks of 1024 samples in, raw AAC frames out.

    FFmpeg's encoder looks one block ahead and its transform overlaps two, so the frame returned for block n is the one
    whose decoded samples are block n - 2 (its pts without the 1024 samples of priming). The first block gives none.
    """

    def __init__(self, bitrate: int) -> None:
        context = av.CodecContext.create("aac", "w")
        context.sample_rate = RATE
        context.layout = "stereo"
        context.format = "fltp"
        context.bit_rate = bitrate
        context.time_base = Fraction(1, RATE)
        # fast: a third of the time of twoloop; bitexact: no version string in the first frame
        context.options = {"aac_coder": "fast", "flags": "+bitexact"}
        context.open()
        self._context = context
        self._frame = AudioFrame("s16", "stereo", BLOCK)  # the encoder copies it, so one is enough
        self._frame.sample_rate = RATE
        self._plane = self._frame.planes[0]
        self._position = 0

    @property
    def audio_specific_config(self) -> bytes:
        return bytes(self._context.extradata or b"")

    def encode(self, pcm: bytes) -> bytes | None:
        """One block (`pcm.BLOCK_BYTES`); None for the first block alone."""
        self._plane.update(pcm)
        self._frame.pts = self._position
        self._position += BLOCK
        packets = self._context.encode(self._frame)
        return bytes(packets[0]) if packets else None


@dataclass(frozen=True, slots=True)
class AacFormat:
    """What is the same for all frames of a bitrate, however many encoders there are."""

    config: AudioConfig
    silence: bytes
    """FLV body of a silent frame. An encoder in silence repeats it without change."""


@lru_cache(maxsize=64)
def aac_format(bitrate: int) -> AacFormat:
    """Computed once for a bitrate (bit/s; about 4 ms the first time).

    Raises RuntimeError if the encoder's silence is not constant: then outputs could not share one frame.
    """
    encoder = AacEncoder(bitrate)
    frames = {frame for _ in range(_WARM_UP) if (frame := encoder.encode(bytes(BLOCK_BYTES)))}
    if len(frames) != 1:
        raise RuntimeError("the AAC encoder's silent frames differ from each other")
    header = SEQUENCE_HEADER + encoder.audio_specific_config
    return AacFormat(AudioConfig(RATE, 2, bitrate, header), FRAME + frames.pop())
