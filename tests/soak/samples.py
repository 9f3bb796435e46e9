"""What a process holds, from /proc: memory, descriptors, threads."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """One process at one time; memory in MiB."""

    pid: int
    rss: float
    pss: float
    descriptors: int
    threads: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """What must not differ at all."""
        return self.pid, self.descriptors, self.threads


@dataclass(frozen=True)
class Sample:
    """All long-lived processes at one quiescent point."""

    seconds: float
    """Since the start of the soak."""
    readings: dict[str, Reading]
    """By what the process is: product, zygote, relay."""

    @property
    def counts(self) -> dict[str, tuple[int, int, int]]:
        return {name: reading.counts for name, reading in self.readings.items()}


def read(pid: int) -> Reading:
    """Raises OSError when the process has ended."""
    process = Path(f"/proc/{pid}")
    sizes = {}
    for line in (process / "smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        sizes[name] = int(size) / 1024
    return Reading(
        pid, sizes["Rss:"], sizes["Pss:"], len(os.listdir(process / "fd")), len(os.listdir(process / "task"))
    )


def open_files(pid: int) -> list[str]:
    """What the descriptors are, for a report of those that were not closed."""
    folder = Path(f"/proc/{pid}/fd")
    return sorted(os.readlink(folder / name) for name in os.listdir(folder) if (folder / name).is_symlink())
