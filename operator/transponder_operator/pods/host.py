"""The relay host of a cluster: each relay is a pod, taken from a pool of idle ones or made for its stream.

All that there is to know is in the pods themselves: an operator that begins anew goes on from there.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transponder_crd.control import RelayReport
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.errors import Denied
from transponder_crd.kubernetes.mirror import Change, Mirror
from transponder_crd.meta import OwnerReference
from transponder_crd.relay_host import Absence, RelayAddress
from transponder_crd.store import EventType, Invalid, StoreError
from transponder_operator.pods.choose import choose, is_dead
from transponder_operator.pods.cluster import ClusterPods
from transponder_operator.pods.history import History, PodObserver
from transponder_operator.pods.manifest import Claim
from transponder_operator.pods.pool import PoolWish, free_places, next_look, plan_pool
from transponder_operator.pods.settings import PodSettings
from transponder_operator.pods.state import PodState, RelayPod
from transponder_operator.pods.trouble import refused

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

GATHER_SECONDS = 0.05
"""Events of so long are looked at together."""
RETRY_SECONDS = 2.0
"""After the API server failed."""

STARTING = Absence("RelayStarting", "the relay is starting")
QUEUED = Absence("RelayQueued", "as many relays as may be are starting")


class PodRelays:
    """`relay_host.RelayHost` of one namespace.

    `wake(stream name)` is called when something about the stream's pod changed. Whoever feeds the mirror gives its
    changes to `changed`. `start` once the mirror is filled; `close` at the end.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        template: Mapping[str, Any],
        mirror: Mirror[JsonObject],
        key: ControlKey,
        wake: Callable[[str], None],
        settings: PodSettings,
        *,
        report: Callable[[str], RelayReport | None],
        observer: PodObserver | None = None,
        pool_owner: OwnerReference | None = None,
    ) -> None:
        """`template`: `manifest.read_template`. `report(stream name)`: what its relay says, None while it is silent;
        a pod that Kubernetes has lost is kept while its relay is heard. `pool_owner`: `cluster.find_pool_owner`."""
        self._pods = ClusterPods(kube, namespace, template, mirror, key, settings, pool_owner)
        self._settings = settings
        self._wake = wake
        self._report = report
        self._observer = observer
        self._history = History(wake, self._heard, observer)
        self._absences: dict[str, Absence] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._queue: dict[str, None] = {}
        """Streams that need a pod and may not make one yet, in order."""
        self._dirty = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Keep the pool from now on, and have every stream looked at that a pod belongs to."""
        self._keeper = asyncio.create_task(self._keep(), name="relay pods")

    async def close(self) -> None:
        """Pods stay as they are."""
        for timer in self._timers.values():
            timer.cancel()
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    def changed(self, changes: Iterable[Change[JsonObject]]) -> None:
        """What the mirror of pods told."""
        for change in changes:
            self._note(self._pods.read(change.object), gone=change.type is EventType.DELETED)
        self._dirty.set()

    # ------------------------------------------------------------------------------------------ relay host

    async def address(self, stream_name: str) -> RelayAddress | None:
        pod = choose(self._pods.of_stream(stream_name), self._heard).pod
        return self._reachable(pod) if pod else None

    async def ensure(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayAddress | None:
        """Raises StoreError."""
        pod = await self._present(stream_name)
        if pod is None or (pod.starting and pod.trouble and self._has_ready()):
            pod = await self._obtain(stream_name, owners) or pod
        elif {owner.uid for owner in pod.owners} != {owner.uid for owner in owners}:
            pod = await self._pods.own(pod, owners) or await self._obtain(stream_name, owners)
        if pod is None:
            return None
        self._history.saw(pod)
        address = self._reachable(pod)
        self._absences[stream_name] = pod.trouble or pod.doubt or STARTING
        return address

    def absence(self, stream_name: str) -> Absence | None:
        return self._absences.get(stream_name)

    async def delete(self, stream_name: str) -> None:
        """Raises StoreError."""
        self._queue.pop(stream_name, None)
        for pod in self._pods.of_stream(stream_name):
            await self._pods.end(pod)
        self._history.forget_stream(stream_name)
        self._absences.pop(stream_name, None)
        if timer := self._timers.pop(stream_name, None):
            timer.cancel()

    # ------------------------------------------------------------------------------------------ one stream

    async def _present(self, stream_name: str) -> RelayPod | None:
        """The pod that the stream has. Raises StoreError."""
        choice = choose(self._pods.of_stream(stream_name), self._heard)
        for one in choice.surplus:
            self._note(one)
            self._dirty.set()  # whoever keeps the pods removes it
        pod = choice.pod
        if pod and pod.starting and pod.trouble and pod.template_hash != self._pods.template_hash:
            await self._pods.end(pod)  # that of today may be better
            return None
        return pod

    async def _obtain(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayPod | None:
        """An idle pod, else a new one, if the stream may have any by now. Raises StoreError."""
        now, failures = self._pods.now(), self._history.of_stream(stream_name)
        if wait := failures.wait(now):
            self._stay_away(stream_name, failures.why)
            self._wake_later(stream_name, wait)
            return None
        claim = Claim(stream_name, owners, now)
        pod = await self._pods.claim(claim)
        warm = pod is not None and pod.state is PodState.SERVING
        if pod is None and not choose(self._pods.of_stream(stream_name), self._heard).pod:
            pod = await self._make(claim)
        if pod:
            self._queue.pop(stream_name, None)
            self._dirty.set()
            if self._observer:
                self._observer.on_claimed(stream_name, pod.name, warm=warm)
        return pod

    async def _make(self, claim: Claim) -> RelayPod | None:
        starts = self._history.starts
        if not starts.wait(self._pods.now()) and free_places(self._pods.all(), self._wish()):
            pod = await self._create(claim)
            if pod:
                return pod
        self._stay_away(claim.stream_name, starts.why or QUEUED)
        self._queue[claim.stream_name] = None
        self._dirty.set()  # whoever keeps the pods wakes the queue when its time has come
        return None

    async def _create(self, claim: Claim | None) -> RelayPod | None:
        try:
            return await self._pods.create(claim)
        except (Denied, Invalid) as error:
            why = refused(str(error))
            if why != self._history.starts.why:
                logger.error("%s", why.message)
            self._history.starts.add(why, self._pods.now())
            return None

    def _has_ready(self) -> bool:
        """Whether there is a pod to take in place of one that cannot start."""
        idle = self._pods.claimable()
        return idle is not None and idle.state is PodState.IDLE

    def _reachable(self, pod: RelayPod) -> RelayAddress | None:
        """The address of a pod that is ready, that still runs while it is drained, or whose relay is heard."""
        there = pod.state in (PodState.SERVING, PodState.DRAINING) or self._heard(pod)
        return self._pods.address(pod) if there else None

    def _heard(self, pod: RelayPod) -> bool:
        report = self._report(pod.stream_name) if pod.stream_name else None
        return report is not None and report.instance == pod.name

    def _stay_away(self, stream_name: str, why: Absence | None) -> None:
        self._absences[stream_name] = why or STARTING

    def _wake_later(self, stream_name: str, seconds: float) -> None:
        if timer := self._timers.pop(stream_name, None):
            timer.cancel()
        self._timers[stream_name] = asyncio.get_running_loop().call_later(seconds, self._wake, stream_name)

    def _note(self, pod: RelayPod, *, gone: bool = False) -> None:
        self._history.note(pod, self._pods.now(), gone=gone, ended=self._pods.is_ended(pod))

    # ------------------------------------------------------------------------------------------ all pods

    async def maintain(self) -> float | None:
        """One look at everything: remove what must go, make what is missing, wake the streams that may go on.

        Seconds until it must be called again although nothing changed; None: not before something does.
        Raises StoreError.
        """
        self._look_at_all()
        plan = plan_pool(self._pods.all(), self._wish(), self._heard)
        for pod in plan.remove:
            # one that is dead and marked is left to Kubernetes
            left = pod.deleting and is_dead(pod, self._heard)
            if not left and not await self._pods.end(pod):
                self._dirty.set()
        await self._pods.give_missing_tokens()
        starts = self._history.starts
        if not starts.wait(self._pods.now()):
            await self._fill(plan.create)
        self._wake_queue()
        wait = starts.wait(self._pods.now()) if plan.create or self._queue else 0.0
        times = [next_look(self._pods.all(), self._pods.now()), wait or None]
        return min((seconds for seconds in times if seconds is not None), default=None)

    async def _fill(self, count: int) -> None:
        made = await asyncio.gather(*(self._create(None) for _ in range(count)), return_exceptions=True)
        for error in made:
            if isinstance(error, BaseException):
                raise error

    def _look_at_all(self) -> None:
        pods = self._pods.all()
        for pod in pods:
            self._note(pod)  # time alone makes a pod late, and an operator that begins knows nothing
        uids = {pod.uid for pod in pods}
        self._pods.prune(uids)
        self._history.prune(uids)

    def _wish(self) -> PoolWish:
        return PoolWish(
            self._settings.pool_size,
            self._settings.max_starting,
            self._pods.template_hash,
            creating=self._pods.creating,
            waiting=len(self._queue),
        )

    def _wake_queue(self) -> None:
        """As many streams as there are pods or places for."""
        pods = self._pods.all()
        delayed = self._history.starts.wait(self._pods.now())
        places = 0 if delayed else free_places(pods, self._wish())
        idle = sum(pod.idle and not pod.deleting and not is_dead(pod, self._heard) for pod in pods)
        for stream_name in list(self._queue)[: places + idle]:
            self._wake(stream_name)

    async def _keep(self) -> None:
        again_in: float | None = 0.0
        said = ""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._dirty.wait(), again_in)
            await asyncio.sleep(GATHER_SECONDS)
            self._dirty.clear()
            try:
                again_in, said = await self.maintain(), ""
            except StoreError as error:
                if said != str(error):
                    logger.warning("relay pods: %s; trying again", error)
                again_in, said = RETRY_SECONDS, str(error)
            except Exception:  # without its keeper there would be no pool and no end of garbage
                logger.exception("keeping relay pods failed; trying again")
                again_in = RETRY_SECONDS
