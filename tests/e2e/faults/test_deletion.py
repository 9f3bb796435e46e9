"""Deletion ends, whatever of a transponder is gone already."""

import time
from typing import Any

from support.live_stream import LIVE, WAITING, Site, aside, until
from support.node_hand import NodeHand
from support.objects_of_cluster import transponder


async def test_relay_and_secret_are_gone(site: Site, hand: NodeHand) -> None:
    installed, kubectl = site.installed, site.installed.kubectl
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gone-url"}}
    reference = {"secretKeyRef": {"name": "gone-url"}}
    await aside(
        kubectl.apply,
        {**secret, "stringData": {"rtmpUrl": f"{site.peer.url}/gone"}},
        transponder("gone", streamName="gone", rtmpUrlFrom=reference, fullUrl=True),
    )
    await site.until_phase("gone", WAITING)
    async with site.sender() as sender:
        await sender.start(installed.whip("gone"))
        await site.until_phase("gone", LIVE)
        relay = await aside(installed.relay_of, "gone")
        await aside(kubectl, "delete", "secret", "gone-url")
        await aside(hand.kill, relay, installed.namespace)
        began = time.monotonic()
        await aside(kubectl, "delete", "rtmpt", "gone", "--timeout=20s")
        print(f"deleted without relay and Secret after {time.monotonic() - began:.1f} s")
        await sender.vanish()
    await until(lambda: installed.pods("relay", "transponder.dev/stream=gone"), lambda pods: not pods, "no relay")
