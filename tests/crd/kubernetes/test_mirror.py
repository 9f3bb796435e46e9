"""The mirror: whatever it is told and in whatever order, it ends as the API server is, and tells every change."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.kubernetes import mirror as module
from transponder_crd.kubernetes.mirror import Change, Mirror
from transponder_crd.store import Gone

Raw = dict[str, Any]


def obj(name: str, version: int, uid: str = "1", **more: Any) -> Raw:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, **more}


def plain(indexes: Any = None) -> Mirror[Raw]:
    return Mirror(lambda raw: None if raw.get("bad") else raw, indexes)


def told(changes: list[Change[Raw]]) -> list[tuple[str, str]]:
    return [(change.type.value, change.name) for change in changes]


def test_events() -> None:
    mirror = plain()
    assert told(mirror.apply("ADDED", obj("a", 1))) == [("ADDED", "a")]
    assert told(mirror.apply("MODIFIED", obj("a", 3))) == [("MODIFIED", "a")]
    assert mirror.apply("MODIFIED", obj("a", 2)) == [], "older than what it has"
    assert mirror.apply("ADDED", obj("a", 3)) == [], "seen already"
    assert mirror.apply("BOOKMARK", obj("", 9)) == []
    assert told(mirror.apply("DELETED", obj("a", 4))) == [("DELETED", "a")]
    assert mirror.apply("MODIFIED", obj("a", 3)) == [], "it never comes back"
    assert told(mirror.apply("ADDED", obj("a", 5, "2"))) == [("ADDED", "a")]
    assert mirror.apply("DELETED", obj("a", 4, "1")) == []
    assert len(mirror) == 1


def test_an_object_made_anew_ends_the_old_one() -> None:
    mirror = plain()
    mirror.apply("ADDED", obj("a", 1))
    assert told(mirror.apply("MODIFIED", obj("a", 5, "2"))) == [("DELETED", "a"), ("ADDED", "a")]
    assert mirror.apply("MODIFIED", obj("a", 9, "1")) == []


def test_a_listing_tells_what_vanished() -> None:
    mirror = plain()
    assert not mirror.filled
    for name, version in (("gone", 1), ("stays", 2), ("newer", 9)):
        mirror.apply("ADDED", obj(name, version, name))
    changes = mirror.replace([obj("stays", 2, "stays"), obj("new", 4, "new")], "5")
    assert told(changes) == [("ADDED", "new"), ("DELETED", "gone")]
    assert [raw["metadata"]["name"] for raw in mirror.items()] == ["new", "newer", "stays"]
    assert mirror.filled
    assert mirror.apply("MODIFIED", obj("gone", 4, "gone")) == []


def test_what_its_deleter_knows() -> None:
    mirror = plain()
    mirror.apply("ADDED", obj("a", 1))
    assert mirror.forget("a", "another") == []
    assert told(mirror.forget("a", "1")) == [("DELETED", "a")]
    assert mirror.apply("MODIFIED", obj("a", 2)) == [], "an event from before the deletion"
    assert mirror.replace([obj("a", 2)], "2") == [], "a listing from before it"


def test_invalid_objects_are_not_there() -> None:
    mirror = plain({"k": lambda raw: raw.get("k")})
    assert mirror.apply("ADDED", obj("a", 1, bad=True)) == []
    assert (mirror.get("a"), mirror.items(), len(mirror)) == (None, [], 0)
    assert mirror.invalid() == [obj("a", 1, bad=True)]
    assert told(mirror.apply("MODIFIED", obj("a", 2, k="x"))) == [("ADDED", "a")]
    assert told(mirror.apply("MODIFIED", obj("a", 3, bad=True))) == [("DELETED", "a")]
    assert mirror.of("k", "x") == []
    assert mirror.apply("DELETED", obj("a", 4, bad=True)) == []
    assert mirror.invalid() == []


def test_managed_fields_are_not_kept() -> None:
    mirror = plain()
    raw = obj("a", 1)
    raw["metadata"]["managedFields"] = [{"manager": "x"}]
    mirror.apply("ADDED", raw)
    assert mirror.raw("a") == obj("a", 1)
    assert "managedFields" in raw["metadata"]


def test_indexes() -> None:
    mirror = plain({"k": lambda raw: raw.get("k")})
    mirror.apply("ADDED", obj("b", 1, "b", k="x"))
    mirror.apply("ADDED", obj("a", 2, "a", k="x"))
    mirror.apply("ADDED", obj("c", 3, "c"))
    assert [raw["metadata"]["name"] for raw in mirror.of("k", "x")] == ["a", "b"]
    mirror.apply("MODIFIED", obj("a", 4, "a", k="y"))
    mirror.apply("MODIFIED", obj("b", 5, "b"))
    assert mirror.of("k", "x") == []
    assert [raw["metadata"]["name"] for raw in mirror.of("k", "y")] == ["a"]


# ---------------------------------------------------------------------------------------------- any history, any order


class Server:
    """What an API server does to a few names: its true state, its events, its listings."""

    def __init__(self) -> None:
        self.version = 0
        self.state: dict[str, Raw] = {}
        self.events: list[tuple[str, Raw]] = []
        self.listings: list[tuple[list[Raw], str]] = [([], "0")]

    def step(self, name: str, what: str) -> None:
        self.version += 1
        there = self.state.get(name)
        if what == "delete" and there is not None:
            del self.state[name]
            self.events.append(("DELETED", obj(name, self.version, there["metadata"]["uid"])))
        elif what == "write":
            uid = there["metadata"]["uid"] if there else f"{name}{self.version}"
            self.state[name] = obj(name, self.version, uid, k=str(self.version % 3))
            self.events.append(("MODIFIED" if there else "ADDED", self.state[name]))
        self.listings.append((list(self.state.values()), str(self.version)))


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["write", "write", "delete"])), max_size=20)


@given(STEPS, st.data())
def test_ends_as_the_server_is(steps: list[tuple[str, str]], data: st.DataObject) -> None:
    """Every event comes at least once, in any order, with old listings in between; then a listing."""
    server = Server()
    for step in steps:
        server.step(*step)
    mirror = plain({"k": lambda raw: raw["k"]})
    followed: dict[str, Raw] = {}
    feed: list[Any] = data.draw(st.permutations(server.events + data.draw(st.lists(st.sampled_from(server.listings)))))
    for one in [*feed, server.listings[-1]]:
        changes = mirror.apply(*one) if isinstance(one[0], str) else mirror.replace(*one)
        for change in changes:
            if change.type == "DELETED":
                del followed[change.name]  # never told of what was not there
            else:
                assert (change.type == "ADDED") == (change.name not in followed)
                followed[change.name] = change.object
    assert {raw["metadata"]["name"]: raw for raw in mirror.items()} == server.state == followed
    for key in "012":
        assert [r for r in mirror.items() if r["k"] == key] == mirror.of("k", key)


@given(STEPS)
def test_events_in_order_need_no_listing(steps: list[tuple[str, str]]) -> None:
    server = Server()
    for step in steps:
        server.step(*step)
    mirror = plain()
    for event in server.events:
        assert len(mirror.apply(*event)) == 1
    assert {raw["metadata"]["name"]: raw for raw in mirror.items()} == server.state


# ---------------------------------------------------------------------------------------------- readers


async def next_names(mirror: Mirror[Raw], position: str, count: int, name: str | None = None) -> list[tuple[str, str]]:
    async with asyncio.timeout(1):
        with mirror.reader(position, name) as reader:
            return told([await reader.next() for _ in range(count)])


async def test_readers_catch_up_and_follow() -> None:
    mirror = plain()
    mirror.apply("ADDED", obj("a", 1, "a"))
    position = mirror.position
    mirror.apply("ADDED", obj("b", 2, "b"))
    waiting = asyncio.create_task(next_names(mirror, position, 2))
    await asyncio.sleep(0)
    mirror.apply("MODIFIED", obj("a", 3, "a"))
    assert await waiting == [("ADDED", "b"), ("MODIFIED", "a")]
    assert await next_names(mirror, "2", 1) == [("MODIFIED", "a")]
    assert await next_names(mirror, "0", 2, "a") == [("ADDED", "a"), ("MODIFIED", "a")]


async def test_a_deletion_without_a_version_is_before_what_is_made_then() -> None:
    mirror = plain()
    mirror.apply("ADDED", obj("a", 5))
    mirror.forget("a", "1")
    assert await next_names(mirror, "5", 1) == [("DELETED", "a")]
    mirror.apply("ADDED", obj("a", 8, "2"))
    mirror.apply("MODIFIED", obj("a", 9, "2"))
    assert await next_names(mirror, "8", 1) == [("MODIFIED", "a")]


async def test_what_is_not_kept_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_CHANGES", 3)
    mirror = plain()
    first = mirror.position
    slow = mirror.reader(first)
    for version in range(1, 5):
        mirror.apply("MODIFIED", obj("a", version))
    with pytest.raises(Gone):
        mirror.reader(first)
    with pytest.raises(Gone):
        mirror.reader("seen-99")
    with pytest.raises(Gone):
        mirror.reader("0")
    assert await next_names(mirror, "1", 3) == [("MODIFIED", "a")] * 3
    with pytest.raises(Gone):
        await slow.next()
    slow.close()


async def test_filled_once_listed() -> None:
    mirror = plain()
    waiting = asyncio.create_task(mirror.wait_filled())
    await asyncio.sleep(0)
    assert not waiting.done()
    mirror.replace([], "1")
    await asyncio.wait_for(waiting, 1)
