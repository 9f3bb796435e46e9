"""What the publisher is told that it may send (REMB), by the loss that is seen. Pure.

Browsers are told no delays (no transport-wide feedback), so loss alone says that a path is too narrow. A little of it
is usual, and retransmissions repair it: only what lasts counts. Browsers raise their rate by 8 % a second at most,
whatever they are allowed, so the limit may rise faster than that.

    share lost of the last seconds    0 ......... 2 % ......... 8 % ..........
    limit                             rises       creeps up     falls

It never just stays: a path that always loses a little would keep for ever what one bad minute left of its limit.
"""

from collections import deque

REPORTS = 3
"""Seconds that are looked at together, and that must pass after the limit was lowered."""
TOLERATED = 0.08
"""Share of packets lost above which the limit falls."""
CLEAN = 0.02
"""Share below which it rises."""
FALL_LEAST, FALL_MOST = 0.85, 0.5
"""What is left of the rate received, at a step down."""
RISE = 1.15
"""By how much the limit rises each second."""
CREEP = 1.02
"""The same with more loss than that. Where the limit itself makes the loss, it soon falls again."""
LEAST_EXPECTED = 50
"""Packets of those seconds, below which their loss says nothing: one of a still picture's few is a large share."""
FLOOR = 300_000
"""bit/s: a small picture can still be sent."""


class BitratePolicy:
    """Call `report` each second, and tell the publisher `limit`."""

    __slots__ = ("_ceiling", "_limit", "_reports")

    def __init__(self, ceiling: int) -> None:
        """`ceiling`: the most, bit/s; it may be below `FLOOR`."""
        self._ceiling = ceiling
        self._limit: float | None = None
        """None: the ceiling."""
        self._reports: deque[tuple[int, int]] = deque(maxlen=REPORTS)

    @property
    def limit(self) -> int:
        """bit/s."""
        return self._ceiling if self._limit is None else min(round(self._limit), self._ceiling)

    def report(self, expected: int, lost: int, octets: int) -> None:
        """The last second's packets by their numbers, those that did not come by themselves, and bytes received."""
        if expected <= 0:
            return  # nothing was sent, and nothing can be told
        self._reports.append((expected, max(0, lost)))
        if len(self._reports) < REPORTS:
            return
        all_expected = sum(expected for expected, _ in self._reports)
        share = sum(lost for _, lost in self._reports) / all_expected
        if share <= TOLERATED:
            self._rise(RISE if share < CLEAN else CREEP)
        elif all_expected >= LEAST_EXPECTED:
            self._fall(share, octets * 8)

    def _rise(self, factor: float) -> None:
        if self._limit is not None:
            higher = self._limit * factor
            self._limit = higher if higher < self._ceiling else None

    def _fall(self, share: float, received: int) -> None:
        """Below what came through, for a sender may be far below its limit."""
        self._reports.clear()
        left = max(FALL_MOST, min(1 - share, FALL_LEAST))
        self._limit = max(left * min(self.limit, received), min(FLOOR, self._ceiling))
