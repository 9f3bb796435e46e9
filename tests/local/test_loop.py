"""Changes in the store wake the stream they concern."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.control_port import until
from support.objects import make_stream, make_transponder

from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Gone, StoreError
from transponder_local.loop import watch_all


@asynccontextmanager
async def watching(store: SqliteStore) -> AsyncIterator[list[str]]:
    woken: list[str] = []
    task = asyncio.create_task(watch_all(store, woken.append))
    try:
        yield woken
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})
        store.close()


async def test_what_is_there_and_what_changes_wakes_its_stream(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store.sqlite")
    await store.create(make_transponder("there"))
    async with watching(store) as woken:
        await until(lambda: woken == ["demo"])
        await store.create(make_stream("other"))
        await until(lambda: woken == ["demo", "other"])
        await store.delete(Stream, "other")
        await until(lambda: woken == ["demo", "other", "other"])
        await store.delete(RtmpTransponder, "there")
        await until(lambda: woken == ["demo", "other", "other", "demo"])


class Forgetful(SqliteStore):
    """Says Gone (or fails) to the watch that it is told to, once an object was deleted unseen."""

    failing: list[Exception]

    async def watch(self, kind: Any, resource_version: str) -> Any:
        if kind is Stream and self.failing:
            error = self.failing.pop(0)
            for stream in (await self.list(Stream)).items:
                await self.delete(Stream, stream.name)
            raise error
        async for event in super().watch(kind, resource_version):
            yield event


async def test_gone_lists_again_and_wakes_what_went_unseen(tmp_path: Path) -> None:
    store = Forgetful.open(tmp_path / "store.sqlite")
    store.failing = [Gone("too old"), StoreError("a bad moment")]
    await store.create(make_stream("lost"))
    async with watching(store) as woken:
        await until(lambda: woken == ["lost", "lost"])
        await until(lambda: store.failing == [])
        await store.create(make_stream("new"))
        await until(lambda: woken[-1] == "new")
