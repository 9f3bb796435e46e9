"""The jitter buffer against a model of a lossy, reordering network with a simulated clock."""

import heapq
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transponder_relay.ingest.jitter import MAX_HOLES, JitterBuffer, RepairTiming


def buffer_with(**options: object) -> tuple[JitterBuffer[int], RepairTiming]:
    timing = RepairTiming()
    return JitterBuffer(timing, **options), timing  # type: ignore[arg-type]


def test_in_order_packets_pass_at_once() -> None:
    buffer, _ = buffer_with(repair=True)
    assert [list(buffer.push(n, n, 0.0)) for n in range(65530, 65540)] == [[n] for n in range(65530, 65540)]
    assert not buffer.waiting


def test_reordered_packets_wait_for_the_missing() -> None:
    buffer, timing = buffer_with(repair=True, rtx=True)
    buffer.push(10, 10, 0.0)
    assert buffer.push(12, 12, 1.0) == []
    assert buffer.push(12, 12, 1.0) == (), "a duplicate"
    assert buffer.waiting
    assert buffer.deadline() == pytest.approx(1.0 + timing.guard)
    assert buffer.nacks(1.0 + timing.guard / 2) == []
    assert buffer.push(11, 11, 1.02) == [11, 12]
    assert not buffer.waiting
    assert timing.guard == pytest.approx(0.025), "it learns that packets may be late"
    assert buffer.repaired == 0


def test_missing_packets_are_asked_for_again_until_they_come() -> None:
    buffer, timing = buffer_with(repair=True, rtx=True)
    buffer.push(10, 10, 0.0)
    buffer.push(13, 13, 1.0)
    assert buffer.nacks(1.01) == [11, 12]
    assert buffer.nacks(1.02) == []
    assert buffer.push(11, 11, 1.05, True) == [11]
    assert timing.round_trip == pytest.approx(0.04)
    assert buffer.deadline() == pytest.approx(1.01 + timing.retry)
    assert buffer.nacks(1.01 + timing.retry) == [12]
    second = 1.01 + timing.retry
    assert buffer.push(12, 12, second + 0.02, True) == [12, 13]
    assert timing.round_trip == pytest.approx(0.04), "which request was answered is not known"
    assert buffer.push(12, 12, second + 0.12, True) == (), "but now it is: the answer to the second request"
    assert timing.round_trip == pytest.approx(0.04 + (0.12 - 0.04) / 8)
    assert buffer.repaired == 2


def test_what_never_comes_is_given_up_after_the_measured_patience() -> None:
    buffer, timing = buffer_with(repair=True, rtx=True)
    timing.measured(0.3)
    buffer.push(10, 10, 0.0)
    buffer.push(13, 13, 1.0)
    buffer.push(15, 15, 1.5)
    assert buffer.give_up(1.0 + timing.patience - 0.001) == []
    assert buffer.give_up(1.0 + timing.patience) == [None, 13]
    assert buffer.push(12, 12, 2.0) == (), "too late"
    assert buffer.give_up(1.5 + timing.patience) == [None, 15]
    assert buffer.push(16, 16, 2.5) == (16,)


def test_answers_that_come_too_late_make_it_more_patient() -> None:
    buffer, timing = buffer_with(repair=True, rtx=True)
    timing.measured_path(0.02)
    assert timing.patience == 0.2
    buffer.push(10, 10, 0.0)
    buffer.push(12, 12, 1.0)
    assert buffer.nacks(1.01) == [11]
    assert buffer.nacks(1.1) == [11]
    assert buffer.give_up(1.2) == [None, 12]
    assert buffer.push(11, 11, 1.31, True) == ()
    assert timing.round_trip == 0.02, "either request may have been answered"
    buffer.push(14, 14, 2.0)
    assert buffer.nacks(2.01) == [13]
    assert buffer.give_up(2.2) == [None, 14]
    assert buffer.push(13, 13, 2.31, True) == ()
    assert timing.round_trip == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("round_trip", "patience"), [(None, 0.308), (0.001, 0.2), (0.04, 0.2), (0.2, 0.558), (0.6, 1.0)]
)
def test_patience_follows_the_round_trip(round_trip: float | None, patience: float) -> None:
    timing = RepairTiming()
    if round_trip is not None:
        timing.measured(round_trip)
    assert timing.patience == pytest.approx(patience)


