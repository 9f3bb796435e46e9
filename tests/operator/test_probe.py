"""What the probes say."""

import pytest

from transponder_operator.probe import STUCK_SECONDS, Vitals, not_live, not_ready

WELL = Vitals(leading=True, listed=True, lease_seen=1)


def test_a_leader_that_works() -> None:
    assert not_live(WELL) == []
    assert not_ready(WELL) == []


@pytest.mark.parametrize(
    ("vitals", "fault"),
    [
        (WELL._replace(unwatched=["streams"]), "the watch of streams is dead"),
        (WELL._replace(longest_work=STUCK_SECONDS + 1), "a reconciliation has been going on for 301 s"),
        (WELL._replace(sweep_tried=3 * 120 + STUCK_SECONDS + 1), "no sweep for 661 s"),
    ],
)
def test_what_a_new_start_would_cure(vitals: Vitals, fault: str) -> None:
    assert not_live(vitals) == [fault]
    assert not_ready(vitals) == [fault]


def test_a_leader_is_ready_once_it_has_seen_all() -> None:
    vitals = WELL._replace(listed=False)
    assert not_live(vitals) == []
    assert not_ready(vitals) == ["the objects have not been listed yet"]


def test_one_that_stands_by_is_ready_while_it_sees_the_lease() -> None:
    standing_by = Vitals(leading=False, listed=False, lease_seen=2, longest_work=1e6, sweep_tried=1e6)
    assert not_live(standing_by) == not_ready(standing_by) == []
    blind = standing_by._replace(lease_seen=61)
    assert not_live(blind) == []
    assert not_ready(blind) == ["the Lease was not seen for 61 s"]
