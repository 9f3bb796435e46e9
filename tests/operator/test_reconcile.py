"""The Reconciler on a real store, with relays that are real control ports scripted by the test."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.control_port import ControlPort, ScriptedHost, until

from transponder_crd.control import DesiredRelay, OutputReason, OutputState, PublisherState
from transponder_crd.defaults import Defaults
from transponder_crd.meta import ObjectMeta
from transponder_crd.names import FINALIZER, stream_object_name
from transponder_crd.relay_host import Absence
from transponder_crd.resource import (
    RtmpTransponder,
    RtmpUrlSource,
    Secret,
    SecretKeyRef,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    TransponderPhase,
    TransponderSpec,
)
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Conflict, NotFound, edit
from transponder_operator import relays as relays_module
from transponder_operator.reconcile import Reconciler
from transponder_operator.relays import RelayError, Relays

URL = "rtmp://host:1935/live"
KEY = "s3cr3t-key-0123456789"


@dataclass
class Bench:
    """One store, one host, one reconciler; the clock is moved by hand."""

    store: SqliteStore
    host: ScriptedHost
    relays: Relays
    woken: list[str]
    offset: timedelta = field(default_factory=timedelta)

    def __post_init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.reconciler = Reconciler(
            self.store,
            self.host,
            self.relays,
            Defaults(),
            self.now,
            tell=lambda obj, notice: self.told.append((obj.kind, notice.reason)),
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def reconcile(self, name: str = "demo") -> float | None:
        return await self.reconciler.reconcile(name)

    async def settle(self) -> None:
        """Reconcile, and again for what the relay then reports."""
        self.woken.clear()
        await self.reconcile()
        if "demo" in self.host.ports and self.host.ready:
            await until(lambda: self.relays.report("demo") == self.port.report)
            await self.reconcile()

    @property
    def port(self) -> ControlPort:
        return self.host.ports["demo"]

    async def add(self, name: str = "t", finalizers: Sequence[str] = (FINALIZER,), **spec: Any) -> RtmpTransponder:
        if "rtmp_url_from" not in spec:
            spec.setdefault("rtmp_url", URL)
        metadata = ObjectMeta(name=name, finalizers=list(finalizers))
        spec = {"stream_name": "demo", **spec}
        return await self.store.create(RtmpTransponder(metadata=metadata, spec=TransponderSpec(**spec)))

    async def publish(self) -> Stream:
        metadata = ObjectMeta(name=stream_object_name("demo"))
        return await self.store.create(
            Stream(metadata=metadata, spec=StreamSpec(name="demo", source=StreamSource.WHIP))
        )

    async def transponder(self, name: str = "t") -> RtmpTransponder:
        return await self.store.get(RtmpTransponder, name)

    async def stream(self) -> Stream:
        return await self.store.get(Stream, stream_object_name("demo"))

    async def phase(self, name: str = "t") -> TransponderPhase | None:
        return (await self.transponder(name)).status.phase


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = SqliteStore.open(tmp_path / "store.sqlite")
    woken: list[str] = []
    async with ScriptedHost() as host, Relays(woken.append) as relays:
        yield Bench(store, host, relays, woken)
    store.close()


async def test_nothing_there_deletes_the_relay(bench: Bench) -> None:
    assert await bench.reconcile() is None
    assert bench.host.deleted == ["demo"]


async def test_a_transponder_gets_a_relay_that_waits(bench: Bench) -> None:
    made = await bench.add()
    await bench.settle()
    assert await bench.phase() == TransponderPhase.WAITING_FOR_PUBLISHER
    assert [put.outputs[0].id for put in bench.port.puts] == [made.uid]
    assert [owner.uid for owner in bench.host.owners["demo"]] == [made.uid]
    assert (await bench.transponder()).status.relay_pod == bench.port.instance


async def test_a_host_without_a_ready_relay_is_pending(bench: Bench) -> None:
    bench.host.ready = False
    await bench.add()
    await bench.settle()
    assert await bench.phase() == TransponderPhase.PENDING
    bench.host.ready = True
    await bench.settle()
    assert await bench.phase() == TransponderPhase.WAITING_FOR_PUBLISHER


async def test_why_there_is_no_relay_is_told(bench: Bench) -> None:
    bench.host.ready, bench.host.why = False, Absence("Unschedulable", "no node takes the relay")
    await bench.add()
    await bench.settle()
    relay, *_ = (await bench.transponder()).status.conditions
    assert (relay.type, relay.status, relay.reason, relay.message) == ("RelayReady", "False", *bench.host.why)
    bench.host.ready = True
    await bench.settle()
    relay, *_ = (await bench.transponder()).status.conditions
    assert (relay.status, relay.reason) == ("True", "RelayRunning")


async def test_a_relay_knows_that_nobody_wants_it_before_it_is_ended(bench: Bench) -> None:
    stream = await bench.publish()
    await bench.settle()
    port = bench.port
    await bench.store.delete(Stream, stream.name)
    await bench.reconcile()
    assert port.puts[-1] == DesiredRelay(stream_name="demo")
    assert bench.host.deleted == ["demo"]


async def test_a_relay_that_does_not_answer_is_ended_all_the_same(bench: Bench) -> None:
    stream = await bench.publish()
    await bench.settle()
    bench.port.put_status = 500
    await bench.store.delete(Stream, stream.name)
    await bench.reconcile()
    assert bench.host.deleted == ["demo"]


async def test_again_and_again_writes_and_sends_nothing(bench: Bench) -> None:
    await bench.add()
    await bench.publish()
    await bench.settle()
    version = (await bench.store.list(RtmpTransponder)).resource_version
    for _ in range(3):
        await bench.reconcile()
    assert (await bench.store.list(RtmpTransponder)).resource_version == version
    assert len(bench.port.puts) == 1


async def test_a_new_reconciler_tells_the_relay_anew(bench: Bench) -> None:
    await bench.add()
    await bench.settle()
    bench.__post_init__()
    await bench.settle()
    assert len(bench.port.puts) == 2
    assert bench.port.puts[0] == bench.port.puts[1]


async def test_publish_from_ready_to_live(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.add()
    stream = await bench.publish()
    await bench.settle()
    assert (await bench.stream()).status.phase == StreamPhase.READY
    assert (await bench.stream()).status.relay_pod == bench.port.instance
    assert bench.port.puts[-1].publisher is not None
    assert bench.port.puts[-1].publisher.id == stream.uid
    with caplog.at_level(logging.INFO):
        media = {"video_codec": "H264", "audio_codec": "opus", "width": 1280, "height": 720}
        bench.port.say_publisher(state=PublisherState.CONNECTED, **media)
        bench.port.say_outputs(state=OutputState.LIVE, live_since=bench.now())
        await bench.settle()
    assert (await bench.stream()).status.phase == StreamPhase.PUBLISHING
    assert await bench.phase() == TransponderPhase.LIVE
    assert caplog.messages == [
        "stream demo: publishing, H264 1280x720, opus",
        f"transponder demo → {URL}: Live",
    ]


async def test_an_ended_publisher_takes_its_stream_along(bench: Bench) -> None:
    await bench.add()
    await bench.publish()
    await bench.settle()
    bench.port.say_publisher(state=PublisherState.ENDED, reason="Stopped by user")
    await bench.settle()
    with pytest.raises(NotFound):
        await bench.stream()
    await bench.settle()
    assert bench.port.puts[-1].publisher is None
    assert await bench.phase() == TransponderPhase.WAITING_FOR_PUBLISHER


async def test_the_relay_ends_with_the_last_that_needs_it(bench: Bench) -> None:
    await bench.publish()
    await bench.settle()
    bench.port.say_publisher(state=PublisherState.ENDED)
    await bench.settle()
    await bench.reconcile()
    assert bench.host.deleted == ["demo"]
    assert bench.host.ports == {}


async def test_a_new_relay_ends_the_stream_and_gets_the_outputs(bench: Bench) -> None:
    await bench.add()
    await bench.publish()
    await bench.settle()
    first = bench.port
    await first.__aexit__()
    second = await bench.host.replace("demo")
    await bench.settle()
    assert len(second.puts[-1].outputs) == 1
    with pytest.raises(NotFound):
        await bench.stream()
    await bench.settle()
    assert second.puts[-1].publisher is None
    assert (await bench.transponder()).status.relay_pod == second.instance


async def test_a_publisher_that_comes_back_is_another_one(bench: Bench) -> None:
    await bench.add()
    first = await bench.publish()
    await bench.settle()
    await bench.store.delete(Stream, first.name)
    second = await bench.publish()
    await bench.settle()
    assert bench.port.puts[-1].publisher is not None
    assert bench.port.puts[-1].publisher.id == second.uid
    assert (await bench.stream()).status.phase == StreamPhase.READY


async def test_mute_reaches_the_relay_and_its_generation_the_status(bench: Bench) -> None:
    await bench.add()
    await bench.settle()
    await edit(
        bench.store,
        RtmpTransponder,
        "t",
        lambda t: t.model_copy(update={"spec": t.spec.model_copy(update={"muted": True})}),
    )
    await bench.settle()
    status = (await bench.transponder()).status
    assert bench.port.puts[-1].outputs[0].muted
    assert (status.muted, status.observed_generation) == (True, 2)


async def test_reconnecting_tells_why(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await bench.add()
    await bench.publish()
    await bench.settle()
    with caplog.at_level(logging.INFO):
        bench.port.say_outputs(
            state=OutputState.RETRYING, reason=OutputReason.REFUSED, message="connection refused", reconnects=1
        )
        await bench.settle()
    assert caplog.messages == [f"transponder demo → {URL}: Reconnecting, Refused: connection refused"]
    status = (await bench.transponder()).status
    assert (status.last_error, status.reconnects) == ("Refused: connection refused", 1)
    assert bench.told == [("RtmpTransponder", "WaitingForPublisher"), ("RtmpTransponder", "Reconnecting")]


async def test_a_reconciler_that_begins_anew_writes_nothing(bench: Bench) -> None:
    """It waits for the first report: else every start would say for a moment that all relays are silent."""
    await bench.add()
    await bench.publish()
    await bench.settle()
    bench.port.say_outputs(state=OutputState.LIVE)
    await bench.settle()
    before = await bench.transponder()
    assert before.status.phase == TransponderPhase.LIVE
    async with Relays(lambda _: None) as relays:
        await Reconciler(bench.store, bench.host, relays, Defaults()).reconcile("demo")
    assert await bench.transponder() == before


async def test_a_new_transponder_is_written_once_its_relay_reports(bench: Bench) -> None:
    await bench.add()
    await bench.reconcile()
    assert await bench.phase() == TransponderPhase.WAITING_FOR_PUBLISHER


async def test_a_relay_that_does_not_report_delays_nothing_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays_module, "FIRST_REPORT_SECONDS", 0.05)
    await bench.add()
    await bench.host.replace("demo")
    bench.port.answers = False
    await bench.reconcile()
    assert await bench.phase() == TransponderPhase.PENDING
    relay, *_ = (await bench.transponder()).status.conditions
    assert relay.reason == "RelaySilent"


# ---------------------------------------------------------------------------------------------- deletion


async def test_deletion_waits_for_the_output_to_close(bench: Bench) -> None:
    await bench.add("t")
    await bench.add("other")
    await bench.settle()
    bench.port.answers = False
    await bench.store.delete(RtmpTransponder, "t")
    again = await bench.reconcile()
    assert again is not None
    assert 0 < again <= 5
    assert await bench.phase() == TransponderPhase.TERMINATING
    assert [output.id for output in bench.port.puts[-1].outputs] == [(await bench.transponder("other")).uid]
    assert bench.port.report is not None
    kept = [o for o in bench.port.report.outputs if o.id == (await bench.transponder("other")).uid]
    bench.port.say(bench.port.report.model_copy(update={"outputs": kept}))
    await bench.settle()
    with pytest.raises(NotFound):
        await bench.transponder()
    assert await bench.phase("other") == TransponderPhase.WAITING_FOR_PUBLISHER


async def test_deletion_ends_after_five_seconds_whatever_the_relay_says(bench: Bench) -> None:
    await bench.add("t")
    await bench.add("other")
    await bench.settle()
    bench.port.answers = False
    await bench.store.delete(RtmpTransponder, "t")
    await bench.reconcile()
    bench.offset = timedelta(seconds=6)
    await bench.reconcile()
    with pytest.raises(NotFound):
        await bench.transponder()


@pytest.mark.parametrize("hours", [-2, 2])
async def test_deletion_ends_although_the_clocks_differ(bench: Bench, hours: int) -> None:
    bench.offset = timedelta(hours=hours)
    await bench.add("t")
    await bench.add("other")
    await bench.settle()
    bench.port.answers = False
    await bench.store.delete(RtmpTransponder, "t")
    await bench.reconcile()
    bench.offset += timedelta(seconds=6)
    await bench.reconcile()
    with pytest.raises(NotFound):
        await bench.transponder()


async def test_a_transponder_of_kubectl_is_held_before_its_output_begins(bench: Bench) -> None:
    made = await bench.add(finalizers=["example.org/mine"])
    bench.host.ready = False
    await bench.reconcile()
    assert (await bench.transponder()).metadata.finalizers == ["example.org/mine", FINALIZER]
    bench.host.ready = True
    await bench.settle()
    assert [put.outputs[0].id for put in bench.port.puts] == [made.uid]


async def test_one_that_is_gone_before_it_can_be_held_gets_no_output(tmp_path: Path) -> None:
    store = Vanisher.open(tmp_path / "store.sqlite")
    async with ScriptedHost() as host, Relays(lambda _: None) as relays:
        bench = Bench(store, host, relays, [])
        await bench.add(finalizers=[])
        assert await bench.reconcile() is None
        assert bench.host.ports == {}
    store.close()


class Vanisher(SqliteStore):
    """A store in which a transponder is deleted by somebody else right before it is written."""

    async def update(self, obj: Any) -> Any:
        await self.delete(RtmpTransponder, obj.name)
        return await super().update(obj)


async def test_deletion_of_the_last_one_ends_the_relay(bench: Bench) -> None:
    await bench.add()
    await bench.settle()
    await bench.store.delete(RtmpTransponder, "t")
    await bench.reconcile()
    assert bench.host.deleted == ["demo"]
    with pytest.raises(NotFound):
        await bench.transponder()


async def test_deletion_does_not_need_a_relay(bench: Bench) -> None:
    bench.host.ready = False
    await bench.add("t")
    await bench.add("other")
    await bench.reconcile()
    await bench.store.delete(RtmpTransponder, "t")
    await bench.reconcile()
    with pytest.raises(NotFound):
        await bench.transponder()


async def test_deletion_ends_while_the_relay_refuses_its_desired_state(bench: Bench) -> None:
    await bench.add("t")
    await bench.add("other")
    await bench.settle()
    bench.port.put_status = 500
    await bench.store.delete(RtmpTransponder, "t")
    bench.offset = timedelta(seconds=6)
    with pytest.raises(RelayError, match="answered 500"):
        await bench.reconcile()
    with pytest.raises(NotFound):
        await bench.transponder()


async def test_finalizers_of_others_stay(bench: Bench) -> None:
    await bench.add()
    add = {"finalizers": [FINALIZER, "example.org/mine"]}
    await edit(
        bench.store,
        RtmpTransponder,
        "t",
        lambda t: t.model_copy(update={"metadata": t.metadata.model_copy(update=add)}),
    )
    await bench.store.delete(RtmpTransponder, "t")
    await bench.reconcile()
    assert (await bench.transponder()).metadata.finalizers == ["example.org/mine"]


# ---------------------------------------------------------------------------------------------- destinations


def secret(name: str = "t", url: str = f"rtmp://host/app/{KEY}", key: str = "rtmpUrl") -> Secret:
    return Secret.model_validate(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: url}}
    )


SECRET_REF = RtmpUrlSource(secret_key_ref=SecretKeyRef(name="t"))


async def test_a_secret_reaches_the_relay_and_nothing_else(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await bench.store.create(secret())
    await bench.add(rtmp_url_from=SECRET_REF, full_url=True)
    await bench.settle()
    assert bench.port.puts[-1].outputs[0].target.stream_name.get_secret_value() == KEY
    status = (await bench.transponder()).status
    assert status.destination == "rtmp://host/app/***"
    assert KEY not in status.model_dump_json()
    assert KEY not in caplog.text


async def test_a_secret_that_comes_a_moment_later_is_no_failure(bench: Bench) -> None:
    await bench.add(rtmp_url_from=SECRET_REF)
    again = await bench.reconcile()
    assert again is not None
    assert again < 1
    assert await bench.phase() is None
    await bench.store.create(secret())
    await bench.settle()
    assert await bench.phase() == TransponderPhase.WAITING_FOR_PUBLISHER


@pytest.mark.parametrize("there", [None, secret(key="other")])
async def test_a_missing_secret_fails_that_transponder_alone(bench: Bench, there: Secret | None) -> None:
    if there:
        await bench.store.create(there)
    await bench.add("t", rtmp_url_from=SECRET_REF)
    await bench.add("other")
    bench.offset = timedelta(seconds=3)
    assert await bench.reconcile() == 10.0
    assert await bench.phase("t") == TransponderPhase.FAILED
    last_error = (await bench.transponder()).status.last_error
    assert last_error is not None
    assert last_error.startswith("SecretMissing: ")
    await bench.settle()
    assert await bench.phase("other") == TransponderPhase.WAITING_FOR_PUBLISHER


async def test_a_bad_url_fails_that_transponder_alone(bench: Bench) -> None:
    await bench.add("t", rtmp_url="rtmp://host:0/live")
    await bench.add("other")
    await bench.settle()
    assert await bench.phase("t") == TransponderPhase.FAILED
    error = (await bench.transponder()).status.last_error
    assert error == "InvalidDestination: the RTMP URL must have a port from 1 to 65535"
    assert await bench.phase("other") == TransponderPhase.WAITING_FOR_PUBLISHER


# ---------------------------------------------------------------------------------------------- faults


async def test_a_refused_desired_state_is_raised_and_sent_again(bench: Bench) -> None:
    await bench.add()
    await bench.reconcile()
    bench.port.put_status = 503
    await bench.add("other", rtmp_url="rtmp://host/other")
    with pytest.raises(RelayError):
        await bench.reconcile()
    assert await bench.phase("other") == TransponderPhase.PENDING
    bench.port.put_status = 204
    await bench.settle()
    assert await bench.phase("other") == TransponderPhase.WAITING_FOR_PUBLISHER


class Meddler(SqliteStore):
    """A store in which somebody else writes the object right before each of the first status writes."""

    meddles = 2

    async def update_status(self, obj: Any) -> Any:
        if self.meddles and isinstance(obj, RtmpTransponder):
            self.meddles -= 1
            await edit(
                self, RtmpTransponder, obj.name, lambda t: t.model_copy(
                    update={"spec": t.spec.model_copy(update={"muted": not t.spec.muted})}
                ),
            )  # fmt: skip
        return await super().update_status(obj)


async def test_conflicts_are_looked_at_again(tmp_path: Path) -> None:
    store = Meddler.open(tmp_path / "store.sqlite")
    async with ScriptedHost() as host, Relays(lambda _: None) as relays:
        bench = Bench(store, host, relays, [])
        await bench.add()
        await bench.reconcile()
        assert (await bench.transponder()).metadata.generation == 3
        assert [put.outputs[0].generation for put in bench.port.puts] == [1, 2, 3]
        store.meddles = 1000
        bench.offset = timedelta(days=1)
        bench.port.say_outputs(state=OutputState.CONNECTING)
        with pytest.raises(Conflict):
            await bench.settle()
    store.close()


async def test_streams_are_apart(bench: Bench) -> None:
    await bench.add("a", stream_name="a")
    await bench.add("b", stream_name="b")
    await asyncio.gather(bench.reconcile("a"), bench.reconcile("b"))
    assert {name: len(port.puts[-1].outputs) for name, port in bench.host.ports.items()} == {"a": 1, "b": 1}
    assert bench.host.ports["a"].puts[-1].outputs[0].target.stream_name.get_secret_value() == "rtmp_a"
