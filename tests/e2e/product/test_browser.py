"""Headless Chromium publishes into a pod: the vendor's WebSDK page, and the product's own page."""

import asyncio
from pathlib import Path

import pytest
from support.flv import Flv
from support.installation import FULLNAME, Installation
from support.port_forward import port_forward
from support.product import Rest
from support.recordings import whole_recording
from support.rtmp_peer import RtmpPeer
from support.vendor_site import EXAMPLES, vendor_site
from support.web_page import launched, open_page

pytestmark = pytest.mark.timeout(150)  # the first run fetches the vendor's package

PAGE = f"{EXAMPLES}/webrtc-as-rtmp-republishing/webrtc-as-rtmp-republishing.html"


async def test_the_websdk_page(installed: Installation, peer: RtmpPeer, rest: Rest, tmp_path: Path) -> None:
    """The unmodified npm package at the API's Service, twice in one session."""
    before = await asyncio.to_thread(installed.objects)
    async with vendor_site() as site, site.open(PAGE) as page:
        for name in ("first", "second"):
            await page.fill(url=installed.websdk(), rtmpUrl=peer.url, streamName=name)
            await page.click("publishBtn")
            await page.shows("status", "PUBLISHING")
            await page.shows("player", f"{peer.url}/rtmp_{name}")
            await peer.receives(f"rtmp_{name}", 60_000)
            (found,) = await rest.find_all()
            known = await rest.until(found["mediaSessionId"], lambda t: t["width"] > 0, "known in size")
            assert (known["state"], known["width"], known["height"]) == ("Live", 320, 240)
            await page.click("publishBtn")
            await page.shows("status", "UNPUBLISHED")
            check_pictures(await whole_recording(peer, f"rtmp_{name}", tmp_path))
        assert await page.page.evaluate("Flashphoner.getSessions().length") == 1
    await installed.until_only(before)


def check_pictures(flv: Flv) -> None:
    assert len(flv.pictures) >= 10
    assert len(flv.frames) >= 20


async def test_the_page_of_the_product(installed: Installation, peer: RtmpPeer, tmp_path: Path) -> None:
    """As the chart's notes say: by `kubectl port-forward`, since browsers want HTTPS or 127.0.0.1."""
    before = await asyncio.to_thread(installed.objects)
    with port_forward(installed.kubectl, f"service/{FULLNAME}-api", 80) as (port,):
        async with launched() as browser, open_page(browser, f"http://127.0.0.1:{port}") as web:
            await web.add_destination("show", peer.url)
            await web.publish("show")
            await peer.receives("rtmp_show", 60_000)
            await web.button("Stop publishing").click()
            check_pictures(await whole_recording(peer, "rtmp_show", tmp_path))
    await asyncio.to_thread(installed.kubectl, "delete", "rtmpt", "--all", "--timeout=20s")
    await installed.until_only(before)
