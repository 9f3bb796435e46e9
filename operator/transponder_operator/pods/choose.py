"""Pure: which pod serves a stream, and which idle one to claim for it."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from transponder_operator.pods.state import PodState, RelayPod


class Choice(NamedTuple):
    """The pods that are labelled for one stream, told apart."""

    pod: RelayPod | None
    """The one that serves it, or will."""
    surplus: tuple[RelayPod, ...]
    """Those that must go: dead ones, and what two claims at the same time left over."""


def choose(pods: Iterable[RelayPod], heard: Callable[[RelayPod], bool]) -> Choice:
    """Of several the oldest that serves stays, else the oldest that starts. `heard`: whether its relay reports."""
    alive: list[RelayPod] = []
    dead: list[RelayPod] = []
    for pod in pods:
        (dead if is_dead(pod, heard) else alive).append(pod)
    alive.sort(key=_rank)
    return Choice(alive[0] if alive else None, (*dead, *alive[1:]))


def is_dead(pod: RelayPod, heard: Callable[[RelayPod], bool]) -> bool:
    """Dead, or lost to Kubernetes and silent."""
    return pod.state is PodState.DEAD or (pod.doubt is not None and not heard(pod))


def to_claim(pods: Iterable[RelayPod], template_hash: str, taken: Collection[str]) -> RelayPod | None:
    """The idle pod to give to a stream: one that is ready, of today's template if possible, else one of it that is
    about to start. `taken`: names of those that are being claimed or removed already."""
    free = [pod for pod in pods if pod.idle and not pod.deleting and pod.name not in taken]
    ready = [pod for pod in free if pod.state is PodState.IDLE]
    starting = [p for p in free if p.starting and p.unimpeded and p.template_hash == template_hash]
    ready.sort(key=lambda pod: (pod.template_hash != template_hash, pod.created, pod.name))
    starting.sort(key=lambda pod: (pod.created, pod.name))
    return next(iter((*ready, *starting)), None)


def _rank(pod: RelayPod) -> tuple[bool, bool, str, str]:
    # one that cannot start goes behind one that may
    return pod.starting, not pod.unimpeded, pod.claimed_at, pod.name
