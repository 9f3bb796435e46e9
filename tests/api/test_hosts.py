import asyncio
import socket
from typing import Any

import pytest
from support.api import running_api

from transponder_api.hosts import host_exists


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_hosts_that_need_no_dns(host: str) -> None:
    assert await host_exists(host, 5)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
async def test_names_that_no_dns_can_hold(host: str) -> None:
    assert not await host_exists(host, 5)


@pytest.mark.parametrize(
    ("number", "exists"),
    [(socket.EAI_NONAME, False), (socket.EAI_NODATA, False), (socket.EAI_AGAIN, True), (socket.EAI_FAIL, True)],
)
async def test_only_a_definite_no_is_a_no(monkeypatch: pytest.MonkeyPatch, number: int, exists: bool) -> None:
    async def answer(*_: Any, **__: Any) -> None:
        raise socket.gaierror(number, "as DNS says")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    assert await host_exists("rtmp.example.com", 5) is exists


async def test_a_silent_name_server_is_no_no(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silent)
    assert await host_exists("rtmp.example.com", 0.01)


async def test_startup_400_for_a_host_that_does_not_exist(tmp_path: Any) -> None:
    """/push/startup 400: host not resolvable by DNS."""
    asked = []

    async def nobody(host: str, timeout: float) -> bool:
        asked.append(host)
        return False

    async with running_api(tmp_path, host_check=nobody) as api:
        answer = await api.push("startup", {"streamName": "a", "rtmpUrl": "rtmp://u:p@nowhere.example:1/live"})
        assert (answer.status, answer.body["message"]) == (400, "rtmpUrl: its host does not exist")
        assert asked == ["nowhere.example"]
        assert await api.stored() == ([], [], [])
