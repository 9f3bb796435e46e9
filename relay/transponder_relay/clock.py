"""What happens by itself while something is streamed, whether or not media comes."""

import asyncio
import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

TICK = 0.1
"""Seconds between two looks at whether sound, or a still picture, is due."""


HELD_UP = 0.03
"""Seconds by which a look may be late. Later, this process was held up: sound that came meanwhile may lie in the socket
yet, and silence must not take its place."""


class StreamClock:
    """Calls `on_tick` with `time.monotonic()`. A fault in it is logged, and stops nothing."""

    def __init__(self, on_tick: Callable[[float], None]) -> None:
        self._on_tick = on_tick
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """May be called by `on_tick` too."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        failing = False
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            if time.monotonic() - due > HELD_UP:
                await asyncio.sleep(HELD_UP)  # what came is read first
            try:
                self._on_tick(time.monotonic())
            except Exception:  # a fault with one sound must not stop the clock of all
                if not failing:
                    logger.exception("the stream's clock failed")
                failing = True
            else:
                failing = False
