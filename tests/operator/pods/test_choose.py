"""Which pod serves a stream, and which one is claimed for it."""

from typing import Any

import pytest
from support.relay_pods import NOW, lost_node, pod, terminated, unready, unschedulable, waiting

from transponder_operator.pods.choose import choose, to_claim
from transponder_operator.pods.state import RelayPod, read_pod


def of_demo(name: str, **more: Any) -> RelayPod:
    return read_pod(pod(name, stream="demo", **more), NOW)


def idle(name: str, **more: Any) -> RelayPod:
    return read_pod(pod(name, **more), NOW)


STARTING = waiting("ContainerCreating")

CHOICES: dict[str, tuple[list[RelayPod], str | None, list[str]]] = {
    "none": ([], None, []),
    "one": ([of_demo("a")], "a", []),
    "the one that was claimed first": ([of_demo("a", claimed_ago=1), of_demo("b", claimed_ago=2)], "b", ["a"]),
    "the order of names where all is the same": ([of_demo("b"), of_demo("a")], "a", ["b"]),
    "one that serves before one that starts": (
        [of_demo("a", status=STARTING, claimed_ago=9), of_demo("b", claimed_ago=1)],
        "b",
        ["a"],
    ),
    "one that may start before one that cannot": (
        [of_demo("a", status=unschedulable(), claimed_ago=9), of_demo("b", status=STARTING, claimed_ago=1)],
        "b",
        ["a"],
    ),
    "a drained one goes on": ([of_demo("a", due_in=3600, claimed_ago=9), of_demo("b", claimed_ago=1)], "a", ["b"]),
    "dead ones are none": ([of_demo("a", status=terminated())], None, ["a"]),
    "dead ones go": ([of_demo("a", status=terminated(), claimed_ago=9), of_demo("b")], "b", ["a"]),
    "a lost one is dead": ([of_demo("a", status=lost_node())], None, ["a"]),
    "one that was never ready is dead": ([of_demo("a", status=unready(1000))], None, ["a"]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_which_one_serves(name: str) -> None:
    pods, chosen, surplus = CHOICES[name]
    choice = choose(pods, lambda _: False)
    assert (choice.pod.name if choice.pod else None) == chosen
    assert [pod.name for pod in choice.surplus] == surplus


@pytest.mark.parametrize("status", [lost_node(), unready(1000)])
def test_a_lost_one_whose_relay_is_heard_stays(status: dict[str, Any]) -> None:
    lost = of_demo("a", status=status)
    assert choose([lost], lambda pod: pod.name == "a").pod == lost


def test_a_dead_one_is_dead_whatever_is_heard() -> None:
    assert choose([of_demo("a", status=terminated())], lambda _: True).pod is None


CLAIMS: dict[str, tuple[list[RelayPod], str | None]] = {
    "none": ([], None),
    "ready": ([idle("a")], "a"),
    "the oldest": ([idle("a", age=1), idle("b", age=2)], "b"),
    "today's template first": ([idle("a", age=9, template_hash="old"), idle("b", age=1)], "b"),
    "an older template rather than one that starts": (
        [idle("a", template_hash="old"), idle("b", status=STARTING)],
        "a",
    ),
    "one that starts": ([idle("a", status=STARTING)], "a"),
    "not one that starts by an older template": ([idle("a", status=STARTING, template_hash="old")], None),
    "not one that cannot start": ([idle("a", status=unschedulable())], None),
    "not one that is lost": ([idle("a", status=lost_node())], None),
    "not one that is being deleted": ([idle("a", due_in=10)], None),
    "not one that is taken": ([idle("taken")], None),
    "not a dead one": ([idle("a", status=terminated())], None),
    "not one of a stream": ([of_demo("a")], None),
    "not one that somebody put aside": ([idle("a", idle=False)], None),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_which_one_is_claimed(name: str) -> None:
    pods, claimed = CLAIMS[name]
    pod = to_claim(pods, "today", {"taken"})
    assert (pod.name if pod else None) == claimed
