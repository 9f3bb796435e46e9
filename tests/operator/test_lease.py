"""Who may act: decisions on a Lease, pure; and the Lease of a process whose API server is scripted."""

import asyncio
from typing import Any

import pytest
from support.control_port import until

from transponder_crd.store import AlreadyExists, Conflict, NotFound, Unavailable
from transponder_operator.lease import Decision, Lease, LeaseRecord, Sighting, decide

OURS = LeaseRecord("me", 15, 0, "t1")
THEIRS = LeaseRecord("other", 15, 0, "t1")


@pytest.mark.parametrize(
    ("record", "age", "decision"),
    [
        (OURS, 0, Decision.RENEW),
        (OURS, 1000, Decision.RENEW),  # an earlier process of this pod left it
        (THEIRS, 0, Decision.WAIT),
        (THEIRS, 15, Decision.WAIT),
        (THEIRS, 15.1, Decision.TAKE),
        (LeaseRecord("", 1), 0, Decision.TAKE),  # given back
        (LeaseRecord(), 0, Decision.TAKE),
    ],
)
def test_decisions(record: LeaseRecord, age: float, decision: Decision) -> None:
    assert decide(Sighting(record, 100), "me", 100 + age) == decision


def test_a_record_that_changes_is_seen_anew() -> None:
    """By our own clock, whatever time the holder wrote."""
    first = Sighting(THEIRS, 0)
    assert first.again(THEIRS, 14) == first
    renewed = LeaseRecord("other", 15, 0, "1970-01-01T00:00:00Z")
    assert first.again(renewed, 14) == Sighting(renewed, 14)
    assert decide(first.again(renewed, 14), "me", 20) == Decision.WAIT


def test_parsing_takes_what_is_missing() -> None:
    assert LeaseRecord.parse({}) == LeaseRecord.parse({"spec": None}) == LeaseRecord()
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 3, "renewTime": "t"}
    assert LeaseRecord.parse({"spec": spec}) == LeaseRecord("a", 15, 3, "t")


class OneLease:
    """The part of `Kube` that a Lease needs, with one object."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def get(self, path: str, **_: object) -> dict[str, Any]:
        self._check()
        if self.lease is None:
            raise NotFound(path)
        return self.lease

    async def create(self, path: str, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        self._check()
        if self.lease is not None:
            raise AlreadyExists(path)
        return self._keep(obj)

    async def replace(self, path: str, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        self._check()
        if self.lease is None:
            raise NotFound(path)
        if obj["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(path)
        return self._keep(obj)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("away")

    def _keep(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        return self.lease

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


SECONDS = 0.3


def lease(kube: OneLease, identity: str, seconds: float = SECONDS) -> Lease:
    return Lease(kube, "media", "operator", identity, seconds)  # type: ignore[arg-type]


async def test_one_that_is_seized_is_lost_at_the_next_look() -> None:
    kube = OneLease()
    first, second = lease(kube, "a"), lease(kube, "b")
    assert not await second.seize()  # it was nobody's
    await second.release()
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    assert await second.seize()
    assert second.held
    await asyncio.wait_for(holding, 2 * first.retry_seconds)
    assert not first.held
    assert kube.spec["holderIdentity"] == "b"


async def test_seizing_wins_against_a_holder_that_renews() -> None:
    kube = OneLease()
    first, second = lease(kube, "a"), lease(kube, "b")
    await first.acquire()
    get = kube.get

    async def outrun(path: str, **options: object) -> dict[str, Any]:
        found = await get(path, **options)
        kube.get = get  # type: ignore[method-assign]
        await first.acquire()  # in between
        return found

    kube.get = outrun  # type: ignore[assignment, method-assign]
    assert await second.seize()
    assert kube.spec["holderIdentity"] == "b"


async def test_the_first_one_makes_it_and_holds_it() -> None:
    kube = OneLease()
    first, second = lease(kube, "a"), lease(kube, "b")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(2 * SECONDS)
    assert first.held
    assert not waiting.done()
    assert kube.spec["holderIdentity"] == "a"
    holding.cancel()
    await first.release()
    assert not first.held
    await asyncio.wait_for(waiting, 1)
    assert (kube.spec["holderIdentity"], kube.spec["leaseTransitions"]) == ("b", 1)


async def test_one_that_falls_silent_is_followed_by_another() -> None:
    kube = OneLease()
    first, second = lease(kube, "a", seconds=1), lease(kube, "b", seconds=1)
    await first.acquire()
    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(second.acquire(), 5)
    assert asyncio.get_running_loop().time() - began > 1
    assert not first.held
    await asyncio.wait_for(first.hold(), 1)  # it notices
    assert second.held


async def test_a_process_of_the_same_name_takes_it_at_once() -> None:
    kube = OneLease()
    await lease(kube, "a", seconds=100).acquire()
    again = lease(kube, "a", seconds=100)
    await asyncio.wait_for(again.acquire(), 1)
    assert kube.spec["leaseTransitions"] == 0


async def test_it_is_lost_when_it_cannot_be_renewed_in_time() -> None:
    kube = OneLease()
    held = lease(kube, "a")
    await held.acquire()
    kube.away = True
    await asyncio.wait_for(held.hold(), 3)
    assert not held.held
    await held.release()
    kube.away = False
    assert kube.spec["holderIdentity"] == "a"  # it runs out by itself


async def test_one_that_gets_no_answer_stops_acting_before_another_may_begin(caplog: pytest.LogCaptureFixture) -> None:
    """Also when the try that hangs began at the last moment."""

    class Hanging(OneLease):
        hangs = False

        async def get(self, path: str, **more: object) -> dict[str, Any]:
            if self.hangs:
                await asyncio.sleep(60)
            return await super().get(path, **more)

    kube, clock = Hanging(), asyncio.get_running_loop().time
    held = lease(kube, "a", seconds=1.5)
    await held.acquire()
    began = clock()
    holding = asyncio.create_task(held.hold())
    kube.away = True
    await asyncio.sleep(held.deadline_seconds - 0.3)
    kube.away, kube.hangs = False, True
    async with asyncio.timeout(3):
        await holding
    assert clock() - began < 1.4
    assert not held.held
    assert "not renewed: no answer in time" in caplog.text


async def test_a_short_absence_of_the_api_server_is_no_loss() -> None:
    kube = OneLease()
    held = lease(kube, "a", seconds=3)
    await held.acquire()
    holding = asyncio.create_task(held.hold())
    kube.away = True
    await asyncio.sleep(1)
    kube.away = False
    renewed = kube.version
    await until(lambda: kube.version > renewed)
    assert held.held
    holding.cancel()


async def test_a_race_that_is_lost_is_lost() -> None:
    class Meddled(OneLease):
        async def replace(self, path: str, obj: dict[str, Any], **more: object) -> dict[str, Any]:
            assert self.lease is not None
            self._keep({**self.lease, "spec": {"holderIdentity": "quicker", "leaseDurationSeconds": 100}})
            return await super().replace(path, obj, **more)

    kube = Meddled()
    held = lease(kube, "a")
    await held.acquire()
    await asyncio.wait_for(held.hold(), 3)
    assert not held.held
    await held.release()
    assert kube.spec["holderIdentity"] == "quicker"
