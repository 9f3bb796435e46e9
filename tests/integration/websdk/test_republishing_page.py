"""The vendor's page webrtc-as-rtmp-republishing, unmodified, step by step."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from playwright.async_api import expect
from support.flv import Flv, decode_errors, ffprobe
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.processes import free_port
from support.product import Product, Transponder
from support.vendor_site import EXAMPLES, VendorPage, VendorSite

pytestmark = pytest.mark.integration

PAGE = f"{EXAMPLES}/webrtc-as-rtmp-republishing/webrtc-as-rtmp-republishing.html"
IDLE = {"url": True, "rtmpUrl": True, "streamName": True, "publishBtn": True}
BUSY = IDLE | {"url": False, "rtmpUrl": False, "streamName": False}


async def test_start_and_stop_twice(product: Product, server: NginxRtmp, site: VendorSite) -> None:
    """Section 6.1, each row of its table; the RTMP server has the stream as rtmp_<name>."""
    async with site.open(PAGE) as page:
        await loaded(page)
        name = await page.at("streamName").input_value()
        await page.fill(url=product.websdk, rtmpUrl=server.url)
        for _ in range(2):  # the second time with the same session and the same name
            await started(page, product, server, name)
            await stopped(page, product, server, name)
        assert await page.page.evaluate("Flashphoner.getSessions().length") == 1


async def loaded(page: VendorPage) -> None:
    assert await page.at("url").input_value() == "ws://127.0.0.1:8080"
    assert await page.at("rtmpUrl").input_value() == "rtmp://localhost:1935/live"
    await page.shows("publishBtn", "Start")


async def started(page: VendorPage, product: Product, server: NginxRtmp, name: str) -> None:
    await page.click("publishBtn")
    await page.shows("status", "PUBLISHING")
    await expect(page.at("status")).to_have_class("text-success")
    await page.shows("publishBtn", "Stop")
    await page.shows("player", f"{server.url}/rtmp_{name}")
    await page.enabled(**BUSY)
    await server.receives(f"rtmp_{name}", 30_000)
    (found,) = await product.rest.find_all()
    assert (found["streamName"], found["rtmpUrl"]) == (f"rtmp_{name}", server.url)
    known = await product.rest.until(found["mediaSessionId"], lambda t: t["width"] > 0, "known in size")
    assert (known["state"], known["width"], known["height"]) == ("Live", 320, 240)
    # what the vendor's pages that poll /push/find ask for
    answer = await product.rest.push("find", {"streamName": f"rtmp_{name}", "rtmpUrl": server.url})
    assert [t["mediaSessionId"] for t in answer.body] == [found["mediaSessionId"]]


async def stopped(page: VendorPage, product: Product, server: NginxRtmp, name: str) -> None:
    await page.click("publishBtn")
    await page.shows("status", "UNPUBLISHED")
    await expect(page.at("status")).to_have_class("text-muted")
    await page.shows("publishBtn", "Start")
    await page.enabled(**IDLE)
    check(await server.finished(f"rtmp_{name}"))
    server.recording(f"rtmp_{name}").unlink()
    (server.folder / "access.log").write_text("")
    assert await product.rest.find_all() == []


def check(recording: Path) -> None:
    """H.264 of the size that the SDK captures, and AAC; whole, in order, without gaps."""
    streams = {s["codec_type"]: s for s in ffprobe(recording)["streams"]}
    video, audio = streams["video"], streams["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 320, 240)
    assert (audio["codec_name"], audio["profile"]) == ("aac", "LC")
    assert decode_errors(recording) == ""
    flv = Flv.read(recording)
    flv.check_monotone()
    flv.check_gapless_sound()
    assert flv.pictures[0].keyframe


async def test_ends_that_the_page_did_not_ask_for(
    product: Product, server: NginxRtmp, site: VendorSite, expected_errors: list[str]
) -> None:
    """FAILED and UNPUBLISHED from elsewhere: the page shows them and can start again."""
    async with site.open(PAGE) as page, site.open(PAGE) as other:
        for each in (page, other):
            await each.fill(url=product.websdk, rtmpUrl=server.url, streamName="one")
        await started(page, product, server, "one")
        await other.click("publishBtn")
        await other.shows("status", "FAILED")
        await other.shows("publishBtn", "Start")
        assert (await product.rest.request("POST", "/rest-api/stream/terminate", json={"name": "one"})).status == 200
        await page.shows("status", "UNPUBLISHED")
        await server.finished("rtmp_one")
        await page.click("publishBtn")
        await page.shows("status", "PUBLISHING")
        expected_errors.append("relay")
        (relay,) = await product.until_relays(lambda relays: len(relays) == 1)
        os.kill(relay, signal.SIGKILL)
        await page.shows("status", "FAILED")
        await page.shows("publishBtn", "Start")
        await page.click("publishBtn")
        await page.shows("status", "PUBLISHING")


async def test_an_rtmp_server_that_comes_late_and_one_that_goes(
    product: Product, site: VendorSite, tmp_path: Path
) -> None:
    """The SDK has no event of the RTMP side: the publication goes on, and the transponder tries again."""
    port = free_port()
    async with site.open(PAGE) as page:
        await page.fill(url=product.websdk, rtmpUrl=f"rtmp://127.0.0.1:{port}/live", streamName="late")
        await page.click("publishBtn")
        await page.shows("status", "PUBLISHING")
        (found,) = await until_listed(product)
        await product.rest.until(found["mediaSessionId"], lambda t: t["reconnects"] > 0, "trying again")
        for folder in ("first", "second"):
            async with nginx_rtmp(tmp_path / folder, port=port) as server:
                await server.receives("rtmp_late", 30_000, 20)
            await page.shows("status", "PUBLISHING")


async def until_listed(product: Product) -> list[Transponder]:
    async with asyncio.timeout(10):
        while not (found := await product.rest.find_all()):  # noqa: ASYNC110 - of another program
            await asyncio.sleep(0.05)
    return found


async def test_the_server_goes_and_comes_back(product: Product, server: NginxRtmp, site: VendorSite) -> None:
    """DISCONNECTED when the server stops; FAILED where nothing listens."""
    async with site.open(PAGE) as page:
        await page.fill(url=product.websdk, rtmpUrl=server.url, streamName="one")
        await started(page, product, server, "one")
        await product.stop()
        await page.shows("status", "DISCONNECTED")
        await page.shows("publishBtn", "Start")
        await page.click("publishBtn")
        await page.shows("status", "FAILED")
        await page.shows("publishBtn", "Start")
