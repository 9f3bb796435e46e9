"""From what was sent and what was recorded to the figures of one stream. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.tail import VIDEO, Row

AUDIO = 8
REACH = 300
"""Pictures within which a recorded one is looked for after the last one found; the clip repeats after more."""


@dataclass(frozen=True)
class Figures:
    sent: int
    """Pictures within the window."""
    lost: int
    """Sent and never recorded."""
    damaged: int
    """Recorded and never sent like that."""
    latencies: list[float]
    """ms from a picture's last packet to its FLV tag."""
    start_video: float
    """Seconds from the WHIP POST to the first recorded picture."""
    start_audio: float
    disorder: int
    """Tags of a track that are not later than the one before."""


def figures(
    post: float, sent: Sequence[tuple[int, float]], rows: Sequence[Row], window: tuple[float, float]
) -> Figures:
    """`sent`: (CRC, monotonic seconds); `window`: monotonic seconds of the measurement."""
    pictures = [row for row in rows if row[1] == VIDEO and row[3]]
    sounds = [row for row in rows if row[1] == AUDIO and row[3]]
    pairs = _matched([crc for crc, _ in sent], [row[3] for row in pictures])
    recorded_at = {i: pictures[j][0] for i, j in pairs}
    within = [i for i, (_, time) in enumerate(sent) if window[0] <= time < window[1]]
    return Figures(
        sent=len(within),
        lost=sum(i not in recorded_at for i in within),
        damaged=len(pictures) - len(pairs),
        latencies=[(recorded_at[i] - sent[i][1]) * 1000 for i in within if i in recorded_at],
        start_video=pictures[0][0] - post,
        start_audio=sounds[0][0] - post,
        disorder=sum(b[2] <= a[2] for track in (pictures, sounds) for a, b in pairwise(track)),
    )


def _matched(sent: Sequence[int], recorded: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of indexes, growing on both sides."""
    pairs, after = [], 0
    for j, crc in enumerate(recorded):
        found = next((i for i in range(after, min(after + REACH, len(sent))) if sent[i] == crc), None)
        if found is not None:
            pairs.append((found, j))
            after = found + 1
    return pairs


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
