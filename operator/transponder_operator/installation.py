"""All that serves the objects of one namespace: mirrors, store, relay host, reconciler and their work queue."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.errors import JsonObject
from transponder_crd.kubernetes.mirror import Change, Mirror
from transponder_crd.kubernetes.relay_pods import pod_mirror
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.names import ANNOTATION_STREAM_NAME, stream_name_of
from transponder_crd.relay_host import RelayHost
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import StoreError
from transponder_operator.events import EventRecorder
from transponder_operator.finalizers import Unreadable
from transponder_operator.handlers import PODS, WATCHED
from transponder_operator.metrics import Metrics
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.reconcile import Reconciler
from transponder_operator.relays import Relays
from transponder_operator.work_queue import WorkQueue, retry_delay

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Streams that are reconciled at the same time: enough to wait for slow relays, few enough for the API server."""


class Host(RelayHost, Protocol):
    """A relay host that begins, ends and is told of pods."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def changed(self, changes: Iterable[Change[JsonObject]]) -> None: ...


class Installation:
    """Its mirrors are fed from outside. Nothing is done before they are filled and it is opened."""

    def __init__(
        self, kube: Kube, namespace: str, settings: OperatorSettings, metrics: Metrics, recorder: EventRecorder
    ) -> None:
        self.kube = kube
        self.namespace = namespace
        self.settings = settings
        self.metrics = metrics
        self.pods = pod_mirror()
        self.objects = Mirrors.empty()
        self.queue = WorkQueue(self._reconcile, metrics.reconciled, AT_ONCE)
        self.relays = Relays(self.wake)
        self._unreadable = Unreadable(kube)
        self._recorder = recorder
        self._host: Host | None = None
        self._reconciler: Reconciler | None = None
        self._opening: asyncio.Task[None] | None = None

    def open_soon(self, hosts: "Hosts") -> None:
        """Begin to work if all has been listed; faults of the API server are waited out. Called again: nothing more."""
        if self._opening is None and all(self.mirror(kind).filled for kind in WATCHED):
            self._opening = asyncio.create_task(self._open(hosts), name=f"open {self.namespace}")

    @property
    def is_open(self) -> bool:
        return self._reconciler is not None

    @property
    def is_used(self) -> bool:
        """Is there a transponder or a Stream?"""
        return bool(len(self.objects.transponders) or len(self.objects.streams))

    async def close(self) -> None:
        """Objects and pods stay as they are."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        await self._unreadable.close()
        await self.queue.close()
        if self._host:
            await self._host.close()
        await self.relays.__aexit__(None, None, None)

    # ------------------------------------------------------------------------------------------ what happens

    def apply(self, kind: str, event_type: str | None, obj: JsonObject) -> None:
        """The watch told; None: it found the object when it began."""
        self._changed(kind, self.mirror(kind).apply(event_type or "ADDED", obj))
        if kind == RtmpTransponder.PLURAL:
            mirror, name = self.objects.transponders, obj["metadata"]["name"]
            raw = mirror.raw(name)
            self._let_go([raw] if raw and mirror.get(name) is None else [])

    def replace(self, kind: str, objects: Sequence[JsonObject], resource_version: str) -> None:
        """A listing found these, and no others."""
        self._changed(kind, self.mirror(kind).replace(objects, resource_version))
        if kind == RtmpTransponder.PLURAL:
            self._let_go(self.objects.transponders.invalid())

    def mirror(self, kind: str) -> Mirror[Any]:
        """By the plural of its kind."""
        mirrors: dict[str, Mirror[Any]] = {
            RtmpTransponder.PLURAL: self.objects.transponders,
            Stream.PLURAL: self.objects.streams,
            PODS: self.pods,
        }
        return mirrors[kind]

    def wake(self, stream_name: str) -> None:
        if self._reconciler:
            self.queue.wake(stream_name)

    def _let_go(self, unreadable: Iterable[JsonObject]) -> None:
        if self._reconciler:
            self._unreadable.look(unreadable)

    def _changed(self, kind: str, changes: Sequence[Change[Any]]) -> None:
        if kind != PODS:
            for name in {stream_name_of(change.object) for change in changes} - {None}:
                self.wake(str(name))
        elif self._host and changes:
            self._host.changed(changes)

    # ------------------------------------------------------------------------------------------ work

    async def _open(self, hosts: "Hosts") -> None:
        failures = 0
        while self._host is None:
            try:
                self._host = await hosts.make(self)
            except StoreError as error:
                failures += 1
                level = logging.ERROR if failures in {1, 10} else logging.DEBUG
                logger.log(level, "namespace %s cannot be served: %s; trying again", self.namespace, error)
                await asyncio.sleep(retry_delay(failures))
        await self.relays.__aenter__()
        self._reconciler = Reconciler(
            KubernetesStore(self.kube, self.namespace, self.objects),
            self._host,
            self.relays,
            self.settings.defaults,
            auto_start=self.settings.auto_start_destination(),
            tell=self._recorder.tell,
        )
        await self._host.start()
        for stream_name in self._stream_names():
            self.wake(stream_name)
        self._let_go(self.objects.transponders.invalid())
        logger.info("namespace %s is served", self.namespace)

    async def _reconcile(self, stream_name: str) -> float | None:
        if self._reconciler is None:
            raise RuntimeError("not open")
        return await self._reconciler.reconcile(stream_name)

    def _stream_names(self) -> set[str]:
        """Of all that is there: a pod whose stream nobody wants must go."""
        objects = [*self.objects.transponders.items(), *self.objects.streams.items()]
        annotations = [pod["metadata"].get("annotations") or {} for pod in self.pods.items()]
        of_pods = [each.get(ANNOTATION_STREAM_NAME) for each in annotations]
        return {name for name in [*map(stream_name_of, objects), *of_pods] if name}


class Hosts(Protocol):
    """Makes relay hosts."""

    @property
    def selector(self) -> str:
        """Label selector of the pods that they want to be told of."""
        ...

    async def make(self, installation: Installation) -> Host:
        """Of an installation whose mirrors are filled. Raises StoreError."""
        ...
