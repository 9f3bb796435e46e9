"""Pure: the installation's pod template → the pod of one relay, and the Secret with its token.

The template decides all but what differs from relay to relay: names, labels, owners, ports and the token.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from transponder_crd.meta import OwnerReference
from transponder_crd.names import (
    ANNOTATION_CLAIMED_AT,
    ANNOTATION_CONTROL_PORT,
    ANNOTATION_KEY_MARK,
    ANNOTATION_MEDIA_PORTS,
    ANNOTATION_STREAM_NAME,
    ANNOTATION_TEMPLATE_HASH,
    COMPONENT_RELAY,
    FIELD_MANAGER,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_POOL,
    LABEL_STREAM,
    POOL_IDLE,
    PRODUCT,
    stream_object_name,
)
from transponder_operator.pods.ports import MediaMode, RelayPorts
from transponder_operator.pods.settings import PodSettings
from transponder_operator.pods.state import CONTAINER

CONTROL_PORT_NAME = "control"
"""Probes name it so: its number may differ from relay to relay."""

TOKEN_FOLDER = "/run/transponder"  # noqa: S105
TOKEN_KEY = "token"  # noqa: S105
TOKEN_VOLUME = "relay-token"  # noqa: S105

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Cluster Autoscaler: whether a node may be removed under the pod."""
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
"""The same for Karpenter."""

JsonObject = dict[str, Any]


class InvalidTemplate(ValueError):
    """The text names the field and the rule."""


class Claim(NamedTuple):
    """For which stream a pod is."""

    stream_name: str
    owners: Sequence[OwnerReference]
    at: datetime


def read_template(path: Path) -> JsonObject:
    """A PodTemplateSpec. Raises InvalidTemplate, OSError."""
    try:
        template = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidTemplate(f"{path} must be YAML") from None
    return check_template(template)


def check_template(template: object) -> JsonObject:
    """The template itself if a relay can be made of it. Raises InvalidTemplate."""
    spec = template.get("spec") if isinstance(template, dict) else None
    if not isinstance(template, dict) or not isinstance(spec, dict):
        raise InvalidTemplate("the relay template must have metadata and spec")
    containers = spec.get("containers")
    names = [c.get("name") for c in containers if isinstance(c, dict)] if isinstance(containers, list) else []
    if names.count(CONTAINER) != 1:
        raise InvalidTemplate(f"spec.containers of the relay template must have one container named {CONTAINER}")
    return template


def relay_pod(
    template: Mapping[str, Any],
    settings: PodSettings,
    name: str,
    ports: RelayPorts,
    *,
    key_mark: str,
    claim: Claim | None = None,
    pool_owner: OwnerReference | None = None,
) -> JsonObject:
    """The pod to create: claimed from its beginning, or an idle one of the pool."""
    pod: JsonObject = json.loads(json.dumps(template))  # a deep copy, of JSON alone
    given = pod.get("metadata") or {}
    owners = claim.owners if claim else [pool_owner] if pool_owner else []
    metadata = {
        "name": name,
        "labels": {**(given.get("labels") or {}), **_labels(claim)},
        "annotations": {
            **(given.get("annotations") or {}),
            ANNOTATION_CONTROL_PORT: str(ports.control),
            ANNOTATION_KEY_MARK: key_mark,
            ANNOTATION_TEMPLATE_HASH: template_hash(template, settings),
            **({ANNOTATION_MEDIA_PORTS: _dashed(ports.media)} if ports.media else {}),
            **_claim_annotations(claim),
        },
        "ownerReferences": owner_list(owners),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _spec(pod["spec"], settings, name, ports)}


def template_hash(template: Mapping[str, Any], settings: PodSettings) -> str:
    """Differs where pods made today would differ from earlier ones in more than names and numbers."""
    # a pod with fixed ones, so that what this module does with the template counts as well
    block = (1, settings.ports_per_relay)
    spec = _spec(json.loads(json.dumps(template["spec"])), settings, "name", RelayPorts(1, block))
    of = [template.get("metadata"), spec, settings.control_port_range, settings.media_port_range]
    return sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def claim_patch(claim: Claim) -> list[JsonObject]:
    """A JSON patch (RFC 6902) that gives an idle pod to a stream. It fails when the pod is not idle any more."""
    label, pool = _pointer("labels", LABEL_STREAM), _pointer("labels", LABEL_POOL)
    return [
        {"op": "test", "path": pool, "value": POOL_IDLE},
        {"op": "remove", "path": pool},
        {"op": "add", "path": label, "value": stream_object_name(claim.stream_name)},
        *(
            {"op": "add", "path": _pointer("annotations", key), "value": value}
            for key, value in _claim_annotations(claim).items()
        ),
        {"op": "add", "path": "/metadata/ownerReferences", "value": owner_list(claim.owners)},
    ]


def owner_list(owners: Sequence[OwnerReference]) -> list[JsonObject]:
    """As JSON of the API."""
    return [owner.model_dump(exclude_none=True) for owner in owners]


