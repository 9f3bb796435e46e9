"""Kubernetes Events of transitions, for `kubectl describe` and `kubectl events`. Never in the way of the work itself.

https://kubernetes.io/docs/reference/kubernetes-api/core/event-v1/
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.paths import events
from transponder_crd.names import FIELD_MANAGER
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import NotFound, StoreError
from transponder_operator.transitions import Notice

logger = logging.getLogger(__name__)

SAME_SECONDS = 600.0
"""Within this the same words about the same object are one Event with a count."""
BURST = 25
"""Events about one object at once; after that one in REFILL_SECONDS. As client-go has it."""
REFILL_SECONDS = 300.0
REMEMBERED = 4096
"""Objects, and Events that may be counted on."""
WAITING = 1000
"""Events that are to be written; more are dropped."""
WRITE_SECONDS = 10.0
MAX_MESSAGE = 1024
"""Of an Event; longer ones are refused."""

Key = tuple[str, str, str]


@dataclass(slots=True)
class _Written:
    path: str
    count: int
    last: float


class Allowance:
    """Pure: a token bucket for each object."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, uid: str, now: float) -> bool:
        """May there be one more about this object?"""
        tokens, since = self._buckets.pop(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) / REFILL_SECONDS)
        allowed = tokens >= 1
        self._buckets[uid] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return allowed


class EventRecorder:
    """`tell` at any time; `run` as a task writes."""

    def __init__(self, kube: Kube, reporter: str, clock: Callable[[], float] | None = None) -> None:
        """`reporter`: the pod's name."""
        self._kube = kube
        self._reporter = reporter
        self._clock = clock or asyncio.get_running_loop().time
        self._waiting: asyncio.Queue[tuple[RtmpTransponder | Stream, Notice, datetime]] = asyncio.Queue(WAITING)
        self._allowance = Allowance()
        self._written: OrderedDict[Key, _Written] = OrderedDict()
        self.dropped = 0

    def tell(self, obj: RtmpTransponder | Stream, notice: Notice) -> None:
        """Returns at once."""
        if self._waiting.full() or not self._allowance.take(obj.uid, self._clock()):
            self.dropped += 1
            return
        self._waiting.put_nowait((obj, notice, datetime.now(UTC)))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            obj, notice, when = await self._waiting.get()
            try:
                await self._write(obj, notice, when)
            except StoreError as error:
                self.dropped += 1
                logger.debug("an Event was not written: %s", error)

    async def _write(self, obj: RtmpTransponder | Stream, notice: Notice, when: datetime) -> None:
        now, key = self._clock(), (obj.uid, notice.reason, notice.message)
        written = self._written.pop(key, None)
        if written and now - written.last < SAME_SECONDS:
            try:
                written = await self._count(written, when)
            except NotFound:  # the API server keeps them for an hour only, or for less
                written = await self._create(obj, notice, when)
        else:
            written = await self._create(obj, notice, when)
        written.last = now
        self._written[key] = written
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    async def _create(self, obj: RtmpTransponder | Stream, notice: Notice, when: datetime) -> _Written:
        event = event_object(obj, notice, when, self._reporter, secrets.token_hex(8))
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        await self._kube.create(events(namespace), event, timeout=WRITE_SECONDS)
        return _Written(events(namespace, name), 1, 0.0)

    async def _count(self, written: _Written, when: datetime) -> _Written:
        patch = {"count": written.count + 1, "lastTimestamp": _time(when)}
        await self._kube.patch(written.path, patch, timeout=WRITE_SECONDS)
        written.count += 1
        return written


def event_object(
    obj: RtmpTransponder | Stream, notice: Notice, when: datetime, reporter: str, suffix: str
) -> dict[str, Any]:
    """Pure: the Event as JSON. The object may be gone by the time somebody reads it."""
    namespace = obj.metadata.namespace or "default"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{obj.name[:200].rstrip('-.')}.{suffix}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": obj.api_version,
            "kind": obj.kind,
            "name": obj.name,
            "namespace": namespace,
            "uid": obj.uid,
            "resourceVersion": obj.metadata.resource_version,
        },
        "type": notice.type,
        "reason": notice.reason,
        "message": notice.message[:MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": reporter,
        "firstTimestamp": _time(when),
        "lastTimestamp": _time(when),
        "count": 1,
    }


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
