"""A cache of the objects of one kind in one namespace, fed by whoever lists and watches them. No I/O.

It is fed with objects as JSON and gives out what `read` makes of them. It takes them in any order and any number of
times: older states than it has are ignored, and so is everything of an object that is gone (a uid never comes back).
resourceVersions are compared as numbers, which the API server allows within one resource:
https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from transponder_crd.store import EventType, Gone

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]
R = TypeVar("R")

KEPT_CHANGES = 2_000
"""Changes that a reader can catch up with."""
REMEMBERED_UIDS = 10_000
"""Objects that are gone."""


class Change(NamedTuple, Generic[R]):
    """`object` is the state after it, for DELETED the last state."""

    type: EventType
    object: R
    name: str
    version: int
    """resourceVersion; for DELETED one between the last state's and that of any later object of the name."""


class _Entry(NamedTuple, Generic[R]):
    raw: JsonObject
    value: R | None
    """None: `read` could make nothing of it."""
    uid: str
    version: int


class Mirror(Generic[R]):
    """Use it from one event loop. All calls return at once, but for `Reader.next`."""

    def __init__(
        self,
        read: Callable[[JsonObject], R | None],
        indexes: Mapping[str, Callable[[R], str | None]] | None = None,
    ) -> None:
        """`read` returns None for what is no valid object: it is then as if not there (but `invalid` has it).
        `indexes`: by name, the key of an object (None: not in this index), see `of`."""
        self._read = read
        self._keys = dict(indexes or {})
        self._entries: dict[str, _Entry[R]] = {}
        self._index: dict[str, dict[str, dict[str, R]]] = {index: {} for index in self._keys}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._kept: deque[tuple[int, Change[R]]] = deque(maxlen=KEPT_CHANGES)
        self._position = 0
        self._lost_version = 0
        """The newest resourceVersion of the changes that are no longer kept."""
        self._readers: set[Reader[R]] = set()
        self._filled = asyncio.Event()

    # ------------------------------------------------------------------------------------------ what is there

    @property
    def filled(self) -> bool:
        """Was there a listing?"""
        return self._filled.is_set()

    async def wait_filled(self) -> None:
        """Return after the first `replace`."""
        await self._filled.wait()

    def get(self, name: str) -> R | None:
        entry = self._entries.get(name)
        return entry.value if entry else None

    def raw(self, name: str) -> JsonObject | None:
        """The object as JSON (without managedFields); not to be changed."""
        entry = self._entries.get(name)
        return entry.raw if entry else None

    def items(self) -> list[R]:
        """By name."""
        return [entry.value for _, entry in sorted(self._entries.items()) if entry.value is not None]

    def of(self, index: str, key: str) -> list[R]:
        """Those with that key in that index, by name."""
        return [value for _, value in sorted(self._index[index].get(key, {}).items())]

    def invalid(self) -> list[JsonObject]:
        """Those that `read` could make nothing of."""
        return [entry.raw for entry in self._entries.values() if entry.value is None]

    def __len__(self) -> int:
        """Number of valid objects."""
        return sum(entry.value is not None for entry in self._entries.values())

    # ------------------------------------------------------------------------------------------ feeding it

    def apply(self, type: str, raw: JsonObject) -> list[Change[R]]:
        """One event of a watch (ADDED, MODIFIED, DELETED; others are ignored), or the answer to a write of one's own
        (MODIFIED). Returns what changed by it, mostly one change or none."""
        if type == EventType.DELETED:
            return self._publish(self._remove(raw))
        if type in {EventType.ADDED, EventType.MODIFIED}:
            return self._publish(self._put(raw))
        return []

    def forget(self, name: str, uid: str) -> list[Change[R]]:
        """The object of that uid is gone, as the API server said to its deleter."""
        self._remember_gone(uid)
        entry = self._entries.get(name)
        return self._publish(self._drop(name)) if entry is not None and entry.uid == uid else []

    def replace(self, raws: Iterable[JsonObject], resource_version: str) -> list[Change[R]]:
        """A listing. Returns what changed; what the mirror had and the listing has not is DELETED, unless it is newer
        than the listing."""
        listed = int(resource_version)
        changes: list[Change[R]] = []
        present = set()
        for raw in raws:
            present.add(raw["metadata"]["uid"])
            changes += self._put(raw)
        for name, entry in list(self._entries.items()):
            if entry.uid not in present and entry.version <= listed:
                self._remember_gone(entry.uid)
                changes += self._drop(name)
        self._filled.set()
        return self._publish(changes)

    # ------------------------------------------------------------------------------------------ following it

    @property
    def position(self) -> str:
        """Of the newest change, for `reader`."""
        return f"seen-{self._position}"

    def reader(self, position: str, name: str | None = None) -> "Reader[R]":
        """Reads all changes (or those of the object `name`) after `position`: one that `position` gave, or the
        resourceVersion of an object, which stands for that object's later changes. Close it.

        Raises Gone when changes after it are no longer kept.
        """
        oldest = self._kept[0][0] if self._kept else self._position + 1
        if position.startswith("seen-"):
            after = int(position.removeprefix("seen-"))
            if not oldest - 1 <= after <= self._position:
                raise Gone("changes after this position are not kept: list again")
            missed = [change for number, change in self._kept if number > after]
        else:
            version = int(position)
            if version < self._lost_version:
                raise Gone("changes after this version are not kept: list again")
            missed = [change for _, change in self._kept if change.version > version]
        reader = Reader(self._readers, name)
        self._readers.add(reader)
        for change in missed:
            reader.tell(change)
        return reader

    # ------------------------------------------------------------------------------------------ parts

    def _put(self, raw: JsonObject) -> list[Change[R]]:
        metadata = raw["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
        old = self._entries.get(name)
        if uid in self._gone or (old is not None and old.version >= version):
            return []
        changes: list[Change[R]] = []
        if old is not None and old.uid != uid:
            self._remember_gone(old.uid)
            changes += self._drop(name)
            old = None
        raw = {**raw, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
        value = self._read(raw)
        self._reindex(name, old.value if old else None, value)
        self._entries[name] = _Entry(raw, value, uid, version)
        had = old is not None and old.value is not None
        if value is not None:
            changes.append(Change(EventType.MODIFIED if had else EventType.ADDED, value, name, version))
        elif old is not None and old.value is not None:
            changes.append(Change(EventType.DELETED, old.value, name, version))
        return changes

    def _remove(self, raw: JsonObject) -> list[Change[R]]:
        metadata = raw["metadata"]
        self._remember_gone(metadata["uid"])
        entry = self._entries.get(metadata["name"])
        if entry is None or entry.uid != metadata["uid"]:
            return []
        version = max(int(metadata["resourceVersion"]), entry.version + 1)
        last = self._read(raw) if entry.value is not None else None
        return self._drop(metadata["name"], version, last)

    def _drop(self, name: str, version: int | None = None, last: R | None = None) -> list[Change[R]]:
        entry = self._entries.pop(name)
        version = entry.version + 1 if version is None else version  # every write counts it on
        self._reindex(name, entry.value, None)
        if entry.value is None:
            return []
        return [Change(EventType.DELETED, entry.value if last is None else last, name, version)]

    def _remember_gone(self, uid: str) -> None:
        self._gone[uid] = None
        self._gone.move_to_end(uid)
        if len(self._gone) > REMEMBERED_UIDS:
            self._gone.popitem(last=False)

    def _reindex(self, name: str, old: R | None, new: R | None) -> None:
        for index, key_of in self._keys.items():
            keys = self._index[index]
            if old is not None and (key := key_of(old)) is not None:
                keys[key].pop(name)
                if not keys[key]:
                    del keys[key]
            if new is not None and (key := key_of(new)) is not None:
                keys.setdefault(key, {})[name] = new

    def _publish(self, changes: list[Change[R]]) -> list[Change[R]]:
        for change in changes:
            self._position += 1
            if len(self._kept) == KEPT_CHANGES:
                self._lost_version = max(self._lost_version, self._kept[0][1].version)
            self._kept.append((self._position, change))
            for reader in self._readers:
                reader.tell(change)
        return changes


class Reader(Generic[R]):
    """Changes of a mirror, in order. A context manager."""

    def __init__(self, readers: "set[Reader[R]]", name: str | None) -> None:
        self._readers = readers
        self._name = name
        self._changes: deque[Change[R]] = deque()
        self._told = asyncio.Event()
        self._overrun = False

    def tell(self, change: Change[R]) -> None:
        if self._name is not None and change.name != self._name:
            return
        self._overrun = self._overrun or len(self._changes) >= KEPT_CHANGES
        if not self._overrun:
            self._changes.append(change)
        self._told.set()

    async def next(self) -> Change[R]:
        """Raises Gone when it was not read for too long."""
        while True:
            if self._overrun:
                raise Gone("changes were missed: list again")
            if self._changes:
                return self._changes.popleft()
            self._told.clear()
            await self._told.wait()

    def close(self) -> None:
        self._readers.discard(self)

    def __enter__(self) -> "Reader[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
