"""Pure: what the probes say. Not live: Kubernetes starts the operator again. Not ready: others wait for it."""

from collections.abc import Collection
from typing import NamedTuple

STUCK_SECONDS = 300.0
"""One reconciliation has time limits in all that it waits for, and never takes so long."""

SILENT_SECONDS = 60.0
"""A candidate that has not seen the Lease for so long cannot stand by for another."""


class Vitals(NamedTuple):
    """What is known of the operator at one moment. Times are in seconds."""

    leading: bool
    """It holds the Lease."""
    listed: bool
    """All objects were listed since it leads, and are being watched."""
    lease_seen: float
    """Since the Lease was last seen."""
    unwatched: Collection[str] = ()
    """Kinds of which a listing found a change that the watch never told."""
    longest_work: float = 0.0
    """How long the longest of the reconciliations under way has been going on."""
    sweep_tried: float = 0.0
    """Since the last sweep ended, with or without success, or since the operator leads."""
    resync: float = 120.0
    """Between two sweeps."""


def not_live(vitals: Vitals) -> list[str]:
    """What a new start would cure; empty: it lives. An API server that is away is not among it."""
    if not vitals.leading:
        return []
    faults = [f"the watch of {kind} is dead" for kind in sorted(vitals.unwatched)]
    if vitals.longest_work > STUCK_SECONDS:
        faults.append(f"a reconciliation has been going on for {vitals.longest_work:.0f} s")
    if vitals.sweep_tried > 3 * vitals.resync + STUCK_SECONDS:
        faults.append(f"no sweep for {vitals.sweep_tried:.0f} s")
    return faults


def not_ready(vitals: Vitals) -> list[str]:
    """What is in the way of its work; empty: it works, or stands by for another one."""
    if vitals.leading:
        return not_live(vitals) + ([] if vitals.listed else ["the objects have not been listed yet"])
    return [] if vitals.lease_seen < SILENT_SECONDS else [f"the Lease was not seen for {vitals.lease_seen:.0f} s"]
