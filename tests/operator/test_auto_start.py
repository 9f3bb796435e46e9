"""Automatic transponders (rtmp_push_auto_start, rtmp_push_auto_start_url) on a real store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.control_port import ScriptedHost, until
from support.objects import with_meta

from transponder_crd.control import OutputState, PublisherState
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination
from transponder_crd.meta import ObjectMeta
from transponder_crd.names import (
    ANNOTATION_AUTO_STARTED,
    ANNOTATION_DESTINATION,
    FINALIZER,
    stream_object_name,
    transponder_object_name,
)
from transponder_crd.resource import (
    RtmpTransponder,
    Secret,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    StreamStatus,
    TransponderPhase,
    TransponderSpec,
)
from transponder_crd.secret_url import SECRET_KEY
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import edit
from transponder_operator.auto_start import is_due
from transponder_operator.reconcile import Reconciler
from transponder_operator.relays import Relays
from transponder_operator.settings import AutoStartSettings

URL = "rtmp://host:1935/"
"""As in Flashphoner's documentation: without an app."""

KEY = "s3cr3t-key-0123456789"


class Bench:
    """A store, a relay that is scripted, and a reconciler that starts transponders by itself."""

    def __init__(self, store: SqliteStore, host: ScriptedHost, relays: Relays, url: str = URL) -> None:
        self.store, self.host, self.relays = store, host, relays
        self.reconciler = Reconciler(store, host, relays, Defaults(), auto_start=Destination.parse(url))

    async def reconcile(self) -> None:
        """As the work queue does: again, while it is asked for at once."""
        while await self.reconciler.reconcile("demo") == 0.0:
            pass

    async def settle(self) -> None:
        await self.reconcile()
        if "demo" in self.host.ports:
            await until(lambda: self.relays.report("demo") == self.host.ports["demo"].report)
            await self.reconcile()
            await self.reconcile()

    async def publish(self) -> Stream:
        """A stream whose publisher is connected."""
        metadata = ObjectMeta(name=stream_object_name("demo"))
        stream = await self.store.create(
            Stream(metadata=metadata, spec=StreamSpec(name="demo", source=StreamSource.WHIP))
        )
        await self.settle()
        assert await self.transponders() == [], "not before it is published"
        self.host.ports["demo"].say_publisher(state=PublisherState.CONNECTED, video_codec="H264")
        await self.settle()
        return await self.store.get(Stream, stream.name)

    async def transponders(self) -> list[RtmpTransponder]:
        return (await self.store.list(RtmpTransponder)).items

    async def made(self) -> RtmpTransponder:
        (one,) = await self.transponders()
        return one

    async def released(self) -> None:
        """Wait until a transponder that was ended is gone."""
        async with asyncio.timeout(5):
            while any(one.deleting for one in await self.transponders()):
                await self.settle()

    async def end(self) -> None:
        await self.store.delete(Stream, stream_object_name("demo"))
        await self.settle()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = SqliteStore.open(tmp_path / "store.sqlite")
    async with ScriptedHost() as host, Relays(lambda _: None) as relays:
        yield Bench(store, host, relays)
    store.close()


async def test_a_published_stream_gets_a_transponder_of_its_own(bench: Bench) -> None:
    stream = await bench.publish()
    made = await bench.made()
    assert stream.status.phase == StreamPhase.PUBLISHING
    assert made.spec.stream_name == "demo"
    assert made.name == transponder_object_name("demo", URL), "the one that REST would make"
    assert [owner.uid for owner in made.metadata.owner_references] == [stream.uid]
    assert made.metadata.finalizers == [FINALIZER]
    target = bench.host.ports["demo"].puts[-1].outputs[0].target
    assert (target.app.get_secret_value(), target.stream_name.get_secret_value()) == ("live", "rtmp_demo")


async def test_its_url_is_a_secret(bench: Bench) -> None:
    url = f"rtmp://host/app/{KEY}"
    bench = Bench(bench.store, bench.host, bench.relays, url)
    await bench.publish()
    made = await bench.made()
    assert KEY not in made.model_dump_json()
    assert made.metadata.annotations[ANNOTATION_DESTINATION] == "rtmp://host/app/***"
    (secret,) = (await bench.store.list(Secret)).items
    assert secret.string_data[SECRET_KEY].get_secret_value() == url
    assert secret.metadata.owner_references == [made.owner_reference()]


async def test_again_and_again_changes_nothing(bench: Bench) -> None:
    await bench.publish()
    await bench.settle()
    version = (await bench.store.list(RtmpTransponder)).resource_version
    for _ in range(3):
        await bench.settle()
    assert (await bench.store.list(RtmpTransponder)).resource_version == version


async def test_it_goes_with_its_stream_and_comes_with_the_next(bench: Bench) -> None:
    first = await bench.publish()
    former = await bench.made()
    await bench.end()
    await bench.released()
    assert await bench.transponders() == []
    assert (await bench.store.list(Secret)).items == []
    second = await bench.publish()
    assert second.uid != first.uid
    assert (await bench.made()).uid != former.uid


