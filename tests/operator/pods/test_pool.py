"""How many idle relays are made, and what is removed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.relay_pods import NOW, lost_node, pod, terminated, unready, unschedulable, waiting

from transponder_crd.relay_host import Absence
from transponder_operator.pods.failures import Failures, delay_after
from transponder_operator.pods.pool import PoolWish, free_places, next_look, plan_pool
from transponder_operator.pods.state import RelayPod, read_pod

STARTING = waiting("ContainerCreating")
WHY = Absence("RelayFailed", "the relay ended with code 1")


def one(name: str, **more: Any) -> RelayPod:
    return read_pod(pod(name, **more), NOW)


def old(name: str, **more: Any) -> RelayPod:
    return one(name, template_hash="old", **more)


def wish(size: int, max_starting: int = 10, **more: int) -> PoolWish:
    return PoolWish(size, max_starting, "today", **more)


PLANS: dict[str, tuple[list[RelayPod], PoolWish, int, list[str]]] = {
    "empty": ([], wish(2), 2, []),
    "no pool": ([], wish(0), 0, []),
    "full": ([one("a"), one("b")], wish(2), 0, []),
    "starting ones count": ([one("a", status=STARTING), one("b")], wish(2), 0, []),
    "claimed ones do not": ([one("a", stream="demo")], wish(1), 1, []),
    "one that somebody put aside does not": ([one("a", idle=False)], wish(1), 1, []),
    "one that is being deleted does not": ([one("a", due_in=10)], wish(1), 1, []),
    "a dead one is replaced": ([one("a", status=terminated())], wish(1), 1, ["a"]),
    "a lost one is replaced": ([one("a", status=lost_node())], wish(1), 1, ["a"]),
    "one that never got ready is replaced": ([one("a", status=unready(1000))], wish(1), 1, ["a"]),
    "one without a node is waited for": ([one("a", status=unschedulable())], wish(1), 0, []),
    "at most so many start": ([], wish(20, 3), 3, []),
    "so many with those of streams": ([one("a", stream="demo", status=STARTING)], wish(20, 3), 2, []),
    "so many with those under way": ([], wish(20, 3, creating=1), 2, []),
    "streams come first": ([], wish(20, 3, waiting=2), 1, []),
    "streams come first, all places": ([], wish(20, 3, waiting=9), 0, []),
    "too many: what starts goes first": ([one("a"), one("b", status=STARTING)], wish(1), 0, ["b"]),
    "too many: the youngest go": ([one("a", age=2), one("b", age=1), one("c", age=3)], wish(1), 0, ["b", "a"]),
    "no pool any more": ([one("a"), old("b")], wish(0), 0, ["b", "a"]),
    "upgrade: a new one first": ([old("a"), old("b")], wish(2), 1, []),
    "upgrade: the new one starts": ([old("a"), old("b"), one("c", status=STARTING)], wish(2), 0, []),
    "upgrade: the new one is ready": ([old("a", age=2), old("b", age=1), one("c")], wish(2), 1, ["b"]),
    "upgrade: the next is ready": ([old("a"), one("c"), one("d")], wish(2), 0, ["a"]),
    "upgrade: what does not start is no loss": ([old("a", status=unschedulable())], wish(1), 1, ["a"]),
    "upgrade: claimed ones go on": ([old("a", stream="demo"), one("b")], wish(1), 0, []),
    "garbage of streams": (
        [
            one("a", stream="demo", claimed_ago=900),
            one("b", stream="demo"),
            one("c", stream="demo", status=terminated()),
            one("d", stream="other", status=terminated()),
        ],
        wish(0),
        0,
        ["c", "b", "d"],
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_plan(name: str) -> None:
    pods, wanted, create, remove = PLANS[name]
    plan = plan_pool(pods, wanted, lambda _: False)
    assert (plan.create, [pod.name for pod in plan.remove]) == (create, remove)


def test_a_lost_one_whose_relay_is_heard_is_no_garbage() -> None:
    pods = [one("a", stream="demo", status=lost_node())]
    assert plan_pool(pods, wish(0), lambda _: True).remove == ()
    assert [pod.name for pod in plan_pool(pods, wish(0), lambda _: False).remove] == ["a"]


@given(
    st.lists(st.sampled_from(["ready", "starting", "old", "old-starting", "dead", "claimed"]), max_size=8),
    st.integers(0, 4),
    st.integers(1, 3),
)
def test_any_beginning_comes_to_the_wish(kinds: Sequence[str], size: int, max_starting: int) -> None:
    """Carried out step by step, with all that starts getting ready in between, and never too much at once."""
    pods = [_of_kind(kind, number) for number, kind in enumerate(kinds)]
    wanted = wish(size, max_starting)
    ready_before = min(size, sum(_ready(pod) for pod in pods))
    for step in range(30):
        plan = plan_pool(pods, wanted, lambda _: False)
        if plan.create == 0 and not plan.remove and not any(pod.idle and pod.starting for pod in pods):
            break
        pods = [pod for pod in pods if pod not in plan.remove]
        starting_before = sum(pod.starting for pod in pods)
        pods += [one(f"new-{step}-{number}", status=STARTING) for number in range(plan.create)]
        assert sum(pod.starting for pod in pods) <= max(max_starting, starting_before)
        assert min(size, sum(_ready(pod) for pod in pods)) >= ready_before
        pods = [_of_kind("ready", pod.name) if pod.idle and pod.starting else pod for pod in pods]
        ready_before = min(size, sum(_ready(pod) for pod in pods))
    idle = [pod for pod in pods if pod.idle]
    assert len(idle) == size
    assert {pod.template_hash for pod in idle} <= {"today"}
    assert sum(pod.stream is not None for pod in pods) == kinds.count("claimed")


def _ready(pod: RelayPod) -> bool:
    return pod.idle and pod.state == "idle"


def _of_kind(kind: str, name: object) -> RelayPod:
    rows: dict[str, dict[str, Any]] = {
        "ready": {},
        "starting": {"status": STARTING},
        "old": {"template_hash": "old"},
        "old-starting": {"template_hash": "old", "status": STARTING},
        "dead": {"status": terminated()},
        "claimed": {"stream": f"stream-{name}"},
    }
    return one(f"p{name}", **rows[kind])


def test_free_places() -> None:
    pods = [one("a", status=STARTING), one("b", stream="demo", status=STARTING), one("c")]
    assert free_places(pods, wish(1, 5, creating=2)) == 1
    assert free_places(pods, wish(1, 1)) == 0


def test_when_to_look_again() -> None:
    assert next_look([one("a")], NOW) is None
    assert next_look([one("a", status=unready(100)), one("b", status=unready(200))], NOW) == 100
    assert next_look([one("a", status=unready(100))], NOW + timedelta(seconds=900)) == 0


def test_delays() -> None:
    assert [delay_after(failures) for failures in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert delay_after(10_000) == 30


def test_failures_in_a_row() -> None:
    failures, now = Failures(), NOW
    waits = []
    for _ in range(5):
        failures.add(WHY, now)
        waits.append(failures.wait(now))
        now += timedelta(seconds=waits[-1])
        assert failures.wait(now) == 0
    assert waits == [0, 1, 2, 4, 8]
    assert failures.why == WHY


def test_many_failures_at_once_are_one() -> None:
    failures = Failures()
    for _ in range(50):
        failures.add(WHY, NOW)
    assert failures.wait(NOW) == 1


def test_what_went_well_for_long_begins_anew() -> None:
    failures = Failures()
    for _ in range(3):
        failures.add(WHY, NOW + timedelta(seconds=60 * _))
    later = NOW + timedelta(seconds=1000)
    failures.add(WHY, later, later - timedelta(seconds=59))
    assert failures.wait(later) == 4
    later += timedelta(seconds=1000)
    failures.add(WHY, later, later - timedelta(seconds=60))
    assert failures.wait(later) == 0


def test_a_success_forgets_failures() -> None:
    failures = Failures()
    for _ in range(3):
        failures.add(WHY, NOW)
    failures.clear()
    assert (failures.wait(NOW), failures.why) == (0, None)
