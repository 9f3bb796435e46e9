"""Live sound on its way to the soundtrack, a few packets at a time.

Each wake-up of a relay finds the caches cold; decoding and encoding touch far more memory than passing a picture on. So
sound that comes alone waits a moment: for the end of the next picture, when the interpreter and the connection's code
are at hand, or until enough of it is there. Positions do not change by it, so sound and picture stay in step.
"""

from collections.abc import Callable
from typing import Final

from transponder_relay.media import SoundPacket

ENOUGH: Final = 960
"""Samples from the first waiting packet to the newest (20 ms: two usual packets) that go on with the next picture."""

MOST: Final = 1920
"""Samples (40 ms) that go on at once."""

LONGEST: Final = 0.06
"""Seconds after which packets go on with the next look at the clock, whatever came after them."""


class SoundBatch:
    """Waiting packets with their positions (48 kHz samples on the stream clock)."""

    __slots__ = ("_take", "_waiting")

    def __init__(self, take: Callable[[SoundPacket, int], None]) -> None:
        self._take = take
        self._waiting: list[tuple[SoundPacket, int]] = []

    def add(self, packet: SoundPacket, position: int) -> None:
        waiting = self._waiting
        waiting.append((packet, position))
        if position - waiting[0][1] >= MOST:
            self.flush()

    def picture(self) -> None:
        """A picture was passed on."""
        waiting = self._waiting
        if waiting and waiting[-1][1] - waiting[0][1] >= ENOUGH:
            self.flush()

    def clock(self, now: float, silence_to: int) -> None:
        """Silence is about to be made up to a position: what waits for its place there, or for long, goes first."""
        waiting = self._waiting
        if waiting and (waiting[0][1] <= silence_to or now - waiting[0][0].arrival >= LONGEST):
            self.flush()

    def flush(self) -> None:
        """What cannot be taken, because of a fault, is lost; what waits behind it goes on the next time."""
        waiting, taken = self._waiting, 0
        try:
            for packet, position in waiting:
                taken += 1
                self._take(packet, position)
        finally:
            del waiting[:taken]
