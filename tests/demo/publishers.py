"""Who publishes in the demo: a real browser if there is one, else a generated clip."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from support.chromium import chromium_program, chromium_publisher
from support.clip import clip
from support.whip_sender import WhipSender


def publisher(whip_url: str, folder: Path) -> AbstractAsyncContextManager[str]:
    """Publish for the length of the block; gives a description for people."""
    return _browser(whip_url, folder) if chromium_program() else _clip(whip_url)


@asynccontextmanager
async def _browser(whip_url: str, folder: Path) -> AsyncIterator[str]:
    async with chromium_publisher(whip_url, folder / "chromium") as browser:
        await browser.connected()
        yield "headless Chromium with its fake camera and microphone"
        await browser.stop()


@asynccontextmanager
async def _clip(whip_url: str) -> AsyncIterator[str]:
    async with WhipSender(clip()) as sender:
        await sender.start(whip_url)
        yield "a generated clip (Chromium is not installed)"
