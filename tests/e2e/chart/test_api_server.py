"""What the chart renders, on a real API server: taken as it is, held to Pod Security, installed and removed by Helm."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cluster import tools
from cluster.control_plane import ControlPlane, control_plane
from support.chart import CHART, CI_VALUES, NAMESPACE, RELEASE, Object, component, of_kind, pods, relay_pod, render
from support.kubectl import Kubectl, KubectlError
from support.unavailable import skipped_without

OF_OTHER_PROJECTS = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute"}
"""Kinds that this API server does not have."""

NAMESPACES = (NAMESPACE, "relays", "studio", "stage")

all_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem.removesuffix("-values"))


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with skipped_without(), control_plane() as made:
        kubectl = Kubectl(tools.kubectl(), made.kubeconfig)
        for name in NAMESPACES:
            kubectl("create", "namespace", name)
        # what controllers, or a cluster's owner, would have made
        kubectl.within(NAMESPACE).apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": "media"},
                "value": 1,
            },
            {
                "apiVersion": "node.k8s.io/v1",
                "kind": "RuntimeClass",
                "metadata": {"name": "gvisor"},
                "handler": "runsc",
            },
        )
        yield made


@pytest.fixture(scope="module")
def kubectl(plane: ControlPlane) -> Kubectl:
    return Kubectl(tools.kubectl(), plane.kubeconfig)


@pytest.fixture(scope="module", params=["helm4", "helm3"])
def any_helm(request: pytest.FixtureRequest) -> Path:
    return {"helm4": tools.helm, "helm3": tools.helm3}[request.param]()


def apply(kubectl: Kubectl, *objects: Object, options: Sequence[str] = ()) -> None:
    """Each to its own namespace. Raises KubectlError."""
    for namespace in {obj["metadata"].get("namespace", NAMESPACE) for obj in objects}:
        here = [obj for obj in objects if obj["metadata"].get("namespace", NAMESPACE) == namespace]
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": here})
        kubectl.within(namespace)("apply", "--server-side", "--validate=strict", *options, "-f", "-", stdin=items)


def dry_run(kubectl: Kubectl, *objects: Object) -> None:
    apply(kubectl, *objects, options=["--dry-run=server"])


@all_values
def test_objects_are_taken(kubectl: Kubectl, helm: Path, values: Path) -> None:
    objects = [obj for obj in render(helm, values) if obj["kind"] not in OF_OTHER_PROJECTS | {"Pod"}]
    dry_run(kubectl, *objects)


def enforce(kubectl: Kubectl, level: str) -> None:
    kubectl("label", "--overwrite", "namespace", NAMESPACE, f"pod-security.kubernetes.io/enforce={level}")


def admitted(kubectl: Kubectl, pod: Object) -> bool:
    """By the API server as it would be if the pod were created. What is refused for another reason is an error."""
    try:
        dry_run(kubectl, pod)
    except KubectlError as error:
        if "violates PodSecurity" not in str(error):
            raise
        return False
    return True


def as_created(pod: Object, ports: list[dict[str, Any]]) -> Object:
    """With the ports that the operator gives to a relay."""
    (container,) = pod["spec"]["containers"]
    mine = container | {"ports": [*container.get("ports", []), *ports]}
    return pod | {"spec": pod["spec"] | {"containers": [mine], "serviceAccountName": "default"}}


@all_values
def test_pods_are_admitted_where_restricted_is_enforced(kubectl: Kubectl, helm: Path, values: Path) -> None:
    enforce(kubectl, "restricted")
    name = values.stem.removesuffix("-values")
    for pod in pods(render(helm, values)):
        if name == "host-network" and component(pod) == "relay":
            continue  # the next test's
        nfs = name == "sounds-volume" and component(pod) in ("relay", "api")
        # accounts are not what is tested, and dry runs make none
        assert admitted(kubectl, as_created(pod, [])) is not nfs, pod["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "ports"),
    [("host-network", []), ("host-port", [{"containerPort": 40000, "hostPort": 40000, "protocol": "UDP"}])],
)
def test_the_two_host_modes_need_privileged(
    kubectl: Kubectl, helm: Path, values: str, ports: list[dict[str, Any]]
) -> None:
    relay = as_created(relay_pod(render(helm, CHART / "ci" / f"{values}-values.yaml")), ports)
    allowed = {}
    for level in ("restricted", "baseline", "privileged"):
        enforce(kubectl, level)
        allowed[level] = admitted(kubectl, relay)
    assert allowed == {"restricted": False, "baseline": False, "privileged": True}


def test_rights_as_the_api_server_sees_them(kubectl: Kubectl, helm: Path) -> None:
    kinds = ("Role", "RoleBinding", "ServiceAccount")
    apply(kubectl, *(obj for kind in kinds for obj in of_kind(render(helm), kind)))

    def may(program: str, verb: str, what: str, namespace: str = NAMESPACE) -> bool:
        user = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-rtmp-transponder-{program}"
        try:
            return kubectl.within(namespace)("auth", "can-i", verb, what, f"--as={user}").strip() == "yes"
        except KubectlError:  # the exit status says no
            return False

    key = f"secrets/{RELEASE}-rtmp-transponder-control-key"
    assert may("api", "create", "secrets")
    assert may("api", "get", key)
    assert not may("api", "get", "secrets/url-of-somebody")
    assert not may("api", "update", "rtmptransponders.transponder.dev/status")
    assert may("operator", "get", "secrets/url-of-somebody")
    assert not may("operator", "list", "secrets")
    assert not may("operator", "list", "rtmptransponders.transponder.dev", "studio")
    assert not may("relay", "get", "pods")


def test_install_upgrade_uninstall(kubectl: Kubectl, plane: ControlPlane, any_helm: Path) -> None:
    home = plane.folder / any_helm.parent.name
    home.mkdir(exist_ok=True)
    kubectl = kubectl.within("stage")

    def helm(*arguments: str) -> str:
        common = ["--kubeconfig", str(plane.kubeconfig), "--namespace", "stage"]
        done = subprocess.run(
            [any_helm, *arguments, *common], capture_output=True, text=True, timeout=60, env={"HOME": str(home)}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    helm("install", RELEASE, str(CHART))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/rtmptransponders.transponder.dev")
    kubectl.apply(
        {
            "apiVersion": "transponder.dev/v1alpha1",
            "kind": "RtmpTransponder",
            "metadata": {"name": "shop"},
            "spec": {"streamName": "shop", "rtmpUrl": "rtmp://rtmp.example.com/live"},
        }
    )
    helm("upgrade", RELEASE, str(CHART), "--set", "relay.poolSize=5,operator.replicas=2")
    operator = kubectl.json("get", "deployment", f"{RELEASE}-rtmp-transponder-operator")
    assert operator["spec"]["replicas"] == 2
    assert "helm test live --namespace stage" in helm("get", "notes", RELEASE)
    helm("uninstall", RELEASE, "--no-hooks")  # there is no node to run them on
    # custom resources are the user's: the definitions stay, and a new release takes them over
    assert kubectl("get", "rtmptransponders", "-o", "name").split() == ["rtmptransponder.transponder.dev/shop"]
    left = kubectl("get", "deployments,services,configmaps,roles,networkpolicies", "-o", "name").split()
    assert [name for name in left if RELEASE in name] == []
    helm("install", RELEASE, str(CHART))
    helm("uninstall", RELEASE, "--no-hooks")
    kubectl("delete", "rtmptransponder", "shop")


def test_template_and_apply(kubectl: Kubectl, helm: Path) -> None:
    objects = [obj for obj in render(helm) if "helm.sh/hook" not in (obj["metadata"].get("annotations") or {})]
    apply(kubectl, *objects)
    apply(kubectl, *objects)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")
