"""A relay with a cluster address behind a node that maps a block of ports to it (hostPort), and a browser outside."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from support.clip import clip
from support.namespaces import Namespace, namespaces, why_not, wire
from support.nginx_rtmp import until
from support.whip_sender import WhipSender

from transponder_crd.control import DesiredPublisher, DesiredRelay, Offer, PublisherState
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

PORTS = (40000, 40003)
NODE = ["203.0.113.10", "2001:db8:1::10"]
POD = ["10.244.0.5", "fd00:244::5"]
BROWSER = ["203.0.113.20", "2001:db8:1::20"]


@pytest.fixture
def places() -> Iterator[tuple[Namespace, Namespace]]:
    """(pod, browser): the node between them forwards what comes to the block of ports, and nothing else."""
    with namespaces("pod", "node", "browser") as (pod, node, browser):
        wire(node, ["10.244.0.1/24", "fd00:244::1/64"], pod, [f"{POD[0]}/24", f"{POD[1]}/64"])
        wire(node, [f"{NODE[0]}/24", f"{NODE[1]}/64"], browser, [f"{BROWSER[0]}/24", f"{BROWSER[1]}/64"])
        pod.run("ip", "route", "add", "default", "via", "10.244.0.1")
        pod.run("ip", "-6", "route", "add", "default", "via", "fd00:244::1")
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        block = f"{PORTS[0]}:{PORTS[1]}"
        for command, outer, inner in zip(("iptables", "ip6tables"), NODE, POD, strict=True):
            rule = [command, "-t", "nat", "-A"]
            node.run(*rule, "PREROUTING", "-d", outer, "-p", "udp", "--dport", block, "-j", "DNAT", "--to", inner)
            node.run(*rule, "POSTROUTING", "-s", inner, "-j", "MASQUERADE")
        yield pod, browser


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    settings = {"instance": "pod", "token": "t", "media_addresses": NODE, "media_port_range": PORTS}
    made = Relay(RelaySettings.model_validate(settings))
    try:
        yield made
    finally:
        await made.close()


async def publish(relay: Relay, number: int, sender: WhipSender, places: tuple[Namespace, Namespace]) -> str:
    pod, browser = places
    relay.apply(DesiredRelay(stream_name="demo", publisher=DesiredPublisher(id=f"p{number}")))
    with browser:
        offer = await sender.offer()
    with pod:
        answer = await relay.answer(Offer(publisher_id=f"p{number}", sdp=offer))
    await sender.accept(answer)
    return answer


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
async def test_media_passes_the_node(relay: Relay, places: tuple[Namespace, Namespace], family: int) -> None:
    async with WhipSender(clip(), address=BROWSER[family]) as sender:
        answer = await publish(relay, 0, sender, places)
        candidates = [line.split() for line in answer.splitlines() if line.startswith("a=candidate")]
        assert {words[4] for words in candidates} == set(NODE), "the pod's own addresses mean nothing to a browser"
        assert {int(words[5]) for words in candidates} <= set(range(PORTS[0], PORTS[1] + 1))
        await until(lambda: relay.report().ingest.video_frames > 30, 10)
        report = relay.report().publisher
        assert report is not None
        assert report.state is PublisherState.CONNECTED


async def test_an_outer_address_that_the_pod_has_too(places: tuple[Namespace, Namespace]) -> None:
    """As kind's 127.0.0.1: the pod's own 203.0.113.10 must not be where it listens."""
    pod, _ = places
    pod.run("ip", "address", "add", f"{NODE[0]}/32", "dev", "lo")
    settings = {"instance": "pod", "token": "t", "media_addresses": NODE[:1], "media_port_range": PORTS}
    relay = Relay(RelaySettings.model_validate({**settings, "media_nat": True}))
    try:
        async with WhipSender(clip(), address=BROWSER[0]) as sender:
            await publish(relay, 0, sender, places)
            await until(lambda: relay.report().ingest.video_frames > 30, 10)
    finally:
        await relay.close()


async def test_publishers_follow_each_other_in_the_block(relay: Relay, places: tuple[Namespace, Namespace]) -> None:
    """Each comes while the one before it is still there, six in a block of four."""
    for number in range(6):
        sender = WhipSender(clip(), address=BROWSER[0])
        await publish(relay, number, sender, places)
        async with asyncio.timeout(10):
            await sender.connected.wait()
        before = relay.report().ingest.video_frames
        await until(lambda before=before: relay.report().ingest.video_frames > before, 10)  # type: ignore[misc]
        if number % 2:
            await sender.vanish()
        else:
            await sender.stop()
