"""The relay as a program of its own: its environment, the stream that it is given later, its end."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
import pytest
from support.clip import clip
from support.processes import Program, clean_environment, free_port
from support.rtmp_server import Server, rtmp_server
from support.whip_sender import WhipSender

from transponder_crd.control import (
    Answer,
    DesiredOutput,
    DesiredPublisher,
    DesiredRelay,
    Offer,
    PublisherState,
    RelayReport,
)
from transponder_relay.outputs.chunks import MessageType

TOKEN = "a-token-of-the-control-port"


class RelayProgram:
    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.http = aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
        )

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, **variables: str) -> AsyncIterator[Self]:
        """Ready. Killed at the end of the block if it still runs."""
        port = free_port()
        program = await start(folder, {"CONTROL_HOST": "127.0.0.1", "CONTROL_PORT": str(port), **variables})
        relay = cls(program, port)
        try:
            async with asyncio.timeout(20):
                while await relay.status("/readyz") != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            yield relay
        finally:
            await relay.http.close()
            await program.destroy()

    async def status(self, path: str, method: str = "GET") -> int | None:
        """None when nobody listens."""
        try:
            async with self.http.request(method, path) as response:
                return response.status
        except aiohttp.ClientError:
            return None

    async def put(self, desired: DesiredRelay) -> int:
        async with self.http.put("/desired", data=desired.model_dump_json()) as response:
            return response.status

    async def offer(self, publisher_id: str, sender: WhipSender) -> int:
        offer = Offer(publisher_id=publisher_id, sdp=await sender.offer())
        async with self.http.post("/offer", data=offer.model_dump_json()) as response:
            if response.status == 200:
                await sender.accept(Answer.model_validate_json(await response.text()).sdp)
            return response.status

    @asynccontextmanager
    async def reports(self) -> AsyncIterator[AsyncIterator[RelayReport]]:
        async with self.http.get("/observed") as response:
            yield _reports(response)

    def signal(self) -> None:
        self.program.process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """With exit code 0, and well before what draining might take."""
        assert await asyncio.wait_for(self.program.process.wait(), 15) == 0


async def _reports(response: aiohttp.ClientResponse) -> AsyncIterator[RelayReport]:
    with contextlib.suppress(aiohttp.ClientPayloadError):  # the relay has ended
        async for line in response.content:
            yield RelayReport.model_validate_json(line)


async def start(folder: Path, variables: Mapping[str, str]) -> Program:
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    own = {"INSTANCE": "relay-1", "TOKEN_FILE": str(token), "MEDIA_ADDRESSES": "127.0.0.1", **variables}
    environment = clean_environment(folder, {f"TRANSPONDER_{name}": value for name, value in own.items()})
    return await Program.start([sys.executable, "-m", "transponder_relay"], folder / "log", environment, folder)


def desired(stream: str = "demo", publisher: str | None = None, *servers: Server) -> DesiredRelay:
    outputs = [
        DesiredOutput(id=str(number), generation=1, target=server.target(), hold_seconds=60)
        for number, server in enumerate(servers)
    ]
    return DesiredRelay(
        stream_name=stream, publisher=DesiredPublisher(id=publisher) if publisher else None, outputs=outputs
    )


def pictures(server: Server) -> int:
    return sum(len(session.media(MessageType.VIDEO)) for session in server.sessions)


# ---------------------------------------------------------------------------------------------- start


BAD = {
    "INSTANCE": ("", "is required"),
    "TOKEN_FILE": ("/no/such/file", "cannot be read: No such file or directory"),
    "CONTROL_PORT": ("70000", "must be less than or equal to 65535"),
    "CONTROL_HOST": ("nowhere", "value is not a valid IPv4 or IPv6 address"),
    "MEDIA_ADDRESSES": ("203.0.113.7,fe80::1", "must be an address that browsers can reach"),
    "MEDIA_PORT_RANGE": ("40003-40000", "must name the lower port first"),
    "MAX_BITRATE": ("1", "must be greater than or equal to 100000"),
    "SOUNDS_FOLDER": ("/no/such/folder", "must be a folder"),
    "RTMPS_CA_FILE": ("/etc/hostname", "must be a PEM file of certificates"),
    "DRAIN_SECONDS": ("-1", "must be greater than or equal to 0"),
    "LOG_LEVEL": ("loud", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
}


async def test_a_bad_setting_is_one_line_that_names_it(tmp_path: Path) -> None:
    async def refused(name: str, value: str) -> tuple[int | None, str]:
        folder = tmp_path / name
        folder.mkdir()
        program = await start(folder, {name: value})
        try:
            return await asyncio.wait_for(program.process.wait(), 30), program.text()
        finally:
            await program.destroy()

    for name, (value, rule) in BAD.items():
        code, text = await refused(name, value)
        assert code == 2, (name, text)
        assert text.count("\n") == 1, text
        assert text.startswith(f"transponder-relay: TRANSPONDER_{name}"), text
        assert rule in text, text


@pytest.mark.parametrize("content", ["", "short\n", "sixteen or more, with spaces", "\udcff" * 20])
async def test_the_token_must_be_one_and_is_never_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(content.encode(errors="surrogateescape"))
    program = await start(tmp_path, {"TOKEN_FILE": str(file)})
    try:
        assert await asyncio.wait_for(program.process.wait(), 30) == 2
    finally:
        await program.destroy()
    text = program.text()
    assert text.startswith("transponder-relay: TRANSPONDER_TOKEN_FILE: the file must hold a token"), text
    assert "spaces" not in text


async def test_a_control_port_in_use_is_told(tmp_path: Path) -> None:
    async with RelayProgram.running(tmp_path) as relay:
        port = relay.http._base_url.port if relay.http._base_url else 0
        (tmp_path / "second").mkdir()
        program = await start(tmp_path / "second", {"CONTROL_HOST": "127.0.0.1", "CONTROL_PORT": str(port)})
        try:
            assert await asyncio.wait_for(program.process.wait(), 30) == 2
        finally:
            await program.destroy()
        expected = (
            f"transponder-relay: TRANSPONDER_CONTROL_PORT: port {port} cannot be opened: Address already in use\n"
        )
        assert program.text() == expected


async def test_it_is_idle_until_it_is_given_a_stream_and_keeps_that(tmp_path: Path) -> None:
    async with RelayProgram.running(tmp_path, LOG_FORMAT="json") as relay:
        for path in ("/healthz", "/readyz"):
            assert await relay.status(path) == 200
            assert await relay.status(path, "HEAD") == 200
        async with relay.reports() as reports:
            idle = await anext(reports)
        assert (idle.instance, idle.draining, idle.publisher, idle.outputs) == ("relay-1", False, None, [])
        assert await relay.put(desired("one?key=secret", "p")) == 204
        assert await relay.put(desired("another", "p")) == 409
        assert await relay.put(desired("one?key=secret")) == 204
        async with relay.http.put("/desired", data='{"streamName": ""}') as response:
            assert response.status == 400
        relay.signal()
        await relay.ended()
    lines = [json.loads(line) for line in relay.program.text().splitlines()]
    assert [line["message"] for line in lines] == ["serves stream one?…"]


async def test_metrics_may_be_open_and_nothing_else_is(tmp_path: Path) -> None:
    async def without_token(relay: RelayProgram, path: str) -> int:
        async with (
            aiohttp.ClientSession(relay.http._base_url, trust_env=False) as http,
            http.get(path) as response,
        ):
            return response.status

    for number, status in (("0", 401), ("1", 200)):
        (tmp_path / number).mkdir()
        async with RelayProgram.running(tmp_path / number, OPEN_METRICS=number) as relay:
            assert await relay.status("/metrics") == 200
            assert await without_token(relay, "/metrics") == status
            assert await without_token(relay, "/observed") == 401


# ---------------------------------------------------------------------------------------------- end


@pytest.mark.parametrize("publisher", [None, "p"])
async def test_without_a_connected_publisher_it_ends_at_once(tmp_path: Path, publisher: str | None) -> None:
    async with rtmp_server() as server, RelayProgram.running(tmp_path, DRAIN_SECONDS="60") as relay:
        assert await relay.put(desired("demo", publisher, server)) == 204
        relay.signal()
        await relay.ended()


async def test_it_drains_with_its_publisher(tmp_path: Path) -> None:
    """Media goes on; nothing new is taken; when the publisher goes, so does the relay, and says why."""
    async with rtmp_server() as server, RelayProgram.running(tmp_path, DRAIN_SECONDS="60") as relay:
        assert await relay.put(desired("demo", "p", server)) == 204
        sender = WhipSender(clip())
        assert await relay.offer("p", sender) == 200
        await server.until(lambda: pictures(server) > 10, 10)
        async with relay.reports() as reports:
            relay.signal()
            report = await anext(report async for report in reports if report.draining)
            assert report.publisher is not None
            assert report.publisher.state is PublisherState.CONNECTED
            assert await relay.status("/readyz") == 503
            assert await relay.status("/healthz") == 200
            so_far = pictures(server)
            await server.until(lambda: pictures(server) > so_far + 60, 10)
            assert await relay.put(desired("demo", "p", server)) == 204
            async with WhipSender(clip()) as another:
                assert await relay.offer("p", another) == 503
            await sender.stop()
            last = [report async for report in reports][-1]
            assert last.publisher is not None
            assert (last.publisher.id, last.publisher.state) == ("p", PublisherState.ENDED)
            assert last.publisher.reason
        await relay.ended()
    (session,) = server.sessions
    assert session.ended_in_order


async def test_another_publisher_is_not_taken_while_it_drains(tmp_path: Path) -> None:
    async with RelayProgram.running(tmp_path, DRAIN_SECONDS="60") as relay, WhipSender(clip()) as sender:
        await relay.put(desired("demo", "p"))
        assert await relay.offer("p", sender) == 200
        await asyncio.wait_for(sender.connected.wait(), 10)
        relay.signal()
        assert await relay.put(desired("demo", "next")) == 204
        await sender.closed_by_peer(10)
        await relay.ended()


async def test_it_drains_no_longer_than_it_may(tmp_path: Path) -> None:
    async with rtmp_server() as server, RelayProgram.running(tmp_path, DRAIN_SECONDS="2") as relay:
        await relay.put(desired("demo", "p", server))
        async with WhipSender(clip()) as sender:
            assert await relay.offer("p", sender) == 200
            await server.until(lambda: pictures(server) > 10, 10)
            told = time.monotonic()
            relay.signal()
            await relay.ended()
            assert time.monotonic() - told >= 2
        assert server.sessions[0].ended_in_order


async def test_a_second_signal_ends_the_draining(tmp_path: Path) -> None:
    async with RelayProgram.running(tmp_path, DRAIN_SECONDS="600") as relay, WhipSender(clip()) as sender:
        await relay.put(desired("demo", "p"))
        assert await relay.offer("p", sender) == 200
        async with relay.reports() as reports:
            relay.signal()
            await anext(report async for report in reports if report.draining)
        relay.signal()
        await relay.ended()


async def test_without_drain_seconds_all_ends_at_once(tmp_path: Path) -> None:
    async with rtmp_server() as server, RelayProgram.running(tmp_path) as relay, WhipSender(clip()) as sender:
        await relay.put(desired("demo", "p", server))
        assert await relay.offer("p", sender) == 200
        await server.until(lambda: pictures(server) > 10, 10)
        relay.signal()
        await relay.ended()
        assert server.sessions[0].ended_in_order
