"""Relay pods as the API sees them: which one serves a stream, and where its control port is."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.names import (
    ANNOTATION_CLAIMED_AT,
    ANNOTATION_CONTROL_PORT,
    ANNOTATION_KEY_MARK,
    COMPONENT_RELAY,
    LABEL_COMPONENT,
    LABEL_NAME,
    LABEL_POOL,
    LABEL_STREAM,
    PRODUCT,
    stream_object_name,
)
from transponder_crd.relay_host import RelayAddress
from transponder_crd.store import StoreError

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

RELAY_SELECTOR = f"{LABEL_NAME}={PRODUCT},{LABEL_COMPONENT}={COMPONENT_RELAY}"
"""Label selector of all relay pods. (Of one installation in a namespace: add LABEL_INSTANCE.)"""
DEFAULT_CONTROL_PORT = 9090
KEY_SECONDS = 1.0
"""The control key is read anew no more often than this."""


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

    def __init__(
        self, mirror: Mirror[JsonObject], key: ControlKey, read_key: Callable[[], Awaitable[ControlKey]] | None = None
    ) -> None:
        """`read_key` reads the key anew, when a relay has its token from another one. Raises StoreError."""
        self._mirror = mirror
        self._key = key
        self._read_key = read_key
        self._read_at = float("-inf")

    async def address(self, stream_name: str) -> RelayAddress | None:
        """Of several, the one that was given to the stream first: the operator keeps that one too."""
        pods = self._mirror.of("stream", stream_object_name(stream_name))
        pods.sort(key=_claimed)
        if not all(map(self._is_of_our_key, pods)):
            await self._renew()
        addresses = (relay_address(pod, self._key) for pod in pods if self._is_of_our_key(pod))
        return next((address for address in addresses if address is not None), None)

    def _is_of_our_key(self, pod: JsonObject) -> bool:
        mark = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_KEY_MARK)
        return mark in (None, self._key.mark)

    async def _renew(self) -> None:
        now = time.monotonic()
        if self._read_key is None or now - self._read_at < KEY_SECONDS:
            return
        self._read_at = now
        try:
            self._key = await self._read_key()
        except StoreError as error:
            logger.warning("the control key of the relays cannot be read again: %s", error)


def _labels(pod: JsonObject) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def _claimed(pod: JsonObject) -> tuple[str, str]:
    metadata = pod["metadata"]
    claimed = (metadata.get("annotations") or {}).get(ANNOTATION_CLAIMED_AT, "")
    return claimed or metadata.get("creationTimestamp", ""), metadata["name"]
