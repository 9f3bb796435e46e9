"""Pure: the ports of a relay pod where it shares its node's address."""

import random
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

PortRange = tuple[int, int]
"""First and last port."""


class MediaMode(StrEnum):
    """How browsers reach the UDP ports of a relay."""

    POD_NETWORK = "podNetwork"
    """At the pod's own address, directly or by TURN."""
    HOST_NETWORK = "hostNetwork"
    """The pod has its node's network."""
    HOST_PORT = "hostPort"
    """A block of ports of the node is passed to the pod."""


class RelayPorts(NamedTuple):
    control: int
    media: PortRange | None
    """UDP; None: any free one of the pod."""


def pick_control_port(ports: PortRange, in_use: Iterable[int], rng: random.Random) -> int:
    """A port at random, which no other relay has if possible. Where two have the same the scheduler gives them
    different nodes."""
    return _least_used(range(ports[0], ports[1] + 1), in_use, rng)


def pick_media_block(ports: PortRange, size: int, in_use: Iterable[PortRange], rng: random.Random) -> PortRange:
    """A block of `size` ports in the range, as `pick_control_port`. Raises ValueError if not even one fits in."""
    starts = range(ports[0], ports[1] - size + 2, size)
    if not starts:
        raise ValueError(f"mediaPortRange must hold at least {size} ports")
    # blocks of another size, from before a change of settings, may lie across two of today's
    taken = [s for first, last in in_use for s in starts if s <= last and first < s + size]
    start = _least_used(starts, taken, rng)
    return start, start + size - 1


def _least_used(candidates: range, in_use: Iterable[int], rng: random.Random) -> int:
    uses = Counter(port for port in in_use if port in candidates)
    least = min(uses.values()) if len(uses) == len(candidates) else 0
    return rng.choice([port for port in candidates if uses[port] == least])
