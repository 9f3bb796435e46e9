"""Live sound on its way to the soundtrack, a few packets at a time.

Each wake-up of a relay finds the caches cold; decoding and encoding touch far more memory than passing a picture on. So
sound waits a moment: for the end of a picture, when the interpreter and the connection's code are at hand, or until
enough of it is there. Positions do not change by it, so sound and picture stay in step. In a publisher's first second
it waits less, so that its stream soon begins.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple

from transponder_relay.media import SoundPacket
from transponder_relay.sound.pcm import RATE


class Measure(NamedTuple):
    """How much sound may wait, in samples from the first waiting packet to the newest."""

    enough: int
    """So much goes on with the next picture."""
    most: int
    """So much goes on at once."""


USUAL: Final = Measure(3840, 4800)
"""80 and 100 ms: five and six usual packets."""

AT_FIRST: Final = Measure(960, 1920)
"""20 and 40 ms."""

FIRST: Final = RATE
"""Samples from a publisher's first packet on for which `AT_FIRST` holds."""

LONGEST: Final = 0.12
"""Seconds after which packets go on with the next look at the clock, whatever came after them."""


class SoundBatch:
    """Waiting packets with their positions (48 kHz samples on the stream clock)."""

    __slots__ = ("_around", "_first", "_take", "_waiting")

    def __init__(
        self,
        take: Callable[[SoundPacket, int], None],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`take` gets the packets one by one, within the context `around`."""
        self._take = take
        self._around = around
        self._waiting: list[tuple[SoundPacket, int]] = []
        self._first: int | None = None

    def begin(self) -> None:
        """What comes next is of a new publisher."""
        self._first = None

    def add(self, packet: SoundPacket, position: int) -> None:
        if self._first is None:
            self._first = position
        self._waiting.append((packet, position))
        if self._span >= self._measure.most:
            self.flush()

    def picture(self) -> None:
        """A picture was passed on."""
        if self._waiting and self._span >= self._measure.enough:
            self.flush()

    def clock(self, now: float, end: int, silence_to: int) -> None:
        """Silence is about to be made from a position, `end` of what was taken, to another. If there is any to make,
        what waits goes first: it may lie there, or show that what is missing was lost and is to be concealed. So does
        what has waited for long."""
        waiting = self._waiting
        if waiting and (end < silence_to or now - waiting[0][0].arrival >= LONGEST):
            self.flush()

    def flush(self) -> None:
        """What cannot be taken, because of a fault, is lost; what waits behind it goes on the next time."""
        waiting, taken = self._waiting, 0
        if not waiting:
            return
        try:
            with self._around():
                for packet, position in waiting:
                    taken += 1
                    self._take(packet, position)
        finally:
            del waiting[:taken]

    @property
    def _span(self) -> int:
        return self._waiting[-1][1] - self._waiting[0][1]

    @property
    def _measure(self) -> Measure:
        newest = self._waiting[-1][1]
        return AT_FIRST if self._first is None or newest - self._first < FIRST else USUAL
