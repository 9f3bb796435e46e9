"""Events are few, small and about their object; one that says the same again is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from support.control_port import until

from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import RtmpTransponder, TransponderSpec
from transponder_crd.store import NotFound, Unavailable
from transponder_operator.events import BURST, REFILL_SECONDS, SAME_SECONDS, Allowance, EventRecorder, event_object
from transponder_operator.transitions import Notice

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVE = Notice("Normal", "Live", "rtmp://host/live")
FAILED = Notice("Warning", "Failed", "rtmp://host/live: Refused")


def transponder(uid: str = "u1", name: str = "t") -> RtmpTransponder:
    metadata = ObjectMeta(name=name, namespace="media", uid=uid, resource_version="7")
    return RtmpTransponder(metadata=metadata, spec=TransponderSpec(stream_name="s", rtmp_url="rtmp://host/live"))


def test_an_event_is_about_its_object() -> None:
    event = event_object(transponder(), LIVE, NOW, "operator-0", "ab12")
    assert event["metadata"] == {"name": "t.ab12", "namespace": "media"}
    assert event["involvedObject"] == {
        "apiVersion": "transponder.dev/v1alpha1",
        "kind": "RtmpTransponder",
        "name": "t",
        "namespace": "media",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["message"]) == LIVE
    assert event["lastTimestamp"] == "2026-01-01T00:00:00Z"


def test_names_and_messages_are_as_long_as_the_api_server_takes() -> None:
    long = transponder(name="x" * 199 + "-" + "y" * 53)
    event = event_object(long, LIVE._replace(message="m" * 5000), NOW, "", "0" * 16)
    assert len(event["metadata"]["name"]) <= 253
    assert "-." not in event["metadata"]["name"]
    assert len(event["message"]) == 1024


def test_the_allowance_of_one_object_is_not_that_of_another() -> None:
    allowance = Allowance()
    assert [allowance.take("a", 0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert allowance.take("b", 0)
    assert not allowance.take("a", REFILL_SECONDS / 2)
    assert allowance.take("a", REFILL_SECONDS + 1)


class Scripted:
    """The part of `Kube` that a recorder needs."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[Exception] = []

    async def create(self, path: str, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.created.append(obj)
        return obj

    async def patch(self, path: str, patch: dict[str, Any], **_: object) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.patched.append((path, patch))
        return {}


@asynccontextmanager
async def recorder(kube: Scripted, clock: list[float]) -> AsyncIterator[EventRecorder]:
    made = EventRecorder(kube, "operator-0", lambda: clock[0])  # type: ignore[arg-type]
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def test_what_is_said_again_is_counted_for_a_while() -> None:
    kube, clock = Scripted(), [0.0]
    async with recorder(kube, clock) as events:
        for _ in range(3):
            events.tell(transponder(), LIVE)
        events.tell(transponder(), FAILED)
        events.tell(transponder("u2"), LIVE)
        await until(lambda: len(kube.created) == 3)
        assert [patch["count"] for _, patch in kube.patched] == [2, 3]
        assert kube.patched[0][0].endswith(f"/namespaces/media/events/{kube.created[0]['metadata']['name']}")
        clock[0] = SAME_SECONDS + 1
        events.tell(transponder(), LIVE)
        await until(lambda: len(kube.created) == 4)


async def test_one_that_the_api_server_has_forgotten_is_made_anew() -> None:
    kube, clock = Scripted(), [0.0]
    async with recorder(kube, clock) as events:
        events.tell(transponder(), LIVE)
        await until(lambda: len(kube.created) == 1)
        kube.errors = [NotFound("gone")]
        events.tell(transponder(), LIVE)
        await until(lambda: len(kube.created) == 2)


async def test_one_that_cannot_be_written_is_dropped() -> None:
    kube, clock = Scripted(), [0.0]
    async with recorder(kube, clock) as events:
        kube.errors = [Unavailable("away")]
        events.tell(transponder(), LIVE)
        events.tell(transponder(), FAILED)
        await until(lambda: len(kube.created) == 1)
        assert kube.created[0]["reason"] == "Failed"
        assert events.dropped == 1
        for _ in range(2 * BURST):
            events.tell(transponder("noisy"), FAILED)
        assert events.dropped == 1 + BURST
