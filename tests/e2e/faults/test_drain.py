"""A node is drained under a live stream, a waiting transponder and the pool; disruption budgets."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from support.installation import Installation
from support.kubectl import Kubectl, KubectlError
from support.live_stream import LIVE, WAITING, Site, aside, until
from support.objects_of_cluster import condition


@pytest.fixture
def node(cluster_kubectl: Kubectl, installed: Installation) -> Iterator[str]:
    """The only one. It takes pods again after the test."""
    (node,) = cluster_kubectl.json("get", "nodes")["items"]
    name = str(node["metadata"]["name"])
    try:
        yield name
    finally:
        cluster_kubectl("uncordon", name)


async def test_drain(site: Site, node: str, cluster_kubectl: Kubectl) -> None:
    """The stream goes on until its publisher leaves; the waiting transponder gets another relay, as soon as there can
    be one."""
    installed, kubectl = site.installed, site.installed.kubectl
    await aside(installed.until_idle, 2)
    await site.add("drain-waiting")
    await site.until_phase("drain-waiting", WAITING)
    waiting = await aside(installed.relay_of, "drain-waiting")
    async with site.live("drain-live") as live:
        await aside(installed.until_idle, 2)
        mine = f"--pod-selector=drained={installed.namespace},transponder.dev/stream"
        options = ("--force", "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=120s")
        drain = await asyncio.create_subprocess_exec(*cluster_kubectl.command("drain", node, mine, *options))
        try:
            took = await until(
                lambda: relay(installed, "drain-waiting"), lambda pod: pod not in ("", waiting), "handed over"
            )
            await site.until_phase("drain-waiting", WAITING)
            print(f"drain: a waiting transponder has another relay after {took:.1f} s")
            await live.goes_on(3)
            assert drain.returncode is None, "the drain did not wait for the stream"
            found = await aside(kubectl.json, "get", "pod", live.relay)
            assert "deletionTimestamp" in found["metadata"]
            assert site.phase(live.name) == LIVE
            await live.ends_unharmed()
            assert await asyncio.wait_for(drain.wait(), 20) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                drain.kill()
            await drain.wait()
    # nobody may run on the node now: what is evicted has nowhere to go
    await site.until_phase(live.name, WAITING)
    await aside(evict_all, installed, "transponder.dev/stream")
    await until(lambda: without_room(kubectl), bool, "told that there is no room", 30)
    await aside(cluster_kubectl, "uncordon", node)
    await asyncio.gather(site.until_phase("drain-waiting", WAITING, 30), site.until_phase("drain-live", WAITING, 30))


def relay(installed: Installation, name: str) -> str:
    return str(installed.kubectl.json("get", "rtmpt", name).get("status", {}).get("relayPod", ""))


def evict(kubectl: Kubectl, pod: str) -> bool:
    """False: a disruption budget forbids it."""
    eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}'
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    try:
        kubectl("create", "--raw", path, "-f", "-", stdin=eviction)
    except KubectlError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def evict_all(installed: Installation, selector: str) -> None:
    """Whoever takes their place is evicted too, until nobody does."""
    while pods := installed.pods("relay", selector + ",transponder.dev/pool!=idle"):
        running = [pod for pod in pods if pod["spec"].get("nodeName")]
        if not running:
            return
        for pod in running:
            assert evict(installed.kubectl, pod["metadata"]["name"])


def without_room(kubectl: Kubectl) -> bool:
    names = ("drain-waiting", "drain-live")
    return all(condition(kubectl, name, "RelayReady") == ("False", "Unschedulable") for name in names)


async def test_budgets(installed: Installation, node: str, cluster_kubectl: Kubectl) -> None:
    """One idle relay and one API pod at a time, no more until there is another."""
    await aside(installed.until_idle, 2)
    for component, selector in (("relay", "transponder.dev/pool=idle"), ("api", "")):
        await aside(cluster_kubectl, "cordon", node)
        first, second = [pod["metadata"]["name"] for pod in await aside(installed.pods, component, selector)]
        assert await aside(evict, installed.kubectl, first)
        assert not await aside(evict, installed.kubectl, second)
        await aside(cluster_kubectl, "uncordon", node)
        await until(lambda: evict(installed.kubectl, second), bool, f"another {component} pod in its place", 40)  # noqa: B023
    await aside(installed.until_idle, 2)
    await aside(installed.kubectl, "rollout", "status", "deployment", "--timeout=60s")


async def test_a_relay_that_is_told_to_end_while_it_starts(installed: Installation) -> None:
    """It does so at once, and not after an hour: its program does not know the signal yet."""
    kubectl = installed.kubectl
    await aside(installed.until_idle, 2)
    old = {pod["metadata"]["name"] for pod in await aside(installed.pods, "relay")}
    first = (await aside(installed.idle_relays))[0]["metadata"]["name"]
    await aside(kubectl, "delete", "pod", first, "--wait=false")

    def starting() -> list[str]:
        pods = [pod for pod in installed.pods("relay") if pod["metadata"]["name"] not in old]
        states = {pod["metadata"]["name"]: pod["status"].get("containerStatuses", []) for pod in pods}
        return [name for name, state in states.items() if any("running" in one["state"] for one in state)]

    await until(starting, bool, "another relay started", 20)
    await aside(kubectl, "delete", "pod", *await aside(starting), "--timeout=8s")
    await aside(installed.until_idle, 2)
