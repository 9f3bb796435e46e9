"""One watch for all who follow: what they see, and what a store that fails does to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from transponder_api import watching
from transponder_api.watching import Watched
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import Stream, StreamPhase, StreamSource, StreamSpec, StreamStatus
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Event, Gone, Listing, StoreError


def stream(name: str) -> Stream:
    return Stream(metadata=ObjectMeta(name=name), spec=StreamSpec(name=name, source=StreamSource.WEBSDK))


async def set_phase(store: SqliteStore, name: str, phase: StreamPhase) -> None:
    now = await store.get(Stream, name)
    await store.update_status(now.model_copy(update={"status": StreamStatus(phase=phase)}))


class Moody:
    """The store, whose watches may end and whose listings may fail."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.listings = 0
        self.fails = 0
        self.break_off = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def list(self, kind: type[Stream]) -> Listing[Stream]:
        self.listings += 1
        if self.fails:
            self.fails -= 1
            raise StoreError("the store cannot be reached")
        return await self._store.list(kind)

    async def watch(self, kind: type[Stream], version: str) -> AsyncIterator[Event[Stream]]:
        await self.break_off.wait()
        self.break_off.clear()
        raise Gone("too old")
        yield  # a generator


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = SqliteStore.open(tmp_path / "store.db")
    yield opened
    opened.close()


async def test_the_last_state_is_seen_even_if_it_is_gone_at_once(store: SqliteStore) -> None:
    created = await store.create(stream("one"))
    async with Watched(store, Stream) as watched, watched.follow(created) as following:
        await set_phase(store, "one", StreamPhase.ENDED)
        await store.delete(Stream, "one")
        await asyncio.wait_for(following.until(lambda now: now.gone), 2)
        assert following.latest.status.phase == StreamPhase.ENDED
        assert watched.get("one") is None


async def test_another_object_of_the_same_name_is_another_one(store: SqliteStore) -> None:
    old = await store.create(stream("one"))
    await store.delete(Stream, "one")
    new = await store.create(stream("one"))
    async with Watched(store, Stream) as watched, watched.follow(old) as gone, watched.follow(new) as there:
        assert gone.gone
        assert not there.gone
        await set_phase(store, "one", StreamPhase.PUBLISHING)
        await asyncio.wait_for(there.until(lambda now: now.latest.status.phase == StreamPhase.PUBLISHING), 2)
        assert gone.latest.uid == old.uid


async def test_what_is_there_is_known_from_the_start(store: SqliteStore) -> None:
    await store.create(stream("one"))
    async with Watched(store, Stream) as watched:
        assert [one.name for one in watched.objects()] == ["one"]
        await store.create(stream("two"))
        async with asyncio.timeout(2):
            while watched.get("two") is None:  # noqa: ASYNC110 - nobody follows it
                await asyncio.sleep(0.01)


async def test_a_watch_that_fell_behind_lists_again(store: SqliteStore) -> None:
    moody = Moody(store)
    kept, lost = await store.create(stream("kept")), await store.create(stream("lost"))
    async with Watched(moody, Stream) as watched, watched.follow(kept) as kept_one, watched.follow(lost) as lost_one:  # type: ignore[arg-type]
        await set_phase(store, "kept", StreamPhase.PUBLISHING)
        await store.delete(Stream, "lost")
        moody.break_off.set()
        await asyncio.wait_for(kept_one.until(lambda now: now.latest.status.phase == StreamPhase.PUBLISHING), 2)
        await asyncio.wait_for(lost_one.until(lambda now: now.gone), 2)


async def test_a_store_that_fails_is_asked_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_RETRY", 0.01)
    moody = Moody(store)
    moody.fails = 3
    created = await store.create(stream("one"))
    async with Watched(moody, Stream) as watched:  # type: ignore[arg-type]
        assert moody.listings == 4
        assert watched.get("one") == created


async def test_no_followers_are_kept(store: SqliteStore) -> None:
    created = await store.create(stream("one"))
    async with Watched(store, Stream) as watched:
        for _ in range(3):
            async with watched.follow(created):
                assert len(watched._followers) == 1
        assert not watched._followers
