"""The relay host of a cluster: each relay is a pod, taken from a pool of idle ones or made for its stream.

All that there is to know is in the pods themselves: an operator that begins anew goes on from there.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transponder_crd.control import RelayReport
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.mirror import Change, Mirror
from transponder_crd.meta import OwnerReference
from transponder_crd.relay_host import Absence, RelayAddress
from transponder_crd.store import EventType
from transponder_operator.pods.choose import choose
from transponder_operator.pods.cluster import ClusterPods
from transponder_operator.pods.history import History, PodObserver
from transponder_operator.pods.keeper import Keeper
from transponder_operator.pods.manifest import Claim
from transponder_operator.pods.settings import PodSettings
from transponder_operator.pods.state import PodState, RelayPod

JsonObject = dict[str, Any]

STARTING = Absence("RelayStarting", "the relay is starting")


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
        pool_size: Callable[[], int] | None = None,
    ) -> None:
        """`template`: `manifest.read_template`. `report(stream name)`: what its relay says, None while it is silent;
        a pod that Kubernetes has lost is kept while its relay is heard. `pool_owner`: `cluster.find_pool_owner`.
        `pool_size`: how many idle relays are wanted at the time, in place of the setting; it is asked at each change
        of pods and once a minute."""
        self._pods = ClusterPods(kube, namespace, template, mirror, key, settings, pool_owner)
        self._wake = wake
        self._report = report
        self._observer = observer
        self._history = History(wake, self._heard, observer)
        size = pool_size or (lambda: settings.pool_size)
        self._keeper = Keeper(self._pods, self._history, size, settings.max_starting, self._heard, wake)
        self._absences: dict[str, Absence] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Keep the pool from now on, and have every stream looked at that a pod belongs to."""
        self._keeper.start()

    async def close(self) -> None:
        """Pods stay as they are."""
        for timer in self._timers.values():
            timer.cancel()
        await self._keeper.close()

    async def maintain(self) -> float | None:
        """See `Keeper.maintain`, which is called at every change."""
        return await self._keeper.maintain()

    def changed(self, changes: Iterable[Change[JsonObject]]) -> None:
        """What the mirror of pods told."""
        for change in changes:
            self._note(self._pods.read(change.object), gone=change.type is EventType.DELETED)
        self._keeper.look()

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
        self._absences[stream_name] = pod.trouble or pod.doubt or STARTING
        return self._reachable(pod)

    def absence(self, stream_name: str) -> Absence | None:
        return self._absences.get(stream_name)

    async def delete(self, stream_name: str) -> None:
        """Raises StoreError."""
        self._keeper.leave(stream_name)
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
            self._keeper.look()  # it removes them
        pod = choice.pod
        if pod and pod.starting and pod.trouble and pod.template_hash != self._pods.template_hash:
            await self._pods.end(pod)  # that of today may be better
            return None
        return pod

    async def _obtain(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayPod | None:
        """An idle pod, else a new one, if the stream may have any by now. Raises StoreError."""
        now, failures = self._pods.now(), self._history.of_stream(stream_name)
        if wait := failures.wait(now):
            self._absences[stream_name] = failures.why or STARTING
            self._wake_later(stream_name, wait)
            return None
        claim = Claim(stream_name, owners, now)
        pod = await self._pods.claim(claim)
        warm = pod is not None and pod.state is PodState.SERVING
        if pod is None and not choose(self._pods.of_stream(stream_name), self._heard).pod:
            pod = await self._keeper.make(claim)
            self._absences[stream_name] = STARTING if pod else self._keeper.why_not
        if pod:
            self._got(stream_name, pod, warm=warm)
        return pod

    def _got(self, stream_name: str, pod: RelayPod, *, warm: bool) -> None:
        self._keeper.leave(stream_name)
        self._keeper.look()
        if self._observer:
            self._observer.on_claimed(stream_name, pod.name, warm=warm)

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

    def _wake_later(self, stream_name: str, seconds: float) -> None:
        if timer := self._timers.pop(stream_name, None):
            timer.cancel()
        self._timers[stream_name] = asyncio.get_running_loop().call_later(seconds, self._wake, stream_name)

    def _note(self, pod: RelayPod, *, gone: bool = False) -> None:
        self._history.note(pod, self._pods.now(), gone=gone, ended=self._pods.is_ended(pod))
