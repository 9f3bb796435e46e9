"""What a lost piece of G.711 may have sounded like: the last pitch period goes on and fades (ITU-T G.711, appendix I).

Opus conceals by itself. All at 8 kHz, 16 bits, mono. Pure.
"""

from array import array
from operator import mul
from typing import Final

HISTORY: Final = 280
"""Samples of the past that are looked at."""
LONGEST: Final = 480
"""Samples that are made up at most (60 ms)."""

_LAGS = range(40, 121)  # pitch from 66 to 200 Hz
_COMPARED = 160
_STEADY = 80
"""Samples before it begins to fade."""


def concealed(history: "array[int]", count: int) -> "array[int]":
    """Up to `count` samples that go on from `history`, LONGEST at most and then faded out; none without a past."""
    count = min(count, LONGEST)
    if len(history) < HISTORY or not any(history[-_COMPARED:]):
        return array("h")
    lag = _pitch(history)
    period = _without_seam(history, lag)
    return array("h", (period[n % lag] * _gain(n) // _FULL for n in range(count)))


_FULL = LONGEST - _STEADY


def _gain(n: int) -> int:
    """Of `_FULL`."""
    return _FULL if n < _STEADY else LONGEST - n


def _pitch(history: "array[int]") -> int:
    """The lag at which the past is most like itself."""
    recent = history[-_COMPARED:]

    def likeness(lag: int) -> float:
        earlier = history[-_COMPARED - lag : -lag]
        product, energy = sum(map(mul, recent, earlier)), sum(map(mul, earlier, earlier))
        return product * abs(product) / energy if energy else 0.0

    return max(_LAGS, key=likeness)


def _without_seam(history: "array[int]", lag: int) -> list[int]:
    """The last period; its end leads over to its beginning."""
    period = list(history[-lag:])
    quarter = lag // 4
    before = history[-lag - quarter : -lag]
    for n in range(quarter):
        at = lag - quarter + n
        period[at] = (period[at] * (quarter - n) + before[n] * n) // quarter
    return period
