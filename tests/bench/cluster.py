"""How fast streams begin on a cluster: by a warm relay, and where the pool is empty.

    PYTHONPATH=tests .venv/bin/python -m bench.cluster [--runs 10]

It installs the chart in a namespace of its own on the cluster of $KUBECONFIG, else on one made here. Publisher, RTMP
server and clock are on this machine, whose address pods can reach. Prints rows of Markdown, in seconds.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from cluster import network, tools
from cluster.choice import Chosen, chosen
from cluster.images import PROGRAMS, product_image
from cluster.processes import wait_for
from support.clip import clip
from support.installation import Installation, installation, own_namespace
from support.kubectl import Kubectl
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.product import Rest
from support.websdk import WebSdkClient
from support.whip_sender import WhipSender


@dataclass
class FirstBytes:
    """A way to the RTMP server that notes when each connection has sent its first byte."""

    server: NginxRtmp
    port: int = 0
    times: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"rtmp://{network.HOST}:{self.port}/live"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())  # nobody else holds it
        there, back = await asyncio.open_connection("127.0.0.1", self.server.port)
        first = await reader.read(1)
        self.times.put_nowait(time.monotonic())
        back.write(first)
        await asyncio.gather(_pass(reader, back), _pass(there, writer))
        back.close()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        return  # the other side is gone


@asynccontextmanager
async def rtmp_site(folder: Path) -> AsyncIterator[FirstBytes]:
    async with nginx_rtmp(folder) as server:
        way = FirstBytes(server)
        listener = await asyncio.start_server(way.serve, network.HOST, 0)
        way.port = listener.sockets[0].getsockname()[1]
        try:
            yield way
        finally:
            listener.close()


@dataclass
class Bench:
    installed: Installation
    way: FirstBytes
    rest: Rest
    warm: bool
    number: int = 0

    def sender(self) -> WhipSender:
        return WhipSender(clip(), address=network.HOST, candidates=False)

    async def name(self) -> str:
        """Of a new stream, once the pool is as it should be and the last stream's relay is gone."""
        self.number += 1
        await asyncio.to_thread(no_pods, self.installed, "transponder.dev/stream")
        if self.warm:
            await asyncio.to_thread(self.installed.until_idle)
        return f"bench-{'warm' if self.warm else 'cold'}-{self.number}"

    async def websdk(self) -> dict[str, float]:
        """publishStream with rtmpUrl, to the answer, to PUBLISHING, to the first byte at the RTMP server."""
        name = await self.name()
        async with WebSdkClient.connected(self.installed.websdk()) as client, self.sender() as sender:
            offer = await sender.offer()
            began = time.monotonic()
            await client.publish("id", name, offer, rtmpUrl=self.way.url)
            answer = await answer_of(client)
            answered = time.monotonic()
            await sender.accept(answer)
            assert await client.status("id", 20) == ("PUBLISHING", None)
            publishing = time.monotonic()
            first = await self.way.times.get()
            await asyncio.gather(client.unpublish("id"), sender.stop())
            await client.status("id")
        return {"answer": answered - began, "PUBLISHING": publishing - began, "first RTMP byte": first - began}

    async def startup_and_whip(self) -> dict[str, float]:
        """Both at the same time, to the end of DTLS and to the first byte at the RTMP server."""
        name = await self.name()
        async with self.sender() as sender:
            began = time.monotonic()
            publishing = asyncio.create_task(sender.start(self.installed.whip(name)))
            started = await self.rest.startup(name, self.way.url)
            answered = time.monotonic()
            first = await self.way.times.get()
            await publishing
        await self.rest.tell("terminate", started["mediaSessionId"])
        return {"answer to startup": answered - began, "first RTMP byte": first - began}

    async def startup_of_a_published_stream(self) -> dict[str, float]:
        """To the answer and to the first byte at the RTMP server."""
        name = await self.name()
        async with self.sender() as sender:
            began = time.monotonic()
            await sender.start(self.installed.whip(name))
            published = time.monotonic() - began
            await asyncio.sleep(1)  # it is not to be measured how a stream begins
            began = time.monotonic()
            started = await self.rest.startup(name, self.way.url)
            answered = time.monotonic() - began
            first = await self.way.times.get() - began
            await self.rest.tell("terminate", started["mediaSessionId"])
        return {"WHIP, to the end of DTLS": published, "startup, to the answer": answered, "first RTMP byte": first}


async def answer_of(client: WebSdkClient) -> str:
    """The SDP answer."""
    while (received := await client.next(60)).name != "setRemoteSDP":
        if received.name == "notifyStreamStatusEvent":
            raise SystemExit(f"not published: {received.data}")
    return str(received.data[1])


def no_pods(installed: Installation, selector: str = "") -> None:
    """Until no such relay is left."""
    wait_for("end of relays", lambda: not installed.pods("relay", selector), seconds=60)


async def _rows(what: str, runs: int, run: Callable[[], Awaitable[dict[str, float]]]) -> None:
    measured = [await run() for _ in range(runs)]
    for name in measured[0]:
        times = [one[name] for one in measured]
        print(f"| {what} | {name} | {median(times):.2f} ({max(times):.2f}) |", flush=True)


async def measure(installed: Installation, runs: int, kinds: Sequence[str]) -> None:
    rest = installed.rest()
    try:
        with tempfile.TemporaryDirectory(prefix="transponder-bench-") as folder:
            async with rtmp_site(Path(folder)) as way:
                await measure_all(installed, way, rest, runs, kinds)
    finally:
        await rest.close()


async def measure_all(installed: Installation, way: FirstBytes, rest: Rest, runs: int, kinds: Sequence[str]) -> None:
    print("| | | s: median (longest) |", "|---|---|---|", sep="\n")
    for how in kinds:
        if how == "cold":
            await asyncio.to_thread(installed.upgrade, {"relay": {"poolSize": 0}})
            await asyncio.to_thread(no_pods, installed)
        bench = Bench(installed, way, rest, how == "warm")
        await _rows(f"WebSDK publishStream, {how}", runs, bench.websdk)
        await _rows(f"startup and WHIP at once, {how}", runs, bench.startup_and_whip)
        await _rows(f"WHIP alone, then startup, {how}", runs, bench.startup_of_a_published_stream)


def image_sizes(kubectl: Kubectl) -> str:
    """As the node keeps them, with the layers that they share."""
    (node,) = kubectl.json("get", "nodes")["items"]
    sizes = {name: image["sizeBytes"] for image in node["status"]["images"] for name in image["names"] or ()}
    return ", ".join(f"{program} {sizes[product_image(program)] / 1e6:.0f} MB" for program in PROGRAMS)


def run(cluster: Chosen, runs: int, kinds: Sequence[str]) -> None:
    if not cluster.direct:
        raise SystemExit("this machine does not reach the pods of that cluster")
    everywhere = Kubectl(tools.kubectl(), cluster.kubeconfig)
    with own_namespace(everywhere) as kubectl:
        began = time.monotonic()
        with installation(kubectl, tools.helm(), {"relay": {"poolSize": 1}}) as installed:
            print(f"helm install --wait: {time.monotonic() - began:.0f} s")
            asyncio.run(measure(installed, runs, kinds))
    print(f"images: {image_sizes(everywhere)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", choices=["warm", "cold"])
    options = parser.parse_args()
    clip()
    with chosen() as cluster:
        run(cluster, options.runs, [options.only] if options.only else ["warm", "cold"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
