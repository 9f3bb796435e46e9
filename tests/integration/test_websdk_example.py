"""The WebSDK's example in docs/clients.md, run as it is written but for the addresses."""

import re
from pathlib import Path

import pytest
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.vendor_site import vendor_site

pytestmark = pytest.mark.integration

CLIENTS = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


async def test_it_publishes_and_is_told_of_the_rtmp_side(product: Product, server: NginxRtmp) -> None:
    example = re.search(r"^    const \{SESSION_STATUS.*?publish\(\)\);$", CLIENTS, re.MULTILINE | re.DOTALL)
    assert example
    program = example[0].replace("ws://127.0.0.1:8080", product.websdk)
    program = program.replace("rtmp://rtmp.example.com/live", server.url)
    async with vendor_site() as site, site.open("/blank.html") as opened:
        page = opened.page
        await page.add_script_tag(url="/client2/flashphoner.js")
        await page.set_content('<div id="video"></div>')

        def is_live(message: object) -> bool:
            return "rtmpStatus" in str(message) and "state: Live" in str(message)

        async with page.expect_console_message(is_live, timeout=20_000):
            await page.evaluate(program)
    await server.receives("rtmp_shop", 1000)
