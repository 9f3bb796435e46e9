"""The store's file: private, one process at a time, whole after kill -9, and one clear error when it cannot be used."""

import asyncio
import contextlib
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from support.objects import make_transponder

from transponder_crd.resource import RtmpTransponder, Secret
from transponder_crd.sqlite_store import SqliteStore, StoreInUse, StoreUnusable
from transponder_crd.store import Event, EventType, StoreError

HOLD = """
import sys
from transponder_crd.sqlite_store import SqliteStore
store = SqliteStore.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""

WRITE = """
import asyncio, sys
from pydantic import SecretStr
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import RtmpTransponder, Secret, TransponderSpec
from transponder_crd.sqlite_store import SqliteStore

async def main():
    store = SqliteStore.open(sys.argv[1])
    number = 0
    while True:
        number += 1
        spec = TransponderSpec(stream_name="demo", rtmp_url="rtmp://h/live")
        new = await store.create(RtmpTransponder(metadata=ObjectMeta(name=f"t{number}"), spec=spec))
        meta = ObjectMeta(name=new.name, owner_references=[new.owner_reference()])
        await store.create(Secret(metadata=meta, string_data={"rtmpUrl": SecretStr("x")}))
        new = await store.update(new.model_copy(update={"spec": new.spec.model_copy(update={"muted": True})}))
        if number > 5:
            await store.delete(RtmpTransponder, f"t{number - 5}")
        print(number, (await store.list(RtmpTransponder)).resource_version, flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def child(script: str, path: Path) -> AsyncIterator[Process]:
    """A Python process with a pipe to and from it; killed at the end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode()


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with child(HOLD, path) as process:
        assert await read_line(process) == "open\n"
        with pytest.raises(StoreInUse, match=str(path)):
            SqliteStore.open(path)
    SqliteStore.open(path).close()


def test_a_second_open_is_refused(tmp_path: Path) -> None:
    with closing(SqliteStore.open(tmp_path / "s.db")), pytest.raises(StoreInUse):
        SqliteStore.open(tmp_path / "s.db")


@pytest.mark.parametrize("kill_after", [1, 8, 30])
async def test_whole_after_kill(tmp_path: Path, kill_after: int) -> None:
    path = tmp_path / "store.db"
    async with child(WRITE, path) as process:
        for _ in range(kill_after):
            line = await read_line(process)
        process.kill()
        # lines that were written before the kill
        said = [*(await process.communicate())[0].decode().splitlines(keepends=True)]
        number, version = [text for text in [line, *said] if text.endswith("\n")][-1].split()
    with closing(SqliteStore.open(path)) as store:
        listing = await store.list(RtmpTransponder)
        assert int(listing.resource_version) >= int(version), "what was answered is kept"
        newest = max(int(obj.name[1:]) for obj in listing.items)
        assert int(number) <= newest <= int(number) + 1
        owners = {obj.name for obj in listing.items}
        secrets = {obj.name for obj in (await store.list(Secret)).items}
        assert secrets <= owners
        assert len(owners - secrets) <= 1, "only the pair that was being made may lack its half"
        assert await replay(store) == {obj.name: obj for obj in listing.items}


async def replay(store: SqliteStore) -> dict[str, RtmpTransponder]:
    """The objects as the event log alone tells them, up to a mark made now."""
    mark = await store.create(make_transponder("mark"))
    seen: dict[str, RtmpTransponder] = {}
    async with contextlib.aclosing(store.watch(RtmpTransponder, "0")) as watch:
        async for event in watch:
            if event.object == mark:
                return seen
            apply(seen, event)
    raise AssertionError


def apply(seen: dict[str, RtmpTransponder], event: Event[RtmpTransponder]) -> None:
    assert (event.type == EventType.ADDED) == (event.object.name not in seen)
    if event.type == EventType.DELETED:
        del seen[event.object.name]
    else:
        seen[event.object.name] = event.object


async def test_all_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "store.db"
    with closing(SqliteStore.open(path)) as store:
        await store.create(make_transponder())
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqliteStore.open(path).close()
    path.chmod(0o644)
    SqliteStore.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_reopened_store_goes_on_counting(tmp_path: Path) -> None:
    with closing(SqliteStore.open(tmp_path / "s.db")) as store:
        obj = await store.create(make_transponder())
        await store.create(make_transponder("other"))
        await store.delete(RtmpTransponder, "other")
    with closing(SqliteStore.open(tmp_path / "s.db")) as store:
        assert await store.list(RtmpTransponder) == ([obj], "3")


def unusable(path: Path, why: str) -> None:
    with pytest.raises(StoreUnusable, match=why) as caught:
        SqliteStore.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_text("hello " * 1000)
    unusable(tmp_path / "s.db", "not a database")


async def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(SqliteStore.open(path)) as store:
        for number in range(50):
            await store.create(make_transponder(f"n{number}"))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)
    unusable(path, "damaged|malformed")


def test_the_database_of_another_program(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute("CREATE TABLE x (y)")
    unusable(tmp_path / "s.db", "another program")


def test_the_store_of_a_newer_release(tmp_path: Path) -> None:
    SqliteStore.open(tmp_path / "s.db").close()
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    unusable(tmp_path / "s.db", "schema version 99")
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        connection.execute("PRAGMA user_version = 1")
    SqliteStore.open(tmp_path / "s.db").close()  # the failed attempt left no lock


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unusable(tmp_path / "file" / "s.db", "Not a directory|File exists")
    (tmp_path / "folder.db").mkdir()
    unusable(tmp_path / "folder.db", "Is a directory")


@pytest.fixture
def no_root() -> Iterator[None]:
    """The test runs as somebody whom permissions bind."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.usefixtures("no_root")
def test_a_folder_that_cannot_be_written() -> None:
    unusable(Path("/store-of-rtmp-transponder.db"), "Permission denied")


async def test_errors_of_sqlite_are_store_errors(tmp_path: Path) -> None:
    with closing(SqliteStore.open(tmp_path / "s.db")) as store:
        await store.create(make_transponder())
        with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
            connection.execute("DROP TABLE events")
        with pytest.raises(StoreError, match="no such table"):
            await store.create(make_transponder("other"))
        assert [obj.name for obj in (await store.list(RtmpTransponder)).items] == ["demo"]
