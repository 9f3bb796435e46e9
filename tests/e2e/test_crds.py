"""The custom resources on a real API server: what it takes, what it refuses, what it shows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import tools
from cluster.control_plane import control_plane
from cluster.folders import REPOSITORY
from support.kubectl import Kubectl, KubectlError
from support.unavailable import skipped_without

CRDS = ["rtmptransponders.transponder.dev", "streams.transponder.dev"]
SPEC = {"streamName": "camera", "rtmpUrl": "rtmp://server.example/live"}
SECRET_URL = {"rtmpUrlFrom": {"secretKeyRef": {"name": "server"}}}


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """On an API server of this file's own, which has the two kinds."""
    with skipped_without(), control_plane() as plane:
        kubectl = Kubectl(tools.kubectl(), plane.kubeconfig)
        kubectl("apply", "--server-side", "--validate=strict", "-f", str(REPOSITORY / "crds"))
        kubectl("wait", "crd", *CRDS, "--for=condition=Established", "--timeout=30s")
        yield kubectl


def transponder(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "transponder.dev/v1alpha1",
        "kind": "RtmpTransponder",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.mark.parametrize("name", CRDS)
def test_the_api_server_has_nothing_against_the_schema(kubectl: Kubectl, name: str) -> None:
    conditions = kubectl.json("get", "crd", name)["status"]["conditions"]
    assert {condition["type"]: condition["status"] for condition in conditions} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


def test_defaults(kubectl: Kubectl) -> None:
    kubectl.apply(transponder("defaults", streamName="camera", **SECRET_URL))
    spec = kubectl.json("get", "rtmpt", "defaults")["spec"]
    assert spec == {
        "streamName": "camera",
        "rtmpUrlFrom": {"secretKeyRef": {"name": "server", "key": "rtmpUrl"}},
        "muted": False,
        "options": {},
    }


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"streamName": "camera"}, "exactly one of rtmpUrl and rtmpUrlFrom must be given"),
        ({**SPEC, **SECRET_URL}, "exactly one of rtmpUrl and rtmpUrlFrom must be given"),
        (
            {"rtmpUrl": "rtmp://server.example/live"},
            r"streamName: Required value|missing required field \"streamName\"",
        ),
        ({**SPEC, "streamName": "two words"}, "spec.streamName: Invalid value"),
        ({**SPEC, "rtmpUrl": "http://server.example/live"}, "spec.rtmpUrl: Invalid value"),
        ({**SPEC, "sound": {"file": "../../etc/passwd"}}, "spec.sound.file: Invalid value"),
        ({**SPEC, "mutted": True}, r'unknown field "(spec\.)?mutted"'),
    ],
)
def test_refused(kubectl: Kubectl, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(KubectlError, match=said):
        kubectl.apply(transponder("refused", **spec))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"streamName": "other"}, "streamName is immutable"),
        ({"rtmpUrl": "rtmp://other.example/live"}, "rtmpUrl is immutable"),
        ({"rtmpUrl": None, **SECRET_URL}, "rtmpUrl is immutable"),
    ],
)
def test_immutable(kubectl: Kubectl, change: dict[str, Any], said: str) -> None:
    kubectl.apply(transponder("fixed", **SPEC))
    with pytest.raises(KubectlError) as refusal:
        kubectl("patch", "rtmpt", "fixed", "--type=merge", "-p", json.dumps({"spec": change}))
    assert said in str(refusal.value)


def test_what_may_change(kubectl: Kubectl) -> None:
    kubectl.apply(transponder("muted", **SPEC))
    kubectl("patch", "rtmpt", "muted", "--type=merge", "-p", '{"spec":{"muted":true}}')
    assert kubectl.json("get", "rtmpt", "muted")["spec"]["muted"] is True


def test_columns(kubectl: Kubectl) -> None:
    kubectl.apply(transponder("columns", **SPEC))
    status = {"status": {"phase": "Live", "host": "server.example"}}
    kubectl("patch", "rtmpt", "columns", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    head, row = kubectl("get", "rtmpt", "columns").splitlines()
    assert head.split() == ["NAME", "STREAM", "DESTINATION", "PHASE", "MUTED", "RECONNECTS", "AGE"]
    assert row.split()[:5] == ["columns", "camera", "server.example", "Live", "false"]


def test_status_is_written_through_its_subresource_alone(kubectl: Kubectl) -> None:
    kubectl.apply(transponder("apart", **SPEC))
    kubectl("patch", "rtmpt", "apart", "--type=merge", "-p", '{"status":{"host":"server.example"}}')
    assert "status" not in kubectl.json("get", "rtmpt", "apart")
