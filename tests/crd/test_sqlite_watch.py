"""Watching the store: nothing missed, nothing twice, old versions refused, any watch can be ended."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.objects import make_stream, make_transponder, muted, with_meta

from transponder_crd import sqlite_store
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import RtmpTransponder, Secret, Stream, StreamPhase, StreamStatus
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Event, EventType, Gone, Invalid, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "store.db")
    yield store
    store.close()


async def take(events: AsyncIterator[Event[RtmpTransponder]], count: int) -> list[tuple[str, str, str]]:
    """Type, name and resourceVersion of the next events."""
    async with asyncio.timeout(5):
        taken = [await anext(events) for _ in range(count)]
    return [(event.type, event.object.name, event.object.metadata.resource_version) for event in taken]


async def assert_waits(task: "asyncio.Task[object]") -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


async def test_every_kind_of_change_once_and_in_order(store: SqliteStore) -> None:
    watch = store.watch(RtmpTransponder, "0")
    reader = asyncio.create_task(take(watch, 6))
    await assert_waits(reader)
    obj = await store.create(make_transponder(finalizers=["a/b"]))
    obj = await store.update(muted(obj))
    obj = await store.update(obj)  # without a change
    obj = await store.update_status(obj.model_copy(update={"status": obj.status.model_copy(update={"width": 1})}))
    await store.delete(RtmpTransponder, "demo")
    await store.update(with_meta(await store.get(RtmpTransponder, "demo"), finalizers=[]))
    await store.create(make_transponder("next"))
    modified = [("MODIFIED", "demo", version) for version in "234"]
    assert await reader == [("ADDED", "demo", "1"), *modified, ("DELETED", "demo", "5"), ("ADDED", "next", "6")]


async def test_deleted_carries_the_last_state(store: SqliteStore) -> None:
    obj = await store.create(make_transponder(labels={"a": "b"}))
    await store.delete(RtmpTransponder, "demo")
    event = await anext(store.watch(RtmpTransponder, obj.metadata.resource_version))
    assert event == (EventType.DELETED, with_meta(obj, resource_version="2"))


async def test_resume_from_a_listing_or_an_event(store: SqliteStore) -> None:
    await store.create(make_transponder("a"))
    listing = await store.list(RtmpTransponder)
    await store.create(make_transponder("b"))
    await store.create(make_transponder("c"))
    assert await take(store.watch(RtmpTransponder, listing.resource_version), 2) == [
        ("ADDED", "b", "2"),
        ("ADDED", "c", "3"),
    ]
    assert await take(store.watch(RtmpTransponder, "2"), 1) == [("ADDED", "c", "3")]


async def test_a_watch_sees_its_own_kind_alone(store: SqliteStore) -> None:
    reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 1))
    await store.create(make_stream("other"))
    await assert_waits(reader)
    await store.create(make_transponder("mine"))
    assert await reader == [("ADDED", "mine", "2")]


async def test_many_watchers_and_long_backlogs(store: SqliteStore) -> None:
    count = 2 * sqlite_store._BATCH + 1
    early = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), count))
    for number in range(count):
        await store.create(make_transponder(f"n{number}"))
    late = await take(store.watch(RtmpTransponder, "0"), count)
    assert await early == late
    assert [int(version) for _, _, version in late] == list(range(1, count + 1))


async def test_a_reopened_store_resumes(tmp_path: Path) -> None:
    with contextlib.closing(SqliteStore.open(tmp_path / "s.db")) as store:
        await store.create(make_transponder("before"))
    with contextlib.closing(SqliteStore.open(tmp_path / "s.db")) as store:
        reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 2))
        await store.create(make_transponder("after"))
        assert await reader == [("ADDED", "before", "1"), ("ADDED", "after", "2")]


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "KEPT_EVENTS", 10)


async def toggle(store: SqliteStore, times: int) -> None:
    for _ in range(times):
        obj = await store.get(RtmpTransponder, "demo")
        await store.update(muted(obj, not obj.spec.muted))


@pytest.mark.usefixtures("short_log")
async def test_too_old_versions_are_gone(store: SqliteStore, tmp_path: Path) -> None:
    await store.create(make_transponder())
    await toggle(store, 11)  # versions 1 and 2 are dropped
    with pytest.raises(Gone):
        await take(store.watch(RtmpTransponder, "1"), 1)
    assert (await take(store.watch(RtmpTransponder, "2"), 10))[0] == ("MODIFIED", "demo", "3")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (10,)


@pytest.mark.usefixtures("short_log")
async def test_a_slow_reader_learns_that_it_missed_events(store: SqliteStore) -> None:
    async with aclosing(store.watch(RtmpTransponder, "0")) as watch:
        await store.create(make_transponder())
        assert await take(watch, 1) == [("ADDED", "demo", "1")]
        await toggle(store, 12)
        with pytest.raises(Gone):
            await take(watch, 1)


@pytest.mark.usefixtures("short_log")
async def test_an_idle_watch_does_not_grow_old(store: SqliteStore) -> None:
    async with aclosing(store.watch(Stream, "0")) as watch:
        reader = asyncio.create_task(anext(watch))
        await store.create(make_transponder())
        for _ in range(5):
            await toggle(store, 8)
            await assert_waits(reader)
        obj = await store.create(make_stream())
        async with asyncio.timeout(5):
            assert await reader == (EventType.ADDED, obj)


async def test_versions_never_given_are_gone_or_invalid(store: SqliteStore) -> None:
    with pytest.raises(Gone):
        await take(store.watch(RtmpTransponder, "7"), 1)
    for version in ("", "-1", "x", "1" * 30):
        with pytest.raises(Invalid, match="resourceVersion"):
            await take(store.watch(RtmpTransponder, version), 1)


async def test_a_watch_can_be_cancelled(store: SqliteStore) -> None:
    reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 1))
    await assert_waits(reader)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await store.create(make_transponder())


async def test_closing_the_store_ends_its_watches(store: SqliteStore) -> None:
    reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 1))
    await assert_waits(reader)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await reader


async def test_a_failed_call_changes_nothing(store: SqliteStore) -> None:
    obj = await store.create(make_stream())
    bad = obj.model_copy(update={"status": StreamStatus().model_copy(update={"width": "wide"})})
    with pytest.raises(Invalid, match=r"status\.width"):
        await store.update_status(bad)
    assert (await store.list(Stream)) == ([obj], "1")
    ready = obj.model_copy(update={"status": StreamStatus(phase=StreamPhase.READY)})
    assert (await store.update_status(ready)).metadata.resource_version == "2"


async def test_secrets_are_not_in_the_event_log(store: SqliteStore, tmp_path: Path) -> None:
    await store.create(Secret(metadata=ObjectMeta(name="key"), string_data={"rtmpUrl": SecretStr("very-secret")}))
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
    with pytest.raises(StoreError, match="cannot be watched"):
        await anext(store.watch(Secret, "0"))
