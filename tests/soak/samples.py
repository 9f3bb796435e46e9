"""What a process holds: memory, descriptors and threads from /proc, asyncio tasks from the probe in it."""

import asyncio
import os
import signal
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
    tasks: tuple[str, ...] = ()
    """Names of the coroutines."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What must not differ at all."""
        return self.pid, self.descriptors, self.threads, len(self.tasks)


@dataclass(frozen=True)
class Sample:
    """All long-lived processes at one quiescent point."""

    seconds: float
    """Since the start of the soak."""
    readings: dict[str, Reading]
    """By what the process is: product, zygote, relay."""

    @property
    def counts(self) -> dict[str, tuple[int, int, int, int]]:
        return {name: reading.counts for name, reading in self.readings.items()}


def read(pid: int, tasks: tuple[str, ...] = ()) -> Reading:
    """Raises OSError when the process has ended."""
    process = Path(f"/proc/{pid}")
    sizes = {}
    for line in (process / "smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        sizes[name] = int(size) / 1024
    return Reading(
        pid, sizes["Rss:"], sizes["Pss:"], len(os.listdir(process / "fd")), len(os.listdir(process / "task")), tasks
    )


def probe(folder: Path) -> dict[str, str]:
    """The environment in which the product's processes tell their tasks."""
    folder.mkdir()
    return {"PYTHONPATH": str(Path(__file__).with_name("probe")), "SOAK_TASKS": str(folder)}


async def tasks(pid: int, folder: Path) -> tuple[str, ...]:
    """Of a process that runs an event loop. Raises TimeoutError when it does not answer."""
    told = folder / str(pid)
    told.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    async with asyncio.timeout(5):
        while not told.exists():  # noqa: ASYNC110 - a file of another process signals nothing
            await asyncio.sleep(0.02)
    return tuple(told.read_text().splitlines())


def open_files(pid: int) -> list[str]:
    """What the descriptors are, for a report of those that were not closed."""
    folder = Path(f"/proc/{pid}/fd")
    return sorted(os.readlink(folder / name) for name in os.listdir(folder) if (folder / name).is_symlink())
