"""Each values file of ci/ renders with both Helms, alike, into what Kubernetes' own schemas take."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from support.chart import CHART, CI_VALUES, NAMESPACE, HelmError, of_kind, one, pods, render, run_helm

VERSIONS = ("1.30", "1.36")
"""The oldest that the chart is for, and the one of the cluster tests."""

WITHOUT_SCHEMA = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "CustomResourceDefinition"}
"""Kinds of other projects; and one whose schema is recursive and checked by the API server's dry run instead."""

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}

all_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem.removesuffix("-values"))


@all_values
def test_both_helms_take_it(any_helm: Path, values: Path) -> None:
    run_helm(any_helm, "lint", "--strict", CHART, "--values", values)
    assert of_kind(render(any_helm, values), "Deployment")


@all_values
def test_both_helms_render_the_same(helm: Path, any_helm: Path, values: Path) -> None:
    assert _by_name(render(any_helm, values)) == _by_name(render(helm, values))


@all_values
def test_objects_fit_kubernetes_schemas(helm: Path, values: Path) -> None:
    objects = render(helm, values)
    for version in VERSIONS:
        for obj in [*objects, *pods(objects)]:
            if obj["kind"] not in WITHOUT_SCHEMA:
                kubernetes_validate.validate(obj, version, strict=True)


@all_values
def test_each_object_says_whose_it_is(helm: Path, values: Path) -> None:
    for obj in render(helm, values):
        if "extra" in obj["metadata"]["name"]:
            continue
        labels = obj["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "rtmp-transponder"
        assert {"app.kubernetes.io/instance", "app.kubernetes.io/component", "helm.sh/chart"} <= set(labels)
        assert ("namespace" in obj["metadata"]) == (obj["kind"] not in CLUSTER_WIDE)


@all_values
def test_no_two_objects_have_one_name(helm: Path, values: Path) -> None:
    objects = render(helm, values)
    assert len(_by_name(objects)) == len(objects)


@all_values
def test_images_have_a_version(helm: Path, values: Path) -> None:
    for pod in pods(render(helm, values)):
        for container in pod["spec"]["containers"]:
            name, at, digest = container["image"].partition("@")
            tag = name.rpartition("/")[2].partition(":")[2]
            assert digest if at else tag not in ("", "latest"), container["image"]


def test_every_values_file_is_rendered() -> None:
    """A feature is named by its file; one that is misnamed would be left out by Helm's chart tester too."""
    assert {file.name for file in (CHART / "ci").iterdir()} == {file.name for file in CI_VALUES}
    assert len(CI_VALUES) >= 14


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"api.ingress.enabled": True}, "api.auth: give existingSecret"),
        ({"api.service.type": "LoadBalancer"}, "api.auth: give existingSecret"),
        ({"api.auth": {"existingSecret": "a", "token": "b"}}, "not both"),
        ({"api.httpRoute.enabled": True, "api.auth.existingSecret": "a"}, "api.httpRoute.parentRefs"),
        ({"media.mode": "hostPort"}, "media.portRange"),
        ({"media.mode": "turn"}, "media.turn"),
        ({"media.addresses": ["192.0.2.1"]}, "media.addresses"),
        ({"media.mode": "hostNetwork", "userNamespaces": True}, "userNamespaces"),
        ({"autoStart.enabled": True}, "autoStart.existingSecret"),
        ({"watchNamespaces": ["*", "a"]}, "watchNamespaces"),
        ({"sounds": {"configMap": "a", "persistentVolumeClaim": "b"}}, "sounds"),
        ({"media.mode": "hostPort", "media.portRange": "40000-40002"}, "media.portRange"),
        ({"media.portRange": "40010-40000"}, "media.portRange"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(helm: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(HelmError, match=said):
        render(helm, more=more)


def test_an_open_api_may_be_had_by_saying_so(helm: Path) -> None:
    more = {"api.service.type": "NodePort", "api.auth.anonymous": True}
    assert one(render(helm, more=more), "Service", "live-rtmp-transponder-api")["spec"]["type"] == "NodePort"


def test_notes_say_the_next_commands(helm: Path) -> None:
    notes = run_helm(
        helm, "install", "live", CHART, "--dry-run=client", "--namespace", NAMESPACE, "--set", "media.mode=hostNetwork"
    ).partition("NOTES:")[2]
    assert "rollout status deployment/live-rtmp-transponder-operator" in notes
    assert "helm test live --namespace media" in notes
    assert "kind: RtmpTransponder" in notes
    assert "pod-security.kubernetes.io/enforce=privileged" in notes
    assert "NO TOKEN" in notes


def _by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    return {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}
