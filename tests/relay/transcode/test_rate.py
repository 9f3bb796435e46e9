"""How many bits the encoder is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.transcode.rate import CLOCK, SourceRate, differs, target

HD = 1280 * 720
CAP = 4_000_000


def steady(bitrate: int, fps: int, seconds: float = 3) -> SourceRate:
    rate = SourceRate()
    for number in range(int(seconds * fps)):
        rate.add(number * CLOCK // fps, bitrate // fps // 8)
    return rate


def test_before_anything_is_known_the_size_decides() -> None:
    assert target(SourceRate(), HD, CAP) * 30 == pytest.approx(2_200_000, rel=0.02)
    assert target(SourceRate(), HD, 1_000_000) * 30 == pytest.approx(1_000_000, rel=0.001)
    assert target(steady(800_000, 30, 0.3), HD, CAP) == target(SourceRate(), HD, CAP), "too short to tell"


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_it_follows_the_source_with_some_headroom(fps: int) -> None:
    assert target(steady(1_500_000, fps), HD, CAP) * fps == pytest.approx(1_800_000, rel=0.01)


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_it_stays_under_the_cap(fps: int) -> None:
    assert target(steady(3_900_000, fps), HD, CAP) * fps == pytest.approx(CAP, rel=0.01)


def test_it_never_starves_the_picture() -> None:
    assert target(steady(20_000, 30), HD, CAP) == int(0.02 * HD)


def test_the_window_is_two_seconds() -> None:
    rate = steady(300_000, 30)
    for number in range(90, 90 + 75):
        rate.add(number * 3000, 2_400_000 // 30 // 8)
    assert rate.bits_per_picture == pytest.approx(2_400_000 / 30, rel=0.01)
    assert rate.pictures_per_second == pytest.approx(30)


@pytest.mark.parametrize("jump", [-1_000_000, 10 * CLOCK, 1 << 33])
def test_a_clock_that_jumps_begins_anew(jump: int) -> None:
    rate = steady(300_000, 30)
    assert rate.measured
    rate.add(270_000 + jump, 1000)
    assert not rate.measured
    assert rate.bits_per_picture == 8000


def test_small_changes_are_not_worth_an_encoder() -> None:
    assert not differs(1200, 1000)
    assert not differs(800, 1000)
    assert differs(1300, 1000)
    assert differs(700, 1000)


@given(
    pictures=st.lists(st.tuples(st.integers(-(1 << 34), 1 << 34), st.integers(0, 1 << 20)), max_size=50),
    pixels=st.integers(4, 1 << 24),
    cap=st.integers(30_000, 100_000_000),
)
def test_any_source_gives_a_budget_within_bounds(pictures: list[tuple[int, int]], pixels: int, cap: int) -> None:
    rate = SourceRate()
    for time, size in pictures:
        rate.add(time, size)
        budget = target(rate, pixels, cap)
        assert budget == 1000 or budget * (rate.pictures_per_second if rate.measured else 30) <= cap * 1.001
        assert budget >= 1000
