"""The WebSDK's npm package, unmodified, on a web server of its own, and its pages in headless Chromium."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Locator, Page, async_playwright, expect
from support.chromium import FLAGS, chromium_program, served
from support.npm_package import npm_package

WEBSDK = ("@flashphoner/websdk", "2.0.276")
MOCHA = ("mocha", "2.5.3")
CHAI = ("chai", "3.5.0")

MOCHA_PAGE = Path(__file__).parent / "mocha_page" / "index.html"
EXAMPLES = "/client2/examples/demo/streaming"
WAIT = 20_000
"""Milliseconds, as Playwright counts."""


@dataclass
class VendorPage:
    """An example page, by the ids of its elements."""

    page: Page
    faults: list[str] = field(default_factory=list)
    """Exceptions of its scripts that nobody caught."""

    def at(self, id_: str) -> Locator:
        return self.page.locator(f"#{id_}")

    async def fill(self, **fields: str) -> None:
        for id_, text in fields.items():
            await self.at(id_).fill(text)

    async def click(self, id_: str) -> None:
        """Waits until the button is enabled."""
        await self.at(id_).click(timeout=WAIT)

    async def shows(self, id_: str, text: str) -> None:
        await expect(self.at(id_)).to_have_text(text, timeout=WAIT)

    async def enabled(self, **buttons: bool) -> None:
        for id_, yes in buttons.items():
            await expect(self.at(id_)).to_be_enabled(enabled=yes, timeout=WAIT)


@dataclass(frozen=True)
class VendorSite:
    """The package at /client2/ as on a WCS, mocha and chai beside it, and a browser."""

    base: str
    context: BrowserContext

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[VendorPage]:
        """After the block: no script of the page failed."""
        opened = VendorPage(await self.context.new_page())
        opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
        await opened.page.goto(self.base + path)
        try:
            yield opened
            assert not opened.faults, opened.faults
        finally:
            await opened.page.close()


@asynccontextmanager
async def vendor_site(*, with_mocha: bool = False) -> AsyncIterator[VendorSite]:
    """The site and a browser, or skip with the reason."""
    chromium = chromium_program()
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    folders = {"/client2/": npm_package(*WEBSDK)}
    if with_mocha:
        folders |= {"/mocha/": npm_package(*MOCHA), "/chai/": npm_package(*CHAI)}
    async with served(_application(folders)) as base, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS[1:]))
        try:
            yield VendorSite(base, await browser.new_context())
        finally:
            await browser.close()


def _application(folders: dict[str, Path]) -> web.Application:
    app = web.Application()
    for prefix, folder in folders.items():
        app.router.add_static(prefix, folder)
    app.router.add_get("/mocha.html", _mocha_page)
    app.router.add_get("/blank.html", _blank)
    app.router.add_get("/favicon.ico", _nothing)
    return app


async def _mocha_page(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(MOCHA_PAGE)


async def _blank(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>blank</title>", content_type="text/html")


async def _nothing(_: web.Request) -> web.Response:
    return web.Response(status=204)
