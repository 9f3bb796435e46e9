"""Opening the store's SQLite file: one process at a time, readable by its owner alone, of a schema we know.

The folder holds `<file>`, SQLite's own `<file>-wal` and `<file>-shm`, and `<file>.lock`.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from transponder_crd.store import StoreError

SCHEMA_VERSION = 1
Rows = list[tuple[Any, ...]]
APPLICATION_ID = 0x52545031  # "RTP1": tells our file from another program's (PRAGMA application_id)

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE counter (version INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE objects (
    kind TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE TABLE owners (
    kind TEXT NOT NULL, name TEXT NOT NULL, owner_uid TEXT NOT NULL,
    PRIMARY KEY (kind, name, owner_uid),
    FOREIGN KEY (kind, name) REFERENCES objects ON DELETE CASCADE
);
CREATE INDEX owners_by_uid ON owners (owner_uid);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, version INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL
);
"""


class StoreInUse(StoreError):
    """Another process has the file."""


class StoreUnusable(StoreError):
    """The file or its folder cannot be used; the text says which and why."""


class OpenFile(NamedTuple):
    connection: sqlite3.Connection
    lock: int
    """File descriptor that holds the lock."""

    def close(self) -> None:
        self.connection.close()
        os.close(self.lock)


def open_file(path: Path) -> OpenFile:
    """The file, made if need be. Raises StoreInUse, StoreUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(path)
    except OSError as error:
        raise StoreUnusable(f"the store {path} cannot be opened: {error.strerror}") from error
    try:
        return OpenFile(_connect(path), lock)
    except BaseException:
        os.close(lock)
        raise


def _lock(path: Path) -> int:
    # The lock file is never removed: a remover could lock a file that another process just made anew.
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreInUse(f"the store {path} is in use by another process") from error
    except BaseException:
        os.close(lock)
        raise
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    try:
        _make_private(path)
        connection = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise StoreUnusable(f"the store {path} cannot be opened: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store {path} cannot be opened: {error}") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnusable(f"the store {path} cannot be read: {error}") from error
    except StoreUnusable:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    # SQLite gives -wal and -shm the mode of the main file; those of an earlier run are set here
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        file = path.with_name(name)
        if file.exists():
            file.chmod(0o600)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _check_schema_version(connection, path)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",  # no fsync per commit: kill -9 loses nothing, a power cut the last moments
        "foreign_keys = ON",
        "secure_delete = ON",  # values of deleted Secrets are overwritten, when the log is carried over
    ):
        connection.execute(f"PRAGMA {pragma}")
    if (problem := _one(connection, "PRAGMA quick_check(1)")) != "ok":
        reason = " ".join(str(problem).split())
        raise StoreUnusable(f"the store {path} is damaged ({reason}): move it away to start with an empty one")
    if _one(connection, "PRAGMA user_version") == 0:
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        connection.executescript(f"{_SCHEMA}{marks}COMMIT;")


def _check_schema_version(connection: sqlite3.Connection, path: Path) -> None:
    version = _one(connection, "PRAGMA user_version")
    if version == 0 and _one(connection, "SELECT count(*) FROM sqlite_master") == 0:
        return
    if _one(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoreUnusable(f"the store {path} is a database of another program")
    if version != SCHEMA_VERSION:
        raise StoreUnusable(
            f"the store {path} has schema version {version}, of a newer release; this one knows {SCHEMA_VERSION}"
        )


def _one(connection: sqlite3.Connection, query: str) -> object:
    return connection.execute(query).fetchone()[0]


def run(connection: sqlite3.Connection, query: str, *values: str | int) -> Rows:
    """All rows. An error of SQLite itself (disk full, I/O) is raised as StoreError."""
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"the store failed: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing."""
    run(connection, "BEGIN IMMEDIATE")
    try:
        yield
        run(connection, "COMMIT")
    except BaseException:
        if connection.in_transaction:
            run(connection, "ROLLBACK")
        raise
