"""The pod that is made of the template."""

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
from support.relay_pods import NOW, TEMPLATE

from transponder_crd.meta import OwnerReference
from transponder_crd.names import stream_object_name
from transponder_operator.pods.manifest import (
    Claim,
    InvalidTemplate,
    check_template,
    claim_patch,
    read_template,
    relay_pod,
    template_hash,
    token_secret,
)
from transponder_operator.pods.ports import MediaMode, RelayPorts
from transponder_operator.pods.settings import PodSettings

OWNER = OwnerReference(api_version="transponder.dev/v1alpha1", kind="Stream", name="s", uid="u1")
POOL_OWNER = OwnerReference(api_version="v1", kind="ConfigMap", name="template", uid="u2")
CLAIM = Claim("a stream", [OWNER], NOW)
PORTS = RelayPorts(9090, None)


def make(settings: PodSettings | None = None, ports: RelayPorts = PORTS, **more: Any) -> dict[str, Any]:
    return relay_pod(TEMPLATE, settings or PodSettings(), "relay-1", ports, key_mark="cafe", **more)


def relay(pod: dict[str, Any]) -> dict[str, Any]:
    return next(container for container in pod["spec"]["containers"] if container["name"] == "relay")


def env(pod: dict[str, Any]) -> dict[str, Any]:
    variables = relay(pod)["env"]
    assert len({one["name"] for one in variables}) == len(variables)
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in variables}


def test_an_idle_one() -> None:
    pod = make(pool_owner=POOL_OWNER)
    metadata = pod["metadata"]
    assert (pod["apiVersion"], pod["kind"], metadata["name"]) == ("v1", "Pod", "relay-1")
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "rtmp-transponder",
        "app.kubernetes.io/component": "relay",
        "app.kubernetes.io/instance": "test",
        "app.kubernetes.io/managed-by": "rtmp-transponder",
        "transponder.dev/pool": "idle",
        "team": "video",
    }
    assert metadata["annotations"] == {
        "note": "kept",
        "transponder.dev/control-port": "9090",
        "transponder.dev/key-mark": "cafe",
        "transponder.dev/template-hash": template_hash(TEMPLATE, PodSettings()),
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    }
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "template", "uid": "u2"},
    ]


def test_one_of_a_stream() -> None:
    metadata = make(claim=CLAIM, pool_owner=POOL_OWNER)["metadata"]
    assert metadata["labels"]["transponder.dev/stream"] == stream_object_name("a stream")
    assert "transponder.dev/pool" not in metadata["labels"]
    assert metadata["annotations"]["transponder.dev/stream-name"] == "a stream"
    assert metadata["annotations"]["transponder.dev/claimed-at"] == "2026-01-01T12:00:00.000000+00:00"
    assert metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert metadata["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == ["u1"]


def test_what_the_template_says_stays() -> None:
    before = copy.deepcopy(TEMPLATE)
    pod = make()
    assert before == TEMPLATE
    spec = pod["spec"]
    assert spec["terminationGracePeriodSeconds"] == 3630
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][1] == TEMPLATE["spec"]["containers"][1]
    assert relay(pod)["readinessProbe"] == TEMPLATE["spec"]["containers"][0]["readinessProbe"]
    assert env(pod)["TRANSPONDER_DRAIN_SECONDS"] == "3600"
    assert {"name": "sounds", "mountPath": "/sounds"} in relay(pod)["volumeMounts"]
    assert {"name": "other", "containerPort": 9999} in relay(pod)["ports"]


def test_what_the_operator_adds() -> None:
    pod = make()
    assert pod["spec"]["restartPolicy"] == "Never"
    assert env(pod) == {
        "TRANSPONDER_DRAIN_SECONDS": "3600",
        "TRANSPONDER_INSTANCE": {"fieldRef": {"fieldPath": "metadata.name"}},
        "TRANSPONDER_TOKEN_FILE": "/run/transponder/token",
        "TRANSPONDER_CONTROL_PORT": "9090",
    }
    token = {"name": "relay-token", "secret": {"secretName": "relay-1", "items": [{"key": "token", "path": "token"}]}}
    assert pod["spec"]["volumes"] == [{"name": "sounds", "emptyDir": {}}, token]
    assert relay(pod)["volumeMounts"][-1] == {
        "name": "relay-token",
        "mountPath": "/run/transponder",
        "readOnly": True,
    }
    assert [port for port in relay(pod)["ports"] if port["name"] == "control"] == [
        {"name": "control", "containerPort": 9090, "protocol": "TCP"}
    ]
    assert "hostNetwork" not in pod["spec"]


