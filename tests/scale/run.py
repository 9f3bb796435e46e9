"""One run: steps, each measured until all objects say that it is done."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from cluster.control_plane import free_ports
from support.api_server import Namespace, namespace
from support.control_port import until
from support.operator_process import OperatorProcess, operator_process
from support.relay_farm import RelayFarm

from transponder_crd.kubernetes.informer import Informer
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.paths import objects
from transponder_crd.kubernetes.store import Mirrors
from transponder_crd.names import stream_object_name
from transponder_crd.resource import RtmpTransponder, Stream, TransponderPhase

STEP_SECONDS = 600.0
CHANGES = ("POST", "PUT", "PATCH", "DELETE")


class Row(NamedTuple):
    """What one step took. Writes and Events are those of the operator, for each transponder."""

    step: str
    seconds: float
    writes: float
    events: float
    cpu: float
    """Seconds of the operator."""
    resident: int
    """Bytes of the operator, at the end of the step."""


class Meter:
    """Counts what the operator does during a step."""

    def __init__(self, operator: OperatorProcess, count: int, *, new: bool = False) -> None:
        """`new`: count from its beginning."""
        self._operator = operator
        self._count = count
        self._new = new

    async def measure(self, step: str, work: Awaitable[object], done: Callable[[], bool]) -> Row:
        began = asyncio.get_running_loop().time()
        before, cpu = ((0.0, 0.0), 0.0) if self._new else (await self._requests(), self._cpu())
        await work
        await until(done, STEP_SECONDS)
        seconds = asyncio.get_running_loop().time() - began
        after = await self._requests()
        writes, told = ((now - then) / self._count for now, then in zip(after, before, strict=True))
        return Row(step, seconds, writes, told, self._cpu() - cpu, self._operator.resident)

    async def _requests(self) -> tuple[float, float]:
        """Writes of objects, and of Events."""
        _, text = await self._operator.get("/metrics")
        writes = told = 0.0
        for line in text.splitlines():
            if line.startswith("transponder_operator_api_request_seconds_count"):
                number = float(line.rpartition(" ")[2])
                if 'resource="events"' in line:
                    told += number
                elif 'resource="leases"' not in line and any(f'method="{method}"' in line for method in CHANGES):
                    writes += number
        return writes, told

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._operator.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(count: int, kubeconfig: Path, folder: Path, say: Callable[[str], None] = print) -> list[Row]:
    """All steps, in order."""
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        say(f"{row.step}: {row.seconds:.1f} s")

    names = [f"t-{number}" for number in range(count)]
    async with namespace(kubeconfig) as space, RelayFarm(goes_live=True) as farm, _following(space) as mirror:

        def all_are(holds: Callable[[RtmpTransponder], bool]) -> Callable[[], bool]:
            return lambda: len(mirror) == count and all(map(holds, mirror.items()))

        def start() -> AbstractAsyncContextManager[OperatorProcess]:
            (port,) = free_ports(1)
            return operator_process(folder, kubeconfig, farm.url, port, namespace=space.name)

        async with start() as operator:
            create = _each(names, lambda name: space.add(name, f"stream-{name}"))
            waits = all_are(lambda one: one.status.phase == TransponderPhase.WAITING_FOR_PUBLISHER)
            add(await Meter(operator, count).measure("create", create, waits))
            operator.send(signal.SIGKILL)
            await operator.ended()
        began = asyncio.get_running_loop().time()
        async with start() as operator:
            meter = Meter(operator, count, new=True)
            row = await meter.measure("restart", _looked_at_all(operator, count), lambda: True)
            add(row._replace(seconds=asyncio.get_running_loop().time() - began))
            publish = _each(names, lambda name: _publish(space, f"stream-{name}"))
            live = all_are(lambda one: one.status.phase == TransponderPhase.LIVE)
            add(await Meter(operator, count).measure("publish", publish, live))
            mute = _each(names, lambda name: space.patch({"spec": {"muted": True}}, name))
            muted = all_are(lambda one: one.status.muted and one.status.observed_generation == 2)
            add(await Meter(operator, count).measure("mute", mute, muted))
            delete = _each(names, space.delete)
            add(await Meter(operator, count).measure("delete", delete, lambda: len(mirror) == 0))
    return rows


async def _looked_at_all(operator: OperatorProcess, count: int) -> None:
    async def looked() -> bool:
        idle = await operator.metric("transponder_operator_queue_length") == 0
        return idle and await operator.metric("transponder_operator_reconcile_seconds_count") >= count

    await until(looked, STEP_SECONDS)


async def _publish(space: Namespace, stream_name: str) -> None:
    body = {
        "apiVersion": "transponder.dev/v1alpha1",
        "kind": "Stream",
        "metadata": {"name": stream_object_name(stream_name)},
        "spec": {"name": stream_name, "source": "whip"},
    }
    await space.kube.create(objects(Stream, space.name), body)


async def _each(names: Iterable[str], work: Callable[[str], Awaitable[object]]) -> None:
    await asyncio.gather(*map(work, names))


@asynccontextmanager
async def _following(space: Namespace) -> AsyncIterator[Mirror[RtmpTransponder]]:
    """What the API server has, without asking it again and again."""
    mirror = Mirrors.empty().transponders
    informer = Informer(space.kube, objects(RtmpTransponder, space.name), mirror)
    following = asyncio.create_task(informer.run())
    try:
        yield mirror
    finally:
        following.cancel()
        await asyncio.wait({following})
