"""What every store does: run as a class of tests for each, with a fixture `store`.

The API server collects orphans some time later, hence `until`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

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
from transponder_crd.store import AlreadyExists, Conflict, Event, EventType, Invalid, NotFound, Store, StoreError, edit
from transponder_crd.waiting import wait_for

FINALIZER = "example.org/hold"
COLLECTED_SECONDS = 50.0


def make_secret(name: str, owners: list[OwnerReference], **metadata: object) -> Secret:
    meta = ObjectMeta.model_validate({"name": name, **metadata}).model_copy(update={"owner_references": owners})
    return Secret(metadata=meta, string_data={"rtmpUrl": SecretStr("rtmp://h/live/very-secret-key")})


async def exists(store: Store, kind: type[Resource], name: str) -> bool:
    try:
        await store.get(kind, name)
    except NotFound:
        return False
    return True


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(COLLECTED_SECONDS):
        while not await condition():  # noqa: ASYNC110 (a Secret cannot be watched)
            await asyncio.sleep(0.05)


async def gone(store: Store, kind: type[Resource], name: str) -> None:
    async def is_gone() -> bool:
        return not await exists(store, kind, name)

    await until(is_gone)


def ready(obj: Stream) -> Stream:
    return obj.model_copy(update={"status": StreamStatus(phase=StreamPhase.READY)})


class StoreContract:
    """Reading and writing."""

    async def test_create_sets_the_server_fields(self, store: Store) -> None:
        new = await store.create(muted(make_transponder(labels={"a": "b"})))
        assert new.uid
        assert new.metadata.generation == 1
        assert int(new.metadata.resource_version) > 0
        assert new.metadata.creation_timestamp is not None
        assert new.metadata.labels == {"a": "b"}
        assert new.spec.muted
        assert await store.get(RtmpTransponder, "demo") == new

    async def test_create_drops_the_status(self, store: Store) -> None:
        assert (await store.create(ready(make_stream()))).status == StreamStatus()

    async def test_create_wants_no_version(self, store: Store) -> None:
        with pytest.raises(Invalid, match=r"metadata\.resourceVersion"):
            await store.create(with_meta(make_stream(), resource_version="1"))

    async def test_a_name_is_taken_once_in_its_kind(self, store: Store) -> None:
        await store.create(make_transponder())
        await store.create(make_stream())
        with pytest.raises(AlreadyExists, match="demo"):
            await store.create(make_transponder())

    @pytest.mark.parametrize("name", ["", "Demo", "a_b", "-a", "a..b", "a" * 254])
    async def test_create_refuses_bad_names(self, store: Store, name: str) -> None:
        with pytest.raises(Invalid, match=r"metadata\.name"):
            await store.create(make_transponder(name))

    async def test_create_refuses_what_could_not_be_read_back(self, store: Store) -> None:
        obj = make_transponder()
        bad = obj.model_copy(update={"spec": obj.spec.model_copy(update={"stream_name": "white space"})})
        with pytest.raises(Invalid, match=r"spec\.streamName") as caught:
            await store.create(bad)
        assert "white space" not in str(caught.value)
        unknown = obj.model_copy(update={"spec": obj.spec.model_copy(update={"options": {"x": object()}})})
        with pytest.raises(Invalid):
            await store.create(unknown)
        assert (await store.list(RtmpTransponder)).items == []

    async def test_lists_by_name(self, store: Store) -> None:
        for name in ("b", "a"):
            await store.create(make_transponder(name))
        assert [obj.name for obj in (await store.list(RtmpTransponder)).items] == ["a", "b"]
        assert (await store.list(Stream)).items == []

    async def test_finds_by_stream_and_by_uid(self, store: Store) -> None:
        made = [await store.create(make_transponder(name)) for name in ("b", "a")]
        other = make_transponder("c")
        await store.create(other.model_copy(update={"spec": other.spec.model_copy(update={"stream_name": "x"})}))
        stream = await store.create(make_stream())
        assert list(await store.of_stream(RtmpTransponder, "demo")) == [made[1], made[0]]
        assert list(await store.of_stream(Stream, "demo")) == [stream]
        assert list(await store.of_stream(Stream, "x")) == []
        assert await store.by_uid(RtmpTransponder, made[0].uid) == made[0]
        for uid in (stream.uid, "", "no-such"):
            with pytest.raises(NotFound):
                await store.by_uid(RtmpTransponder, uid)

    async def test_options_come_back_as_they_were(self, store: Store) -> None:
        options = {"action": "mute", "nested": {"list": [1, None, "x"], "true": True}, "ü": 1.5}
        obj = make_transponder()
        new = await store.create(obj.model_copy(update={"spec": obj.spec.model_copy(update={"options": options})}))
        assert new.spec.options == options
        fewer = new.model_copy(update={"spec": new.spec.model_copy(update={"options": {"nested": {}}})})
        assert (await store.update(fewer)).spec.options == {"nested": {}}

    async def test_generation_grows_with_the_spec_alone(self, store: Store) -> None:
        old = await store.create(make_transponder())
        obj = await store.update(with_meta(old, labels={"x": "y"}))
        assert obj.metadata.generation == 1
        assert int(obj.metadata.resource_version) > int(old.metadata.resource_version)
        obj = await store.update(muted(obj))
        assert obj.metadata.generation == 2
        assert await store.update(obj) == obj, "an update without a change writes nothing"

    async def test_update_takes_back(self, store: Store) -> None:
        obj = await store.create(muted(make_transponder(labels={"a": "b", "c": "d"}, finalizers=[FINALIZER])))
        obj = await store.update(muted(with_meta(obj, labels={"a": "b"}, finalizers=[]), False))
        assert (obj.metadata.labels, obj.metadata.finalizers, obj.spec.muted) == ({"a": "b"}, [], False)

    async def test_update_leaves_status_and_server_fields(self, store: Store) -> None:
        obj = await store.update_status(ready(await store.create(make_stream())))
        wish = with_meta(obj, generation=9, creation_timestamp=None, annotations={"a": "b"})
        new = await store.update(wish.model_copy(update={"status": StreamStatus()}))
        assert new.status.phase == StreamPhase.READY
        assert new.metadata.generation == 1
        assert new.metadata.creation_timestamp == obj.metadata.creation_timestamp
        assert new.metadata.annotations == {"a": "b"}

    async def test_update_status_leaves_the_rest(self, store: Store) -> None:
        obj = await store.create(make_stream())
        status = StreamStatus(phase=StreamPhase.PUBLISHING, width=640)
        new = await store.update_status(with_meta(obj, labels={"no": "no"}).model_copy(update={"status": status}))
        assert new.status == status
        assert new.metadata.labels == {}
        assert new.metadata.generation == 1
        assert await store.update_status(new) == new, "an unchanged status writes nothing"
        assert (await store.update_status(new.model_copy(update={"status": StreamStatus()}))).status == StreamStatus()

    async def test_stale_writers_conflict(self, store: Store) -> None:
        old = await store.create(make_transponder())
        await store.update(muted(old))
        for write in (store.update, store.update_status):
            with pytest.raises(Conflict):
                await write(old)
            with pytest.raises(NotFound):
                await write(make_transponder("other"))

    async def test_an_object_made_anew_is_not_the_old_one(self, store: Store) -> None:
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
        with pytest.raises(NotFound):
            await store.delete(RtmpTransponder, "demo")

    async def test_immutable_fields(self, store: Store) -> None:
        obj = await store.create(make_transponder())
        moved = obj.model_copy(update={"spec": obj.spec.model_copy(update={"rtmp_url": "rtmp://other/live"})})
        with pytest.raises(Invalid, match=r"spec\.rtmpUrl is immutable"):
            await store.update(moved)
        other = await store.create(make_stream())
        renamed = other.model_copy(update={"spec": StreamSpec(name="x", source=StreamSource.WHIP)})
        with pytest.raises(Invalid, match=r"spec\.name is immutable"):
            await store.update(renamed)

    async def test_finalizers_hold_a_deleted_object(self, store: Store) -> None:
        await store.create(make_transponder(finalizers=[FINALIZER]))
        await store.delete(RtmpTransponder, "demo")
        held = await store.get(RtmpTransponder, "demo")
        assert held.deleting
        await store.delete(RtmpTransponder, "demo")
        assert await store.get(RtmpTransponder, "demo") == held, "the second delete changes nothing"
        with pytest.raises(Invalid, match="finalizers"):
            await store.update(with_meta(held, finalizers=[FINALIZER, "another/one"]))
        revived = await store.update(with_meta(held, deletion_timestamp=None, labels={"a": "b"}))
        assert revived.deleting, "a deletion is never taken back"
        await store.update(with_meta(revived, finalizers=[]))
        assert not await exists(store, RtmpTransponder, "demo")
        assert (await store.list(RtmpTransponder)).items == []

    async def test_secrets_come_back_and_never_show(self, store: Store) -> None:
        new = await store.create(make_secret("key", []))
        assert new.string_data["rtmpUrl"].get_secret_value() == "rtmp://h/live/very-secret-key"
        assert await store.get(Secret, "key") == new
        assert "very-secret" not in f"{new!r} {new} {new.model_dump_json()} {await store.list(Secret)}"
        changed = await store.update(new.model_copy(update={"string_data": {"rtmpUrl": SecretStr("other")}}))
        assert changed.string_data["rtmpUrl"].get_secret_value() == "other"
        with pytest.raises(Invalid, match="no status"):
            await store.update_status(changed)

    async def test_edit_writes_only_changes(self, store: Store) -> None:
        old = await store.create(make_transponder())
        assert (await edit(store, RtmpTransponder, "demo", lambda obj: obj)) == old
        assert (await edit(store, RtmpTransponder, "demo", muted)).spec.muted


class CollectionContract:
    """Objects go with their owners."""

    async def test_collected_when_the_last_owner_is_gone(self, store: Store) -> None:
        owners = [(await store.create(make_transponder(name))).owner_reference() for name in ("a", "b")]
        await store.create(make_secret("shared", owners))
        await store.delete(RtmpTransponder, "a")
        assert await exists(store, Secret, "shared")
        await store.delete(RtmpTransponder, "b")
        await gone(store, Secret, "shared")

    async def test_collection_cascades_and_waits_for_finalizers(self, store: Store) -> None:
        root = (await store.create(make_stream())).owner_reference()
        middle = (await store.create(make_secret("middle", [root], finalizers=[FINALIZER]))).owner_reference()
        await store.create(make_secret("leaf", [middle]))
        await store.delete(Stream, "demo")

        async def marked() -> bool:
            return (await store.get(Secret, "middle")).deleting

        await until(marked)
        assert await exists(store, Secret, "leaf")
        await store.update(with_meta(await store.get(Secret, "middle"), finalizers=[]))
        await gone(store, Secret, "leaf")
        assert not await exists(store, Secret, "middle")

    async def test_owners_outlive_their_mark_of_deletion(self, store: Store) -> None:
        owner = await store.create(make_transponder(finalizers=[FINALIZER]))
        await store.create(make_secret("key", [owner.owner_reference()]))
        await store.delete(RtmpTransponder, "demo")
        assert await exists(store, Secret, "key"), "the closing session may still need its key"
        await store.update(with_meta(await store.get(RtmpTransponder, "demo"), finalizers=[]))
        await gone(store, Secret, "key")

    async def test_an_object_of_owners_already_gone_does_not_stay(self, store: Store) -> None:
        owner = (await store.create(make_transponder())).owner_reference()
        await store.delete(RtmpTransponder, "demo")
        await store.create(make_secret("late", [owner]))
        await gone(store, Secret, "late")

    async def test_owner_references_may_change(self, store: Store) -> None:
        first, second = [(await store.create(make_transponder(name))).owner_reference() for name in ("a", "b")]
        key = await store.create(make_secret("key", [first]))
        await store.update(with_meta(key, owner_references=[second]))
        await store.delete(RtmpTransponder, "a")
        assert await exists(store, Secret, "key")
        await store.delete(RtmpTransponder, "b")
        await gone(store, Secret, "key")


async def take(events: AsyncIterator[Event[Any]], count: int) -> list[tuple[str, str]]:
    """Type and name of the next events."""
    async with asyncio.timeout(10):
        taken = [await anext(events) for _ in range(count)]
    return [(event.type, event.object.name) for event in taken]


async def assert_waits(task: "asyncio.Task[Any]") -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


class WatchContract:
    """Nothing missed, nothing twice, any watch can be ended."""

    async def test_every_kind_of_change_once_and_in_order(self, store: Store) -> None:
        async with aclosing(store.watch(RtmpTransponder, "0")) as watch:  # type: ignore[type-var]
            reader = asyncio.create_task(take(watch, 6))
            await assert_waits(reader)
            obj = await store.create(make_transponder(finalizers=["a.b/c"]))
            obj = await store.update(muted(obj))
            obj = await store.update(obj)  # without a change
            status = obj.status.model_copy(update={"width": 1})
            obj = await store.update_status(obj.model_copy(update={"status": status}))
            await store.delete(RtmpTransponder, "demo")
            await store.update(with_meta(await store.get(RtmpTransponder, "demo"), finalizers=[]))
            await store.create(make_transponder("next"))
            modified = [("MODIFIED", "demo")] * 3
            assert await reader == [("ADDED", "demo"), *modified, ("DELETED", "demo"), ("ADDED", "next")]

    async def test_deleted_carries_the_last_state(self, store: Store) -> None:
        obj = await store.create(make_transponder(labels={"a": "b"}))
        await store.delete(RtmpTransponder, "demo")
        async with aclosing(store.watch(RtmpTransponder, obj.metadata.resource_version)) as watch:  # type: ignore[type-var]
            event = await anext(watch)
        version = event.object.metadata.resource_version
        assert event == (EventType.DELETED, with_meta(obj, resource_version=version))

    async def test_resume_from_a_listing_or_an_event(self, store: Store) -> None:
        await store.create(make_transponder("a"))
        listing = await store.list(RtmpTransponder)
        b = await store.create(make_transponder("b"))
        await store.create(make_transponder("c"))
        for version, expected in ((listing.resource_version, ["b", "c"]), (b.metadata.resource_version, ["c"])):
            async with aclosing(store.watch(RtmpTransponder, version)) as watch:  # type: ignore[type-var]
                assert await take(watch, len(expected)) == [("ADDED", name) for name in expected]

    async def test_a_watch_sees_its_own_kind_alone(self, store: Store) -> None:
        reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 1))
        await assert_waits(reader)
        await store.create(make_stream("other"))
        await assert_waits(reader)
        await store.create(make_transponder("mine"))
        assert await reader == [("ADDED", "mine")]

    async def test_a_watch_can_be_cancelled(self, store: Store) -> None:
        reader = asyncio.create_task(take(store.watch(RtmpTransponder, "0"), 1))
        await assert_waits(reader)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await store.create(make_transponder())

    async def test_secrets_cannot_be_watched(self, store: Store) -> None:
        with pytest.raises(StoreError, match="cannot be watched"):
            await anext(store.watch(Secret, "0"))

    async def test_waiting_for_an_object_to_come_to_change_and_to_go(self, store: Store) -> None:
        def is_ready(now: Stream | None) -> bool:
            return now is not None and now.status.phase == StreamPhase.READY

        coming = asyncio.create_task(wait_for(store, Stream, "demo", lambda now: now is not None, 10))
        await assert_waits(coming)
        await store.create(make_stream("another"))
        await assert_waits(coming)
        made = await store.create(make_stream())
        assert await coming == made
        changing = asyncio.create_task(wait_for(store, Stream, "demo", is_ready, 10))
        await assert_waits(changing)
        changed = await store.update_status(ready(made))
        assert await changing == changed == await wait_for(store, Stream, "demo", is_ready, 10)
        going = asyncio.create_task(wait_for(store, Stream, "demo", lambda now: now is None, 10))
        await assert_waits(going)
        await store.delete(Stream, "demo")
        assert await going is None
        with pytest.raises(TimeoutError):
            await wait_for(store, Stream, "demo", is_ready, 0.02)