async def test_it_waits_for_the_place_of_the_former_one(bench: Bench) -> None:
    """The stream is published again while the RTMP session of its last publication is still being closed."""
    await bench.publish()
    await bench.settle()
    former = await bench.made()
    port = bench.host.ports["demo"]
    port.answers = False  # the session takes its time
    await bench.store.delete(Stream, stream_object_name("demo"))
    metadata = ObjectMeta(name=stream_object_name("demo"))
    again = await bench.store.create(Stream(metadata=metadata, spec=StreamSpec(name="demo", source=StreamSource.WHIP)))
    await bench.settle()
    port.say_publisher(id=again.uid, state=PublisherState.CONNECTED)
    await bench.settle()
    made = await bench.made()
    assert (made.uid, made.deleting) == (former.uid, True)
    again = await bench.store.get(Stream, again.name)
    assert (again.status.phase, is_due(again)) == (StreamPhase.PUBLISHING, True)
    assert port.report is not None
    port.say(port.report.model_copy(update={"outputs": []}))
    await bench.settle()
    await bench.settle()
    made = await bench.made()
    assert not made.deleting
    assert [owner.uid for owner in made.metadata.owner_references] == [again.uid]


async def test_one_that_was_terminated_stays_away_for_this_publication(bench: Bench) -> None:
    await bench.publish()
    await bench.store.delete(RtmpTransponder, (await bench.made()).name)
    await bench.released()
    await bench.settle()
    assert await bench.transponders() == []


@pytest.mark.parametrize("url", [URL, "rtmp://HOST/live"])
async def test_one_that_goes_there_already_is_left(bench: Bench, url: str) -> None:
    """AlreadyExists: made by REST or by hand, with this URL or another one that says the same."""
    name = transponder_object_name("demo", url) if url == URL else "by-hand"
    spec = TransponderSpec(stream_name="demo", rtmp_url=url)
    await bench.store.create(RtmpTransponder(metadata=ObjectMeta(name=name, finalizers=[FINALIZER]), spec=spec))
    metadata = ObjectMeta(name=stream_object_name("demo"))
    await bench.store.create(Stream(metadata=metadata, spec=StreamSpec(name="demo", source=StreamSource.WHIP)))
    await bench.settle()
    bench.host.ports["demo"].say_publisher(state=PublisherState.CONNECTED)
    await bench.settle()
    made = await bench.made()
    assert (made.name, made.metadata.owner_references) == (name, [])
    assert ANNOTATION_AUTO_STARTED in (await bench.store.get(Stream, metadata.name)).metadata.annotations
    await bench.end()
    assert not (await bench.made()).deleting


async def test_one_that_goes_elsewhere_is_beside_it(bench: Bench) -> None:
    spec = TransponderSpec(stream_name="demo", rtmp_url="rtmp://other/live")
    await bench.store.create(RtmpTransponder(metadata=ObjectMeta(name="other"), spec=spec))
    metadata = ObjectMeta(name=stream_object_name("demo"))
    await bench.store.create(Stream(metadata=metadata, spec=StreamSpec(name="demo", source=StreamSource.WHIP)))
    await bench.settle()
    bench.host.ports["demo"].say_publisher(state=PublisherState.CONNECTED)
    await bench.settle()
    assert len(await bench.transponders()) == 2


async def test_a_crash_between_the_two_objects_is_healed(bench: Bench) -> None:
    stream = await bench.publish()
    made = await bench.made()
    (secret,) = (await bench.store.list(Secret)).items
    await bench.store.delete(Secret, secret.name)
    await edit(bench.store, Stream, stream.name, lambda now: with_meta(now, annotations={}))
    await bench.settle()
    (secret,) = (await bench.store.list(Secret)).items
    assert secret.metadata.owner_references == [made.owner_reference()]
    assert (await bench.made()).uid == made.uid


async def test_it_becomes_live(bench: Bench) -> None:
    await bench.publish()
    await bench.settle()
    bench.host.ports["demo"].say_outputs(state=OutputState.LIVE)
    await bench.settle()
    assert (await bench.made()).status.phase == TransponderPhase.LIVE


@pytest.mark.parametrize("phase", [None, *StreamPhase])
def test_only_a_published_stream_is_due(phase: StreamPhase | None) -> None:
    stream = Stream(
        metadata=ObjectMeta(name="a"),
        spec=StreamSpec(name="a", source=StreamSource.WHIP),
        status=StreamStatus(phase=phase),
    )
    assert is_due(stream) == (phase == StreamPhase.PUBLISHING)


def test_settings() -> None:
    assert AutoStartSettings().auto_start_destination() is None
    assert AutoStartSettings.model_validate({"auto_start_url": URL}).auto_start_destination() is None
    assert AutoStartSettings.model_validate({"auto_start_url": ""}).auto_start_url is None
    both = AutoStartSettings.model_validate({"auto_start": True, "auto_start_url": URL})
    destination = both.auto_start_destination()
    assert destination is not None
    assert destination.url == URL
    assert URL not in repr(both)


@pytest.mark.parametrize(
    ("url", "rule"),
    [(None, "is required for automatic starts"), (f"http://h/{KEY}", "must start with rtmp:// or rtmps://")],
)
def test_bad_settings(url: str | None, rule: str) -> None:
    class Settings(AutoStartSettings, validate_default=True):
        """As settings that come from the environment do."""

    given = {"auto_start": True} | ({"auto_start_url": url} if url else {})
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(given)
    (error,) = caught.value.errors(include_input=False)
    assert (error["loc"], error["msg"]) == (("auto_start_url",), f"Value error, {rule}")
