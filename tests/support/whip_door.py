"""A WHIP endpoint that is a function of the test: the browser's offer goes in, the answer comes out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from support.chromium import served

ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "POST, DELETE",
    "Access-Control-Expose-Headers": "Location",
}


@asynccontextmanager
async def whip_door(answer: Callable[[str], Awaitable[str]]) -> AsyncIterator[str]:
    """Its URL."""

    async def publish(request: web.Request) -> web.Response:
        sdp = await answer(await request.text())
        headers = {**ANY_ORIGIN, "Location": "/session"}
        return web.Response(status=201, text=sdp, content_type="application/sdp", headers=headers)

    async def permit(request: web.Request) -> web.Response:
        return web.Response(status=200, headers=ANY_ORIGIN)

    app = web.Application()
    app.router.add_post("/whip", publish)
    app.router.add_delete("/session", permit)
    app.router.add_options("/{any}", permit)
    async with served(app) as base:
        yield f"{base}/whip"
