"""Pure: how many idle relays to make and which pods to remove, given what is there."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from transponder_operator.pods.choose import choose, is_dead
from transponder_operator.pods.state import PodState, RelayPod


class PoolWish(NamedTuple):
    """What the installation wants, and what is on its way already."""

    size: int
    max_starting: int
    template_hash: str
    creating: int = 0
    """Pods that are being created and not in the list yet."""
    waiting: int = 0
    """Streams without a pod: what may be started is for them first."""


class PoolPlan(NamedTuple):
    create: int
    """Idle pods to make now."""
    remove: tuple[RelayPod, ...]
    """Pods of the pool, and of streams, that must go."""


def plan_pool(pods: Iterable[RelayPod], wish: PoolWish, heard: Callable[[RelayPod], bool]) -> PoolPlan:
    """Level-triggered: what is missing or too much is seen from what is there alone."""
    all_pods = list(pods)
    idle = [pod for pod in all_pods if pod.idle and not pod.deleting and not is_dead(pod, heard)]
    fresh = [pod for pod in idle if pod.template_hash == wish.template_hash]
    stale = [pod for pod in idle if pod.template_hash != wish.template_hash]
    garbage = [pod for pod in all_pods if pod.stream is None and pod.idle and is_dead(pod, heard)]
    outdated, create = _replace(fresh, stale, wish.size), wish.size - len(fresh)
    if stale:
        create = min(create, wish.size + 1 - len(fresh) - len(stale) + len(outdated))  # one more than wanted at most
    create = min(create, free_places(all_pods, wish) - wish.waiting)
    too_many = _least_useful(fresh)[: max(0, len(fresh) - wish.size)]
    return PoolPlan(max(0, create), (*garbage, *surplus(all_pods, heard), *outdated, *too_many))


def free_places(pods: Iterable[RelayPod], wish: PoolWish) -> int:
    """How many more pods may be starting at once."""
    starting = sum(pod.starting for pod in pods)
    return max(0, wish.max_starting - starting - wish.creating)


def surplus(pods: Iterable[RelayPod], heard: Callable[[RelayPod], bool]) -> list[RelayPod]:
    """Pods of streams that are dead, or that another one serves already."""
    by_stream: dict[str, list[RelayPod]] = {}
    for pod in pods:
        if pod.stream is not None:
            by_stream.setdefault(pod.stream, []).append(pod)
    return [pod for of_one in by_stream.values() for pod in choose(of_one, heard).surplus]


def next_look(pods: Iterable[RelayPod], now: datetime) -> float | None:
    """Seconds until a pod is late although nothing tells of it; None: none will be."""
    times = [(pod.doubtful_at - now).total_seconds() for pod in pods if pod.doubtful_at]
    return max(0.0, min(times)) if times else None


def _replace(fresh: Sequence[RelayPod], stale: Sequence[RelayPod], size: int) -> list[RelayPod]:
    """Pods of an older template whose place is taken, and those that are of no use."""
    useless = [pod for pod in stale if pod.state is not PodState.IDLE]
    ready = _least_useful([pod for pod in stale if pod.state is PodState.IDLE])
    taken = sum(pod.state is PodState.IDLE for pod in fresh)
    return [*useless, *ready[: max(0, taken + len(ready) - size)]]


def _least_useful(pods: Sequence[RelayPod]) -> list[RelayPod]:
    """Those that are not ready first, and of them the youngest."""
    by_age = sorted(pods, key=lambda pod: (pod.created, pod.name), reverse=True)
    return sorted(by_age, key=lambda pod: pod.state is PodState.IDLE)
