"""How many bits the transcoded picture may use: what the source uses, within what its size needs. Pure."""

from collections import deque

CLOCK = 90_000
"""RTP clock of all video codecs, Hz."""
NOMINAL_RATE = 30
"""Pictures a second that the encoder is told, whatever the source does: so its parameter sets stay the same. Budgets
are counted per picture."""

_WINDOW = 2 * CLOCK
_LEAST_MEASURED = CLOCK // 2
_HEADROOM = 1.2
"""A second generation needs more bits to look like the first."""
_START, _FLOOR = 0.08, 0.02
"""Bits for each pixel of a picture: before anything is measured, and at least."""
_LEAST = 1_000
"""Bits of a picture of any size: x264 takes no rate of 0."""
_TOLERANCE = 0.25
"""A target that moved by less is not worth a new encoder."""


class SourceRate:
    """What the source sent in the last 2 s of its RTP time."""

    __slots__ = ("_bits", "_pictures")

    def __init__(self) -> None:
        self._pictures: deque[tuple[int, int]] = deque()  # RTP time, bits
        self._bits = 0

    def add(self, rtp_time: int, size: int) -> None:
        """`size`: bytes of a picture."""
        pictures = self._pictures
        if pictures and not 0 <= rtp_time - pictures[-1][0] <= _WINDOW:
            pictures.clear()  # the clock jumped, or nothing came for long
            self._bits = 0
        pictures.append((rtp_time, size * 8))
        self._bits += size * 8
        while rtp_time - pictures[0][0] > _WINDOW:
            self._bits -= pictures.popleft()[1]

    @property
    def measured(self) -> bool:
        """Whether enough came to tell anything."""
        return len(self._pictures) > 1 and self._span >= _LEAST_MEASURED

    @property
    def bits_per_picture(self) -> float:
        return self._bits / len(self._pictures)

    @property
    def pictures_per_second(self) -> float:
        """Only if `measured`."""
        return (len(self._pictures) - 1) * CLOCK / self._span

    @property
    def _span(self) -> int:
        return self._pictures[-1][0] - self._pictures[0][0]


def target(rate: SourceRate, pixels: int, max_bitrate: int) -> int:
    """Bits for one picture of so many pixels; `max_bitrate` is in bit/s."""
    if not rate.measured:
        return max(_LEAST, int(min(_START * pixels, max_bitrate / NOMINAL_RATE)))
    wish = max(_HEADROOM * rate.bits_per_picture, _FLOOR * pixels)
    return max(_LEAST, int(min(wish, max_bitrate / rate.pictures_per_second)))


def differs(target: int, present: int) -> bool:
    """Whether the target is far enough from the present budget to act on."""
    return abs(target - present) > _TOLERANCE * present
