"""The ways of media into the cluster (docs/kubernetes.md, "How browsers reach relays"), each by its own installation.

All other tests here go by pod addresses.
"""

import asyncio
import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aioice import Candidate
from cluster import network
from support.clip import Clip
from support.coturn import Coturn
from support.installation import FULLNAME, Installation, installation, own_namespace
from support.kubectl import Kubectl
from support.objects_of_cluster import transponder
from support.port_forward import port_forward
from support.recordings import check_against, whole_recording
from support.relay_only import PATHS, RELAY_ONLY
from support.rtmp_peer import RtmpPeer
from support.udp_nat import udp_nat
from support.web_page import launched, open_page
from support.whip_sender import WhipSender

TOKEN = "token-of-the-api"
TURN_SECRET = "secret-of-the-turn-server"
PODS = "-".join(str(ipaddress.ip_network(network.PODS)[end]) for end in (0, -1))
PORTS = range(40100, 40104)
PRIVILEGED = {"pod-security.kubernetes.io/enforce": "privileged"}


@dataclass(frozen=True)
class Site:
    """An installation, and where its relays and their RTMP server are."""

    installed: Installation
    relays: Kubectl
    peer: RtmpPeer


@pytest.fixture
def relays(cluster_kubectl: Kubectl, reachable: str) -> Iterator[Kubectl]:
    """A namespace whose pods may use the node's network and ports."""
    with own_namespace(cluster_kubectl, PRIVILEGED) as kubectl:
        yield kubectl


@contextmanager
def site(
    kubectl: Kubectl, relays: Kubectl, helm: Path, media: Mapping[str, Any], auth: Mapping[str, Any] | None = None
) -> Iterator[Site]:
    """The release in one namespace, its relays perhaps in another; the API asks for a token if not told otherwise."""
    token = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-token"}, "stringData": {"token": TOKEN}}
    kubectl.apply(token)
    values = {
        "media": media,
        "api": {"replicas": 1, "auth": auth or {"existingSecret": "api-token"}},
        "watchNamespaces": [] if relays == kubectl else [relays.namespace],
    }
    peer = RtmpPeer.start(relays)
    with installation(kubectl, helm, values) as installed:
        yield Site(installed, relays, peer)
        installed.check_logs()


async def publish(site: Site, sender: WhipSender, folder: Path) -> list[Candidate]:
    """Send a stream on, and look at what arrives. Returns what the relay offered."""
    site.relays.apply(transponder("camera", streamName="camera", rtmpUrl=site.peer.url))
    async with sender:
        await sender.start(site.installed.whip("camera"))
        await site.peer.receives("rtmp_camera", 300_000)
    check_against(sender, await whole_recording(site.peer, "rtmp_camera", folder))
    await asyncio.to_thread(site.relays, "delete", "rtmpt", "camera", "--timeout=20s")
    lines = sender.answer.splitlines()
    return [Candidate.from_sdp(line[12:]) for line in lines if line.startswith("a=candidate:")]


async def test_host_port(
    kubectl: Kubectl, relays: Kubectl, helm: Path, media: Clip, reachable: str, tmp_path: Path
) -> None:
    """Relays in a namespace of their own, as the exemption from Pod Security is to be small."""
    mode = {"mode": "hostPort", "portRange": "40000-40099"}
    with site(kubectl, relays, helm, mode) as made:
        sender = WhipSender(media, address=reachable, token=TOKEN)
        offered = await publish(made, sender, tmp_path)
    assert {candidate.host for candidate in offered} == {network.NODE}
    assert all(40000 <= candidate.port <= 40099 for candidate in offered)


async def test_nat(relays: Kubectl, helm: Path, media: Clip, reachable: str, tmp_path: Path) -> None:
    """The node's address is not known outside; what is told to browsers is an address that is mapped to it."""
    mode = {"mode": "hostPort", "portRange": f"{PORTS[0]}-{PORTS[-1]}", "addresses": [reachable]}
    with site(relays, relays, helm, mode) as made:
        async with udp_nat(reachable, network.NODE, PORTS):
            sender = WhipSender(media, address=reachable, token=TOKEN)
            offered = await publish(made, sender, tmp_path)
    assert {candidate.host for candidate in offered} == {reachable}
    assert {candidate.port for candidate in offered} <= set(PORTS)


async def test_host_network(relays: Kubectl, helm: Path, media: Clip, reachable: str, tmp_path: Path) -> None:
    mode = {"mode": "hostNetwork", "portRange": "40200-40299", "controlPortRange": "21000-21099"}
    with site(relays, relays, helm, mode) as made:
        sender = WhipSender(media, address=reachable, token=TOKEN)
        offered = await publish(made, sender, tmp_path)
    assert network.NODE in {candidate.host for candidate in offered}
    assert all(40200 <= candidate.port <= 40299 for candidate in offered)


async def test_turn(kubectl: Kubectl, helm: Path, reachable: str, tmp_path: Path) -> None:
    """A browser that may use nothing but the TURN server, with the credentials that the API makes."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "turn"}, "stringData": {"secret": TURN_SECRET}}
    kubectl.apply(secret)
    turn = Coturn.start(kubectl, TURN_SECRET, PODS)
    mode = {"mode": "turn", "turn": {"urls": [turn.url], "existingSecret": "turn"}}
    with (
        site(kubectl, kubectl, helm, mode, auth={"anonymous": True}) as made,
        port_forward(kubectl, f"service/{FULLNAME}-api", 80) as (port,),
    ):
        async with launched() as browser, open_page(browser, f"http://127.0.0.1:{port}", script=RELAY_ONLY) as web:
            await web.add_destination("show", made.peer.url)
            await web.publish("show")
            assert await web.page.evaluate(PATHS) == [["relay", turn.url]]
            await made.peer.receives("rtmp_show", 60_000)
            await web.button("Stop publishing").click()
        flv = await whole_recording(made.peer, "rtmp_show", tmp_path)
        assert len(flv.pictures) >= 10
    assert turn.users()
    assert all(re.fullmatch(r"\d{10}", user) for user in turn.users())
