"""The Pod Security Standard `restricted`, rule by rule (https://kubernetes.io/docs/concepts/security/pod-security-standards/),
and what goes beyond it. A real API server holds the same pods against its own rules: tests/e2e/chart."""

from pathlib import Path

import pytest
from support.chart import CHART, CI_VALUES, Object, component, pods, relay_pod, render

RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip

all_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem.removesuffix("-values"))


def violations(pod: Object) -> list[str]:
    """Of `restricted`; empty: it is kept."""
    spec = pod["spec"]
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [v["name"] for v in spec.get("volumes", []) if not (set(v) - {"name"}) <= RESTRICTED_VOLUMES]
    inherited = spec.get("securityContext", {})
    if "sysctls" in inherited:
        found.append("sysctls")
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container.get("securityContext", {})
        context = inherited | own
        found += [f"hostPort {p['hostPort']}" for p in container.get("ports", []) if p.get("hostPort")]
        if own.get("privileged"):
            found.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 1) == 0:
            found.append("root")
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append("capabilities")
    return found


def test_violations_are_seen() -> None:
    """The check itself."""
    pod = {
        "spec": {
            "hostNetwork": True,
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
            "containers": [{"name": "c", "ports": [{"hostPort": 53}], "securityContext": {"privileged": True}}],
        }
    }
    assert violations(pod) == [
        "hostNetwork", "root", "hostPort 53", "privileged", "allowPrivilegeEscalation", "root", "seccompProfile",
        "capabilities",
    ]  # fmt: skip


@all_values
def test_pods_are_restricted(helm: Path, values: Path) -> None:
    name = values.stem.removesuffix("-values")
    for pod in pods(render(helm, values)):
        beyond = violations(pod)
        if component(pod) == "relay" and name == "host-network":
            assert beyond == ["hostNetwork"]
        elif name == "sounds-volume" and component(pod) in ("relay", "api"):
            assert beyond == ["sounds"]
        else:
            assert beyond == []


@all_values
def test_roots_are_read_only_and_resources_are_said(helm: Path, values: Path) -> None:
    for pod in pods(render(helm, values)):
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
        if component(pod) != "test":
            assert {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}} in pod["spec"]["volumes"]
            assert {"name": "tmp", "mountPath": "/tmp"} in pod["spec"]["containers"][0]["volumeMounts"]


@all_values
def test_probes_of_what_serves(helm: Path, values: Path) -> None:
    for pod in pods(render(helm, values)):
        (container,) = pod["spec"]["containers"]
        if component(pod) in ("test", "uninstall"):
            continue
        ports = {port["name"] for port in container["ports"]}
        paths = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in paths.values()} <= ports
        assert [probe["path"] for probe in paths.values()] == ["/healthz", "/healthz", "/readyz"]


def test_relays_stay_out_of_meshes_and_go_on_while_they_drain(helm: Path) -> None:
    pod = relay_pod(render(helm, more={"relay.drainSeconds": 1800}))
    labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
    assert labels["sidecar.istio.io/inject"] == "false"
    assert labels["istio.io/dataplane-mode"] == "none"
    assert annotations["linkerd.io/inject"] == "disabled"
    assert pod["spec"]["terminationGracePeriodSeconds"] > 1800
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["enableServiceLinks"] is False


def test_user_namespaces(helm: Path) -> None:
    assert [p["spec"]["hostUsers"] for p in pods(render(helm, CHART / "ci" / "pods-values.yaml"))] == [False] * 5
