"""The API in a pod: one of several replicas on the Kubernetes API, which keep nothing that another one needs."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from transponder_api.app import create_app
from transponder_api.doors import METRICS, PUBLIC, Listeners, listening
from transponder_api.health import Health, create_health_app
from transponder_api.metrics import Metrics
from transponder_api.pod_settings import PodSettings
from transponder_api.server import Door, serving_all
from transponder_api.serving import public_doors
from transponder_api.tls import renewed, server_tls
from transponder_api.websdk.app import create_websdk_app
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.connection import NoCluster
from transponder_crd.kubernetes.control_key import ControlKey, read_control_key
from transponder_crd.kubernetes.informer import Informer
from transponder_crd.kubernetes.mirror import JsonObject, Mirror
from transponder_crd.kubernetes.paths import objects, pods
from transponder_crd.kubernetes.relay_pods import RELAY_SELECTOR, PodDirectory, pod_mirror
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.start_error import StartError, variable
from transponder_crd.store import StoreError
from transponder_crd.tasks import fault, on_signals

log = logging.getLogger(__name__)

FAULT = 1
KEY_SECONDS = 10.0
"""How long one attempt to read the control key may take."""
KEY_PAUSE = 5.0
LOOK_SECONDS = 0.5
"""Between two looks whether the last stream of a WebSDK session has ended."""


class Cluster(NamedTuple):
    """What is seen of it."""

    kube: Kube
    namespace: str
    mirrors: Mirrors
    relays: Mirror[JsonObject]


class Signals:
    """SIGTERM or SIGINT: the first ends all in order, the second without waiting for anybody."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def take(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


async def run(settings: PodSettings) -> int:
    """Serve until SIGTERM. The exit code: 0, or FAULT when a part ended by itself. Raises StartError."""
    signals, health, metrics = Signals(), Health(), Metrics()
    async with AsyncExitStack() as stack:
        stack.enter_context(on_signals(signals.take))
        tls = server_tls(settings)
        listeners = stack.enter_context(listening(settings, (*PUBLIC, METRICS)))
        await stack.enter_async_context(serving_all(_health_doors(listeners, health, metrics)))
        cluster = _cluster(settings)
        stack.push_async_callback(cluster.kube.close)
        watching = await stack.enter_async_context(_watching(cluster, metrics))
        key = await _or_stop(_start(cluster, settings, health), signals.stop)
        if key is not None:
            await stack.enter_async_context(renewed(settings, tls))
            store = KubernetesStore(cluster.kube, cluster.namespace, cluster.mirrors)
            directory = PodDirectory(cluster.relays, key, partial(_read_key, cluster, settings, 1.0))
            api = create_app(settings, store, directory, metrics=metrics, leaving=signals.stop.is_set)
            doors = public_doors(api, create_websdk_app(api, store), listeners, tls)
            await stack.enter_async_context(serving_all(doors, around=[api]))
            health.waiting_for = ""
            log.info("serving namespace %s", cluster.namespace)
            await _or_stop(asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED), signals.stop)
        failed = [task for task in watching if task.done()]
        for task in failed:
            log.critical("%s ended by itself", task.get_name(), exc_info=fault(task))
        health.waiting_for = "the end"
        if not failed and key is not None:
            await _or_stop(_drain(settings, metrics), signals.hurry)
        log.info("ending")
    return FAULT if failed else 0


def _health_doors(listeners: Listeners, health: Health, metrics: Metrics) -> list[Door]:
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics.registry)
    app = create_health_app(health, metrics.registry)
    return [Door(app, listener) for port, listener in listeners.items() if port == METRICS]


def _cluster(settings: PodSettings) -> Cluster:
    """Sends nothing yet. Raises StartError."""
    try:
        kube = Kube.connect()
    except NoCluster as error:
        raise StartError(str(error)) from None
    namespace = settings.namespace or kube.namespace
    if not namespace:
        raise StartError(f"{variable('namespace')}: is required outside of a pod")
    return Cluster(kube, namespace, Mirrors.empty(), pod_mirror())


@asynccontextmanager
async def _watching(cluster: Cluster, metrics: Metrics) -> AsyncIterator[set["asyncio.Task[Any]"]]:
    """The mirrors are fed for the length of the block, by tasks that should never end."""
    kube, namespace = cluster.kube, cluster.namespace
    informers: dict[str, Informer[Any]] = {
        RtmpTransponder.PLURAL: Informer(kube, objects(RtmpTransponder, namespace), cluster.mirrors.transponders),
        Stream.PLURAL: Informer(kube, objects(Stream, namespace), cluster.mirrors.streams),
        "pods": Informer(kube, pods(namespace), cluster.relays, label_selector=RELAY_SELECTOR),
    }
    for name, informer in informers.items():
        metrics.watch_silence(name, partial(_silence, informer))
    tasks = {asyncio.create_task(informer.run(), name=f"watch of {name}") for name, informer in informers.items()}
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _silence(informer: Informer[Any]) -> float:
    return time.monotonic() - informer.last_contact


async def _start(cluster: Cluster, settings: PodSettings, health: Health) -> ControlKey:
    """Return when all is there that a request may need."""
    health.waiting_for = "the Kubernetes API"
    await asyncio.gather(
        cluster.mirrors.transponders.wait_filled(), cluster.mirrors.streams.wait_filled(), cluster.relays.wait_filled()
    )
    health.waiting_for = f"the Secret {settings.control_key_secret}, which the operator makes"
    while True:
        try:
            return await _read_key(cluster, settings, KEY_SECONDS)
        except StoreError as error:
            log.warning("the control key of the relays cannot be read: %s", error)
            await asyncio.sleep(KEY_PAUSE)


async def _read_key(cluster: Cluster, settings: PodSettings, seconds: float) -> ControlKey:
    """Raises StoreError."""
    namespace = settings.control_key_namespace or cluster.namespace
    return await read_control_key(cluster.kube, namespace, settings.control_key_secret, timeout=seconds)


async def _drain(settings: PodSettings, metrics: Metrics) -> None:
    """Serve on until nobody is sent here any more, then while streams hang on sessions that are here."""
    log.info("serving for %g more seconds", settings.lame_duck_seconds)
    await asyncio.sleep(settings.lame_duck_seconds)
    if not metrics.live_streams() or not settings.drain_seconds:
        return
    log.info("WebSDK sessions with streams may go on for %g seconds", settings.drain_seconds)
    deadline = time.monotonic() + settings.drain_seconds
    while metrics.live_streams() and time.monotonic() < deadline:  # noqa: ASYNC110 (a gauge cannot be awaited)
        await asyncio.sleep(LOOK_SECONDS)


async def _or_stop(work: Any, stop: asyncio.Event) -> Any:
    """The result of `work`; None when `stop` was first, and `work` is then cancelled."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        waiting.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
