"""An API server that dies, and one that has forgotten: on servers of its own."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from cluster.control_plane import ControlPlane, control_plane
from cluster.folders import Unavailable as NoCluster
from support.objects import make_stream, make_transponder, muted

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.paths import objects
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.kubernetes.wire import new_object
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import Gone, Unavailable
from transponder_crd.waiting import wait_for

from .conftest import Replica, install

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """In place of the one of all other tests."""
    try:
        with control_plane() as plane:
            asyncio.run(install(plane.kubeconfig))
            yield plane
    except NoCluster as reason:
        pytest.skip(str(reason))


async def test_a_watch_resumes_until_its_version_is_gone(plane: ControlPlane, kube: Kube, namespace: str) -> None:
    path = objects(Stream, namespace)
    version = (await kube.list(path)).resource_version
    for name in ("a", "b"):
        await kube.create(path, new_object(make_stream(name), namespace))

    async def seen(count: int) -> list[str]:
        while True:
            try:
                async with aclosing(kube.watch(path, version)) as events, asyncio.timeout(10):
                    return [(await anext(events))[1]["metadata"]["name"] for _ in range(count)]
            except Unavailable:  # it has just been started
                await asyncio.sleep(0.1)

    assert await seen(2) == ["a", "b"]
    await _compact(plane, int((await kube.list(path)).resource_version))
    plane.restart("kube-apiserver")  # what it has in memory would do as well as what etcd has forgotten
    with pytest.raises(Gone):
        await seen(1)


async def _compact(plane: ControlPlane, revision: int) -> None:
    body = json.dumps({"revision": revision, "physical": True}).encode()
    url = f"http://127.0.0.1:{plane.place.etcd_port}/v3/kv/compaction"

    def ask() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, body), timeout=10):
            pass

    await asyncio.to_thread(ask)


async def test_an_api_server_that_dies(plane: ControlPlane, kube: Kube, here: Replica) -> None:
    """A write waits for it, informers go on, nothing is missed."""
    await here.store.create(make_transponder("before"))
    failed = asyncio.Event()
    kube.observe = lambda method, path, seconds, error: failed.set() if error else None
    daemon = plane.daemons["kube-apiserver"]
    daemon.stop(kill=True)
    writing = asyncio.create_task(here.store.create(make_transponder("during")))
    await asyncio.wait_for(failed.wait(), 10)
    daemon.start()
    plane.wait_ready()
    made = await writing
    other = KubernetesStore(kube, here.namespace, Mirrors.empty())  # a writer of another process
    obj = await other.get(RtmpTransponder, "before")
    await other.update(muted(obj))
    for name in ("during", "before"):
        await wait_for(here.store, RtmpTransponder, name, lambda now: now is not None, 30)
    await wait_for(here.store, RtmpTransponder, "before", lambda now: now is not None and now.spec.muted, 30)
    assert await here.store.by_uid(RtmpTransponder, made.uid) == made
