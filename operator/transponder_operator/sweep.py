"""Lists all objects from time to time: for what the watch did not tell, and what vanished while it was broken."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.errors import Denied, JsonObject
from transponder_crd.kubernetes.paths import objects, pods
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import StoreError
from transponder_crd.tasks import happens
from transponder_operator.handlers import PODS
from transponder_operator.installations import Installations
from transponder_operator.metrics import Metrics
from transponder_operator.work_queue import retry_delay

logger = logging.getLogger(__name__)

RELISTED_SECONDS = 1.0
"""After kopf began to watch anew. What it tells then is what is there, not what vanished."""


class Source(NamedTuple):
    """A list of one kind."""

    kind: str
    namespace: str
    """Empty: of all namespaces."""
    path: str
    selector: str | None


def sources(namespaces: Sequence[str], pod_selector: str) -> list[Source]:
    """Pure: what to list. An empty name stands for all namespaces."""
    return [
        source
        for namespace in namespaces
        for source in (
            Source(RtmpTransponder.PLURAL, namespace, objects(RtmpTransponder, namespace), None),
            Source(Stream.PLURAL, namespace, objects(Stream, namespace), None),
            Source(PODS, namespace, pods(namespace), pod_selector),
        )
    ]


class Sweep:
    """`once` until it succeeds, then `run` as a task."""

    def __init__(
        self,
        kube: Kube,
        listed: Sequence[Source],
        installations: Installations,
        metrics: Metrics,
        seconds: float,
    ) -> None:
        """`seconds`: between two sweeps."""
        self._kube = kube
        self._sources = listed
        self._installations = installations
        self._metrics = metrics
        self._seconds = seconds
        self._nudged = asyncio.Event()
        self.tried_at = time.monotonic()
        """When the last one ended, with or without success."""

    def nudge(self) -> None:
        """Sweep soon."""
        self._nudged.set()

    async def fill(self) -> None:
        """Sweep until it succeeds: before that nothing may be done, since a transponder that is not seen would be
        ended at its relay."""
        failures = 0
        while True:
            try:
                return await self.once()
            except StoreError as error:
                failures += 1
                level = logging.ERROR if failures in {1, 10} else logging.DEBUG
                logger.log(level, "the objects cannot be listed: %s; trying again", error)
                await asyncio.sleep(min(5.0, retry_delay(failures)))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if await happens(self._nudged, within=self._seconds):
                await asyncio.sleep(RELISTED_SECONDS)
            self._nudged.clear()
            try:
                await self.once()
            except StoreError as error:
                logger.warning("the objects cannot be listed: %s", error)

    async def once(self) -> None:
        """List everything. Raises StoreError; a namespace that may not be listed keeps the others from nothing."""
        failed: StoreError | None = None
        for source in self._sources:
            try:
                await self._list(source)
            except StoreError as error:
                failed = failed or error
                if not isinstance(error, Denied):  # the API server is away: each further call would wait for it too
                    break
        self._installations.open_listed()
        self.tried_at = time.monotonic()
        self._metrics.swept(failed)
        if failed:
            raise failed

    async def _list(self, source: Source) -> None:
        log = self._installations.watch_log(source.kind, source.namespace)
        before = log.events
        items, version = await self._kube.list(source.path, label_selector=source.selector)
        log.listed(items, before, time.monotonic())
        found: dict[str, list[JsonObject]] = {name: [] for name in self._installations.names(source.namespace)}
        for item in items:
            found.setdefault(item["metadata"]["namespace"], []).append(item)
        for namespace, within in found.items():
            self._installations.get(namespace).replace(source.kind, within, version)
