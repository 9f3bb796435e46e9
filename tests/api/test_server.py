import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from transponder_api.server import Door, bind, serving, serving_all
from transponder_api.settings import ApiSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_bind_takes_a_free_port(host: str) -> None:
    with bind(host, 0) as listener:
        assert listener.getsockname()[1] > 0
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on nothing else"
        with pytest.raises(OSError, match="in use"):
            bind(host, listener.getsockname()[1])


async def test_serving_leaves_signals_alone_and_ends_with_its_block() -> None:
    states: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        states.append("started")
        yield
        states.append("ended")

    app = FastAPI(lifespan=lifespan)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serving(app, listener), aiohttp.ClientSession(trust_env=False) as session:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        async with session.get(f"http://127.0.0.1:{port}/openapi.json") as answer:
            assert answer.status == 200
            assert "Server" not in answer.headers
        assert states == ["started"]
    assert states == ["started", "ended"]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_two_doors_have_one_lifespan_and_end_together() -> None:
    states: list[str] = []

    def noting(name: str) -> FastAPI:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            states.append(f"{name} started")
            yield
            states.append(f"{name} ended")

        return FastAPI(lifespan=lifespan)

    first, second, unseen = noting("first"), noting("second"), noting("unseen")
    listeners = [bind("127.0.0.1", 0) for _ in range(3)]
    ports = [listener.getsockname()[1] for listener in listeners]
    doors = [Door(app, listener) for app, listener in zip((first, second, first), listeners, strict=True)]
    async with serving_all(doors, around=[unseen]), aiohttp.ClientSession(trust_env=False) as session:
        for port in ports:
            async with session.get(f"http://127.0.0.1:{port}/openapi.json") as answer:
                assert answer.status == 200
        assert states == ["unseen started", "first started", "second started"]
    assert states[3:] == ["second ended", "first ended", "unseen ended"]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "9091")
    monkeypatch.setenv("TRANSPONDER_DEFAULTS__STREAM_NAME_PREFIX", "")
    settings = ApiSettings(host="::")
    assert (settings.host, settings.http_port, settings.defaults.stream_name_prefix) == ("::", 9091, "")


def test_a_bad_setting_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSPONDER_HTTP_PORT", "geheim99")
    monkeypatch.setenv("TRANSPONDER_TOKEN", "")
    with pytest.raises(ValidationError) as caught:
        ApiSettings()
    assert "geheim99" not in str(caught.value)
    assert {error["loc"] for error in caught.value.errors()} == {("http_port",), ("token",)}
