"""Load on the WebSDK's signalling: idle sessions, and so many publishing flows a second, on one core.

    PYTHONPATH=tests .venv/bin/python -m bench.websdk [--idle 200] [--rate 20] [--seconds 15] [--core 0]

The product runs as its users start it, bound to one core with all of its relays; this program uses the others. A flow
is a session of its own: connect, connection, publishStream, setRemoteSDP, unPublishStream, UNPUBLISHED, close. Each has
a relay process of its own, which answers its offer; the ICE, DTLS and media of a browser are left out. Flows begin by
the clock, whether or not earlier ones are done (open loop).
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from support.product import Product, running_product
from support.websdk import WebSdkClient

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Figures:
    answers: list[float] = field(default_factory=list)
    """Seconds from publishStream to setRemoteSDP."""
    flows: list[float] = field(default_factory=list)
    """Seconds from the connect to UNPUBLISHED."""
    failures: list[str] = field(default_factory=list)
    ping_gaps: list[float] = field(default_factory=list)
    """Seconds between two pings of an idle session."""


async def main() -> int:
    options = _options()
    others = os.sched_getaffinity(0) - {options.core}
    os.sched_setaffinity(0, {options.core})  # the product inherits it
    with tempfile.TemporaryDirectory() as folder:
        async with running_product(Path(folder), "--log-level", "WARNING") as product:
            os.sched_setaffinity(0, others or {options.core})
            figures, cpu = await _load(product, options)
    _print(figures, cpu, options)
    return 1 if figures.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.websdk", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--idle", type=int, default=200, help="sessions that only answer pings")
    parser.add_argument("--rate", type=float, default=20, help="flows a second")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    return parser.parse_args()


async def _load(product: Product, options: argparse.Namespace) -> tuple[Figures, dict[str, float]]:
    figures = Figures()
    url = product.websdk
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(WebSdkClient.connected(url)) for _ in range(options.idle)]
        listeners = [asyncio.create_task(_answer_pings(client, figures)) for client in idle]
        top, before, began = product.program.process.pid, _cpu(product), time.monotonic()
        await _flows(url, figures, options)
        elapsed, after = time.monotonic() - began, _cpu(product)
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
    own = after[top][0] - before[top][0]
    everything = sum(sum(times) for times in after.values()) - sum(sum(times) for times in before.values())
    return figures, {
        "API, reconciler and store": 100 * own / elapsed,
        "relays": 100 * (everything - own) / elapsed,
        "core in all": 100 * everything / elapsed,
    }


async def _flows(url: str, figures: Figures, options: argparse.Namespace) -> None:
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(options.rate * options.seconds)):
            await asyncio.sleep(began + number / options.rate - time.monotonic())
            tasks.create_task(_flow(url, f"stream-{number}", figures))


async def _flow(url: str, name: str, figures: Figures) -> None:
    began = time.monotonic()
    try:
        async with WebSdkClient.connected(url) as client:
            published = time.monotonic()
            await client.publish(name, name)
            await client.until("setRemoteSDP", 16)
            figures.answers.append(time.monotonic() - published)
            await client.unpublish(name, name)
            status = await client.status(name)
            if status != ("UNPUBLISHED", "Stopped by user"):
                raise ConnectionError(str(status))
            figures.flows.append(time.monotonic() - began)
    except (ConnectionError, TimeoutError) as error:
        figures.failures.append(f"{type(error).__name__} {error}")


async def _answer_pings(client: WebSdkClient, figures: Figures) -> None:
    last = time.monotonic()
    while True:
        frame = await client.socket.receive_json()
        assert frame["message"] == "ping"
        await client.call("pong")
        now = time.monotonic()
        figures.ping_gaps.append(now - last)
        last = now


def _cpu(product: Product) -> dict[int, tuple[float, float]]:
    """Seconds of CPU by pid: of the process itself, and of its children that have ended."""
    times = {}
    for pid in product.program.processes():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        times[pid] = (
            (int(fields[11]) + int(fields[12])) / TICKS,
            (int(fields[13]) + int(fields[14])) / TICKS,
        )
    return times


def _print(figures: Figures, cpu: dict[str, float], options: argparse.Namespace) -> None:
    print(f"{options.idle} idle sessions, {options.rate:g} flows a second for {options.seconds:g} s, one core")
    print(f"flows done        {len(figures.flows)}, failed {len(figures.failures)}")
    for name, values in (("offer to answer", figures.answers), ("whole flow", figures.flows)):
        print(f"{name:<17} {_spread([1000 * value for value in values])} ms")
    print(f"gap of two pings  {_spread(figures.ping_gaps[options.idle :])} s")
    for name, share in cpu.items():
        print(f"{name:<26} {share:5.1f} % of a core")
    for failure in sorted(set(figures.failures))[:5]:
        print(f"  {failure}")


def _spread(values: list[float]) -> str:
    if not values:
        return "none"
    values = sorted(values)
    return f"median {values[len(values) // 2]:.3g}, 95 % {values[int(len(values) * 0.95)]:.3g}, most {values[-1]:.3g}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
