"""What each request passes before its route: CORS, the token, the limits of a body, the last resort for errors."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, running_api

from transponder_api.middleware import BodyLimit

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = {"Origin": "https://page.example"}
PREFLIGHT = PAGE | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
JSON = {"Content-Type": "application/json"}


async def test_health(api: Api) -> None:
    answer = await api.request("GET", "/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")
    answer = await api.request("HEAD", "/healthz")
    assert (answer.status, answer.text) == (200, "")


# ------------------------------------------------------------------------------------------ CORS


async def test_any_page_may_call_by_default(api: Api) -> None:
    """CORS: preflight before every JSON POST; Allow-Origin in each answer, errors too."""
    preflight = await api.request("OPTIONS", "/rest-api/push/startup", headers=PREFLIGHT)
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "content-type" in preflight.headers["Access-Control-Allow-Headers"].lower()
    for path, status in (("find_all", 404), ("nothing", 404), ("startup", 405)):
        answer = await api.request("GET", f"/rest-api/push/{path}", headers=PAGE)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")


async def test_a_page_can_read_that_the_server_failed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Any) -> None:
        raise RuntimeError("rtmp://user:geheim99@127.0.0.1/live")

    monkeypatch.setattr(api.store, "list", broken)
    answer = await api.request("GET", "/rest-api/push/find_all", headers=PAGE)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (500, "*")
    assert answer.body["message"] == "the server failed; its log says why"


async def test_pages_of_one_origin_only(tmp_path: Path) -> None:
    async with running_api(tmp_path, cors_origin="https://page.example https://other.example") as api:
        allowed = await api.request("GET", "/rest-api/push/find_all", headers=PAGE)
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://page.example"
        foreign = await api.request("OPTIONS", "/rest-api/push/find_all", headers=PREFLIGHT | {"Origin": "https://x"})
        assert foreign.status == 400
        assert "Access-Control-Allow-Origin" not in foreign.headers


async def test_no_pages(tmp_path: Path) -> None:
    async with running_api(tmp_path, cors_origin="") as api:
        answer = await api.request("OPTIONS", "/rest-api/push/find_all", headers=PREFLIGHT)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await api.request("OPTIONS", "/whip/demo")).headers["Accept-Post"] == "application/sdp"


# ------------------------------------------------------------------------------------------ token


async def test_the_token_opens_rest_and_whip(tmp_path: Path) -> None:
    async with running_api(tmp_path, token="s3cret-ключ") as api:
        for header in ({}, {"Authorization": "Bearer s3cret"}, {"Authorization": "Basic s3cret-ключ"}):
            for method, path in (
                ("GET", "/rest-api/push/find_all"),
                ("POST", "/whip/a"),
                ("DELETE", "/whip-session/a"),
                ("POST", "/whep/a"),
                ("DELETE", "/whep-session/a/b"),
                ("PATCH", "/whep-session/a/b"),
            ):
                answer = await api.request(method, path, headers=header)
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert "s3cret" not in answer.text
        for scheme in ("Bearer", "bearer"):
            api.headers = {"Authorization": f"{scheme} s3cret-ключ"}
            assert (await api.request("GET", "/rest-api/push/find_all")).status == 404
            assert (await api.request("POST", "/whip/a")).status == 415
        api.headers = {}
        for path in ("/healthz", "/openapi.json"):
            assert (await api.request("GET", path)).status == 200
        assert (await api.request("OPTIONS", "/rest-api/push/startup", headers=PREFLIGHT)).status == 200
        assert "HTTPBearer" in (await api.request("GET", "/openapi.json")).body["components"]["securitySchemes"]


# ------------------------------------------------------------------------------------------ bodies


def padded(size: int) -> bytes:
    body = {"streamName": "a", "rtmpUrl": "rtmp://127.0.0.1/live"}
    return json.dumps(body).encode().ljust(size)


async def test_a_body_of_64_kib_is_read(api: Api) -> None:
    answer = await api.request("POST", "/rest-api/push/startup", data=padded(65536), headers=JSON)
    assert answer.status == 200


async def test_a_larger_body_is_refused(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, 65537, 8192):
            yield padded(65537)[start : start + 8192]

    for data in (padded(65537), chunks()):
        answer = await api.request("POST", "/rest-api/push/startup", data=data, headers=JSON)
        assert (answer.status, answer.body["message"]) == (413, "body: must have at most 65536 bytes")
    assert await api.stored() == ([], [], [])


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(*_: Any) -> None:
        raise AssertionError("the route must not run")

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    await BodyLimit(app, limit=10, timeout=0.01)(scope, never, send)
    assert sent[0]["status"] == 408


async def test_a_caller_who_leaves_is_not_served() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def fail(*_: Any) -> None:
        raise AssertionError("nothing may run")

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    await BodyLimit(fail, limit=10, timeout=5)(scope, gone, fail)


# ------------------------------------------------------------------------------------------ log


async def test_one_line_per_transition(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    started = await api.startup("demo?key=geheim99", "rtmp://127.0.0.1/live")
    for _ in range(2):
        await api.push("mute", {"mediaSessionId": started["mediaSessionId"]})
    await api.push("terminate", {"mediaSessionId": started["mediaSessionId"]})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("transponder_api")]
    subject = f"transponder {started['mediaSessionId'][:8]} of stream demo?…: "
    assert lines == [subject + text for text in ("to 127.0.0.1 made", "muted", "ended")]
