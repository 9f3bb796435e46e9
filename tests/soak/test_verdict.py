"""What the soak says of flat and of rising figures."""

from dataclasses import replace

import pytest
from soak.samples import Reading, Sample
from soak.verdict import faults, growth


def samples(rss: list[float], descriptors: int = 0, threads: int = 0, tasks: int = 0, pid: int = 0) -> list[Sample]:
    """10 s apart; the last one has so many descriptors, threads and tasks more, and another pid."""
    found = [Sample(n * 10, {"relay": Reading(7, size, size, 20, 3, ("serve",))}) for n, size in enumerate(rss)]
    last = found[-1].readings["relay"]
    found[-1].readings["relay"] = replace(
        last,
        pid=last.pid + pid,
        descriptors=last.descriptors + descriptors,
        threads=last.threads + threads,
        tasks=last.tasks + ("left",) * tasks,
    )
    return found


def test_flat_is_good() -> None:
    assert faults(samples([10, 40, 50, 50.5, 49.5, 50.2]), 1) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"descriptors": 1}, "relay: 20 file descriptors after round 1, 21 after round 6"),
        ({"threads": 1}, "relay: 3 threads after round 1, 4 after round 6"),
        ({"tasks": 2}, "relay: 1 asyncio tasks after round 1, 3 after round 6"),
        ({"pid": 1}, "relay: process 7 ended and was replaced by 8"),
    ],
)
def test_what_is_left_is_named(changed: dict[str, int], words: str) -> None:
    assert faults(samples([50] * 6, **changed), 1) == [words]


def test_growth_after_the_warm_up_is_found() -> None:
    rising = samples([10, 20, 50, 51, 52, 53])
    assert growth(rising[2:], "relay") == pytest.approx(3)
    assert faults(rising, 2.9) == ["relay: RSS grew by 3.0 MiB in 30 s after the warm-up; 2.9 MiB may be"]
    assert faults(rising, 3.1) == []


def test_too_few_rounds_tell_nothing() -> None:
    assert faults(samples([50, 50]), 1) == ["only 2 rounds were done: three are needed to tell anything"]
