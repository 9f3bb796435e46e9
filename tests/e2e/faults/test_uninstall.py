"""A release that is uninstalled while it is in use: all ends in order, and nothing holds what is left."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clip import Clip
from support.installation import RELEASE, VALUES, Installation, crds_are_there, merged, own_namespace
from support.kubectl import Kubectl
from support.live_stream import LIVE, WAITING, Site, aside
from support.rtmp_peer import RtmpPeer

PRODUCT_PODS = "app.kubernetes.io/name=rtmp-transponder"


@pytest.fixture
def leaving(
    cluster_kubectl: Kubectl, helm: Path, media: Clip, reachable: str, tmp_path: Path, installed: Installation
) -> Iterator[Site]:
    """An installation of the test's own, beside the one that has the custom resources."""
    with own_namespace(cluster_kubectl) as kubectl:
        peer = RtmpPeer.start(kubectl)
        mine = Installation(kubectl, helm)
        install(mine)
        yield Site(mine, peer, media, reachable, tmp_path)


def install(mine: Installation) -> None:
    assert crds_are_there(mine.kubectl)
    mine._release("install", merged(VALUES, {"crds": {"enabled": False}, "relay": {"drainSeconds": 300}}))


async def test_uninstalled_under_a_live_stream(leaving: Site) -> None:
    """Relays end although they have a publisher. Transponders stay; the next release takes them up, and without one
    they can be deleted."""
    mine, kubectl = leaving.installed, leaving.installed.kubectl
    await leaving.add("left-waiting")
    async with leaving.live("left-live") as live:
        began = time.monotonic()
        await aside(mine.run_helm, "uninstall", RELEASE, "--wait")
        print(f"uninstalled under a live stream in {time.monotonic() - began:.1f} s")
        await aside(kubectl, "wait", "pod", "--selector", PRODUCT_PODS, "--for=delete", "--timeout=40s")
        await live.sender.vanish()
        logs = await aside(leaving.peer.kubectl, "logs", "rtmp-peer")
        assert '"left-live"' in logs, "the RTMP session was not ended in order"
    assert await aside(finalizers, kubectl) == {"left-waiting": [], "left-live": []}
    assert not await aside(kubectl, "get", "streams", "-o", "name")
    began = time.monotonic()
    await aside(install, mine)
    await leaving.until_phase("left-live", WAITING, 40)
    print(f"installed anew and served after {time.monotonic() - began:.1f} s")
    async with leaving.sender() as sender:
        await sender.start(mine.whip("left-live"))
        await leaving.until_phase("left-live", LIVE)
    await aside(uninstall_without_operator, mine)
    await aside(kubectl, "delete", "rtmptransponders", "--all", "--timeout=5s")
    await aside(kubectl, "wait", "pod", "--selector", PRODUCT_PODS, "--for=delete", "--timeout=40s")


def uninstall_without_operator(mine: Installation) -> None:
    """As those do who want to be rid of one that cannot run."""
    operator = [pod["metadata"]["name"] for pod in mine.pods("operator")]
    mine.kubectl("scale", "deployment", "--all", "--replicas=0")
    mine.kubectl("delete", "pod", "--force", "--grace-period=0", *operator)
    mine.run_helm("uninstall", RELEASE, "--wait")


def finalizers(kubectl: Kubectl) -> dict[str, list[str]]:
    items = json.loads(kubectl("get", "rtmptransponders", "-o", "json"))["items"]
    return {item["metadata"]["name"]: item["metadata"].get("finalizers", []) for item in items}