def token_secret(pod_name: str, pod_uid: str, token: str, labels: Mapping[str, str]) -> JsonObject:
    """The Secret that the pod mounts; it goes with the pod. `labels`: those of the pod's installation."""
    owner = OwnerReference(api_version="v1", kind="Pod", name=pod_name, uid=pod_uid)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": pod_name,
            "labels": {**labels, **_labels(None, pool=False)},
            "ownerReferences": owner_list([owner]),
        },
        "immutable": True,  # kubelet does not watch it then
        "type": "Opaque",
        "data": {TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    }


# ---------------------------------------------------------------------------------------------- metadata


def _labels(claim: Claim | None, *, pool: bool = True) -> dict[str, str]:
    own = {LABEL_NAME: PRODUCT, LABEL_COMPONENT: COMPONENT_RELAY, LABEL_MANAGED_BY: FIELD_MANAGER}
    if claim:
        return {**own, LABEL_STREAM: stream_object_name(claim.stream_name)}
    return {**own, LABEL_POOL: POOL_IDLE} if pool else own


def _claim_annotations(claim: Claim | None) -> dict[str, str]:
    if claim is None:
        return {SAFE_TO_EVICT: "true"}  # a pod without a controller would else hold its node
    return {
        ANNOTATION_STREAM_NAME: claim.stream_name,
        ANNOTATION_CLAIMED_AT: claim.at.isoformat(timespec="microseconds"),
        SAFE_TO_EVICT: "false",
        DO_NOT_DISRUPT: "true",
    }


def _pointer(part: str, key: str) -> str:
    """RFC 6901."""
    return f"/metadata/{part}/{key.replace('~', '~0').replace('/', '~1')}"


def _dashed(ports: tuple[int, int]) -> str:
    return f"{ports[0]}-{ports[1]}"


# ---------------------------------------------------------------------------------------------- spec


def _spec(spec: JsonObject, settings: PodSettings, name: str, ports: RelayPorts) -> JsonObject:
    containers = [
        _container(container, settings, ports) if container.get("name") == CONTAINER else container
        for container in spec["containers"]
    ]
    token = {"name": TOKEN_VOLUME, "secret": {"secretName": name, "items": [{"key": TOKEN_KEY, "path": TOKEN_KEY}]}}
    volumes = [volume for volume in spec.get("volumes") or [] if volume.get("name") != TOKEN_VOLUME]
    made = {**spec, "containers": containers, "volumes": [*volumes, token], "restartPolicy": "Never"}
    if settings.media_mode is MediaMode.HOST_NETWORK:
        made |= {"hostNetwork": True, "dnsPolicy": spec.get("dnsPolicy", "ClusterFirstWithHostNet")}
    return made


def _container(container: JsonObject, settings: PodSettings, ports: RelayPorts) -> JsonObject:
    mounts = [mount for mount in container.get("volumeMounts") or [] if mount.get("name") != TOKEN_VOLUME]
    mount = {"name": TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True}
    return {
        **container,
        "env": _env(container.get("env") or [], settings, ports),
        "ports": _container_ports(container.get("ports") or [], settings, ports),
        "volumeMounts": [*mounts, mount],
    }


def _env(given: Sequence[JsonObject], settings: PodSettings, ports: RelayPorts) -> list[JsonObject]:
    own: list[JsonObject] = [
        {"name": "TRANSPONDER_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TRANSPONDER_TOKEN_FILE", "value": f"{TOKEN_FOLDER}/{TOKEN_KEY}"},
        {"name": "TRANSPONDER_CONTROL_PORT", "value": str(ports.control)},
    ]
    media = ports.media or settings.media_port_range
    if settings.media_mode is not MediaMode.POD_NETWORK:
        if media:
            own.append({"name": "TRANSPONDER_MEDIA_PORT_RANGE", "value": _dashed(media)})
        if settings.media_addresses:
            own.append({"name": "TRANSPONDER_MEDIA_ADDRESSES", "value": ",".join(settings.media_addresses)})
        elif settings.media_mode is MediaMode.HOST_PORT:
            address = {"fieldRef": {"fieldPath": "status.hostIP"}}
            own.append({"name": "TRANSPONDER_MEDIA_ADDRESSES", "valueFrom": address})
    names = {variable["name"] for variable in own}
    return [*(variable for variable in given if variable.get("name") not in names), *own]


def _container_ports(given: Sequence[JsonObject], settings: PodSettings, ports: RelayPorts) -> list[JsonObject]:
    others = [port for port in given if port.get("name") != CONTROL_PORT_NAME]
    control: JsonObject = {"name": CONTROL_PORT_NAME, "containerPort": ports.control, "protocol": "TCP"}
    if settings.media_mode is MediaMode.HOST_NETWORK:
        control["hostPort"] = ports.control  # the scheduler keeps two of the same off one node
    if settings.media_mode is not MediaMode.HOST_PORT or ports.media is None:
        return [*others, control]
    first, last = ports.media
    media = [
        {"name": f"media-{number}", "containerPort": port, "hostPort": port, "protocol": "UDP"}
        for number, port in enumerate(range(first, last + 1))
    ]
    return [*others, control, *media]
