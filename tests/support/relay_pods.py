"""Relay pods as the API server has them in each stage of their life, as kubelet writes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from transponder_crd.names import (
    ANNOTATION_CLAIMED_AT,
    ANNOTATION_STREAM_NAME,
    ANNOTATION_TEMPLATE_HASH,
    LABEL_POOL,
    LABEL_STREAM,
    POOL_IDLE,
    stream_object_name,
)

JsonObject = dict[str, Any]

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IMAGE = "registry.example/relay:1"
TEMPLATE: JsonObject = {
    "metadata": {"labels": {"app.kubernetes.io/instance": "test", "team": "video"}, "annotations": {"note": "kept"}},
    "spec": {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 3630,
        "volumes": [{"name": "sounds", "emptyDir": {}}],
        "containers": [
            {
                "name": "relay",
                "image": IMAGE,
                "env": [
                    {"name": "TRANSPONDER_DRAIN_SECONDS", "value": "3600"},
                    {"name": "TRANSPONDER_CONTROL_PORT", "value": "1"},
                ],
                "ports": [
                    {"name": "control", "containerPort": 9090},
                    {"name": "other", "containerPort": 9999},
                ],
                "volumeMounts": [{"name": "sounds", "mountPath": "/sounds"}],
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "control"}},
            },
            {"name": "sidecar", "image": "registry.example/other:1"},
        ],
    },
}


def timestamp(seconds_ago: float = 0.0, now: datetime = NOW) -> str:
    """As Kubernetes writes it."""
    return (now - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    name: str = "relay-1",
    status: JsonObject | None = None,
    *,
    stream: str | None = None,
    idle: bool | None = None,
    age: float = 100.0,
    claimed_ago: float = 100.0,
    template_hash: str = "today",
    due_in: float | None = None,
) -> JsonObject:
    """`stream`: a stream's name; without one it is idle. `due_in`: marked for deletion, seconds until it should be
    gone."""
    idle = stream is None if idle is None else idle
    labels = {LABEL_STREAM: stream_object_name(stream)} if stream else {}
    labels |= {LABEL_POOL: POOL_IDLE} if idle else {}
    annotations = {ANNOTATION_TEMPLATE_HASH: template_hash}
    if stream:
        claimed = (NOW - timedelta(seconds=claimed_ago)).isoformat(timespec="microseconds")
        annotations |= {ANNOTATION_STREAM_NAME: stream, ANNOTATION_CLAIMED_AT: claimed}
    metadata: JsonObject = {"name": name, "uid": f"uid-{name}", "creationTimestamp": timestamp(age)}
    metadata |= {"labels": labels, "annotations": annotations, "resourceVersion": "1"}
    if due_in is not None:
        metadata["deletionTimestamp"] = timestamp(-due_in)
    spec = {"containers": [{"name": "relay", "image": IMAGE}]}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status if status is not None else ready()}


def condition(kind: str, holds: bool, ago: float = 50.0, **more: str) -> JsonObject:
    return {"type": kind, "status": str(holds), "lastTransitionTime": timestamp(ago), **more}


def ready(ip: str = "10.0.0.7") -> JsonObject:
    """Runs, and its readiness probe succeeds."""
    conditions = [condition(kind, True) for kind in ("PodScheduled", "ContainersReady", "Ready")]
    return {"phase": "Running", "podIP": ip, "conditions": conditions, "containerStatuses": [running()]}


def running() -> JsonObject:
    """The relay's container."""
    return _container({"running": {"startedAt": timestamp(50)}})


def unready(ago: float = 5.0, **more: Any) -> JsonObject:
    """Runs; its readiness probe fails since so many seconds."""
    conditions = [condition("PodScheduled", True), condition("ContainersReady", False), condition("Ready", False, ago)]
    status = {"phase": "Running", "podIP": "10.0.0.7", "conditions": conditions, "containerStatuses": [running()]}
    return {**status, **more}


def waiting(reason: str, message: str = "") -> JsonObject:
    """Has a node; its container does not run yet."""
    conditions = [condition("PodScheduled", True), condition("Ready", False)]
    containers = [_container({"waiting": {"reason": reason, "message": message}})]
    return {"phase": "Pending", "conditions": conditions, "containerStatuses": containers}


def unschedulable(message: str = "0/3 nodes are available: 3 Insufficient cpu.") -> JsonObject:
    scheduled = condition("PodScheduled", False, reason="Unschedulable", message=message)
    return {"phase": "Pending", "conditions": [scheduled]}


def lost_node() -> JsonObject:
    """What the node lifecycle controller makes of a pod that was ready."""
    status = ready()
    return {**status, "conditions": [*status["conditions"][:2], condition("Ready", False)]}


def terminated(code: int = 1, phase: str = "Failed", **more: Any) -> JsonObject:
    state = {"terminated": {"exitCode": code, "startedAt": timestamp(50), "finishedAt": timestamp(), **more}}
    return {"phase": phase, "conditions": [condition("PodScheduled", True)], "containerStatuses": [_container(state)]}


def _container(state: JsonObject) -> JsonObject:
    return {"name": "relay", "state": state}