def test_with_the_network_of_its_node() -> None:
    settings = PodSettings(media_mode=MediaMode.HOST_NETWORK, media_port_range=(30000, 30999))
    pod = make(settings, RelayPorts(20017, None))
    assert (pod["spec"]["hostNetwork"], pod["spec"]["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert {"name": "control", "containerPort": 20017, "hostPort": 20017, "protocol": "TCP"} in relay(pod)["ports"]
    variables = env(pod)
    assert variables["TRANSPONDER_CONTROL_PORT"] == "20017"
    assert variables["TRANSPONDER_MEDIA_PORT_RANGE"] == "30000-30999"
    assert "TRANSPONDER_MEDIA_ADDRESSES" not in variables
    assert pod["metadata"]["annotations"]["transponder.dev/control-port"] == "20017"


def test_with_ports_of_its_node() -> None:
    settings = PodSettings(media_mode=MediaMode.HOST_PORT, media_port_range=(30000, 30999), ports_per_relay=2)
    pod = make(settings, RelayPorts(9090, (30004, 30005)))
    assert [port for port in relay(pod)["ports"] if port.get("protocol") == "UDP"] == [
        {"name": "media-0", "containerPort": 30004, "hostPort": 30004, "protocol": "UDP"},
        {"name": "media-1", "containerPort": 30005, "hostPort": 30005, "protocol": "UDP"},
    ]
    assert env(pod)["TRANSPONDER_MEDIA_PORT_RANGE"] == "30004-30005"
    assert env(pod)["TRANSPONDER_MEDIA_ADDRESSES"] == {"fieldRef": {"fieldPath": "status.hostIP"}}
    assert pod["metadata"]["annotations"]["transponder.dev/media-ports"] == "30004-30005"
    assert "hostNetwork" not in pod["spec"]


@pytest.mark.parametrize("mode", [MediaMode.HOST_PORT, MediaMode.HOST_NETWORK])
def test_a_public_address(mode: MediaMode) -> None:
    addresses = ["203.0.113.7", "2001:db8::7"]
    settings = PodSettings(media_mode=mode, media_port_range=(30000, 30999), media_addresses=addresses)
    assert env(make(settings))["TRANSPONDER_MEDIA_ADDRESSES"] == "203.0.113.7,2001:db8::7"


def test_the_hash_tells_what_pods_are_made_of() -> None:
    base = PodSettings()
    today = template_hash(TEMPLATE, base)
    assert template_hash(copy.deepcopy(TEMPLATE), PodSettings(pool_size=7)) == today
    other = copy.deepcopy(TEMPLATE)
    other["spec"]["containers"][0]["image"] = "registry.example/relay:2"
    assert template_hash(other, base) != today
    labelled = copy.deepcopy(TEMPLATE)
    labelled["metadata"]["labels"]["team"] = "audio"
    assert template_hash(labelled, base) != today
    assert template_hash(TEMPLATE, PodSettings(media_mode=MediaMode.HOST_NETWORK)) != today
    assert make(claim=CLAIM)["metadata"]["annotations"]["transponder.dev/template-hash"] == today


def test_a_claim_makes_an_idle_pod_what_a_claimed_one_is() -> None:
    idle, claimed = make(pool_owner=POOL_OWNER), make(claim=CLAIM)
    idle["metadata"] = _patched(idle, claim_patch(CLAIM))["metadata"]
    assert idle == claimed


def test_a_claim_fails_on_a_pod_that_is_taken() -> None:
    with pytest.raises(KeyError):
        _patched(make(claim=CLAIM), claim_patch(CLAIM))


def test_the_token() -> None:
    secret = token_secret("relay-1", "u3", "t0ken", {"app.kubernetes.io/instance": "test"})
    assert base64.b64decode(secret["data"]["token"]) == b"t0ken"
    assert secret["immutable"] is True
    assert secret["metadata"]["name"] == "relay-1"
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "relay-1", "uid": "u3"},
    ]
    assert secret["metadata"]["labels"]["app.kubernetes.io/instance"] == "test"
    assert "transponder.dev/pool" not in secret["metadata"]["labels"]


@pytest.mark.parametrize(
    "template",
    [None, [], "text", {}, {"spec": {}}, {"spec": {"containers": None}}, {"spec": {"containers": [{"name": "other"}]}}],
)
def test_templates_of_which_no_relay_can_be_made(template: object) -> None:
    with pytest.raises(InvalidTemplate, match="relay template"):
        check_template(template)


def test_reading_a_template(tmp_path: Path) -> None:
    file = tmp_path / "relay-pod.yaml"
    file.write_text("metadata: {labels: {a: b}}\nspec:\n  containers:\n  - {name: relay, image: i}\n")
    assert read_template(file)["spec"]["containers"] == [{"name": "relay", "image": "i"}]
    for nonsense in (b"a: [", b"\xff\xfe\x00"):
        file.write_bytes(nonsense)
        with pytest.raises(InvalidTemplate, match="must be YAML"):
            read_template(file)


def _patched(pod: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """RFC 6902, as far as it is used here."""
    pod = copy.deepcopy(pod)
    for step in patch:
        *folders, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
        target = pod
        for folder in folders:
            target = target[folder]
        match step["op"]:
            case "test":
                assert target[last] == step["value"]
            case "remove":
                del target[last]
            case "add":
                target[last] = step["value"]
    return pod
