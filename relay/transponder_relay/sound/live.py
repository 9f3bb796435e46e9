"""The publisher's sound as one gap-free line of samples on the stream clock, cut into blocks."""

from dataclasses import dataclass
from typing import Final

import av

from transponder_relay.sound.decoders import Decoder
from transponder_relay.sound.pcm import BLOCK, BLOCK_BYTES, RATE, SAMPLE_BYTES

TOLERANCE: Final = 48
"""Samples (1 ms) by which a packet may lie beside the end of the one before without a gap or a cut: rounding, not loss.
Positions are absolute, so such an offset never grows."""

FILL_LIMIT: Final = 5 * RATE
"""Samples of silence that one call adds at most. A longer jump of the clock is filled by the calls that follow; packets
beyond it are dropped until then."""


@dataclass(slots=True)
class SoundStatistics:
    """Packets and samples since the relay started."""

    corrupt: int = 0
    """Malformed or not decodable; silence or concealment took their place."""
    late: int = 0
    """Dropped: what they hold had been replaced by silence already, or lies beyond `FILL_LIMIT`."""
    concealed: int = 0
    """48 kHz samples of gaps that were made up from the past; counted while somebody listens."""


class LiveLine:
    """Takes packets by position, gives blocks. What is missing is concealed, then silent; what overlaps is dropped.

    While nobody listens nothing is decoded: the line is silent, and only keeps time.
    """

    def __init__(self) -> None:
        self.statistics = SoundStatistics()
        self.block = 0
        """Index of the block being filled."""
        self._pcm = bytearray()
        self._decoder: Decoder | None = None
        self._listening = False

    @property
    def end(self) -> int:
        """Position after the last sample so far."""
        return self.block * BLOCK + len(self._pcm) // SAMPLE_BYTES

    def set_decoder(self, decoder: Decoder | None) -> None:
        self._decoder = decoder

    def listen(self, on: bool) -> None:
        if on and not self._listening and self._decoder:
            self._decoder.reset()
        self._listening = on

    def restart(self, position: int) -> None:
        """The next block is the first that begins at or after `position`, and never one that was given out."""
        self._pcm.clear()
        self.block = max(self.block, -(-position // BLOCK))
        if self._decoder:
            self._decoder.reset()

    def fill(self, position: int) -> None:
        """Silence up to `position`, `FILL_LIMIT` of it at most."""
        missing = min(position - self.end, FILL_LIMIT)
        if missing > 0:
            self._pcm += bytes(missing * SAMPLE_BYTES)

    def write(self, payload: bytes, position: int) -> None:
        """One packet whose first sample is at `position`. Never raises for what a packet holds."""
        decoder = self._decoder
        if decoder is None:
            return
        samples = decoder.duration(payload)
        if samples is None:
            self.statistics.corrupt += 1
        elif position + samples <= self.end + TOLERANCE:
            self.statistics.late += 1
        elif position - self.end > FILL_LIMIT:
            self.statistics.late += 1
            self.fill(position)
        elif self._listening:
            self._decode(decoder, payload, position)
        else:
            self._append(position, bytes(samples * SAMPLE_BYTES))

    def take(self) -> bytes | None:
        """The next whole block, if there is one."""
        if len(self._pcm) < BLOCK_BYTES:
            return None
        block = bytes(self._pcm[:BLOCK_BYTES])
        del self._pcm[:BLOCK_BYTES]
        self.block += 1
        return block

    def _decode(self, decoder: Decoder, payload: bytes, position: int) -> None:
        gap = position - decoder.held - self.end
        if gap > TOLERANCE:
            made_up = decoder.conceal(gap)
            self.statistics.concealed += len(made_up) // SAMPLE_BYTES
            self._pcm += made_up
        start = position - decoder.held
        try:
            self._append(start, decoder.decode(payload))
        except av.FFmpegError:
            self.statistics.corrupt += 1

    def _append(self, start: int, pcm: bytes) -> None:
        offset = start - self.end
        if offset > TOLERANCE:
            self.fill(start)
        elif offset < -TOLERANCE:
            pcm = pcm[-offset * SAMPLE_BYTES :]
        self._pcm += pcm
