"""Listings find what the watch did not tell; nothing is done before all has been listed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.control_port import until

from transponder_crd.kubernetes.client import RawListing
from transponder_crd.kubernetes.errors import Denied
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.relay_pods import pod_mirror
from transponder_crd.store import StoreError, Unavailable
from transponder_operator.handlers import PODS, WATCHED
from transponder_operator.installations import EVERYWHERE, Installations
from transponder_operator.sweep import Sweep, sources


def obj(name: str, version: int, namespace: str = "media") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}}


class Lister:
    """The part of `Kube` that a sweep needs."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.version = 0
        self.error: StoreError | None = None
        self.denied: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    async def list(self, path: str, *, label_selector: str | None = None) -> RawListing:
        if self.error:
            raise self.error
        if any(f"/{namespace}/" in path for namespace in self.denied):
            raise Denied(f"{path}: Forbidden")
        self.asked.append((path, label_selector))
        self.version += 1
        return RawListing(self.found.get(path.rpartition("/")[2], []), str(100 * self.version))


class Space:
    """The part of `Installation` that is fed."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.mirrors: dict[str, Mirror[dict[str, Any]]] = {kind: pod_mirror() for kind in WATCHED}
        self.opened = 0
        self.is_open = False

    def apply(self, kind: str, event_type: str | None, raw: dict[str, Any]) -> None:
        self.mirrors[kind].apply(event_type or "ADDED", raw)

    def replace(self, kind: str, raws: list[dict[str, Any]], version: str) -> None:
        self.mirrors[kind].replace(raws, version)

    def open_soon(self, _: object) -> None:
        self.opened += all(mirror.filled for mirror in self.mirrors.values())

    def names(self, kind: str = PODS) -> list[str]:
        return [item["metadata"]["name"] for item in self.mirrors[kind].items()]


class Counted:
    def __init__(self) -> None:
        self.sweeps: list[bool] = []

    def swept(self, error: StoreError | None) -> None:
        self.sweeps.append(error is None)


class Bench:
    def __init__(self, *namespaces: str, seconds: float = 60.0) -> None:
        self.kube, self.counted, self.spaces = Lister(), Counted(), dict[str, Space]()
        self.relisted = 0
        self.installations = Installations(namespaces, self._make, object(), self._relist)  # type: ignore[arg-type]
        self.sweep = Sweep(
            self.kube,  # type: ignore[arg-type]
            sources(namespaces, "a=b"),
            self.installations,
            self.counted,  # type: ignore[arg-type]
            seconds,
        )

    def _make(self, namespace: str) -> Any:
        self.spaces[namespace] = Space(namespace)
        return self.spaces[namespace]

    def _relist(self) -> None:
        self.relisted += 1
        self.sweep.nudge()


async def test_all_kinds_are_listed_and_only_relay_pods() -> None:
    bench = Bench("a", "b")
    await bench.sweep.once()
    assert len(bench.kube.asked) == 6
    assert {selector for path, selector in bench.kube.asked if path.endswith("/pods")} == {"a=b"}
    assert {selector for path, selector in bench.kube.asked if not path.endswith("/pods")} == {None}
    assert [space.opened for space in bench.spaces.values()] == [1, 1]


async def test_what_vanished_is_gone_and_what_is_newer_stays() -> None:
    bench = Bench("media")
    bench.kube.found = {PODS: [obj("kept", 1), obj("vanished", 2)]}
    await bench.sweep.once()
    bench.installations.tell(PODS, "ADDED", obj("new", 10_000))
    bench.kube.found = {PODS: [obj("kept", 1)]}
    await bench.sweep.once()
    assert bench.spaces["media"].names() == ["kept", "new"]


async def test_nothing_begins_before_all_has_been_listed() -> None:
    bench = Bench("media")
    bench.kube.error = Unavailable("away")
    filling = asyncio.create_task(bench.sweep.fill())
    await until(lambda: len(bench.counted.sweeps) == 2)
    assert bench.spaces["media"].opened == 0
    bench.kube.error = None
    await filling
    assert bench.spaces["media"].opened == 1
    assert bench.counted.sweeps[-1]


async def test_a_sweep_follows_when_the_watch_begins_anew() -> None:
    bench = Bench("media")
    await bench.sweep.once()
    running = asyncio.create_task(bench.sweep.run())
    bench.installations.tell(PODS, "MODIFIED", obj("a", 5))
    await asyncio.sleep(0.05)
    assert (bench.relisted, len(bench.counted.sweeps)) == (0, 1)
    bench.installations.tell(PODS, None, obj("a", 5))
    bench.installations.tell(PODS, None, obj("b", 6))
    assert bench.relisted == 2
    await until(_more_than(bench.counted.sweeps, 1))
    assert len(bench.counted.sweeps) == 2
    running.cancel()


async def test_sweeps_go_on_when_one_fails() -> None:
    bench = Bench("media", seconds=0.02)
    bench.kube.error = Unavailable("away")
    running = asyncio.create_task(bench.sweep.run())
    await until(_more_than(bench.counted.sweeps, 2))
    assert not any(bench.counted.sweeps)
    bench.kube.error = None
    await until(lambda: bench.counted.sweeps[-1])
    running.cancel()


async def test_a_namespace_that_may_not_be_listed_keeps_the_others_from_nothing() -> None:
    bench = Bench("closed", "open")
    bench.kube.denied = {"closed"}
    bench.kube.found = {PODS: [obj("p", 1, "open")]}
    with pytest.raises(Denied, match="closed"):
        await bench.sweep.once()
    assert {name: space.opened for name, space in bench.spaces.items()} == {"closed": 0, "open": 1}
    assert bench.spaces["open"].names() == ["p"]
    assert bench.counted.sweeps == [False]


async def test_of_all_namespaces_each_is_served_as_it_turns_up() -> None:
    bench = Bench(EVERYWHERE)
    bench.kube.found = {PODS: [obj("p", 1, "one")]}
    await bench.sweep.once()
    assert len(bench.kube.asked) == 3
    assert bench.spaces["one"].opened == 0  # its other kinds were listed before it was known
    bench.installations.tell("streams", "ADDED", obj("s", 2, "two"))
    assert bench.relisted == 1
    await bench.sweep.once()
    assert [space.opened for space in bench.spaces.values()] == [1, 1]
    assert bench.spaces["two"].names("streams") == []  # the listing, which is newer, has it not
    bench.installations.tell("streams", "ADDED", obj("s2", 10**6, "one"))
    assert bench.relisted == 1


async def test_what_is_in_no_namespace_of_ours_is_left_alone() -> None:
    bench = Bench("media")
    bench.installations.tell(PODS, "ADDED", obj("a", 1, "other"))
    assert list(bench.spaces) == ["media"]


async def test_a_dead_watch_is_told_by_kind() -> None:
    bench = Bench("media")
    bench.kube.found = {PODS: [obj("a", 1)], "streams": [obj("s", 2)]}
    bench.installations.tell("streams", "ADDED", obj("s", 2))
    await bench.sweep.once()
    await until(lambda: bench.installations.watch_missed()[PODS] > 0.01)
    assert bench.installations.watch_missed()["streams"] == 0
    bench.installations.tell(PODS, "ADDED", obj("a", 1))
    assert bench.installations.watch_missed()[PODS] == 0
    assert bench.installations.watch_silence()[PODS] < 1


def _more_than(things: list[bool], count: int) -> Callable[[], bool]:
    return lambda: len(things) > count
