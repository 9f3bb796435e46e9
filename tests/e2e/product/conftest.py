"""One installation of the chart for the tests of this folder, with an RTMP server and sounds in its namespace."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clip import Clip
from support.ingress import IngressController, ingress_controller
from support.installation import Installation, installation, own_namespace
from support.kubectl import Kubectl
from support.product import Rest
from support.rtmp_peer import RtmpPeer
from support.sounds import tone, wav
from support.whip_sender import WhipSender

INSERTED_HERTZ = 2000
"""Of sounds/tone.wav; live sound beeps at 1000 Hz."""


@pytest.fixture(scope="session")
def namespace(cluster_kubectl: Kubectl, reachable: str) -> Iterator[Kubectl]:
    with own_namespace(cluster_kubectl) as kubectl:
        sound = base64.b64encode(wav(tone(INSERTED_HERTZ, 1.0))).decode()
        sounds = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sounds"}}
        kubectl.apply({**sounds, "binaryData": {"tone.wav": sound}})
        yield kubectl


@pytest.fixture(scope="session")
def peer(namespace: Kubectl) -> RtmpPeer:
    return RtmpPeer.start(namespace)


@pytest.fixture(scope="session")
def installed(namespace: Kubectl, peer: RtmpPeer, helm: Path) -> Iterator[Installation]:
    ingress = {"enabled": True, "className": "nginx"}
    values = {"sounds": {"configMap": "sounds"}, "api": {"ingress": ingress, "auth": {"anonymous": True}}}
    with installation(namespace, helm, values) as started:
        yield started
        started.check_logs()


@pytest.fixture(scope="session")
def ingress(installed: Installation) -> Iterator[IngressController]:
    """In front of the API."""
    with ingress_controller(installed.kubectl) as controller:
        yield controller


@pytest.fixture
async def rest(ingress: IngressController) -> AsyncIterator[Rest]:
    """REST as clients outside the cluster call it."""
    client = Rest(ingress.base)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
def sender(media: Clip, reachable: str) -> WhipSender:
    return WhipSender(media, address=reachable)
