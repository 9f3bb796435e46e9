"""The operator: one that holds the Lease watches, reconciles and keeps relays; the others stand by.

One event loop does the work. kopf, the watch, is in a thread and an event loop of its own. At the end relays go on as
they are: the next operator finds them.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import kopf

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.connection import Login, NoCluster
from transponder_crd.kubernetes.errors import JsonObject
from transponder_crd.start_error import StartError
from transponder_crd.tasks import fault, first_ended, on_signals, running
from transponder_operator.events import EventRecorder
from transponder_operator.handlers import Tell, kopf_settings, register
from transponder_operator.health import serving
from transponder_operator.installation import Hosts, Installation
from transponder_operator.installations import EVERYWHERE, Installations
from transponder_operator.kopf_thread import KopfThread
from transponder_operator.lease import Lease
from transponder_operator.metrics import Gauges, Metrics
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.pod_hosts import PodHosts
from transponder_operator.pods.state import read_pod
from transponder_operator.probe import Vitals
from transponder_operator.sweep import Sweep, sources

logger = logging.getLogger(__name__)

FORCED = 130
FAULT = 1

LOGIN_SECONDS = 300.0
"""kopf asks for credentials anew so often: tokens of service accounts are exchanged every hour or so."""

HostFactory = Callable[[OperatorSettings, str, Metrics, EventRecorder], Hosts]
"""Given settings and the operator's own namespace. Raises StartError."""


async def run(settings: OperatorSettings, hosts: HostFactory = PodHosts) -> int:
    """Serve until SIGTERM or Ctrl-C. The exit code: 0, or FAULT when the Lease was lost or a part ended by itself.
    Raises StartError."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(on_signals(partial(_end_by, stop)))
        operator = Operator(settings, hosts)
        stack.push_async_callback(operator.close)
        await stack.enter_async_context(
            serving(settings.host, settings.port, operator.vitals, operator.metrics.registry)
        )
        if not await _before(stop, operator.lease.acquire()):
            return 0
        ended = await operator.lead(stack, stop)
        if ended:
            logger.critical("%s ended by itself", ended.get_name(), exc_info=fault(ended))
        logger.info("ending")
    logger.info("ended")
    return FAULT if ended else 0


class Operator:
    """The parts, joined."""

    def __init__(self, settings: OperatorSettings, hosts: HostFactory) -> None:
        """Raises StartError."""
        try:
            self._kube = Kube.connect()
            # a client of its own: what waits for the API server must not keep the Lease from being renewed
            self._lease_kube = Kube.connect()
        except NoCluster as error:
            raise StartError(str(error)) from None
        own = settings.namespace or self._kube.namespace
        namespaces = [EVERYWHERE] if settings.everywhere else list(settings.namespaces or [own])
        self._settings = settings
        self.metrics = Metrics(self._gauges)
        self._kube.observe = self._lease_kube.observe = self.metrics.requested
        self._recorder = EventRecorder(self._kube, settings.pod_name)
        self.lease = Lease(self._lease_kube, own, settings.lease_name, settings.pod_name, settings.lease_seconds)
        made = hosts(settings, own, self.metrics, self._recorder)
        self._installations = Installations(namespaces, self._installation, made, self._relisted)
        listed = sources(namespaces, made.selector)
        self._sweep = Sweep(self._kube, listed, self._installations, self.metrics, settings.resync_seconds)
        self._kopf = KopfThread(
            register(_in_this_loop(self._installations.tell), lambda: connection_info(self._kube.login())),
            lambda: kopf_settings(made.selector),
            None if settings.everywhere else namespaces,
        )
        self._listed = asyncio.Event()

    async def lead(self, stack: AsyncExitStack, stop: asyncio.Event) -> "asyncio.Task[Any] | None":
        """Work until `stop`; what is begun ends with the stack. The task that ended by itself, if one did."""
        # in this order: at the end nothing acts any more when the Lease is given back, and it need not wait for kopf
        watching = await stack.enter_async_context(running(self._watch(), "watch"))
        stack.push_async_callback(self.lease.release)
        stack.push_async_callback(self._installations.close)
        tasks = [
            watching,
            await stack.enter_async_context(running(self.lease.hold(), "lease")),
            await stack.enter_async_context(running(self._recorder.run(), "events")),
            await stack.enter_async_context(running(self._keep_listed(), "sweep")),
        ]
        self._sweep.tried_at = time.monotonic()
        return await first_ended(stop, tasks)

    async def close(self) -> None:
        await asyncio.gather(self._kube.close(), self._lease_kube.close())

    async def _keep_listed(self) -> None:
        await self._sweep.fill()
        self._listed.set()
        await self._sweep.run()

    async def _watch(self) -> None:
        """Not before all is listed: until the resources exist, kopf would not find what to watch."""
        await self._listed.wait()
        await self._kopf.run()

    def _relisted(self) -> None:
        self._sweep.nudge()

    def _installation(self, namespace: str) -> Installation:
        return Installation(self._kube, namespace, self._settings, self.metrics, self._recorder)

    # ------------------------------------------------------------------------------------------ how it is

    def vitals(self) -> Vitals:
        now = time.monotonic()
        missed = self._installations.watch_missed()
        return Vitals(
            leading=self.lease.held,
            listed=self._listed.is_set() and self._installations.are_open,
            lease_seen=now - self.lease.seen_at,
            unwatched=[kind for kind, seconds in missed.items() if seconds > self._settings.watch_grace_seconds],
            longest_work=self._installations.longest_work,
            sweep_tried=now - self._sweep.tried_at,
            resync=self._settings.resync_seconds,
        )

    def _gauges(self) -> Gauges:
        now = datetime.now(UTC)
        every = list(self._installations)
        return Gauges(
            leading=self.lease.held,
            queue_length=sum(len(each.queue) for each in every),
            longest_work=self._installations.longest_work,
            transponders=[one.status.phase for each in every for one in each.objects.transponders.items()],
            streams=[one.status.phase for each in every for one in each.objects.streams.items()],
            relays=[str(read_pod(pod, now).state) for each in every for pod in each.pods.items()],
            watch_silence=self._installations.watch_silence(),
            watch_missed=self._installations.watch_missed(),
            watch_restarts=self._kopf.restarts,
            events_dropped=self._recorder.dropped,
        )


def _in_this_loop(tell: Tell) -> Tell:
    """To be called in other threads; events stay in order."""
    loop = asyncio.get_running_loop()

    def tell_soon(kind: str, event_type: str | None, obj: JsonObject) -> None:
        loop.call_soon_threadsafe(tell, kind, event_type, obj)

    return tell_soon


def connection_info(login: Login) -> kopf.ConnectionInfo:
    """Pure but for the time until which kopf may use it."""
    scheme, _, token = (login.authorization or "").partition(" ")
    return kopf.ConnectionInfo(
        server=login.server,
        ca_path=login.ca_file,
        insecure=not login.verified,
        certificate_path=login.certificate_file,
        private_key_path=login.key_file,
        scheme=scheme or None,
        token=token or None,
        expiration=datetime.now(UTC) + timedelta(seconds=LOGIN_SECONDS),
    )


async def _before(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Do `work` unless `stop` comes first. Was it done?"""
    async with running(work, "acquire") as task:
        done = await first_ended(stop, [task])
    if done:
        done.result()
    return done is not None


def _end_by(stop: asyncio.Event) -> None:
    """The first signal ends all in order, the second at once."""
    if stop.is_set():
        os._exit(FORCED)
    stop.set()
