"""Transponders that the programs cannot read, since somebody weakened the schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.control_plane import ControlPlane, control_plane, free_ports
from support.api_server import CRDS, Namespace, install_crds, namespace
from support.control_port import until
from support.operator_process import operator_process
from support.relay_farm import RelayFarm
from support.unavailable import skipped_without

from transponder_crd.kubernetes.errors import Busy
from transponder_crd.names import FINALIZER
from transponder_crd.resource import RtmpTransponder
from transponder_crd.schema import custom_resource_definition
from transponder_crd.store import Invalid

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own, whose schema is changed."""
    with skipped_without(), control_plane() as running:
        yield running


async def test_they_can_be_deleted(plane: ControlPlane, tmp_path: Path, farm: RelayFarm) -> None:
    """While the operator watches, and when it finds them at its start. Others are served beside them."""
    async with namespace(plane.kubeconfig) as space:
        await weaken(space)
        for name in ("early", "late"):
            await add_unreadable(space, name)
        await space.delete("early")
        assert not await space.is_gone("early")
        (port,) = free_ports(1)
        async with operator_process(tmp_path, plane.kubeconfig, farm.url, port, namespace=space.name):
            await space.until_gone("early")
            await space.add()
            await space.until_phase("WaitingForPublisher")
            assert not await space.is_gone("late")
            await space.delete("late")
            await space.until_gone("late")


async def add_unreadable(space: Namespace, name: str) -> None:
    await space.add(name, "a stream name with spaces", finalizers=[FINALIZER])


async def weaken(space: Namespace) -> None:
    """Any text is a stream name."""
    await install_crds(space.kube)
    crd = custom_resource_definition(RtmpTransponder)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["streamName"] = {"type": "string"}
    name = crd["metadata"]["name"]
    await space.kube.patch(f"{CRDS}/{name}", {"spec": {"versions": crd["spec"]["versions"]}})

    async def is_taken() -> bool:
        try:
            await add_unreadable(space, "tried")
        except (Invalid, Busy):  # the old schema is at work, or none while the server changes over
            return False
        return True

    await until(is_taken, 20)
    await space.patch({"metadata": {"finalizers": None}}, "tried")
    await space.delete("tried")
