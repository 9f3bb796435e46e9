"""How long silence is put off when the live sound is late."""

from typing import Final

MARGIN: Final = 4800
"""Samples (100 ms): the wall clock is told in steps of that size."""

LONGEST: Final = 96_000
"""Samples (2 s)."""

_DECAY: Final = 24
"""Samples a packet: one hiccup is forgotten within a minute or so."""


class Patience:
    """Without it a publisher whose packets come later than the fallback of the wall clock would never be heard: each
    packet would find its place taken by silence. So the fallback keeps behind the latest packets seen of late."""

    def __init__(self) -> None:
        self._wall: int | None = None
        self._lateness = -LONGEST

    def packet(self, position: int) -> None:
        """A live packet is taken whose first sample is at `position`."""
        if self._wall is not None:
            self._lateness = max(self._wall - position, self._lateness - _DECAY)

    def wall(self, position: int) -> int:
        """The wall clock says `position`: up to where silence may go."""
        self._wall = position
        return position - min(max(self._lateness + MARGIN, 0), LONGEST)
