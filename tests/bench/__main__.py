"""Measure the product: CPU, memory, latency, lost pictures, A/V skew and start, with N streams at once.

It starts nginx with its RTMP module, the product, N WHIP publishers of pre-encoded media (720p30, 2.5 Mbit/s H.264;
Opus) and a process that notes when each recorded tag was written. One clock, no encoder, all on loopback.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from bench.figures import Figures, figures, percentile
from bench.meter import CpuMeter, Memory, memory
from support.clip import clip
from support.flv import Flv, skews
from support.nginx_rtmp import nginx_rtmp
from support.product import Product, running_product

SETTLE = 5.0
"""Seconds from the last publisher's connection to the window."""

END_SECONDS = 20.0

COLUMNS = (
    "N",
    "CPU %/stream",
    "PSS MiB, MiB/stream",
    "pictures sent / lost / damaged",
    "latency ms p50 / p95 / max",
    "A/V skew ms median (range)",
    "start s video / audio",
)


class Worker:
    """A helper process: says a word when it is ready, ends with its standard input, and leaves JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ready(self, word: str) -> None:
        assert self._process.stdout
        line = (await self._process.stdout.readline()).decode().strip()
        if line != word:
            raise SystemExit(f"a helper of the benchmark failed: {line or 'no answer'}")

    async def result(self) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        output = await asyncio.wait_for(self._process.stdout.read(), END_SECONDS)
        return json.loads(output)


@asynccontextmanager
async def worker(module: str, *arguments: str) -> AsyncIterator[Worker]:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", f"bench.{module}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 30)
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def measure(number: int, seconds: float, folder: Path) -> str:
    """One row of the table."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nginx_rtmp(folder / "nginx"))
        product = await stack.enter_async_context(running_product(folder, "--stream-name-prefix", ""))
        at_rest = memory(product.program.processes())
        for i in range(number):
            started = await product.rest.startup(f"s{i}", server.url)
            await product.rest.until_state(started["mediaSessionId"], "WaitingForPublisher")
        tail = await stack.enter_async_context(worker("tail", str(server.recording("-").parent)))
        await tail.ready("ready")
        load = await stack.enter_async_context(worker("load", product.whip("{name}"), str(number)))
        await load.ready("connected")
        await asyncio.sleep(SETTLE)
        window, cpu, at_work = await _watch(product, seconds)
        sent, recorded = await load.result(), await tail.result()
        found = [figures(s["post"], s["sent"], recorded[name], window) for name, s in sent.items()]
        measured = skews(Flv.read(server.recording("s0")))
    return _row(found, cpu / number, (at_rest, at_work), measured)


async def _watch(product: Product, seconds: float) -> tuple[tuple[float, float], float, Memory]:
    meter = CpuMeter(product.program.processes)
    start = monotonic()
    while monotonic() < start + seconds:
        await asyncio.sleep(min(5.0, start + seconds - monotonic()))
        meter.look()
    return (start, monotonic()), meter.percent_of_a_core(), memory(product.program.processes())


def _row(found: list[Figures], cpu: float, used: tuple[Memory, Memory], measured: list[float]) -> str:
    latencies = [latency for f in found for latency in f.latencies]
    lost, damaged = sum(f.lost for f in found), sum(f.damaged + f.disorder for f in found)
    at_rest, at_work = used
    cells = [
        f"{len(found)}",
        f"{cpu:.2f}",
        f"{at_work.pss:.0f}, {(at_work.pss - at_rest.pss) / len(found):.1f}",
        f"{sum(f.sent for f in found)} / {lost} / {damaged}",
        f"{median(latencies):.1f} / {percentile(latencies, 0.95):.1f} / {max(latencies):.1f}",
        f"{median(measured):+.1f} ({min(measured):+.1f} to {max(measured):+.1f})",
        f"{median(f.start_video for f in found):.2f} / {median(f.start_audio for f in found):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("-n", type=int, default=1, help="streams at once (default 1)")
    parser.add_argument("--seconds", type=float, default=30, help="length of the window (default 30)")
    options = parser.parse_args()
    clip(width=1280, height=720, bitrate="2500k")
    with tempfile.TemporaryDirectory(prefix="transponder-bench-") as folder:
        row = asyncio.run(measure(options.n, options.seconds, Path(folder)))
    print(f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", row, sep="\n")


if __name__ == "__main__":
    main()
