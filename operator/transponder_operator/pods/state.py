"""Pure: a pod as the API server has it → what it is to us, and what is wrong with it in words.

Sources: Kubernetes API reference, Pod v1 (PodStatus, ContainerStatus); "Pod Lifecycle"; the reasons of kubelet
(`pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime`), of the scheduler, and of the node lifecycle controller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from transponder_crd.meta import OwnerReference
from transponder_crd.names import (
    ANNOTATION_CLAIMED_AT,
    ANNOTATION_CONTROL_PORT,
    ANNOTATION_KEY_MARK,
    ANNOTATION_MEDIA_PORTS,
    ANNOTATION_STREAM_NAME,
    ANNOTATION_TEMPLATE_HASH,
    LABEL_POOL,
    LABEL_STREAM,
    POOL_IDLE,
)
from transponder_crd.relay_host import Absence
from transponder_operator.pods.trouble import starting_trouble, why_dead

CONTAINER = "relay"
"""Name of the container that runs the relay."""

START_SECONDS = 300.0
"""A pod that has a node and is not ready for so long never will be. Pulling an image may take minutes."""

DEADLINE_SLACK_SECONDS = 30.0
"""So long after its deletion was due a pod that is still there has lost its node."""


class PodState(StrEnum):
    STARTING = "starting"
    """Not ready (yet, or for a while)."""
    IDLE = "idle"
    """Ready, and no stream has it."""
    SERVING = "serving"
    """Ready, and a stream has it."""
    DRAINING = "draining"
    """Marked for deletion, its relay still runs: it goes on while it has a publisher."""
    DEAD = "dead"
    """Its relay does not run and never will."""


@dataclass(frozen=True, slots=True)
class RelayPod:
    """What the operator needs of one relay pod."""

    name: str
    uid: str
    state: PodState
    trouble: Absence | None
    """Why it is dead, or what keeps it from starting."""
    doubt: Absence | None
    """Kubernetes has lost it. It is dead too, unless its relay is heard."""
    doubtful_at: datetime | None
    """When `doubt` comes if nothing changes."""
    stream: str | None
    """`stream_object_name` of its stream; None: no stream has it."""
    stream_name: str | None
    idle: bool
    """Belongs to the pool, be it ready or not."""
    deleting: bool
    created: datetime
    claimed_at: str
    template_hash: str
    key_mark: str | None
    """Of the control key that made its token."""
    control_port: int
    media_ports: tuple[int, int] | None
    owners: tuple[OwnerReference, ...]

    @property
    def starting(self) -> bool:
        return self.state is PodState.STARTING

    @property
    def unimpeded(self) -> bool:
        return self.trouble is None and self.doubt is None


def read_pod(pod: Mapping[str, Any], now: datetime, start_seconds: float = START_SECONDS) -> RelayPod:
    """`pod`: as JSON of the API. What it lacks is taken as not there yet."""
    metadata, status = pod.get("metadata") or {}, pod.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    stream = labels.get(LABEL_STREAM) or None
    state = _state(metadata, status, stream, now)
    doubt, doubtful_at = _doubt(status, state, now, start_seconds)
    return RelayPod(
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        state=state,
        trouble=_trouble(pod, state),
        doubt=doubt,
        doubtful_at=doubtful_at,
        stream=stream,
        stream_name=annotations.get(ANNOTATION_STREAM_NAME),
        idle=stream is None and labels.get(LABEL_POOL) == POOL_IDLE,
        deleting="deletionTimestamp" in metadata,
        created=_time(metadata.get("creationTimestamp")) or now,
        claimed_at=annotations.get(ANNOTATION_CLAIMED_AT, ""),
        template_hash=annotations.get(ANNOTATION_TEMPLATE_HASH, ""),
        key_mark=annotations.get(ANNOTATION_KEY_MARK),
        control_port=_port(annotations.get(ANNOTATION_CONTROL_PORT)),
        media_ports=_ports(annotations.get(ANNOTATION_MEDIA_PORTS)),
        owners=tuple(_owner(owner) for owner in metadata.get("ownerReferences") or []),
    )


def _state(metadata: Mapping[str, Any], status: Mapping[str, Any], stream: str | None, now: datetime) -> PodState:
    running = "running" in _container_state(status)
    if status.get("phase") in ("Failed", "Succeeded") or "terminated" in _container_state(status):
        return PodState.DEAD
    if "deletionTimestamp" in metadata:
        # the time of the request and its grace: when the pod should be gone
        due = _time(metadata["deletionTimestamp"]) or now
        gone = now > due + timedelta(seconds=DEADLINE_SLACK_SECONDS)
        return PodState.DRAINING if running and not gone else PodState.DEAD
    if not running or _condition(status, "Ready").get("status") != "True" or not status.get("podIP"):
        return PodState.STARTING
    return PodState.SERVING if stream else PodState.IDLE


def _doubt(
    status: Mapping[str, Any], state: PodState, now: datetime, start_seconds: float
) -> tuple[Absence | None, datetime | None]:
    if state not in (PodState.STARTING, PodState.DRAINING):
        return None, None
    ready = _condition(status, "Ready")
    # kubelet changes both conditions together; the node lifecycle controller takes back `Ready` alone
    contained = _condition(status, "ContainersReady").get("status")
    if status.get("reason") == "NodeLost" or (ready.get("status") == "False" and contained == "True"):
        return Absence("NodeLost", "the node of the relay does not answer"), None
    since = _time(ready.get("lastTransitionTime")) or _time(status.get("startTime"))
    if state is PodState.DRAINING or since is None or _condition(status, "PodScheduled").get("status") != "True":
        return None, None
    late_at = since + timedelta(seconds=start_seconds)
    if now >= late_at:
        return Absence("RelayNotReady", f"the relay was not ready for {start_seconds:.0f} s"), None
    return None, late_at


def _trouble(pod: Mapping[str, Any], state: PodState) -> Absence | None:
    status = pod.get("status") or {}
    if state is PodState.DEAD:
        return why_dead(status, _container(status))
    if state is PodState.STARTING:
        spec = pod.get("spec") or {}
        images = [c.get("image", "") for c in spec.get("containers") or [] if c.get("name") == CONTAINER]
        return starting_trouble(status, _container(status), "".join(images))
    return None


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or []
    return next((c for c in containers if c.get("name") == CONTAINER), {})


def _container_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return _container(status).get("state") or {}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)


def _port(value: object) -> int:
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


def _ports(value: object) -> tuple[int, int] | None:
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    return (_port(first), _port(last)) if dash and _port(first) and _port(last) else None


def _owner(owner: Mapping[str, Any]) -> OwnerReference:
    return OwnerReference(
        api_version=owner.get("apiVersion", ""),
        kind=owner.get("kind", ""),
        name=owner.get("name", ""),
        uid=owner.get("uid", ""),
    )
