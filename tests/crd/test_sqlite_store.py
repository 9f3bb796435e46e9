"""The store's rules on SQLite, and what is its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.objects import make_stream, make_transponder, with_meta
from support.store_contract import (
    FINALIZER,
    CollectionContract,
    StoreContract,
    WatchContract,
    exists,
    make_secret,
)

from transponder_crd.resource import RtmpTransponder, Secret, Stream
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "store.db")
    yield store
    store.close()


class TestStore(StoreContract):
    pass


class TestCollection(CollectionContract):
    pass


class TestWatch(WatchContract):
    pass


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_one_counter_for_all_kinds(store: SqliteStore) -> None:
    versions = [
        (await store.create(obj)).metadata.resource_version for obj in (make_transponder("b"), make_transponder("a"))
    ]
    versions += [
        (await store.create(make_stream())).metadata.resource_version,
        (await store.list(Stream)).resource_version,
    ]
    assert versions == ["1", "2", "3", "3"]


async def test_the_mark_of_deletion_is_no_change_of_the_spec(store: SqliteStore) -> None:
    await store.create(make_transponder(finalizers=[FINALIZER]))
    await store.delete(RtmpTransponder, "demo")
    held = await store.get(RtmpTransponder, "demo")
    assert held.metadata.generation == 1
    last = await store.update(with_meta(held, finalizers=[]))
    assert int(last.metadata.resource_version) > int(held.metadata.resource_version)


async def test_orphans_are_collected_at_once(store: SqliteStore) -> None:
    owner = (await store.create(make_transponder())).owner_reference()
    await store.create(make_secret("key", [owner]))
    await store.delete(RtmpTransponder, "demo")
    assert not await exists(store, Secret, "key")
    await store.create(make_secret("late", [owner]))
    assert (await store.list(Secret)).items == []


async def test_secrets_have_a_generation(store: SqliteStore) -> None:
    new = await store.create(make_secret("key", []))
    changed = await store.update(new.model_copy(update={"string_data": {"rtmpUrl": SecretStr("other")}}))
    assert (new.metadata.generation, changed.metadata.generation) == (1, 2)


async def test_a_deleted_secret_leaves_no_trace(store: SqliteStore, tmp_path: Path) -> None:
    await store.create(make_secret("key", []))
    assert b"very-secret" in on_disk(tmp_path)
    await store.delete(Secret, "key")
    store.close()
    assert b"very-secret" not in on_disk(tmp_path)


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.list(Stream)
