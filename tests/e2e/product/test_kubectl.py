"""A person with kubectl sends a stream on: Secrets, conditions, columns, events, and an end that leaves nothing."""

import asyncio
from pathlib import Path
from typing import Any

from support.installation import Installation
from support.kubectl import Kubectl
from support.objects_of_cluster import condition, transponder
from support.recordings import check_against, whole_recording
from support.rtmp_peer import RtmpPeer
from support.whip_sender import WhipSender

KEY = "key-that-nobody-may-see"


def url_secret(name: str, url: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"rtmpUrl": url}}


async def test_two_destinations_by_kubectl(
    installed: Installation, peer: RtmpPeer, sender: WhipSender, tmp_path: Path
) -> None:
    """One has its whole URL in a Secret, the other shows its URL. Both get the stream; deleted, nothing is left."""
    kubectl = installed.kubectl
    before = installed.objects()
    secret = {"secretKeyRef": {"name": "shop-url"}}
    kubectl.apply(
        url_secret("shop-url", f"{peer.url}/{KEY}"),
        transponder("shop", streamName="shop", rtmpUrlFrom=secret, fullUrl=True),
        transponder("shop-copy", streamName="shop", rtmpUrl=peer.url),
    )
    for name in ("shop", "shop-copy"):
        await waits(kubectl, name, "jsonpath={.status.phase}=WaitingForPublisher")
        assert condition(kubectl, name, "RelayReady") == ("True", "RelayRunning")
        assert condition(kubectl, name, "Ready") == ("False", "WaitingForPublisher")
    async with sender:
        await sender.start(installed.whip("shop"))
        for name in ("shop", "shop-copy"):
            await waits(kubectl, name, "condition=Ready")
        await peer.receives(KEY, 300_000)
        await peer.receives("rtmp_shop", 300_000)
        await asyncio.to_thread(shows_a_live_stream, installed)
    await waits(kubectl, "shop", "condition=Ready=false")
    for key in (KEY, "rtmp_shop"):
        check_against(sender, await whole_recording(peer, key, tmp_path))
    await asyncio.to_thread(kubectl, "delete", "rtmpt", "shop", "shop-copy", "--timeout=20s")
    await asyncio.to_thread(kubectl, "delete", "secret", "shop-url")
    await installed.until_only(before)
    assert KEY not in await asyncio.to_thread(installed.logs)


async def waits(kubectl: Kubectl, name: str, what: str) -> None:
    await asyncio.to_thread(kubectl.wait, f"rtmptransponder/{name}", what, 20)


def shows_a_live_stream(installed: Installation) -> None:
    """Columns, status, conditions, events, the Stream."""
    kubectl = installed.kubectl
    header, *rows = kubectl("get", "rtmpt", "shop", "shop-copy").splitlines()
    assert header.split() == ["NAME", "STREAM", "DESTINATION", "PHASE", "MUTED", "RECONNECTS", "AGE"]
    host = f"rtmp-peer.{installed.namespace}.svc"
    assert [row.split()[:6] for row in rows] == [
        [name, "shop", host, "Live", "false", "0"] for name in ("shop", "shop-copy")
    ]
    found = kubectl.json("get", "rtmpt", "shop")
    status = found["status"]
    assert (status["width"], status["height"], status["reconnects"]) == (640, 360, 0)
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert status["mediaSessionId"] == found["metadata"]["uid"]
    assert status["relayPod"] == installed.relay_of("shop")
    assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
        ("RelayReady", "PublisherConnected", "DestinationConnected", "Ready"), "True"
    )
    assert found["metadata"]["finalizers"] == ["transponder.dev/close-output"]
    (stream,) = kubectl("get", "streams", "--no-headers").splitlines()
    assert stream.split()[1:5] == ["shop", "Publishing", "H264", "opus"]
    told = kubectl("describe", "rtmpt", "shop")
    assert KEY not in told + kubectl("get", "rtmpt,streams,pods,events", "-o", "yaml")
    assert "Live" in told.partition("Events:")[2]
