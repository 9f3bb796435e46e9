"""Waiting loses neither an event nor a cancellation; tasks and signals are for the length of a block."""

import asyncio
import os
import signal

import pytest

from transponder_crd.tasks import fault, first_ended, happens, on_signals, running


async def test_an_event_in_time_and_none() -> None:
    event = asyncio.Event()
    assert not await happens(event, within=0.01)
    asyncio.get_running_loop().call_soon(event.set)
    assert await happens(event, within=5)
    assert await happens(event, within=5)


async def test_a_cancellation_that_comes_with_the_event_ends_the_task() -> None:
    """asyncio.wait_for of Python 3.11 loses it."""
    event = asyncio.Event()

    async def work() -> None:
        while True:
            await happens(event, within=60)
            event.clear()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)  # the waiter's future is done; its task has not gone on yet
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done, "the cancellation was lost"
    assert task.cancelled()


async def test_a_task_ends_with_its_block() -> None:
    async with running(asyncio.sleep(60), "sleeper") as task:
        assert task.get_name() == "sleeper"
    assert task.cancelled()
    assert fault(task) is None


async def test_the_task_that_ends_by_itself_is_told_with_its_fault() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async with running(asyncio.sleep(60), "well") as well, running(fail(), "ill") as ill:
        assert await first_ended(asyncio.Event(), [well, ill]) is ill
        assert str(fault(ill)) == "broken"


async def test_stop_ends_the_waiting() -> None:
    stop = asyncio.Event()
    async with running(asyncio.sleep(60), "sleeper") as task:
        asyncio.get_running_loop().call_soon(stop.set)
        assert await first_ended(stop, [task]) is None


async def test_signals_are_taken_for_the_length_of_the_block() -> None:
    told = asyncio.Event()
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(KeyError), on_signals(told.set, [signal.SIGUSR1]):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGUSR1)
        assert await happens(told, within=5)
        raise KeyError
    assert signal.getsignal(signal.SIGUSR1) == before
