"""An API server that answers as a test says, over real HTTP, and a kubeconfig for it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedApi:
    """Gives `answers` in turn; one too many is a failure of the test (`unexpected`)."""

    kubeconfig: Path
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path with query."""
    tokens: list[str | None] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    unexpected: int = 0
    port: int = 0

    async def asked(self, count: int) -> None:
        """Return after that many requests."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:  # noqa: ASYNC110 (for a test)
                await asyncio.sleep(0.005)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append((request.method, request.path_qs))
        self.tokens.append(request.headers.get("Authorization"))
        self.bodies.append(json.loads(text) if text else None)
        if not self.answers:
            self.unexpected += 1
            return web.Response(status=500)
        return await self.answers.pop(0)(request)


def answer(body: Any, code: int = 200, **headers: str) -> Answer:
    async def give(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=code, headers={key.replace("_", "-"): headers[key] for key in headers})

    return give


def refusal(code: int, reason: str, message: str = "", **headers: str) -> Answer:
    return answer({"kind": "Status", "code": code, "reason": reason, "message": message}, code, **headers)


def reset() -> Answer:
    """The connection breaks."""

    async def give(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return give


def stream(*events: tuple[str, dict[str, Any]], then: str = "end") -> Answer:
    """A watch. `then`: `end` it, `break` the connection, or be `silent` until the client goes away."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for type_, obj in events:
            await response.write(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
        assert request.transport is not None
        if then == "break":
            request.transport.abort()
        elif then == "silent":
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 (aiohttp tells of it no other way)
                await asyncio.sleep(0.01)
        return response

    return give


@asynccontextmanager
async def scripted_api(folder: Path, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedApi]:
    api = ScriptedApi(folder / "kubeconfig")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    api.port = runner.addresses[0][1]
    write_kubeconfig(api.kubeconfig, f"http://127.0.0.1:{api.port}")
    yield api
    await runner.cleanup()
    assert api.unexpected == 0, f"more requests than the test has answers for: {api.requests}"


def write_kubeconfig(path: Path, server: str, token: str = "first") -> None:  # noqa: S107 (opens nothing)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "here"}}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
