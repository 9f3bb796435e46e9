"""TURN mode: browsers that reach nothing but the TURN server publish and play all the same, by coturn."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page
from support.flv import decode_errors, ffprobe
from support.nginx_rtmp import NginxRtmp
from support.product import Product, running_product
from support.relay_only import PATHS, RELAY_ONLY
from support.turn_server import TurnServer, turn_server
from support.vendor_site import vendor_site
from support.web_page import launched, open_page

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

SECRET = "turn-secret-of-the-test"
SDK = "/client2/flashphoner.js"

WEBSDK = """async ([base, urlServer, options]) => {
  const {iceServers} = await (await fetch(`${base}/ice-servers`)).json();
  const display = document.body.appendChild(document.createElement('div'));
  const until = (source, status) => new Promise((resolve, reject) =>
    source.on(status, resolve).on('FAILED', () => reject(source.getInfo ? source.getInfo() : 'no session')));
  Flashphoner.init();
  const mediaOptions = {iceServers, iceTransportPolicy: 'relay'};
  const session = await until(Flashphoner.createSession({urlServer, mediaOptions}), 'ESTABLISHED');
  window.published = session.createStream({...options, display});
  const publishing = until(published, 'PUBLISHING');
  published.publish();
  await publishing;
}"""


@dataclass(frozen=True)
class Reachable:
    """The product and what is told to browsers."""

    product: Product
    turn: TurnServer


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Reachable]:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    async with turn_server(tmp_path, SECRET) as turn:
        servers = [{"urls": turn.url, "username": "browser", "secretFile": str(file)}]
        environment = {"TRANSPONDER_ICE_SERVERS": json.dumps(servers)}
        async with running_product(tmp_path, "--hold-seconds", "0", environment=environment) as product:
            yield Reachable(product, turn)
            assert SECRET not in product.log()
        assert turn.users()
        assert all(re.fullmatch(r"\d{10}:browser", user) for user in turn.users())


async def went_by(page: Page, turn: TurnServer, connections: int) -> None:
    assert await page.evaluate(PATHS) == [["relay", turn.url]] * connections


async def test_the_page_publishes_and_plays_by_turn(site: Reachable, server: NginxRtmp) -> None:
    product = site.product
    async with launched() as browser, open_page(browser, product.base, script=RELAY_ONLY) as web:
        await product.rest.startup("show", server.url)
        await web.publish("show")
        await went_by(web.page, site.turn, 1)
        await server.receives("rtmp_show", 60_000)
        await web.button("Preview show").click()
        preview = web.page.get_by_label("Preview of show", exact=True)
        await preview.evaluate("video => video.videoWidth || new Promise(seen => video.onresize = () => seen())")
        await went_by(web.page, site.turn, 2)
        await web.button("Stop publishing").click()
    recording = await server.finished("rtmp_show")
    assert {s["codec_name"] for s in ffprobe(recording)["streams"]} == {"h264", "aac"}
    assert decode_errors(recording) == ""


async def test_the_websdk_publishes_by_turn(site: Reachable, server: NginxRtmp) -> None:
    """As docs/websdk.md says it: the page asks for the servers and hands them to the SDK as `mediaOptions`."""
    product = site.product
    async with vendor_site() as vendor, vendor.open("/blank.html") as page:
        await page.page.add_script_tag(content=RELAY_ONLY.replace("iceTransportPolicy: 'relay'", ""))
        await page.page.add_script_tag(url=SDK)
        wish = {"name": "demo", "rtmpUrl": server.url}
        await page.page.evaluate(WEBSDK, [product.base, product.websdk, wish])
        await went_by(page.page, site.turn, 1)
        await server.receives("rtmp_demo", 60_000)
