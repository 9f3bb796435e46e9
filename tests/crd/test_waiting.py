import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from transponder_crd import sqlite_store
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import Stream, StreamPhase, StreamSource, StreamSpec, StreamStatus
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Event, Gone
from transponder_crd.waiting import wait_for


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "store.db")
    yield opened
    opened.close()


def stream(name: str) -> Stream:
    return Stream(metadata=ObjectMeta(name=name), spec=StreamSpec(name=name, source=StreamSource.WHIP))


def is_ready(now: Stream | None) -> bool:
    return now is not None and now.status.phase == StreamPhase.READY


async def make_ready(store: SqliteStore, name: str) -> None:
    now = await store.get(Stream, name)
    await store.update_status(now.model_copy(update={"status": StreamStatus(phase=StreamPhase.READY)}))


async def test_returns_at_once_what_is_so_already(store: SqliteStore) -> None:
    await store.create(stream("a"))
    await make_ready(store, "a")
    assert is_ready(await wait_for(store, Stream, "a", is_ready, 5))
    assert await wait_for(store, Stream, "b", lambda now: now is None, 5) is None


async def test_waits_for_a_change_of_that_object_alone(store: SqliteStore) -> None:
    await store.create(stream("a"))
    await store.create(stream("b"))
    waiting = asyncio.create_task(wait_for(store, Stream, "a", is_ready, 5))
    await asyncio.sleep(0)
    await make_ready(store, "b")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    await make_ready(store, "a")
    found = await waiting
    assert found is not None
    assert found.name == "a"


async def test_waits_for_an_object_to_come_and_to_go(store: SqliteStore) -> None:
    coming = asyncio.create_task(wait_for(store, Stream, "a", lambda now: now is not None, 5))
    await asyncio.sleep(0)
    await store.create(stream("a"))
    assert await coming
    going = asyncio.create_task(wait_for(store, Stream, "a", lambda now: now is None, 5))
    await asyncio.sleep(0)
    await store.delete(Stream, "a")
    assert await going is None


async def test_gives_up_in_time(store: SqliteStore) -> None:
    with pytest.raises(TimeoutError):
        await wait_for(store, Stream, "a", is_ready, 0.02)


async def test_reads_again_when_the_version_is_too_old(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that has not changed for long has a version that a watch cannot start from."""
    await store.create(stream("a"))
    watches = 0
    real = store.watch

    async def watch(kind: type[Stream], version: str) -> AsyncIterator[Event[Stream]]:
        nonlocal watches
        watches += 1
        if watches == 1:
            await make_ready(store, "a")
            raise Gone("too old")
        async for event in real(kind, version):
            yield event

    monkeypatch.setattr(store, "watch", watch)
    assert is_ready(await wait_for(store, Stream, "a", is_ready, 5))


async def test_waits_for_an_object_that_has_not_changed_for_long(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own version is too old, and stays so: the position of a listing is not."""
    monkeypatch.setattr(sqlite_store, "KEPT_EVENTS", 5)
    await store.create(stream("a"))
    for number in range(10):
        await store.create(stream(f"other-{number}"))
    waiting = asyncio.create_task(wait_for(store, Stream, "a", is_ready, 5))
    for _ in range(5):
        await asyncio.sleep(0)
    await make_ready(store, "a")
    assert is_ready(await waiting)
