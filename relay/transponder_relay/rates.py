"""How much a second: bits and pictures of the last seconds, from counters that are looked at once a second. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

INTERVAL = 1.0
"""Seconds between two looks, at least."""

_LOOKS = 4
"""Rates are those from the first to the last of so many."""


class Counted(NamedTuple):
    """Counters of a stream or of an output: they only grow."""

    octets: int = 0
    pictures: int = 0


class Rate(NamedTuple):
    bitrate: float = 0.0
    """bit/s"""
    frame_rate: float = 0.0
    """Pictures a second."""


NONE = Rate()


class Rates:
    """Of several things at once, each by its name."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, Counted]]] = deque(maxlen=_LOOKS)

    def due(self, now: float) -> bool:
        """`now`: any clock in seconds, the same for all calls."""
        return not self._looks or now - self._looks[-1][0] >= INTERVAL

    def look(self, now: float, counted: Mapping[str, Counted]) -> None:
        self._looks.append((now, dict(counted)))

    def forget(self, name: str) -> None:
        """What comes by that name from now on counts from 0."""
        for _, counted in self._looks:
            counted.pop(name, None)

    def clear(self) -> None:
        """Nothing flows any more."""
        self._looks.clear()

    def of(self, name: str) -> Rate:
        """From the first look at it that is kept to the last; zero with less than two."""
        known = [(at, counted[name]) for at, counted in self._looks if name in counted]
        if len(known) < 2:
            return NONE
        (began, before), (ended, after) = known[0], known[-1]
        seconds = ended - began
        return Rate((after.octets - before.octets) * 8 / seconds, (after.pictures - before.pictures) / seconds)
