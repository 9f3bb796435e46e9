"""A work queue by key, as controllers have it: one worker a key at a time, wake-ups coalesced, failures tried again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from transponder_crd.names import loggable

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 30.0


def retry_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row (1 or more): doubled each time, up to LAST_RETRY_SECONDS."""
    return float(min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 20)))


class TransientError(Exception):
    """A failure that is expected now and then: logged by its text, without a traceback."""


@dataclass(slots=True)
class _Key:
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    dirty: bool = False
    """Woken while at work: work again."""
    failures: int = 0
    began: float | None = None
    """When the call under way began, by the monotonic clock."""


Done = Callable[[float, Exception | None], None]
"""Told of each call of `work`: seconds that it took, and how it failed."""


class WorkQueue:
    """Calls `work(key)` for every key that is woken. `work` returns in how many seconds to call it again, or None.

    `work` must be idempotent and look at the present state itself: how often and why a key was woken is not kept.
    """

    def __init__(
        self,
        work: Callable[[str], Awaitable[float | None]],
        done: Done = lambda _seconds, _error: None,
        at_once: int = 1_000_000,
    ) -> None:
        """`at_once`: how many keys may be worked on at the same time; others wait for their turn."""
        self._work = work
        self._done = done
        self._turns = asyncio.Semaphore(at_once)
        self._keys: dict[str, _Key] = {}
        self._closed = False

    def wake(self, key: str) -> None:
        """Have `key` worked on soon. Call it in the event loop's thread."""
        if self._closed:
            return
        entry = self._keys.setdefault(key, _Key())
        if entry.timer:
            entry.timer.cancel()
            entry.timer = None
        entry.dirty = True
        if entry.task is None:
            entry.task = asyncio.create_task(self._run(key, entry), name=f"reconcile {loggable(key)}")

    def __len__(self) -> int:
        """How many keys are being worked on, or wait for their turn."""
        return sum(entry.task is not None for entry in self._keys.values())

    @property
    def longest(self) -> float:
        """Seconds for which the oldest of the calls under way has been going on; 0 without any."""
        began = min((entry.began for entry in self._keys.values() if entry.began is not None), default=None)
        return 0.0 if began is None else time.monotonic() - began

    async def close(self) -> None:
        """Work on nothing more; what is at work is cancelled and waited for."""
        self._closed = True
        tasks = []
        for entry in self._keys.values():
            if entry.timer:
                entry.timer.cancel()
            if entry.task:
                entry.task.cancel()
                tasks.append(entry.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keys.clear()

    async def _run(self, key: str, entry: _Key) -> None:
        again_in: float | None = None
        while entry.dirty:
            async with self._turns:
                entry.dirty = False
                again_in = await self._try(key, entry)
        entry.task = None
        if again_in is not None:
            entry.timer = asyncio.get_running_loop().call_later(again_in, self.wake, key)
        elif self._keys.get(key) is entry:
            del self._keys[key]

    async def _try(self, key: str, entry: _Key) -> float | None:
        began = entry.began = time.monotonic()
        try:
            again_in = await self._work(key)
        except Exception as error:
            self._done(time.monotonic() - began, error)
            entry.failures += 1
            self._report(key, entry.failures, error)
            return retry_delay(entry.failures)
        finally:
            entry.began = None
        self._done(time.monotonic() - began, None)
        if entry.failures > 1:
            logger.info("stream %s: reconciled again", loggable(key))
        entry.failures = 0
        return again_in

    @staticmethod
    def _report(key: str, failures: int, error: Exception) -> None:
        """Tell one failure of a row. A lone expected one heals by itself, so it is told when it comes twice."""
        if isinstance(error, TransientError):
            level = logging.WARNING if failures == 2 else logging.DEBUG
            logger.log(level, "stream %s: %s; trying again", loggable(key), error)
        else:
            level = logging.ERROR if failures == 1 else logging.DEBUG
            logger.log(level, "stream %s: reconciling failed; trying again", loggable(key), exc_info=error)
