"""What a publisher may send, by the loss seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.ingest.bitrate import FLOOR, REPORTS, BitratePolicy

CAP = 4_000_000


def run(policy: BitratePolicy, shares: list[float], bitrate: int | None = None) -> list[int]:
    """The limit after each second with that share lost; the sender uses all of it, or `bitrate`."""
    limits = []
    for share in shares:
        rate = min(bitrate or policy.limit, policy.limit)
        policy.report(round(rate / 8000), round(share * rate / 8000), round(rate * (1 - share) / 8))
        limits.append(policy.limit)
    return limits


@pytest.mark.parametrize(
    ("shares", "least", "most"),
    [
        pytest.param([0.0] * 30, CAP, CAP, id="clean"),
        pytest.param([0.05] * 30, CAP, CAP, id="5 % is repaired"),
        pytest.param([0.0, 0.2, 0.0, 0.0] * 8, CAP, CAP, id="a bad second now and then"),
        pytest.param([0.1] * REPORTS, 0.7 * CAP, 0.8 * CAP, id="10 % that lasts: a step"),
        pytest.param([0.1] * 6, 0.5 * CAP, 0.6 * CAP, id="10 % that goes on: another"),
        pytest.param([0.6] * REPORTS, 0.15 * CAP, 0.25 * CAP, id="more than half: half of what came"),
        pytest.param([0.3] * 60, FLOOR, FLOOR, id="never below the floor"),
        pytest.param([0.1] * REPORTS + [0.05] * 10, 0.75 * CAP, 0.9 * CAP, id="slowly while loss is usual"),
        pytest.param([0.3] * 60 + [0.05] * 150, CAP, CAP, id="a path that always loses a little gets all back"),
        pytest.param([0.1] * REPORTS + [0.0] * (REPORTS + 3), CAP, CAP, id="it comes back"),
        pytest.param([0.3] * 60 + [0.0] * (REPORTS + 18), CAP, CAP, id="from the floor within half a minute"),
        pytest.param([0.3] * 60 + [0.0] * (REPORTS + 5), 1.9 * FLOOR, 2.6 * FLOOR, id="not at once"),
    ],
)
def test_the_limit_after_so_many_seconds(shares: list[float], least: float, most: float) -> None:
    assert least <= run(BitratePolicy(CAP), shares)[-1] <= most


def test_it_falls_below_what_is_sent_not_below_what_was_allowed() -> None:
    assert run(BitratePolicy(CAP), [0.1] * REPORTS, bitrate=1_000_000)[-1] == pytest.approx(0.85 * 900_000, rel=0.01)


def test_below_the_floor_the_ceiling_is_the_floor() -> None:
    policy = BitratePolicy(200_000)
    assert set(run(policy, [0.5] * 20)) == {200_000}


def test_seconds_without_packets_tell_nothing() -> None:
    policy = BitratePolicy(CAP)
    lowered = run(policy, [0.1] * REPORTS)[-1]
    for _ in range(20):
        policy.report(0, 0, 0)
    assert policy.limit == lowered


def test_a_lost_packet_of_a_few_says_nothing() -> None:
    """A screen that stands still is some packets a second."""
    policy = BitratePolicy(CAP)
    for _ in range(30):
        policy.report(5, 2, 3000)
        assert policy.limit == CAP


def test_a_path_too_narrow_for_sound_and_picture_is_still_told_so() -> None:
    policy = BitratePolicy(CAP)
    for _ in range(REPORTS):
        policy.report(300, 290, 12_000)
    assert policy.limit == FLOOR


@given(
    st.lists(st.tuples(st.integers(-5, 2000), st.integers(-2000, 2000), st.integers(0, 10**7))), st.integers(1, 10**8)
)
def test_it_keeps_between_floor_and_ceiling(reports: list[tuple[int, int, int]], ceiling: int) -> None:
    policy = BitratePolicy(ceiling)
    for report in reports:
        policy.report(*report)
        assert min(FLOOR, ceiling) <= policy.limit <= ceiling
