"""The soak: rounds of churn, and at the end of each the same quiet moment at which the product is measured."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from soak.churn import SOUND, Churn
from soak.samples import Sample, open_files, probe, read, tasks
from soak.verdict import faults
from support.clip import clip
from support.nginx_rtmp import nginx_rtmp
from support.product import MANGLED, Product, Rest, running_product
from support.sounds import RATE, tone, wav

HOLD_SECONDS = 2
EBB_SECONDS = 15.0
"""Sessions that were ended are gone by then."""
STEADY_SECONDS = 1.0
POOL_SECONDS = 17.0
"""Idle connections are closed after 5 s, by aiohttp on its next look at them, up to 5 s later."""
LONGEST_SECONDS = 60.0
TASKS = "tasks"
"""Where the processes tell them, in the folder of the soak."""


async def soak(
    folder: Path,
    seconds: float,
    growth_mib: float,
    least_rounds: int = 3,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Rounds until `seconds` are over, `least_rounds` at least; the faults found. Raises what a round failed with."""
    samples: list[Sample] = []
    async with AsyncExitStack() as stack:
        nginx = await stack.enter_async_context(nginx_rtmp(folder / "nginx"))
        product = await stack.enter_async_context(
            running_product(folder, "--hold-seconds", str(HOLD_SECONDS), environment=probe(folder / TASKS))
        )
        (product.sounds / SOUND).write_bytes(wav(tone(440, 2), RATE))
        churn = Churn(product, nginx, await asyncio.to_thread(clip))
        await churn.begin()
        start = time.monotonic()
        ends = False
        while not ends:
            await churn.round(len(samples) + 1)
            ends = len(samples) + 1 >= least_rounds and time.monotonic() >= start + seconds
            first = samples[0] if samples else None
            samples.append(await quiescent(product, folder / TASKS, churn.kept, first, ends or not first, start))
            say(line(samples))
            if len(samples) == 1:
                first_held = held(samples[0])
        left = {name: more(first_held[name], now) for name, now in held(samples[-1]).items()}
        await end(product, churn.kept)
    found = faults(samples, growth_mib) + log_faults(product.log())
    return found + [f"{name}: there now, but not after round 1: {', '.join(o)}" for name, o in left.items() if o]


async def quiescent(product: Product, told: Path, kept: str, first: Sample | None, exact: bool, start: float) -> Sample:
    """A sample when the round has ebbed away: one transponder, one relay, counts that no longer change.

    The `exact` ones wait for pools of HTTP connections too, since they are compared: until the counts are as at the
    `first`, or nothing is left that closes by itself.
    """
    await product.rest.close()
    product.rest = Rest(product.base)  # its pool of connections is not the product's doing
    (relay,) = await product.until_relays(lambda relays: len(relays) == 1, EBB_SECONDS)
    assert [t["mediaSessionId"] for t in await product.rest.find_all()] == [kept]
    begin = sample = since = await look(product, told, relay, start)
    while sample.seconds < begin.seconds + LONGEST_SECONDS:
        ebbed = sample.seconds - begin.seconds >= POOL_SECONDS
        as_first = first is not None and sample.counts == first.counts
        if sample.seconds - since.seconds >= STEADY_SECONDS and (ebbed or as_first or not exact):
            break
        await asyncio.sleep(0.5)
        sample = await look(product, told, relay, start)
        since = since if sample.counts == since.counts else sample
    return sample


async def look(product: Product, told: Path, relay: int, start: float) -> Sample:
    (zygote,) = product.zygotes()
    top = product.program.process.pid
    readings = {
        "product": read(top, await tasks(top, told)),
        "zygote": read(zygote),  # it has no event loop
        "relay": read(relay, await tasks(relay, told)),
    }
    return Sample(time.monotonic() - start, readings)


def held(sample: Sample) -> dict[str, list[str]]:
    """By process: what its descriptors and its tasks are."""
    return {name: [*open_files(reading.pid), *reading.tasks] for name, reading in sample.readings.items()}


def more(before: list[str], after: list[str]) -> list[str]:
    """What is there now beyond what was, by kind: sockets and pipes have other numbers each time."""
    kinds = [name.partition(":")[0] for name in before]
    found = []
    for name in after:
        kind = name.partition(":")[0]
        if kind in kinds:
            kinds.remove(kind)
        else:
            found.append(name)
    return found


def line(samples: list[Sample]) -> str:
    """Progress for people."""
    sample = samples[-1]
    parts = [
        f"{name} {r.rss:.1f} MiB (PSS {r.pss:.1f}), "
        f"{r.descriptors} descriptors, {r.threads} threads, {len(r.tasks)} tasks"
        for name, r in sample.readings.items()
    ]
    return f"[{sample.seconds:5.0f} s] round {len(samples)}: " + "; ".join(parts)


async def end(product: Product, kept: str) -> None:
    """The last transponder goes, its relay with it. That the product then leaves no process is seen when it stops."""
    await product.rest.tell("terminate", kept)
    assert await product.rest.find_all() == []
    await product.until_relays(lambda relays: not relays, EBB_SECONDS)


def log_faults(log: str) -> list[str]:
    return [f"in the product's log: {text}" for text in log.splitlines() if MANGLED.search(text)]
