"""A real etcd, API server and controller manager for the tests of this folder, with our CRDs; a namespace each."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cluster.control_plane import ControlPlane, control_plane
from support.unavailable import skipped_without

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.informer import Informer
from transponder_crd.kubernetes.paths import objects
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.schema import KINDS, custom_resource_definition

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with skipped_without(), control_plane(controllers=True) as plane:
        asyncio.run(install(plane.kubeconfig))
        yield plane


async def install(kubeconfig: Path) -> None:
    kube = Kube.connect(kubeconfig)
    for kind in KINDS:
        # as a person installs it: through YAML
        await kube.create(CRDS, yaml.safe_load(yaml.safe_dump(custom_resource_definition(kind))))
    for kind in KINDS:
        while not await _established(kube, f"{CRDS}/{kind.PLURAL}.transponder.dev"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await kube.close()


async def _established(kube: Kube, path: str) -> bool:
    conditions = (await kube.get(path)).get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.fixture
async def kube(plane: ControlPlane) -> AsyncIterator[Kube]:
    kube = Kube.connect(plane.kubeconfig)
    yield kube
    await kube.close()


@pytest.fixture
async def namespace(kube: Kube) -> str:
    name = f"test-{secrets.token_hex(4)}"
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await kube.create("/api/v1/namespaces", obj)
    return name


@dataclass
class Replica:
    """A store with informers of its own, as each program has."""

    kube: Kube
    namespace: str
    mirrors: Mirrors
    informers: tuple[Informer[RtmpTransponder], Informer[Stream]]
    store: KubernetesStore


@asynccontextmanager
async def replica(kube: Kube, namespace: str) -> AsyncIterator[Replica]:
    mirrors = Mirrors.empty()
    informers = (
        Informer(kube, objects(RtmpTransponder, namespace), mirrors.transponders),
        Informer(kube, objects(Stream, namespace), mirrors.streams),
    )
    tasks = [asyncio.create_task(informer.run()) for informer in informers]
    await asyncio.gather(*(mirror.wait_filled() for mirror in mirrors))
    yield Replica(kube, namespace, mirrors, informers, KubernetesStore(kube, namespace, mirrors))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.fixture
async def here(kube: Kube, namespace: str) -> AsyncIterator[Replica]:
    async with replica(kube, namespace) as made:
        yield made


@pytest.fixture
def store(here: Replica) -> KubernetesStore:
    return here.store
