"""The product in a namespace of a real cluster, by its chart, as a cluster's owner installs it.

    with installation(cluster_kubectl, helm, {"relay": {"poolSize": 1}}) as installed:
        installed.rest(), installed.whip("camera"), installed.kubectl("get", "rtmpt")

After the block the release is uninstalled, nothing of it is left, and the namespace is deleted.
"""

import asyncio
import json
import re
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.images import TAG
from cluster.processes import wait_for
from support.chart import CHART
from support.kubectl import Kubectl, KubectlError
from support.product import Rest
from support.restricted import NAMESPACE_LABELS

RELEASE = "rt"
FULLNAME = f"{RELEASE}-rtmp-transponder"
KEPT = frozenset({f"secrets/{FULLNAME}-control-key", f"leases/{FULLNAME}-operator"})
"""What a new release of the name takes up again: the operator's own."""
PEER_LABELS = {"app": "rtmp-peer"}
_HELM_SECONDS = 180
_FAULT = re.compile(r'"level": "(WARNING|ERROR|CRITICAL)"|^Traceback|never awaited|never retrieved')
_UNINSTALL_SECONDS = 90

Object = dict[str, Any]

VALUES: Object = {
    "image": {"registry": "transponder.local", "tag": TAG},
    # a test's installation is not to wait for publishers when it ends
    "api": {"lameDuckSeconds": 1, "drainSeconds": 5, "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    "operator": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    "relay": {"poolSize": 1, "drainSeconds": 10, "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
    "defaults": {"holdSeconds": 0},
    "networkPolicy": {
        "relayEgress": [
            {"to": [{"podSelector": {"matchLabels": PEER_LABELS}}], "ports": [{"protocol": "TCP", "port": 1935}]}
        ]
    },
}
"""For a small cluster with the images of this work tree, and an RTMP server in the namespace."""

_COMES_BY_ITSELF = {
    "configmaps/kube-root-ca.crt",
    "serviceaccounts/default",
}
_OF_NOBODY = {"events", "events.events.k8s.io", "pods.metrics.k8s.io", "endpoints", "endpointslices.discovery.k8s.io"}
"""What the cluster keeps about objects, and takes away by itself."""


@dataclass(frozen=True)
class Installation:
    """A release that is ready."""

    kubectl: Kubectl
    """In its namespace."""
    helm: Path

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    def address(self) -> str:
        """Of the API's Service."""
        return str(self.kubectl.json("get", "service", f"{FULLNAME}-api")["spec"]["clusterIP"])

    def base(self) -> str:
        return f"http://{self.address()}"

    def rest(self) -> Rest:
        return Rest(self.base())

    def whip(self, stream_name: str) -> str:
        return f"{self.base()}/whip/{stream_name}"

    def websdk(self) -> str:
        return f"ws://{self.address()}:8080"

    def run_helm(self, *arguments: str, seconds: float = _HELM_SECONDS) -> str:
        return run_helm(self.helm, self.kubectl, *arguments, seconds=seconds)

    def upgrade(self, values: Mapping[str, Any]) -> None:
        """`helm upgrade` with these values over those of the installation."""
        self._release("upgrade", values, "--reuse-values")

    def _release(self, verb: str, values: Mapping[str, Any], *options: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values, file)
            file.flush()
            timing = ["--wait", f"--timeout={_HELM_SECONDS}s"]
            self.run_helm(verb, RELEASE, str(CHART), "--values", file.name, *timing, *options)

    def pods(self, component: str, selector: str = "") -> list[Object]:
        """Of `api`, `operator` or `relay`, that are not about to end."""
        labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        found = self.kubectl.json("get", "pods", "--selector", f"{labels},{selector}".rstrip(","))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def relay_of(self, stream_name: str) -> str:
        """Name of the relay pod that serves the stream."""
        annotation = "transponder.dev/stream-name"
        pods = self.pods("relay", "transponder.dev/stream")
        (name,) = [p["metadata"]["name"] for p in pods if p["metadata"]["annotations"][annotation] == stream_name]
        return str(name)

    def idle_relays(self) -> list[Object]:
        """Those that are ready."""
        return [pod for pod in self.pods("relay", "transponder.dev/pool=idle") if _is_ready(pod)]

    def until_idle(self, count: int = 1, seconds: float = 60) -> None:
        """Until that many relays wait for a stream."""
        wait_for("idle relays", lambda: len(self.idle_relays()) >= count, seconds=seconds)

    def objects(self) -> set[str]:
        """What is in the namespace, but the pool: its relays come and go."""
        pods = {f"pods/{pod['metadata']['name']}" for pod in self.pods("relay", "transponder.dev/pool=idle")}
        tokens = {pod.replace("pods/", "secrets/") for pod in pods}
        return objects_of(self.kubectl) - pods - tokens

    async def until_only(self, before: set[str], seconds: float = 20) -> None:
        """Until nothing is there that was not there before. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        while left := await asyncio.to_thread(self.objects) - before:
            assert time.monotonic() < deadline, f"left after {seconds} s: {sorted(left)}"
            await asyncio.sleep(0.2)

    def check_logs(self) -> None:
        """Raises AssertionError with what no good run writes."""
        faults = [line for line in self.logs().splitlines() if _FAULT.search(line)]
        assert not faults, "\n".join(["errors in the logs:", *faults])

    def logs(self) -> str:
        """Of API and operator, and of the relays that are there."""
        said = ""
        for pod in self.kubectl.json("get", "pods", "--selector", "app.kubernetes.io/name=rtmp-transponder")["items"]:
            name = pod["metadata"]["name"]
            try:
                said += f"--- {name}\n{self.kubectl('logs', name)}\n"
            except KubectlError as error:
                said += f"--- {name}\n{error}\n"
        return said


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@contextmanager
def own_namespace(cluster_kubectl: Kubectl, labels: Mapping[str, str] | None = None) -> Iterator[Kubectl]:
    """A new namespace, deleted after the block. Without labels it enforces Pod Security `restricted`."""
    name = f"e2e-{secrets.token_hex(4)}"
    metadata = {"name": name, "labels": dict(NAMESPACE_LABELS if labels is None else labels)}
    cluster_kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield cluster_kubectl.within(name)
    finally:
        cluster_kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def installation(kubectl: Kubectl, helm: Path, values: Mapping[str, Any] | None = None) -> Iterator[Installation]:
    """The product in kubectl's namespace, with values over `VALUES`. After the block `KEPT` and the CRDs are left."""
    before = objects_of(kubectl)
    installed = Installation(kubectl, helm)
    all_values = merged(VALUES, values or {})
    installed._release("install", merged(all_values, {"crds": {"enabled": not crds_are_there(kubectl)}}))
    try:
        _until_reached(installed)
        yield installed
    finally:
        uninstall(installed)
    assert crds_are_there(kubectl)
    left = objects_of(kubectl) - before - KEPT
    assert not left, f"left after helm uninstall: {sorted(left)}"


def _until_reached(installed: Installation) -> None:
    """The Service leads to the ready pods a moment after they are."""
    address = (installed.address(), 80)

    def answers() -> bool:
        try:
            socket.create_connection(address, 5).close()
        except OSError:
            return False
        return True

    wait_for("answer of the API", answers, seconds=20)


def uninstall(installed: Installation) -> None:
    """In the order of docs/kubernetes.md: transponders and streams first; back when the pods are gone."""
    kubectl = installed.kubectl
    kubectl("delete", "rtmptransponders,streams", "--all", f"--timeout={_UNINSTALL_SECONDS}s", seconds=100)
    installed.run_helm("uninstall", RELEASE, "--wait")
    pods = "app.kubernetes.io/name=rtmp-transponder"
    kubectl("wait", "pod", "--selector", pods, "--for=delete", f"--timeout={_UNINSTALL_SECONDS}s", seconds=100)


def crds_are_there(kubectl: Kubectl) -> bool:
    """Perhaps of another release of this cluster: then this one does not make them."""
    return bool(kubectl("get", "crd", "rtmptransponders.transponder.dev", "--ignore-not-found", "-o", "name"))


def objects_of(kubectl: Kubectl) -> set[str]:
    """All objects of the namespace as `kind/name`, but what the cluster makes by itself."""
    kinds = set(kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()) - _OF_NOBODY
    named = kubectl("get", ",".join(sorted(kinds)), "-o", "json", "--ignore-not-found", "--show-managed-fields=false")
    items = json.loads(named)["items"] if named.strip() else []
    return {f"{item['kind'].lower()}s/{item['metadata']['name']}" for item in items} - _COMES_BY_ITSELF


def run_helm(helm: Path, kubectl: Kubectl, *arguments: str, seconds: float = _HELM_SECONDS) -> str:
    """Helm in kubectl's cluster and namespace, with no settings of the person who runs the tests. Raises HelmFailed."""
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        command = [str(helm), *arguments, "--namespace", kubectl.namespace, "--kubeconfig", str(kubectl.kubeconfig)]
        environment = {"HOME": home, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, env=environment)
    if done.returncode:
        raise HelmFailed(f"helm {' '.join(arguments)}: {done.stderr.strip()}\n{done.stdout.strip()}")
    return done.stdout


class HelmFailed(Exception):
    """Helm ended with an error; the text is what it said."""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Object:
    """Values as Helm merges them: maps by key, all else is replaced."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
