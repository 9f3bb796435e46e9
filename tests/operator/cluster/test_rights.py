"""The operator as the chart installs it, with the rights that the chart gives to it and no others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from cluster import tools
from cluster.control_plane import ControlPlane, control_plane, free_ports
from support import relay_pods
from support.api_server import NAMESPACES, Namespace, install_crds
from support.chart import CHART, NAMESPACE, Object, of_kind, one, render
from support.control_port import until
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess, operator_process
from support.pod_site import Site, WatchedKube
from support.unavailable import skipped_without

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.paths import events
from transponder_crd.names import FINALIZER
from transponder_crd.store import AlreadyExists
from transponder_operator.program import FAULT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

OPERATOR = "live-rtmp-transponder-operator"
RIGHTS = ("ServiceAccount", "ConfigMap", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
TOKEN_SECONDS = 3600


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own: an operator of all namespaces would serve those of other tests too."""
    with skipped_without(), control_plane() as running:
        yield running


@pytest.mark.parametrize(
    ("values", "where"), [("default", NAMESPACE), ("namespaces", "stage"), ("all-namespaces", "any")]
)
async def test_what_the_chart_allows_is_enough(plane: ControlPlane, tmp_path: Path, values: str, where: str) -> None:
    admin = Kube.connect(plane.kubeconfig)
    kube = WatchedKube.to(plane.kubeconfig)
    try:
        await install_crds(admin)
        async with _installed(plane, admin, tmp_path, values, where) as operator:
            site = Site(plane.kubeconfig, kube, where)
            async with site.kubelet():
                await _one_life(Namespace(admin, where), site)
                if values == "all-namespaces":
                    await until(lambda: _has_no_pods(site), 20)  # nor idle ones
                _, metrics = await operator.get("/metrics")
                await _uninstall(Namespace(admin, where), site, operator)
        assert 'outcome="Denied"' not in metrics
        assert "orbidden" not in operator.log
    finally:
        await asyncio.gather(admin.close(), kube.close())


async def _one_life(space: Namespace, site: Site) -> None:
    """A relay is given to a transponder and dies, another one is, and all ends."""
    await space.add()
    first = await _relay(space)
    await site.status(first, relay_pods.terminated())
    assert await _relay(space, but=first)

    async def is_told() -> bool:
        found = (await space.kube.list(events(space.name))).items
        return any(event["reason"] == "RelayFailed" and first in event["message"] for event in found)

    await until(is_told)
    await space.delete()
    await space.until_gone()

    async def has_no_relay() -> bool:
        return not await site.pods("demo")

    await until(has_no_relay, 20)


async def _uninstall(space: Namespace, site: Site, operator: OperatorProcess) -> None:
    """Under an operator at work, with a transponder that has a relay: nothing acts any more, and nothing is held."""
    await space.add("stays", "other")

    async def has_relay() -> bool:
        return bool((await space.transponder("stays")).get("status", {}).get("relayPod"))

    await until(has_relay, 20)
    assert FINALIZER in (await space.transponder("stays"))["metadata"]["finalizers"]
    assert await operator.uninstall() == 0
    assert await operator.ended() == FAULT
    assert "finalizers" not in (await space.transponder("stays"))["metadata"]
    assert not await site.pods()


async def _has_no_pods(site: Site) -> bool:
    return not await site.pods()


async def _relay(space: Namespace, but: str = "") -> str:
    """The pod that the transponder has."""

    async def pod() -> str:
        name = (await space.transponder()).get("status", {}).get("relayPod") or ""
        return name if name != but else ""

    async def has_one() -> bool:
        return bool(await pod())

    await until(has_one, 20)
    return await pod()


@asynccontextmanager
async def _installed(
    plane: ControlPlane, admin: Kube, folder: Path, values: str, where: str
) -> AsyncIterator[OperatorProcess]:
    """The operator as a process, with environment, template and service account of the chart."""
    chart = render(_program(tools.helm), CHART / "ci" / f"{values}-values.yaml")
    rights = [obj for kind in RIGHTS for obj in of_kind(chart, kind)]
    spaces = {NAMESPACE, where, *(obj["metadata"].get("namespace", NAMESPACE) for obj in rights)}
    for name in sorted(spaces):
        await _make(admin, name)
    kubectl = Kubectl(_program(tools.kubectl), plane.kubeconfig, NAMESPACE)
    for name in sorted(spaces):
        within = [obj for obj in rights if obj["metadata"].get("namespace", NAMESPACE) == name]
        if within:
            await asyncio.to_thread(kubectl.within(name).apply, *within)
    config = one(chart, "ConfigMap", "live-rtmp-transponder-relay-template")
    template = folder / "relay-pod.yaml"
    template.write_text(config["data"]["relay-pod.yaml"])
    settings = {**_environment(chart), "namespace": NAMESPACE, "relay_template": str(template)}
    try:
        kubeconfig = await _service_account(plane, admin, folder)
        (port,) = free_ports(1)
        async with operator_process(folder, kubeconfig, None, port, lease_seconds="5", **settings) as operator:
            yield operator
    finally:
        if everywhere := _names(rights):
            await asyncio.to_thread(kubectl, "delete", *everywhere)


def _environment(chart: list[Object]) -> dict[str, str]:
    (container,) = one(chart, "Deployment", OPERATOR)["spec"]["template"]["spec"]["containers"]
    prefix = "TRANSPONDER_"
    given = {each["name"].removeprefix(prefix).lower(): each["value"] for each in container["env"] if "value" in each}
    # what follows is the test's to say
    return {name: value for name, value in given.items() if name not in ("host", "port", "relay_template")}


def _names(objects: list[Object]) -> list[str]:
    """For kubectl, of what is in no namespace."""
    return [f"{obj['kind'].lower()}/{obj['metadata']['name']}" for obj in objects if "namespace" not in obj["metadata"]]


async def _make(admin: Kube, namespace: str) -> None:
    with contextlib.suppress(AlreadyExists):
        await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    with contextlib.suppress(AlreadyExists):  # else the controller manager makes it
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await admin.create(f"{NAMESPACES}/{namespace}/serviceaccounts", account)


async def _service_account(plane: ControlPlane, admin: Kube, folder: Path) -> Path:
    """A kubeconfig with a token of the operator's service account, such as its pod gets."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{OPERATOR}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    answer = await admin.create(path, {**request, "spec": {"expirationSeconds": TOKEN_SECONDS}})
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": answer["status"]["token"]}}]
    kubeconfig = folder / "service-account.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


def _program(find: Callable[[], Path]) -> Path:
    with skipped_without():
        return find()
