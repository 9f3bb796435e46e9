"""rtmp_push_auto_start of a flashphoner.properties: what is published is sent on, and no longer than that."""

import asyncio
from pathlib import Path

import pytest
from support.clip import Clip
from support.nginx_rtmp import NginxRtmp
from support.product import running_product
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


async def test_a_published_stream_is_sent_on_by_itself(tmp_path: Path, server: NginxRtmp, media: Clip) -> None:
    file = tmp_path / "flashphoner.properties"
    file.write_text(
        "ip =127.0.0.1\nrtmp_push_auto_start=true\n"
        f"rtmp_push_auto_start_url = {server.url}\n#rtmp_transponder_stream_name_prefix=rtmp_\n"
    )
    async with running_product(tmp_path, "--wcs-properties", str(file)) as product:
        assert product.log().count("mean nothing here: ip\n") == 1
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            async with asyncio.timeout(10):
                while not (found := await product.rest.find_all()):  # noqa: ASYNC110 (asked over HTTP)
                    await asyncio.sleep(0.05)
            await product.rest.until_state(found[0]["mediaSessionId"], "Live")
            await server.receives("demo", 100_000)
            streams = await product.rest.request("GET", "/rest-api/stream/find_all")
            assert [(one["name"], one["status"]) for one in streams.body] == [("demo", "PUBLISHING")]
            assert await sender.stop() == 200
        assert await product.until_relays(lambda relays: not relays) == []
        assert await product.rest.find_all() == []
