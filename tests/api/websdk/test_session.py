"""A session by its rules: greeting, pings, unknown and malformed messages, its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from support.websdk import WebSdkClient, WebSdkServer, running_websdk

from transponder_api.websdk import app
from transponder_api.websdk.app import MAX_MESSAGE
from transponder_api.websdk.limits import Limits

QUICK = Limits(connection=0.3, start=1, grace=0.2, send=0.5)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebSdkServer]:
    folder = tmp_path_factory.mktemp("api")
    async with running_websdk(folder, QUICK, keep_alive_interval=0.05, keep_alive_probes=3) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def server(running: WebSdkServer) -> AsyncIterator[WebSdkServer]:
    yield running
    await running.api.reset()


async def alive(client: WebSdkClient) -> bool:
    """Does the session still answer?"""
    await client.call("availableStream", {"mediaSessionId": "probe", "name": "nobody"})
    return (await client.until("availableStream"))[0]["id"] == "probe"


@pytest.mark.parametrize("path", ["", "ws", "any/path?of=the-site"])
async def test_any_path_is_served(server: WebSdkServer, path: str) -> None:
    """1.1: a page may be given any URL."""
    async with WebSdkClient.connected(server.url + path) as client:
        assert await alive(client)


async def test_any_origin_may_connect(server: WebSdkServer) -> None:
    """1.1: cross-origin is normal."""
    async with (
        aiohttp.ClientSession(trust_env=False) as http,
        http.ws_connect(server.url, headers={"Origin": "https://pages.example.com"}) as socket,
    ):
        client = WebSdkClient(socket)
        await client.call("connection", {"appKey": "defaultApp"})
        assert await client.until("getUserData")


async def test_connection_is_answered_by_user_data_exactly_once(server: WebSdkServer) -> None:
    """MUST (1.2, 1.9 item 1): getUserData once, its data[0] an object, without webRTCMetricsServerDescription."""
    async with server.client(greet=False) as client:
        for _ in range(3):
            await client.call("connection", {"appKey": "myApp", "custom": {"a": 1}, "keepAlive": True})
        (data,) = await client.until("getUserData")
        assert data["appKey"] == "myApp"
        assert "webRTCMetricsServerDescription" not in data
        assert await alive(client)
        assert [received.name for received in client.received].count("getUserData") == 1


async def test_pings_come_with_a_data_array_and_pongs_keep_the_session(server: WebSdkServer) -> None:
    """MUST (1.1, 1.4, 1.9 item 1): pings in their interval; who answers stays."""
    async with server.client() as client:
        with pytest.raises(TimeoutError):
            await client.next(0.5)  # far longer than three missed pongs take
        assert client.pings >= 6
        assert all(received.data == [] for received in client.received if received.name == "ping")
        assert await alive(client)


async def test_a_session_without_pongs_is_dropped_with_its_streams(server: WebSdkServer) -> None:
    """MUST (1.9 item 1): dropped after so many missed pongs; other messages are no pongs."""
    async with server.client() as client:
        await server.publishing(client, "id", "stream")
        client.answers_pings = False
        await client.call("pushLogs", {"logs": "alive\n"})
        assert await client.closed() == 1001
        assert client.pings >= 3
        await server.gone("stream")


async def test_who_does_not_introduce_itself_is_closed(server: WebSdkServer) -> None:
    async with server.client(greet=False) as client:
        await client.call("pong")
        assert await client.closed() == 1008


async def test_streams_before_the_greeting_are_refused(server: WebSdkServer) -> None:
    async with server.client(greet=False) as client:
        await client.publish("id", "stream")
        assert await client.status("id") == ("FAILED", "Session not ready")
        assert await server.names() == []


async def test_everything_else_is_ignored(server: WebSdkServer) -> None:
    """MUST (1.8, 1.9 item 7): unknown and tolerated calls never close the socket, nor are they answered."""
    async with server.client() as client:
        names = [
            "getVersion",
            "ping",
            "snapshot",
            "submitBugReport",
            "sessionDebug",
            "pushLogs",
            "call",
            "hangup",
            "hold",
        ]
        for name in [*names, "webRTCMetricsBatch", "DataStatusEvent", "", "__class__", "handle"]:
            await client.call(name, {"mediaSessionId": "id", "name": "x"})
            await client.call(name)
        assert await alive(client)
        assert {received.name for received in client.received} <= {"getUserData", "availableStream", "ping"}


@pytest.mark.parametrize(
    "text",
    ["no JSON", "", "[]", "7", '{"message":{}}', '{"message":"publishStream"}', '{"message":"sendData","data":3}'],
)
async def test_what_is_no_message_is_ignored(server: WebSdkServer, text: str) -> None:
    async with server.client() as client:
        await client.socket.send_str(text)
        await client.socket.send_bytes(text.encode())
        assert await alive(client)


async def test_messages_up_to_the_limit_are_read(server: WebSdkServer) -> None:
    """1.1: at least 256 KB."""
    async with server.client() as client:
        frame = json.dumps({"message": "pushLogs", "data": [{"logs": "x"}]})
        await client.socket.send_str(frame.replace("x", "x" * (MAX_MESSAGE - len(frame))))
        assert await alive(client)


async def test_a_longer_message_closes_the_session_and_ends_its_streams(server: WebSdkServer) -> None:
    async with server.client() as client:
        await server.publishing(client, "id", "stream")
        await client.socket.send_str("x" * (MAX_MESSAGE + 1))
        assert await client.closed() == 1009
        await server.gone("stream")


async def test_bytes_that_are_no_utf8_close_the_session_without_noise(
    server: WebSdkServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.client() as client:
        writer = client.socket._writer
        await writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        assert await client.closed() == 1007
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_flood_is_read_slowly_and_completely(tmp_path: Path) -> None:
    limits = Limits(message_rate=400, message_burst=50)
    async with running_websdk(tmp_path, limits) as server, server.client() as flood, server.client() as other:
        began = asyncio.get_running_loop().time()
        for number in range(250):
            await flood.call("availableStream", {"mediaSessionId": str(number), "name": "x"})
        assert await alive(other)  # meanwhile
        answers = [(await flood.until("availableStream"))[0]["id"] for _ in range(250)]
        assert answers == [str(number) for number in range(250)]
        assert asyncio.get_running_loop().time() - began > 0.4


async def ask_for_ever(client: WebSdkClient) -> None:
    """More than the server's outbox and all buffers of the kernel hold; then it is to give up its socket too."""
    async with asyncio.timeout(8):
        while True:
            await client.call("sendData", {"operationId": "x" * 200_000})


