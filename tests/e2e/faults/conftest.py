"""One installation of the chart for all faults, an RTMP server beside it, and what keeps streams live meanwhile."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clip import Clip
from support.installation import Installation, installation, own_namespace
from support.kubectl import Kubectl
from support.live_stream import Site
from support.node_hand import NodeHand
from support.product import Rest
from support.rtmp_peer import RtmpPeer


@pytest.fixture(scope="session")
def hand(cluster_kubectl: Kubectl) -> Iterator[NodeHand]:
    with own_namespace(cluster_kubectl, {"pod-security.kubernetes.io/enforce": "privileged"}) as kubectl:
        yield NodeHand(kubectl)


@pytest.fixture(scope="session")
def namespace(cluster_kubectl: Kubectl, reachable: str) -> Iterator[Kubectl]:
    with own_namespace(cluster_kubectl) as kubectl:
        yield kubectl


@pytest.fixture(scope="session")
def peer(namespace: Kubectl) -> RtmpPeer:
    return RtmpPeer.start(namespace)


@pytest.fixture(scope="session")
def installed(namespace: Kubectl, peer: RtmpPeer, helm: Path) -> Iterator[Installation]:
    relay = {"poolSize": 2, "drainSeconds": 120, "podLabels": {"drained": namespace.namespace}}
    with installation(namespace, helm, {"relay": relay}) as started:
        yield started


@pytest.fixture
async def rest(installed: Installation) -> AsyncIterator[Rest]:
    client = installed.rest()
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
def site(installed: Installation, peer: RtmpPeer, media: Clip, reachable: str, tmp_path: Path) -> Iterator[Site]:
    """Its transponders are gone after the test, so that the relays of the pool are the next one's."""
    yield Site(installed, peer, media, reachable, tmp_path)
    installed.kubectl("delete", "rtmptransponders", "--all", "--timeout=30s")
