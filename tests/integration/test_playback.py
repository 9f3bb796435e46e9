"""A published stream is played by WHEP: in headless Chromium, and bit by bit."""

from pathlib import Path

import aiohttp
import pytest
from support.chromium import BrowserPage, chromium_player, chromium_program
from support.clip import Clip
from support.product import Product
from support.whep_player import WhepPlayer
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


@pytest.mark.skipif(chromium_program() is None, reason="Chromium is not installed (Debian: chromium)")
async def test_chromium_plays(product: Product, media: Clip, tmp_path: Path) -> None:
    whep = f"{product.base}/whep/show"
    async with WhipSender(media) as sender:
        await sender.start(product.whip("show"))
        async with chromium_player(whep, tmp_path / "chromium") as browser:
            await browser.connected()
            await browser.until(lambda page: figure(page, "framesDecoded") >= 60, "60 pictures decoded", 20)
            shown = browser.last("statistics") or {}
            print(shown)
            assert (shown["width"], shown["height"], shown["codec"]) == (640, 360, "video/H264")
            assert shown["currentTime"] > 1
            assert shown["soundEnergy"] > 0
            before = shown["currentTime"]
            await browser.until(lambda page: figure(page, "currentTime") > before + 1, "going on", 10)
            await browser.stop()
        assert (browser.last("stopped") or {})["status"] == 200
    assert [report["streams"] for report in browser.reports if report["event"] == "track"] == [1, 1]


def figure(page: BrowserPage, name: str) -> float:
    return (page.last("statistics") or {}).get(name) or 0


async def test_a_whole_session(product: Product, media: Clip) -> None:
    """What is played is what is published, by a stream name that needs quoting; the publisher's end is the player's."""
    name = "caf%C3%A9/room-1%3Fday=1"
    whep, whip = f"{product.base}/whep/{name}", product.whip(name)
    async with aiohttp.ClientSession() as http, WhepPlayer() as player:
        headers = {"Content-Type": "application/sdp"}
        async with http.post(whep, data=await player.offer(), headers=headers) as answer:
            assert (answer.status, (await answer.json())["field"]) == (404, "streamName")
        async with WhipSender(media) as sender:
            await sender.start(whip)
            await player.start(whep)
            await player.until(lambda: len(player.pictures) >= 30)
            sent = [picture.crc for picture in sender.sent]
            first = sent.index(player.pictures[0].crc)
            assert [p.crc for p in player.pictures] == sent[first : first + len(player.pictures)]
            assert player.resource
            await check_patch(http, player.resource, player.etag or "")
            status = await second_player(whep)
            assert status == 200
        await player.until(player.closed_by_peer.is_set)
        async with http.delete(player.resource) as answer:
            assert answer.status == 404
        player.resource = None


async def check_patch(http: aiohttp.ClientSession, resource: str, etag: str) -> None:
    headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag}
    for wanted, url in ((204, resource), (404, resource.replace("whep-session/", "whep-session/0"))):
        async with http.patch(url, data="a=end-of-candidates\r\n", headers=headers) as answer:
            assert answer.status == wanted
    async with http.get(resource) as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def second_player(whep: str) -> int | None:
    async with WhepPlayer() as other:
        await other.start(whep)
        await other.until(lambda: len(other.pictures) >= 3)
        return await other.stop()
