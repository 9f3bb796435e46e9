"""`transponder local` as its users start it: real processes, from the first line it prints to the last process gone."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.objects import make_stream
from support.processes import Program, clean_environment, free_port
from support.product import END_SECONDS, running_product

from transponder_crd.resource import Stream
from transponder_crd.sqlite_store import SqliteStore

URL = "rtmp://127.0.0.1:1/live"
"""Nobody is published in these tests, so nothing connects to it."""

KEY = "rtmp://127.0.0.1:1/app/s3cr3tstreamkey0"


def command(folder: Path, *options: str) -> Sequence[str]:
    program = [sys.executable, "-m", "transponder_local", "local"]
    return [*program, "--data", str(folder / "data"), "--ws-port", "0", *options]


@asynccontextmanager
async def program(folder: Path, *options: str, **variables: str) -> AsyncIterator[Program]:
    started = await Program.start(
        command(folder, *options), folder / "log", clean_environment(folder, variables), folder
    )
    try:
        yield started
    finally:
        await started.destroy()


async def printed(started: Program, pattern: str) -> re.Match[str]:
    """The first match of `pattern` in what the program printed."""
    async with asyncio.timeout(20):
        while not (match := re.search(pattern, started.text())):
            assert started.running, started.text()
            await asyncio.sleep(0.02)
    return match


async def test_it_prints_what_to_open_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    async with program(tmp_path, "--http-port", "0") as started:
        base = (await printed(started, r"REST +(http://127\.0\.0\.1:\d+)/rest-api/push/\n"))[1]
        await printed(started, rf"WHIP +{base}/whip/<stream name>\n")
        openapi = (await printed(started, rf"OpenAPI +({base}/openapi\.json)\n"))[1]
        assert re.search(rf"^page +{base}/$", started.text(), re.MULTILINE)
        websdk = (await printed(started, r"WebSDK +(ws://127\.0\.0\.1:\d+)\n"))[1]
        await printed(started, rf"data +{tmp_path}/data\n")
        await printed(started, rf"sounds +{tmp_path}/data/sounds\n")
        async with aiohttp.ClientSession() as client, client.get(openapi) as response:
            assert response.status == 200
        async with aiohttp.ClientSession() as client, client.ws_connect(f"{websdk}/any/path") as session:
            await session.send_json({"message": "connection", "data": [{"appKey": "defaultApp"}]})
            assert "getUserData" in {(await session.receive_json())["message"] for _ in range(2)}
        assert (tmp_path / "data" / "sounds").is_dir()
        assert (tmp_path / "data" / "store.sqlite").stat().st_mode & 0o777 == 0o600
        assert await started.end(signal.SIGINT, END_SECONDS) == 0
        assert not await started.none_left(2)
        assert "Traceback" not in started.text()


@pytest.fixture
def no_nohup() -> Iterator[None]:
    """What is started hears SIGHUP, also where these tests were started to outlive their terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("no_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_other_signals_end_it_too(tmp_path: Path, number: signal.Signals) -> None:
    async with program(tmp_path, "--http-port", "0") as started:
        await printed(started, "sounds")
        assert await started.end(number, END_SECONDS) == 0
        assert not await started.none_left(2)


async def fails(folder: Path, *options: str, **variables: str) -> str:
    """The one line with which it refuses to start."""
    async with program(folder, *options, **variables) as started:
        assert await asyncio.wait_for(started.process.wait(), 20) == 2
        assert started.text().count("\n") == 1, started.text()
        return started.text()


async def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = await fails(tmp_path, "--http-port", str(port))
    assert line == f"transponder: --http-port {port}: Address already in use (127.0.0.1:{port})\n"


async def test_an_address_of_another_machine(tmp_path: Path) -> None:
    line = await fails(tmp_path, "--host", "192.0.2.1", "--http-port", "0")
    assert line == "transponder: --host 192.0.2.1: Cannot assign requested address (192.0.2.1:0)\n"


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = await fails(tmp_path, "--http-port", "0", "--sounds", str(tmp_path / "file" / "sounds"))
    assert line == f"transponder: --sounds {tmp_path}/file/sounds: Not a directory\n"
    line = await fails(tmp_path / "second", "--http-port", "0", "--data", str(tmp_path / "file" / "data"))
    assert line.startswith("transponder: --data: ")
    assert f"{tmp_path}/file/data" in line


async def test_a_bad_setting_of_the_environment(tmp_path: Path) -> None:
    line = await fails(tmp_path, TRANSPONDER_HTTP_PORT="port")
    assert line.startswith("transponder: --http-port (TRANSPONDER_HTTP_PORT): must be a valid integer")


async def test_a_data_folder_in_use(tmp_path: Path) -> None:
    async with program(tmp_path, "--http-port", "0") as first:
        await printed(first, "sounds")
        line = await fails(tmp_path / "second", "--http-port", "0", "--data", str(tmp_path / "data"))
        assert re.fullmatch(rf"transponder: --data: .*{tmp_path}/data/store.sqlite is in use .*\n", line)


async def test_a_restart_keeps_transponders(tmp_path: Path) -> None:
    port = free_port()
    async with running_product(tmp_path, port=port) as product:
        made = await product.rest.startup("demo", KEY, rtmpTransponderFullUrl=True)
        await product.rest.until_state(made["mediaSessionId"], "WaitingForPublisher")
        assert len(product.relays()) == 1
        await product.stop()
        assert product.log().count("demo → rtmp://127.0.0.1:1/app/***: WaitingForPublisher") == 1
    async with running_product(tmp_path, port=port) as product:
        again = await product.rest.until_state(made["mediaSessionId"], "WaitingForPublisher")
        assert again["rtmpUrl"] == "rtmp://127.0.0.1:1/app/***"
        await product.until_relays(lambda relays: len(relays) == 1)
        await product.rest.tell("mute", made["mediaSessionId"])
        await product.rest.until(made["mediaSessionId"], lambda found: bool(found["muted"]), "muted")
        await product.rest.tell("terminate", made["mediaSessionId"])
        await product.until_relays(lambda relays: not relays)
        assert await product.rest.find_all() == []
        assert "s3cr3t" not in product.log()


async def test_streams_of_the_former_run_are_gone(tmp_path: Path) -> None:
    database = tmp_path / "data" / "store.sqlite"
    with contextlib.closing(SqliteStore.open(database)) as store:
        await store.create(make_stream())
    async with running_product(tmp_path) as product:
        await product.stop()
    with contextlib.closing(SqliteStore.open(database)) as store:
        assert (await store.list(Stream)).items == []


async def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    async with running_product(tmp_path) as product:
        for name in ("a", "b", "c"):
            await product.rest.startup(name, URL)
        await product.until_relays(lambda relays: len(relays) == 3)
        os.kill(product.program.process.pid, signal.SIGKILL)
        assert not await product.program.none_left(8)


async def test_a_killed_relay_comes_back_with_its_transponders(tmp_path: Path) -> None:
    async with running_product(tmp_path) as product:
        made = [await product.rest.startup("demo", url) for url in (URL, f"{URL}2")]
        for one in made:
            await product.rest.until_state(one["mediaSessionId"], "WaitingForPublisher")
        (relay,) = product.relays()
        os.kill(relay, signal.SIGKILL)
        await product.rest.until_state(made[0]["mediaSessionId"], "Pending")
        for one in made:
            await product.rest.until_state(one["mediaSessionId"], "WaitingForPublisher")
        (successor,) = product.relays()
        assert successor != relay
        assert "relay was ended by SIGKILL; a new one in 1 s" in product.log()


async def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    async with running_product(tmp_path) as product:
        made = await product.rest.startup("demo", URL)
        await product.rest.until_state(made["mediaSessionId"], "WaitingForPublisher")
        (relay,) = product.relays()
        os.kill(relay, signal.SIGSTOP)  # a relay that does not end in order
        product.program.process.send_signal(signal.SIGINT)
        await printed(product.program, "INFO +ending")
        assert await product.program.end(signal.SIGINT, 4) == 130
        assert not await product.program.none_left(2)
