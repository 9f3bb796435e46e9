"""kopf in a thread with an event loop of its own.

At its end kopf cancels every task of its loop that began after it, and in the main thread it takes the signals.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence

import kopf

from transponder_operator.work_queue import retry_delay

logger = logging.getLogger(__name__)

logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns that it gets no signals

END_SECONDS = 5.0
"""How long kopf may take to end. Its thread is a daemon, so it keeps the program from nothing."""

STEADY_SECONDS = 60.0
"""One that ran for so long was well: it is started again at once."""


class KopfThread:
    """`run` it until cancelled: kopf watches, and is started anew when it ends by itself."""

    def __init__(
        self,
        registry: kopf.OperatorRegistry,
        settings: Callable[[], kopf.OperatorSettings],
        namespaces: Sequence[str] | None,
    ) -> None:
        """`settings` makes new ones for each start. `namespaces`: None for all."""
        self._registry = registry
        self._settings = settings
        self._namespaces = namespaces
        self.restarts = 0

    async def run(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            error = await _run_in_thread(self._operate)
            failures = 1 if loop.time() - began >= STEADY_SECONDS else failures + 1
            logger.error("kopf ended by itself (%s); starting it again", type(error).__name__ if error else "no error")
            logger.debug("why kopf ended", exc_info=error)
            await asyncio.sleep(retry_delay(failures))
            self.restarts += 1

    async def _operate(self, stop: asyncio.Event) -> None:
        everywhere = self._namespaces is None
        await kopf.operator(
            registry=self._registry,
            settings=self._settings(),
            standalone=True,
            clusterwide=everywhere,
            namespaces=self._namespaces or (),
            stop_flag=stop,
        )


async def _run_in_thread(operate: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> BaseException | None:
    """The exception with which it ended, or None. It is told to stop when this is cancelled."""
    run = _Run(operate, asyncio.get_running_loop())
    try:
        return await asyncio.shield(run.ended)
    except asyncio.CancelledError:
        run.stop()
        await asyncio.wait({run.ended}, timeout=END_SECONDS)
        if not run.ended.done():
            logger.warning("kopf does not end")
        raise


class _Run:
    """One life of a thread with an event loop."""

    def __init__(
        self, operate: Callable[[asyncio.Event], Coroutine[None, None, None]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()
        self._operate = operate
        self._loop = loop
        self._stopped = False
        self._inside: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        threading.Thread(target=self._main, name="kopf", daemon=True).start()

    def stop(self) -> None:
        # each side writes its own mark before it looks at the other's: one of the two sees both
        self._stopped = True
        if self._inside:
            loop, stop = self._inside
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(stop.set)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._run())
        except BaseException as caught:  # whatever it is, somebody waits for it
            error = caught
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            self._loop.call_soon_threadsafe(self.ended.set_result, error)

    async def _run(self) -> None:
        stop = asyncio.Event()
        self._inside = (asyncio.get_running_loop(), stop)
        if self._stopped:
            return
        await self._operate(stop)
