"""One worker a key, wake-ups coalesced, failures tried again with growing delays."""

import asyncio
import logging

import pytest
from support.control_port import until

from transponder_operator import work_queue
from transponder_operator.work_queue import TransientError, WorkQueue, retry_delay


async def test_a_key_is_worked_on_by_one_at_a_time_and_wakes_coalesce() -> None:
    gate, at_work, runs = asyncio.Event(), 0, 0

    async def work(_: str) -> None:
        nonlocal at_work, runs
        at_work, runs = at_work + 1, runs + 1
        assert at_work == 1
        await gate.wait()
        at_work -= 1

    queue = WorkQueue(work)
    queue.wake("a")
    await until(lambda: runs == 1)
    for _ in range(5):
        queue.wake("a")
    gate.set()
    await until(lambda: runs == 2 and at_work == 0)
    await queue.close()
    assert runs == 2


async def test_keys_do_not_wait_for_each_other() -> None:
    gate, done = asyncio.Event(), []

    async def work(key: str) -> None:
        if key == "slow":
            await gate.wait()
        done.append(key)

    queue = WorkQueue(work)
    queue.wake("slow")
    queue.wake("quick")
    await until(lambda: done == ["quick"])
    gate.set()
    await until(lambda: done == ["quick", "slow"])
    await queue.close()


async def test_work_asks_to_be_called_again() -> None:
    answers = iter([0.01, 0.01, None])
    runs = 0

    async def work(_: str) -> float | None:
        nonlocal runs
        runs += 1
        return next(answers)

    queue = WorkQueue(work)
    queue.wake("a")
    await until(lambda: runs == 3)
    await queue.close()


async def test_a_wake_does_not_wait_for_the_appointed_time() -> None:
    runs = 0

    async def work(_: str) -> float | None:
        nonlocal runs
        runs += 1
        return 3600.0

    queue = WorkQueue(work)
    queue.wake("a")
    await until(lambda: runs == 1)
    queue.wake("a")
    await until(lambda: runs == 2)
    await queue.close()


async def test_failures_are_tried_again_and_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_queue, "FIRST_RETRY_SECONDS", 0.001)
    failures = 0

    async def work(_: str) -> None:
        nonlocal failures
        if failures < 4:
            failures += 1
            raise OSError("broken")

    queue = WorkQueue(work)
    with caplog.at_level(logging.INFO):
        queue.wake("demo")
        await until(lambda: "reconciled again" in caplog.text)
    await queue.close()
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "stream demo: reconciling failed; trying again"
    ]


async def test_a_lone_expected_failure_is_not_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_queue, "FIRST_RETRY_SECONDS", 0.001)
    runs = 0

    async def work(_: str) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise TransientError("gone")

    queue = WorkQueue(work)
    with caplog.at_level(logging.INFO):
        queue.wake("demo")
        await until(lambda: runs == 2)
    await queue.close()
    assert not caplog.records


async def test_close_cancels_and_takes_no_more() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(_: str) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    queue = WorkQueue(work)
    queue.wake("a")
    await started.wait()
    await queue.close()
    assert ended.is_set()
    started.clear()
    queue.wake("a")
    await asyncio.sleep(0)
    assert not started.is_set()


def test_retry_delays_double_up_to_a_limit() -> None:
    assert [retry_delay(n) for n in (1, 2, 3, 8, 9, 10, 1000)] == [0.1, 0.2, 0.4, 12.8, 25.6, 30.0, 30.0]


async def test_what_is_at_work_and_how_it_ended_is_told() -> None:
    gate, told = asyncio.Event(), []

    async def work(key: str) -> None:
        await gate.wait()
        if key == "bad":
            raise TransientError("no")

    queue = WorkQueue(work, lambda seconds, error: told.append((seconds >= 0, str(error))))
    assert (len(queue), queue.longest) == (0, 0.0)
    queue.wake("good")
    queue.wake("bad")
    await until(lambda: queue.longest > 0)
    assert len(queue) == 2
    gate.set()
    await until(lambda: len(queue) == 0)
    assert sorted(told) == [(True, "None"), (True, "no")]
    assert queue.longest == 0.0
    await queue.close()
