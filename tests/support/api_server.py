"""A namespace of a real API server, and what tests do in it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.control_port import until

from transponder_crd.kubernetes.client import Kube, objects
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.schema import KINDS, custom_resource_definition
from transponder_crd.store import AlreadyExists, NotFound

JsonObject = dict[str, Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = "/api/v1/namespaces"

_numbers = itertools.count(1)


async def install_crds(kube: Kube) -> None:
    """And wait until they are served."""
    for kind in KINDS:
        crd = custom_resource_definition(kind)
        try:
            await kube.create(CRDS, crd)
        except AlreadyExists:
            continue

    async def are_served() -> bool:
        try:
            for kind in KINDS:
                await kube.list(objects(kind, "default"))
        except NotFound:
            return False
        return True

    await until(are_served, 30)


class Namespace:
    """A namespace of its own for one test."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.kube = kube
        self.name = name

    async def add(self, name: str = "t", stream_name: str = "demo", **more: Any) -> JsonObject:
        """As kubectl makes it: no finalizer, no labels."""
        spec = {"streamName": stream_name, "rtmpUrl": f"rtmp://host/{name}", **more.pop("spec", {})}
        body = {
            "apiVersion": "transponder.dev/v1alpha1",
            "kind": "RtmpTransponder",
            "metadata": {"name": name, **more},
            "spec": spec,
        }
        return await self.kube.create(objects(RtmpTransponder, self.name), body)

    async def transponder(self, name: str = "t") -> JsonObject:
        return await self.kube.get(objects(RtmpTransponder, self.name, name))

    async def phase(self, name: str = "t") -> str:
        return str((await self.transponder(name)).get("status", {}).get("phase", ""))

    async def patch(self, patch: JsonObject, name: str = "t") -> JsonObject:
        return await self.kube.patch(objects(RtmpTransponder, self.name, name), patch)

    async def delete(self, name: str = "t") -> None:
        await self.kube.delete(objects(RtmpTransponder, self.name, name))

    async def is_gone(self, name: str = "t") -> bool:
        try:
            await self.transponder(name)
        except NotFound:
            return True
        return False

    async def streams(self) -> list[JsonObject]:
        return (await self.kube.list(objects(Stream, self.name))).items

    async def until_phase(self, phase: str, name: str = "t", seconds: float = 10.0) -> None:
        async def reached() -> bool:
            return await self.phase(name) == phase

        await until(reached, seconds)

    async def until_gone(self, name: str = "t", seconds: float = 10.0) -> None:
        async def gone() -> bool:
            return await self.is_gone(name)

        await until(gone, seconds)


@asynccontextmanager
async def namespace(kubeconfig: Path) -> AsyncIterator[Namespace]:
    kube = Kube.connect(kubeconfig)
    name = f"test-{next(_numbers)}"
    try:
        await install_crds(kube)
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield Namespace(kube, name)
    finally:
        await asyncio.shield(kube.close())
