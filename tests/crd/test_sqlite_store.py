"""The store's rules: versions, generations, deletion with finalizers, owners."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.objects import make_stream, make_transponder, muted, with_meta

from transponder_crd.meta import ObjectMeta, OwnerReference
from transponder_crd.resource import (
    Resource,
    RtmpTransponder,
    Secret,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    StreamStatus,
)
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import AlreadyExists, Conflict, Invalid, NotFound, StoreError, edit

FINALIZER = "example.org/hold"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "store.db")
    yield store
    store.close()


def secret(name: str, owners: list[OwnerReference], **metadata: object) -> Secret:
    meta = ObjectMeta.model_validate({"name": name, **metadata}).model_copy(update={"owner_references": owners})
    return Secret(metadata=meta, string_data={"rtmpUrl": SecretStr("rtmp://h/live/very-secret-key")})


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def exists(store: SqliteStore, kind: type[Resource], name: str) -> bool:
    return name in [obj.name for obj in (await store.list(kind)).items]


async def test_create_sets_the_server_fields(store: SqliteStore) -> None:
    new = await store.create(muted(make_transponder(labels={"a": "b"})))
    assert new.uid
    assert new.metadata.generation == 1
    assert new.metadata.resource_version == "1"
    assert new.metadata.creation_timestamp is not None
    assert new.metadata.labels == {"a": "b"}
    assert new.spec.muted
    assert await store.get(RtmpTransponder, "demo") == new


async def test_create_drops_the_status(store: SqliteStore) -> None:
    obj = make_stream().model_copy(update={"status": StreamStatus(phase=StreamPhase.READY)})
    assert (await store.create(obj)).status == StreamStatus()


async def test_a_name_is_taken_once_in_its_kind(store: SqliteStore) -> None:
    await store.create(make_transponder())
    await store.create(make_stream())
    with pytest.raises(AlreadyExists, match="RtmpTransponder demo"):
        await store.create(make_transponder())


@pytest.mark.parametrize("name", ["", "Demo", "a_b", "-a", "a..b", "a" * 254])
async def test_create_refuses_names_that_kubernetes_refuses(store: SqliteStore, name: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await store.create(make_transponder(name))


async def test_create_refuses_what_could_not_be_read_back(store: SqliteStore) -> None:
    obj = make_transponder()
    bad = obj.model_copy(update={"spec": obj.spec.model_copy(update={"stream_name": "white space"})})
    with pytest.raises(Invalid, match=r"spec\.streamName"):
        await store.create(bad)
    unknown = obj.model_copy(update={"spec": obj.spec.model_copy(update={"options": {"x": object()}})})
    with pytest.raises(Invalid):
        await store.create(unknown)
    assert (await store.list(RtmpTransponder)).items == []


async def test_one_counter_for_all_kinds(store: SqliteStore) -> None:
    versions = [
        (await store.create(obj)).metadata.resource_version for obj in (make_transponder("b"), make_transponder("a"))
    ]
    versions += [
        (await store.create(make_stream())).metadata.resource_version,
        (await store.list(Stream)).resource_version,
    ]
    assert versions == ["1", "2", "3", "3"]
    assert [obj.name for obj in (await store.list(RtmpTransponder)).items] == ["a", "b"]


async def test_generation_grows_with_the_spec_alone(store: SqliteStore) -> None:
    obj = await store.create(make_transponder())
    obj = await store.update(with_meta(obj, labels={"x": "y"}))
    assert (obj.metadata.generation, obj.metadata.resource_version) == (1, "2")
    obj = await store.update(muted(obj))
    assert (obj.metadata.generation, obj.metadata.resource_version) == (2, "3")
    assert await store.update(obj) == obj, "an update without a change writes nothing"


async def test_update_leaves_status_and_server_fields(store: SqliteStore) -> None:
    obj = await store.create(make_stream())
    obj = await store.update_status(obj.model_copy(update={"status": StreamStatus(phase=StreamPhase.READY)}))
    wish = with_meta(obj, generation=9, creation_timestamp=None, annotations={"a": "b"})
    new = await store.update(wish.model_copy(update={"status": StreamStatus()}))
    assert new.status.phase == StreamPhase.READY
    assert new.metadata.generation == 1
    assert new.metadata.creation_timestamp == obj.metadata.creation_timestamp
    assert new.metadata.annotations == {"a": "b"}


async def test_update_status_leaves_the_rest(store: SqliteStore) -> None:
    obj = await store.create(make_stream())
    status = StreamStatus(phase=StreamPhase.PUBLISHING, width=640)
    new = await store.update_status(with_meta(obj, labels={"no": "no"}).model_copy(update={"status": status}))
    assert new.status == status
    assert new.metadata.labels == {}
    assert new.metadata.generation == 1
    assert await store.update_status(new) == new, "an unchanged status writes nothing"


async def test_stale_writers_conflict(store: SqliteStore) -> None:
    old = await store.create(make_transponder())
    await store.update(muted(old))
    for write in (store.update, store.update_status):
        with pytest.raises(Conflict):
            await write(old)
        with pytest.raises(NotFound):
            await write(make_transponder("other"))


async def test_an_object_made_anew_is_not_the_old_one(store: SqliteStore) -> None:
    old = await store.create(make_transponder())
    await store.delete(RtmpTransponder, "demo")
    new = await store.create(make_transponder())
    with pytest.raises(NotFound):
        await store.delete(RtmpTransponder, "demo", uid=old.uid)
    with pytest.raises(Conflict):
        await store.update(old)
    await store.delete(RtmpTransponder, "demo", uid=new.uid)
    with pytest.raises(NotFound):
        await store.get(RtmpTransponder, "demo")


async def test_immutable_fields(store: SqliteStore) -> None:
    obj = await store.create(make_transponder())
    moved = obj.model_copy(update={"spec": obj.spec.model_copy(update={"rtmp_url": "rtmp://other/live"})})
    with pytest.raises(Invalid, match=r"spec\.rtmpUrl is immutable"):
        await store.update(moved)
    other = await store.create(make_stream())
    renamed = other.model_copy(update={"spec": StreamSpec(name="x", source=StreamSource.WHIP)})
    with pytest.raises(Invalid, match=r"spec\.name is immutable"):
        await store.update(renamed)


async def test_finalizers_hold_a_deleted_object(store: SqliteStore) -> None:
    await store.create(make_transponder(finalizers=[FINALIZER]))
    await store.delete(RtmpTransponder, "demo")
    held = await store.get(RtmpTransponder, "demo")
    assert held.deleting
    assert held.metadata.generation == 1
    await store.delete(RtmpTransponder, "demo")
    assert await store.get(RtmpTransponder, "demo") == held, "the second delete changes nothing"
    with pytest.raises(Invalid, match="finalizers"):
        await store.update(with_meta(held, finalizers=[FINALIZER, "another/one"]))
    revived = await store.update(with_meta(held, deletion_timestamp=None, labels={"a": "b"}))
    assert revived.deleting, "a deletion is never taken back"
    last = await store.update(with_meta(revived, finalizers=[]))
    assert int(last.metadata.resource_version) > int(revived.metadata.resource_version)
    assert not await exists(store, RtmpTransponder, "demo")


async def test_collected_when_the_last_owner_is_gone(store: SqliteStore) -> None:
    owners = [(await store.create(make_transponder(name))).owner_reference() for name in ("a", "b")]
    await store.create(secret("shared", owners))
    await store.delete(RtmpTransponder, "a")
    assert await exists(store, Secret, "shared")
    await store.delete(RtmpTransponder, "b")
    assert not await exists(store, Secret, "shared")


async def test_collection_cascades_and_waits_for_finalizers(store: SqliteStore) -> None:
    root = (await store.create(make_stream())).owner_reference()
    middle = (await store.create(secret("middle", [root], finalizers=[FINALIZER]))).owner_reference()
    await store.create(secret("leaf", [middle]))
    await store.delete(Stream, "demo")
    held = await store.get(Secret, "middle")
    assert held.deleting
    assert await exists(store, Secret, "leaf")
    await store.update(with_meta(held, finalizers=[]))
    assert (await store.list(Secret)).items == []


async def test_owners_outlive_their_mark_of_deletion(store: SqliteStore) -> None:
    owner = await store.create(make_transponder(finalizers=[FINALIZER]))
    await store.create(secret("key", [owner.owner_reference()]))
    await store.delete(RtmpTransponder, "demo")
    assert await exists(store, Secret, "key"), "the closing session may still need its key"
    await store.update(with_meta(await store.get(RtmpTransponder, "demo"), finalizers=[]))
    assert not await exists(store, Secret, "key")


async def test_an_object_of_owners_already_gone_does_not_stay(store: SqliteStore) -> None:
    owner = (await store.create(make_transponder())).owner_reference()
    await store.delete(RtmpTransponder, "demo")
    await store.create(secret("late", [owner]))
    assert not await exists(store, Secret, "late")


async def test_owner_references_may_change(store: SqliteStore) -> None:
    first, second = [(await store.create(make_transponder(name))).owner_reference() for name in ("a", "b")]
    key = await store.create(secret("key", [first]))
    await store.update(with_meta(key, owner_references=[second]))
    await store.delete(RtmpTransponder, "a")
    assert await exists(store, Secret, "key")
    await store.delete(RtmpTransponder, "b")
    assert not await exists(store, Secret, "key")


async def test_secrets_come_back_and_never_show(store: SqliteStore) -> None:
    new = await store.create(secret("key", []))
    assert new.string_data["rtmpUrl"].get_secret_value() == "rtmp://h/live/very-secret-key"
    assert "very-secret" not in f"{new!r} {new} {new.model_dump_json()} {await store.list(Secret)}"
    assert new.metadata.generation == 1
    changed = await store.update(new.model_copy(update={"string_data": {"rtmpUrl": SecretStr("other")}}))
    assert changed.metadata.generation == 2
    with pytest.raises(Invalid, match="no status"):
        await store.update_status(changed)


async def test_a_deleted_secret_leaves_no_trace(store: SqliteStore, tmp_path: Path) -> None:
    await store.create(secret("key", []))
    assert b"very-secret" in on_disk(tmp_path)
    await store.delete(Secret, "key")
    store.close()
    assert b"very-secret" not in on_disk(tmp_path)


async def test_edit_writes_only_changes(store: SqliteStore) -> None:
    old = await store.create(make_transponder())
    assert (await edit(store, RtmpTransponder, "demo", lambda obj: obj)) == old
    assert (await edit(store, RtmpTransponder, "demo", muted)).spec.muted


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.list(Stream)
