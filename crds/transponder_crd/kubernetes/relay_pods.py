"""Relay pods as the API sees them: which one serves a stream, and where its control port is."""

from typing import Any

from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.names import (
    ANNOTATION_CLAIMED_AT,
    ANNOTATION_CONTROL_PORT,
    COMPONENT_RELAY,
    LABEL_COMPONENT,
    LABEL_NAME,
    LABEL_POOL,
    LABEL_STREAM,
    PRODUCT,
    stream_object_name,
)
from transponder_crd.relay_host import RelayAddress

JsonObject = dict[str, Any]

RELAY_SELECTOR = f"{LABEL_NAME}={PRODUCT},{LABEL_COMPONENT}={COMPONENT_RELAY}"
"""Label selector of all relay pods. (Of one installation in a namespace: add LABEL_INSTANCE.)"""
DEFAULT_CONTROL_PORT = 9090


def pod_mirror() -> Mirror[JsonObject]:
    """Pods as JSON, with the indexes `stream` (value of LABEL_STREAM) and `pool` (of LABEL_POOL)."""
    return Mirror(
        lambda raw: raw,
        {"stream": lambda pod: _labels(pod).get(LABEL_STREAM), "pool": lambda pod: _labels(pod).get(LABEL_POOL)},
    )


def relay_address(pod: JsonObject, key: ControlKey) -> RelayAddress | None:
    """None while it is not ready, and when it is ending: it takes no publisher then."""
    ending = "deletionTimestamp" in pod["metadata"]
    return control_address(pod, key) if is_ready(pod) and not ending else None


def control_address(pod: JsonObject, key: ControlKey) -> RelayAddress | None:
    """Where its control port is, ready or not. None while it has no address or does not run (any more)."""
    status = pod.get("status") or {}
    address = status.get("podIP")
    if not address or status.get("phase") != "Running":
        return None
    name = pod["metadata"]["name"]
    host = f"[{address}]" if ":" in address else address
    return RelayAddress(name, f"http://{host}:{control_port(pod)}", key.token(name))


def control_port(pod: JsonObject) -> int:
    """By its annotation."""
    given = str((pod["metadata"].get("annotations") or {}).get(ANNOTATION_CONTROL_PORT, ""))
    return int(given) if given.isdecimal() and 0 < int(given) < 65_536 else DEFAULT_CONTROL_PORT


def is_ready(pod: JsonObject) -> bool:
    """By its condition `Ready`."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


class PodDirectory:
    """`relay_host.RelayDirectory` on a mirror of relay pods."""

    def __init__(self, mirror: Mirror[JsonObject], key: ControlKey) -> None:
        self._mirror = mirror
        self._key = key

    async def address(self, stream_name: str) -> RelayAddress | None:
        """Of several, the one that was given to the stream first: the operator keeps that one too."""
        pods = self._mirror.of("stream", stream_object_name(stream_name))
        pods.sort(key=_claimed)
        addresses = (relay_address(pod, self._key) for pod in pods)
        return next((address for address in addresses if address is not None), None)


def _labels(pod: JsonObject) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def _claimed(pod: JsonObject) -> tuple[str, str]:
    metadata = pod["metadata"]
    claimed = (metadata.get("annotations") or {}).get(ANNOTATION_CLAIMED_AT, "")
    return claimed or metadata.get("creationTimestamp", ""), metadata["name"]
