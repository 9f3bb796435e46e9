"""CPU time and memory of a set of processes, from /proc."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """MiB; `pss` counts shared pages once over all who share them."""

    rss: float
    pss: float
    processes: int


class CpuMeter:
    """User + system time of processes that may come and go; one that ends counts up to the last look."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._start = time.monotonic()
        self._at_start = {pid: _cpu_seconds(pid) for pid in pids()}
        self._latest = dict(self._at_start)

    def look(self) -> None:
        for pid in self._pids():
            self._latest[pid] = max(_cpu_seconds(pid), self._latest.get(pid, 0.0))

    def percent_of_a_core(self) -> float:
        """Since the meter was made."""
        self.look()
        used = sum(seconds - self._at_start.get(pid, 0.0) for pid, seconds in self._latest.items())
        return 100 * used / (time.monotonic() - self._start)


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def memory(pids: Iterable[int]) -> Memory:
    """Of all processes together."""
    rss = pss = processes = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
        rss, pss, processes = rss + sizes["Rss:"], pss + sizes["Pss:"], processes + 1
    return Memory(rss / 1024, pss / 1024, processes)
