"""The vendor's page two_way_streaming, unmodified, step by step."""

import asyncio

import pytest
from playwright.async_api import expect
from support.flv import decode_errors
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.vendor_site import EXAMPLES, VendorPage, VendorSite

pytestmark = pytest.mark.integration

PAGE = f"{EXAMPLES}/two_way_streaming/two_way_streaming.html"

PICTURE = """() => {
  const video = [...document.querySelectorAll('#remoteVideo video')].find(video => video.srcObject);
  return video ? [video.videoWidth, video.videoHeight, video.currentTime] : [0, 0, 0];
}"""


async def test_every_step(product: Product, server: NginxRtmp, site: VendorSite) -> None:
    """Section 6.2, each row of its table."""
    async with site.open(PAGE) as page:
        await connect(page, product)
        await is_unavailable(page)
        await page.click("publishBtn")
        await page.shows("publishStatus", "PUBLISHING")
        await page.shows("publishBtn", "Stop")
        name = await page.at("publishStream").input_value()
        started = await product.rest.startup(name, server.url)
        assert started["streamName"] == f"rtmp_{name}"
        await page.click("availableBtn")
        await page.shows("availableStatus", "AVAILABLE")
        await page.shows("availableInfo", "")
        await play(page)
        await page.click("sendDataBtn")
        await expect(page.at("receivedData")).to_contain_text('{"count":23}')
        await server.receives(f"rtmp_{name}", 30_000)
        await page.click("playBtn")
        await page.shows("playStatus", "STOPPED")
        await page.shows("playBtn", "Play")
        await page.click("publishBtn")
        await page.shows("publishStatus", "UNPUBLISHED")
        await page.shows("publishBtn", "Publish")
        await product.rest.tell("terminate", started["mediaSessionId"])
        assert decode_errors(await server.finished(f"rtmp_{name}")) == ""
        await disconnect(page)


async def connect(page: VendorPage, product: Product) -> None:
    assert await page.at("urlServer").input_value() == "ws://127.0.0.1:8080"
    await page.enabled(publishBtn=False, playBtn=False, availableBtn=False, sendDataBtn=False)
    await page.fill(urlServer=product.websdk)
    await page.click("connectBtn")
    await page.shows("connectStatus", "ESTABLISHED")
    await page.shows("connectBtn", "Disconnect")
    await page.enabled(publishBtn=True, playBtn=True, availableBtn=True, sendDataBtn=False)


async def is_unavailable(page: VendorPage) -> None:
    await page.click("availableBtn")
    await page.shows("availableStatus", "UNAVAILABLE")
    await page.shows("availableInfo", "Stream not found")


async def play(page: VendorPage) -> None:
    """PLAYING, and pictures of the published size that go on."""
    await page.click("playBtn")
    await page.shows("playStatus", "PLAYING")
    await page.shows("playBtn", "Stop")
    async with asyncio.timeout(20):
        while (picture := await page.page.evaluate(PICTURE))[:2] != [320, 240]:  # noqa: ASYNC110 - in another program
            await asyncio.sleep(0.05)
        while (await page.page.evaluate(PICTURE))[2] < picture[2] + 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def disconnect(page: VendorPage) -> None:
    await page.click("connectBtn")
    await page.shows("connectStatus", "DISCONNECTED")
    await page.shows("connectBtn", "Connect")
    await page.enabled(publishBtn=False, playBtn=False, availableBtn=False)


async def test_what_goes_wrong(product: Product, site: VendorSite) -> None:
    """Section 6.2, its row of errors: each shows its own text, and the page goes on."""
    async with site.open(PAGE) as page, site.open(PAGE) as other:
        for each in (page, other):
            await connect(each, product)
            await each.fill(publishStream="one", playStream="one")
        await page.click("playBtn")
        await page.shows("playStatus", "FAILED")
        await page.shows("playInfo", "Other: Stream not found")
        await page.click("publishBtn")
        await page.shows("publishStatus", "PUBLISHING")
        await other.click("publishBtn")
        await other.shows("publishStatus", "FAILED")
        in_use = "Server already has a publish stream with the same name, try using different one"
        await other.shows("publishInfo", in_use)
        await play(other)
        await disconnect(page)
        await page.shows("publishStatus", "FAILED")  # said by the SDK itself
        await other.shows("playStatus", "FAILED")
        await other.shows("playInfo", "Related publisher stopped its stream or lost connection")
        await other.click("publishBtn")
        await other.shows("publishStatus", "PUBLISHING")
        await product.stop()
        await other.shows("publishStatus", "FAILED")
        await other.shows("connectStatus", "DISCONNECTED")
        await other.click("connectBtn")
        await other.shows("connectStatus", "FAILED")
