"""Tasks, events and signals of a program: waiting for them so that nothing is lost, and ending in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any


async def happens(event: asyncio.Event, within: float) -> bool:
    """Wait for the event for `within` seconds at most. Was it set?

    In Python 3.11 `asyncio.wait_for` swallows a cancellation that comes in the same turn of the loop as the event: a
    task that waits so in a loop would never end.
    """
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def running(work: Coroutine[None, None, Any], name: str) -> AsyncIterator["asyncio.Task[Any]"]:
    """A task for the length of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def first_ended(stop: asyncio.Event, tasks: Collection["asyncio.Task[Any]"]) -> "asyncio.Task[Any] | None":
    """Wait for the event, or for a task to end although it should not; that task."""
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return next((task for task in tasks if task.done()), None)


def fault(task: "asyncio.Task[Any]") -> BaseException | None:
    """Why a task that is done failed; None: it ended, or was cancelled."""
    return None if task.cancelled() else task.exception()


@contextmanager
def on_signals(
    call: Callable[[], None], numbers: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[None]:
    """`call` is called in the event loop at each of these signals, for the length of the block."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
