"""The store on one SQLite file: the embedded default.

Every call is one transaction, run in the event loop's own thread: with a write-ahead log and no fsync per commit it
takes well under a millisecond, about what the way to a worker thread and back costs, and needs no lock of its own.

Changes of Secrets are not kept in the event log, so that their values are in one place only and gone with the object,
but for SQLite's own log (`-wal`), which has them until it begins anew or the store is closed. Secrets cannot be
watched.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from transponder_crd.records import merge, now, parse, serialize, title, with_meta, without_status
from transponder_crd.resource import Resource, RtmpTransponder, Secret, Stream
from transponder_crd.sqlite_file import OpenFile, Rows, StoreInUse, StoreUnusable, open_file, run, transaction
from transponder_crd.store import (
    AlreadyExists,
    Conflict,
    Event,
    EventType,
    Gone,
    Invalid,
    Listing,
    NotFound,
    StoreError,
)

__all__ = ["KEPT_EVENTS", "SqliteStore", "StoreInUse", "StoreUnusable"]

KEPT_EVENTS = 10_000
"""Events kept for watches to resume from."""

_BATCH = 200
_KINDS: dict[str, type[Resource]] = {kind.__name__: kind for kind in (RtmpTransponder, Stream, Secret)}
_STREAM_FIELDS = {"RtmpTransponder": "$.spec.streamName", "Stream": "$.spec.name"}
_NAME_RULE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

R = TypeVar("R", bound=Resource)


class SqliteStore:
    """`store.Store` on one file. Use it from one thread; close it at the end."""

    def __init__(self, file: OpenFile) -> None:
        self._file: OpenFile | None = file
        self._changed = asyncio.Event()

    @classmethod
    def open(cls, path: Path | str) -> "SqliteStore":
        """The store in the file `path`, made if need be. Raises StoreInUse, StoreUnusable."""
        return cls(open_file(Path(path)))

    def close(self) -> None:
        """Watches that still run end with StoreError."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            self._changed.set()

    # ------------------------------------------------------------------------------------------ store.Store

    async def get(self, kind: type[R], name: str) -> R:
        return self._get(kind, name)

    async def list(self, kind: type[R]) -> Listing[R]:
        rows = self._query("SELECT body FROM objects WHERE kind = ? ORDER BY name", kind.__name__)
        return Listing([parse(kind, body) for (body,) in rows], str(self._version()))

    async def of_stream(self, kind: type[R], stream_name: str) -> Sequence[R]:
        rows = self._query(
            "SELECT body FROM objects WHERE kind = ? AND json_extract(body, ?) = ? ORDER BY name",
            kind.__name__, _STREAM_FIELDS[kind.__name__], stream_name,
        )  # fmt: skip
        return [parse(kind, body) for (body,) in rows]

    async def by_uid(self, kind: type[R], uid: str) -> R:
        rows = self._query("SELECT body FROM objects WHERE kind = ? AND uid = ?", kind.__name__, uid)
        if not rows:
            raise NotFound(f"no {kind.__name__} has this uid")
        return parse(kind, rows[0][0])

    async def refresh(self, kind: type[Resource]) -> None:
        """Reads are of the file itself."""

    async def create(self, obj: R) -> R:
        if not _NAME_RULE.fullmatch(obj.name) or len(obj.name) > 253:
            raise Invalid(f"{title(obj)}: metadata.name must be a DNS-1123 subdomain of at most 253 characters")
        if obj.metadata.resource_version:
            raise Invalid(f"{title(obj)}: metadata.resourceVersion must be empty on creation")
        with self._transaction():
            if self._query("SELECT 1 FROM objects WHERE kind = ? AND name = ?", type(obj).__name__, obj.name):
                raise AlreadyExists(f"{title(obj)} exists")
            server_fields = {
                "uid": str(uuid4()),
                "generation": 1,
                "creation_timestamp": now(),
                "deletion_timestamp": None,
            }
            new = self._write(EventType.ADDED, with_meta(without_status(obj), **server_fields))
            self._collect_if_orphaned(type(new).__name__, new.name)
            return new

    async def update(self, obj: R) -> R:
        with self._transaction():
            old = self._read_for_update(obj)
            new = merge(old, obj)
            if new == old:
                return old
            if new.deleting and not new.metadata.finalizers:
                return self._remove(new)
            new = self._write(EventType.MODIFIED, new)
            self._collect_if_orphaned(type(new).__name__, new.name)
            return new

    async def update_status(self, obj: R) -> R:
        if "status" not in type(obj).model_fields:
            raise Invalid(f"{title(obj)} has no status")
        with self._transaction():
            old = self._read_for_update(obj)
            new = old.model_copy(update={"status": getattr(obj, "status")})  # noqa: B009 (not every kind has it)
            return old if new == old else self._write(EventType.MODIFIED, new)

    async def delete(self, kind: type[Resource], name: str, uid: str | None = None) -> None:
        with self._transaction():
            obj = self._get(kind, name)
            if uid is not None and obj.uid != uid:
                raise NotFound(f"{title(obj)} is another one by now")
            self._delete(obj)

    async def watch(self, kind: type[R], resource_version: str) -> AsyncIterator[Event[R]]:
        if issubclass(kind, Secret):
            raise StoreError("Secrets cannot be watched")
        if not re.fullmatch(r"[0-9]{1,18}", resource_version):
            raise Invalid("resourceVersion must be one that the store gave")
        position = int(resource_version)
        while True:
            changed = self._changed  # taken before reading: a change in between sets it
            batch, position = self._events_after(kind, position)
            for event in batch:
                yield event
            if not batch:
                await changed.wait()

    # ------------------------------------------------------------------------------------------ within a transaction

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        file, before = self._open_file(), self._version()
        with transaction(file.connection):
            yield
        if self._version() != before:
            self._changed.set()
            self._changed = asyncio.Event()

    def _open_file(self) -> OpenFile:
        if self._file is None:
            raise StoreError("the store is closed")
        return self._file

    def _query(self, query: str, *values: str | int) -> Rows:
        return run(self._open_file().connection, query, *values)

    def _version(self) -> int:
        return int(self._query("SELECT version FROM counter")[0][0])

    def _get(self, kind: type[R], name: str) -> R:
        rows = self._query("SELECT body FROM objects WHERE kind = ? AND name = ?", kind.__name__, name)
        if not rows:
            raise NotFound(f"{kind.__name__} {name} does not exist")
        return parse(kind, rows[0][0])

    def _read_for_update(self, obj: R) -> R:
        old = self._get(type(obj), obj.name)
        if (obj.uid, obj.metadata.resource_version) != (old.uid, old.metadata.resource_version):
            raise Conflict(f"{title(obj)} has changed")
        return old

    def _write(self, event: EventType, obj: R) -> R:
        """Store `obj` under the next resourceVersion; what comes back was read from what is stored."""
        body = self._record(event, obj)
        new, kind = parse(type(obj), body), type(obj).__name__
        self._query(
            "INSERT INTO objects VALUES (?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body",
            kind, new.name, new.uid, body,
        )  # fmt: skip
        self._query("DELETE FROM owners WHERE kind = ? AND name = ?", kind, new.name)
        for owner in {reference.uid for reference in new.metadata.owner_references}:
            self._query("INSERT INTO owners VALUES (?, ?, ?)", kind, new.name, owner)
        return new

    def _record(self, event: EventType, obj: Resource) -> str:
        """Count the version on, log the event; the object's JSON with its new version."""
        self._query("UPDATE counter SET version = version + 1")
        version = self._version()
        body = serialize(with_meta(obj, resource_version=str(version)))
        if not isinstance(obj, Secret):
            self._query(
                "INSERT INTO events (version, kind, type, body) VALUES (?, ?, ?, ?)",
                version, type(obj).__name__, event.value, body,
            )  # fmt: skip
            self._query("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?", KEPT_EVENTS)
        return body

    def _delete(self, obj: Resource) -> None:
        if not obj.metadata.finalizers:
            self._remove(obj)
        elif not obj.deleting:
            self._write(EventType.MODIFIED, with_meta(obj, deletion_timestamp=now()))

    def _remove(self, obj: R) -> R:
        last = parse(type(obj), self._record(EventType.DELETED, obj))
        dependents = self._query("SELECT kind, name FROM owners WHERE owner_uid = ?", obj.uid)
        self._query("DELETE FROM objects WHERE kind = ? AND name = ?", type(obj).__name__, obj.name)
        for kind, name in dependents:
            self._collect_if_orphaned(kind, name)
        return last

    def _collect_if_orphaned(self, kind: str, name: str) -> None:
        owners, living = self._query(
            "SELECT count(*), count(objects.uid) FROM owners LEFT JOIN objects ON objects.uid = owner_uid"
            " WHERE owners.kind = ? AND owners.name = ?",
            kind,
            name,
        )[0]
        if owners and not living:
            self._delete(self._get(_KINDS[kind], name))

    # ------------------------------------------------------------------------------------------ watching

    def _events_after(self, kind: type[R], position: int) -> tuple[Sequence[Event[R]], int]:
        """The next events of the kind, and the position behind them. Raises Gone."""
        oldest = self._query("SELECT seq, version FROM events ORDER BY seq LIMIT 1")
        newest = self._version()
        dropped = oldest[0][1] - 1 if oldest and oldest[0][0] > 1 else 0
        if not dropped <= position <= newest:
            raise Gone(f"resourceVersion {position} is not kept: list again")
        rows = self._query(
            "SELECT version, type, body FROM events WHERE version > ? AND kind = ? ORDER BY version LIMIT ?",
            position, kind.__name__, _BATCH,
        )  # fmt: skip
        # without events of this kind the position moves on too, or changes of other kinds would make it too old
        position = rows[-1][0] if rows else newest
        return [Event(EventType(type_), parse(kind, body)) for _, type_, body in rows], position
