"""Pure: is what the samples show flat? Each fault is a sentence."""

from collections.abc import Sequence

from soak.samples import Reading, Sample


def faults(samples: Sequence[Sample], growth_mib: float) -> list[str]:
    """`samples`: at least three, of quiescent points of one kind, in order. Empty is good.

    Descriptors, threads and tasks must be as many at the last as at the first; RSS, by a line fitted to what comes
    after the first third, must not grow by more than `growth_mib` over that time. A process must not be replaced.
    """
    if len(samples) < 3:
        return [f"only {len(samples)} rounds were done: three are needed to tell anything"]
    found = []
    for name, first in samples[0].readings.items():
        last = samples[-1].readings[name]
        found += _of_counts(name, first, last, len(samples))
        if last.pid == first.pid:
            found += _of_memory(name, samples, growth_mib)
    return found


def _of_counts(name: str, first: Reading, last: Reading, rounds: int) -> list[str]:
    if first.pid != last.pid:
        return [f"{name}: process {first.pid} ended and was replaced by {last.pid}"]
    found = []
    for what, before, after in (
        ("file descriptors", first.descriptors, last.descriptors),
        ("threads", first.threads, last.threads),
        ("asyncio tasks", len(first.tasks), len(last.tasks)),
    ):
        if before != after:
            found.append(f"{name}: {before} {what} after round 1, {after} after round {rounds}")
    return found


def _of_memory(name: str, samples: Sequence[Sample], growth_mib: float) -> list[str]:
    late = samples[len(samples) // 3 :]
    grown = growth(late, name)
    if grown <= growth_mib:
        return []
    seconds = late[-1].seconds - late[0].seconds
    return [f"{name}: RSS grew by {grown:.1f} MiB in {seconds:.0f} s after the warm-up; {growth_mib:.1f} MiB may be"]


def growth(samples: Sequence[Sample], name: str) -> float:
    """MiB by which the line of least squares through the RSS of a process rises from the first to the last sample."""
    times = [sample.seconds for sample in samples]
    sizes = [sample.readings[name].rss for sample in samples]
    mean_time, mean_size = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((time - mean_time) ** 2 for time in times)
    if not spread:
        return 0.0
    slope = sum((t - mean_time) * (s - mean_size) for t, s in zip(times, sizes, strict=True)) / spread
    return slope * (times[-1] - times[0])
