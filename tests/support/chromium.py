"""A real browser: headless Chromium on a page served from here, as publisher with its fake camera and microphone, or as
player."""

import asyncio
import contextlib
import json
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from support.processes import Program, clean_environment

PUBLISH_PAGE = Path(__file__).parent / "publish_page" / "index.html"
PLAY_PAGE = Path(__file__).parent / "play_page" / "index.html"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=30",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)

Report = dict[str, Any]


def chromium_program() -> str | None:
    """Where Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class BrowserPage:
    """What the page said so far, and the one order it takes."""

    def __init__(self, page: Path) -> None:
        self._page_file = page
        self.reports: list[Report] = []
        self._news = asyncio.Event()
        self._stop = asyncio.Event()

    def last(self, event: str) -> Report | None:
        return next((r for r in reversed(self.reports) if r["event"] == event), None)

    async def until(self, good: Callable[["BrowserPage"], bool], what: str, timeout: float) -> None:
        """Raises AssertionError with the page's reports when it never comes, or at once when the page has failed."""
        deadline = time.monotonic() + timeout
        while not good(self):
            failed = self.last("failed")
            assert failed is None, f"the page failed: {failed}"
            left = deadline - time.monotonic()
            assert left > 0, f"not {what} within {timeout} s: {self.reports[-5:]}"
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    async def connected(self, timeout: float = 30) -> None:
        await self.until(lambda page: page.last("connected") is not None, "connected", timeout)

    async def stop(self, timeout: float = 10) -> None:
        """Let the page send its DELETE and close the connection."""
        self._stop.set()
        await self.until(lambda page: page.last("stopped") is not None, "stopped", timeout)

    # ------------------------------------------------------------------------------------------ HTTP for the page

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/favicon.ico", self._nothing)
        app.router.add_post("/report", self._report)
        app.router.add_get("/stop", self._wait_for_stop)
        return app

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self._page_file)

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _report(self, request: web.Request) -> web.Response:
        self.reports.append(json.loads(await request.text()))
        self._news.set()
        return web.Response(status=204)

    async def _wait_for_stop(self, request: web.Request) -> web.Response:
        await self._stop.wait()
        return web.Response(status=204)


@asynccontextmanager
async def chromium_publisher(
    whip_url: str, folder: Path, *, width: int = 1280, height: int = 720, fps: int = 30, codec: str = ""
) -> AsyncIterator[BrowserPage]:
    """Chromium publishing its fake camera to `whip_url`; its profile and output go to `folder`. `codec`: offer this
    one alone (as in "video/VP8")."""
    query = {"whip": whip_url, "width": width, "height": height, "fps": fps, "codec": codec}
    async with _browser(PUBLISH_PAGE, query, folder) as browser:
        yield browser


@asynccontextmanager
async def chromium_player(whep_url: str, folder: Path) -> AsyncIterator[BrowserPage]:
    """Chromium playing `whep_url`; its profile and output go to `folder`."""
    async with _browser(PLAY_PAGE, {"whep": whep_url}, folder) as browser:
        yield browser


@asynccontextmanager
async def _browser(page: Path, query: Mapping[str, str | int], folder: Path) -> AsyncIterator[BrowserPage]:
    chromium = chromium_program()
    assert chromium, "Chromium is not installed"
    browser = BrowserPage(page)
    async with served(browser.application()) as base:
        command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"{base}/?{urlencode(query)}"]
        program = await Program.start(command, folder / "chromium.log", clean_environment(folder), folder)
        try:
            yield browser
        finally:
            with contextlib.suppress(TimeoutError):
                await program.end(signal.SIGTERM, 5)
            await program.destroy()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
