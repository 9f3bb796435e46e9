"""Keeps the pods of a namespace: fills the pool, removes what must go, and lets streams make pods one after another."""

import asyncio
import logging
from collections.abc import Callable

from transponder_crd.kubernetes.errors import Denied
from transponder_crd.relay_host import Absence
from transponder_crd.store import Invalid, StoreError
from transponder_crd.tasks import happens
from transponder_operator.pods.choose import is_dead
from transponder_operator.pods.cluster import ClusterPods
from transponder_operator.pods.history import History
from transponder_operator.pods.manifest import Claim
from transponder_operator.pods.pool import PoolWish, free_places, next_look, plan_pool
from transponder_operator.pods.state import RelayPod
from transponder_operator.pods.trouble import refused

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""Events of so long are looked at together."""
RETRY_SECONDS = 2.0
"""After the API server failed."""
RESYNC_SECONDS = 60.0
"""A look at everything is taken so often, whether or not anything changed."""

QUEUED = Absence("RelayQueued", "as many relays as may be are starting")


class Keeper:
    """One task, and what it shares with whoever gets pods for streams."""

    def __init__(
        self,
        pods: ClusterPods,
        history: History,
        pool_size: Callable[[], int],
        max_starting: int,
        heard: Callable[[RelayPod], bool],
        wake: Callable[[str], None],
    ) -> None:
        self._pods = pods
        self._history = history
        self._pool_size = pool_size
        self._max_starting = max_starting
        self._heard = heard
        self._wake = wake
        self._queue: dict[str, None] = {}
        """Streams that need a pod and may not make one yet, in order."""
        self._dirty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="relay pods")

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def look(self) -> None:
        """Something changed."""
        self._dirty.set()

    # ------------------------------------------------------------------------------------------ new pods

    async def make(self, claim: Claim) -> RelayPod | None:
        """A new pod for a stream; None: not now, and the stream is woken when its time has come. Raises StoreError."""
        pod = await self._create(claim) if self._places() else None
        if pod is None:
            self._queue[claim.stream_name] = None
            self.look()
        return pod

    def leave(self, stream_name: str) -> None:
        """The stream has a pod, or needs none any more."""
        self._queue.pop(stream_name, None)

    @property
    def why_not(self) -> Absence:
        """Why `make` made none."""
        return self._history.starts.why or QUEUED

    async def _create(self, claim: Claim | None) -> RelayPod | None:
        try:
            return await self._pods.create(claim)
        except (Denied, Invalid) as error:
            why = refused(str(error))
            if why != self._history.starts.why:
                logger.error("%s", why.message)
            self._history.starts.add(why, self._pods.now())
            return None

    def _places(self) -> int:
        """How many pods may be made now."""
        return 0 if self._delay() else free_places(self._pods.all(), self._wish())

    def _delay(self) -> float:
        return self._history.starts.wait(self._pods.now())

    def _wish(self) -> PoolWish:
        return PoolWish(
            self._pool_size(),
            self._max_starting,
            self._pods.template_hash,
            creating=self._pods.creating,
            waiting=len(self._queue),
        )

    # ------------------------------------------------------------------------------------------ all pods

    async def maintain(self) -> float | None:
        """One look at everything: remove what must go, make what is missing, wake the streams that may go on.

        Seconds until it must be called again although nothing changed; None: not before something does.
        Raises StoreError.
        """
        self._note_all()
        plan = plan_pool(self._pods.all(), self._wish(), self._heard)
        await self._remove(plan.remove)
        await self._pods.give_missing_tokens()
        if not self._delay():
            await self._fill(plan.create)
        self._wake_queue()
        delay = self._delay() if plan.create or self._queue else 0.0
        times = [next_look(self._pods.all(), self._pods.now()), delay or None]
        return min((seconds for seconds in times if seconds is not None), default=None)

    def _note_all(self) -> None:
        """Time alone makes a pod late, and an operator that begins knows nothing."""
        pods = self._pods.all()
        for pod in pods:
            self._history.note(pod, self._pods.now(), ended=self._pods.is_ended(pod))
        uids = {pod.uid for pod in pods}
        self._pods.prune(uids)
        self._history.prune(uids)

    async def _remove(self, pods: tuple[RelayPod, ...]) -> None:
        for pod in pods:
            left_to_kubernetes = pod.deleting and is_dead(pod, self._heard)
            if not left_to_kubernetes and not await self._pods.end(pod):
                self.look()

    async def _fill(self, count: int) -> None:
        made = await asyncio.gather(*(self._create(None) for _ in range(count)), return_exceptions=True)
        for error in made:
            if isinstance(error, BaseException):
                raise error

    def _wake_queue(self) -> None:
        """As many streams as there are pods or places for."""
        idle = self._pods.idle()
        free = sum(pod.idle and not pod.deleting and not is_dead(pod, self._heard) for pod in idle)
        for stream_name in list(self._queue)[: self._places() + free]:
            self._wake(stream_name)

    async def _keep(self) -> None:
        again_in: float | None = 0.0
        said = ""
        while True:
            seconds = RESYNC_SECONDS if again_in is None else min(again_in, RESYNC_SECONDS)
            await happens(self._dirty, within=seconds)
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