def test_without_repair_nothing_is_asked_for() -> None:
    buffer, _ = buffer_with(patience=0.04)
    buffer.push(10, 10, 0.0)
    buffer.push(12, 12, 1.0)
    assert buffer.nacks(1.5) == []
    assert buffer.deadline() == 1.04
    assert buffer.give_up(1.04) == [None, 12]


def test_late_originals_without_rtx_are_told_from_answers() -> None:
    buffer, timing = buffer_with(repair=True)
    timing.measured(0.1)
    buffer.push(10, 10, 0.0)
    buffer.push(13, 13, 1.0)
    assert buffer.nacks(1.01) == [11, 12]
    buffer.push(11, 11, 1.02)
    assert buffer.repaired == 0
    assert timing.guard == pytest.approx(0.025)
    buffer.push(12, 12, 1.12)
    assert buffer.repaired == 1


def test_a_long_break_is_not_repaired() -> None:
    buffer, _ = buffer_with(repair=True)
    buffer.push(10, 10, 0.0)
    buffer.push(12, 12, 0.0)
    far = 12 + MAX_HOLES + 1
    assert buffer.push(far, far, 0.0) == [None, 12, None, far]
    assert not buffer.waiting
    assert buffer.push(far + 1, 1, 0.0) == (1,)


def test_many_breaks_are_no_more_repaired_than_a_long_one() -> None:
    buffer, _ = buffer_with(repair=True)
    buffer.push(0, 0, 0.0)
    asked: set[int] = set()
    for n in range(1, 100):
        released = buffer.push(n * 100, n * 100, 0.0)
        if released:
            assert released[-1] == n * 100, "begun anew with the newest"
            asked.clear()
        asked.update(buffer.nacks(0.01))
        assert len(asked) <= MAX_HOLES


def test_skipping_to_what_is_wanted() -> None:
    buffer, _ = buffer_with(repair=True)
    buffer.push(10, 10, 0.0)
    for n in (12, 14, 15, 17):
        buffer.push(n, n, 0.0)
    assert buffer.skip_to(lambda n: n > 90) == []
    assert buffer.skip_to(lambda n: n % 5 == 0) == [None, 15]
    assert buffer.waiting
    assert buffer.push(16, 16, 0.0) == [16, 17]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.2),
    jitter=st.floats(0, 0.06),
    round_trip=st.floats(0.001, 0.6),
    rtx=st.booleans(),
)
def test_any_network_gives_rising_order_with_every_break_told(
    seed: int, loss: float, jitter: float, round_trip: float, rtx: bool
) -> None:
    """Simulated: 400 packets 3 ms apart, each late by up to `jitter`; NACKs are answered after `round_trip`."""
    rng = random.Random(seed)
    buffer, timing = buffer_with(repair=True, rtx=rtx)
    events = [(n * 0.003 + rng.uniform(0, jitter), n, False) for n in range(400) if n < 1 or rng.random() >= loss]
    heapq.heapify(events)
    out: list[int | None] = []
    first_seen: dict[int, float] = {}
    now, requests = 0.0, 0
    while events or buffer.waiting:
        due = buffer.deadline() if buffer.waiting else float("inf")
        if events and events[0][0] <= due:
            now, number, again = heapq.heappop(events)
            released = buffer.push(number, number, now, again and rtx)
        else:
            now = max(now, due)
            released = buffer.give_up(now)
            for number in buffer.nacks(now):
                requests += 1
                assert requests < 20_000
                if rng.random() >= loss:
                    heapq.heappush(events, (now + round_trip, number, True))
        for number in released:
            if number is not None:
                first_seen[number] = now
        out.extend(released)
    numbers = [n for n in out if n is not None]
    assert numbers == sorted(set(numbers))
    for before, after in pairwise(out):
        if before is not None and after is not None:
            assert after == before + 1, "a break that was not told"
    for number, moment in first_seen.items():  # nothing waits longer than patience allows, twice over at the most
        assert moment - number * 0.003 <= jitter + 2 * 1.0 + 0.01
    if loss == 0 and jitter < 0.15:
        assert len(numbers) == 400 - numbers[0]
    assert timing.guard <= 0.1