async def test_who_does_not_read_is_cut_off_and_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ABORT_SECONDS", 0.1)
    async with running_websdk(tmp_path, QUICK) as server, server.client() as other, server.client() as deaf:
        await server.publishing(deaf, "id", "stream")
        deaf.socket._writer.transport.pause_reading()
        with pytest.raises(ConnectionError):
            await ask_for_ever(deaf)
        await server.gone("stream")
        assert await alive(other)


async def test_plain_http_is_told_what_is_served_here(server: WebSdkServer) -> None:
    async with aiohttp.ClientSession(trust_env=False) as http:
        async with http.get(server.url.replace("ws://", "http://")) as answer:
            assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        async with http.get(server.url.replace("ws://", "http://") + "healthz") as answer:
            assert answer.status == 200


async def test_a_token_is_wanted_if_the_server_has_one(tmp_path: Path) -> None:
    async with running_websdk(tmp_path, token="right-token") as server:
        for wrong in ({}, {"authToken": ""}, {"authToken": "wrong"}, {"authToken": 7}, {"authToken": "ü"}):
            async with server.client(greet=False) as client:
                await client.call("connection", {"appKey": "a", **wrong})
                assert await client.closed() == 1008
                assert [received.name for received in client.received] == []
        async with server.client(authToken="right-token") as client:
            assert await alive(client)


async def test_senddata_is_answered(server: WebSdkServer) -> None:
    """MUST (1.8): DataStatusEvent, or the page's promise hangs; any status but these two throws in the SDK."""
    async with server.client() as client:
        await client.call("sendData", {"operationId": "op-1", "payload": {"a": 1}})
        (answer,) = await client.until("DataStatusEvent")
        assert answer["operationId"] == "op-1"
        assert answer["status"] in {"ACCEPTED", "FAILED"}
        await client.call("sendData", {"payload": 1})
        assert await alive(client)


async def test_two_sessions_end_with_the_server(tmp_path: Path) -> None:
    async with running_websdk(tmp_path) as server:
        clients = [server.client(), server.client()]
        first, second = [await client.__aenter__() for client in clients]
        await server.publishing(first, "id", "stream")
        store = server.api.store
        assert store is not None
    assert first.socket is not second.socket
    for client, opened in zip((first, second), clients, strict=True):
        assert await client.closed() in {1012, 1006}
        await opened.__aexit__(None, None, None)
