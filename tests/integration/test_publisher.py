"""A publisher that ends in order or is simply gone, and comes back: the transponder waits, then goes on."""

import asyncio
import time
from pathlib import Path

import pytest
from support.clip import Clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import Flv, decode_errors
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.whip_sender import WhipRefused, WhipSender

pytestmark = pytest.mark.integration


async def test_a_publisher_that_stops_and_comes_back(product: Product, server: NginxRtmp, media: Clip) -> None:
    id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
    first = await publish(product, server, media, id_, sessions=1)
    second = await publish(product, server, media, id_, sessions=2)
    await product.rest.tell("terminate", id_)
    assert len(second) > len(first)


async def test_a_stream_that_goes_nowhere_has_a_relay_while_it_lasts(product: Product, media: Clip) -> None:
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        assert len(await product.until_relays(lambda relays: len(relays) == 1)) == 1
        assert (await product.rest.push("find_all")).status == 404
        assert await sender.stop() == 200
    assert await product.until_relays(lambda relays: not relays) == []


async def publish(product: Product, server: NginxRtmp, media: Clip, id_: str, sessions: int) -> list[int]:
    """Publish for a while, stop by WHIP DELETE; the CRCs of what was recorded of it, which must be what was sent."""
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 150_000 * sessions)  # not twice the same length
        with pytest.raises(WhipRefused) as refused:
            async with WhipSender(media) as intruder:
                await intruder.start(product.whip("demo"))
        assert refused.value.status == 409
        assert await sender.stop() == 200
    await product.rest.until_state(id_, "WaitingForPublisher")
    flv = Flv.read(await finished(server, sessions))
    assert missing_at_start(sender.sent, flv) == 0
    assert missing_at_end(sender.sent, flv) == 0
    flv.check_monotone()
    return [picture.crc for picture in flv.pictures]


async def finished(server: NginxRtmp, sessions: int) -> Path:
    """The latest recording, once so many RTMP sessions have ended."""
    async with asyncio.timeout(5):
        while server.access_log().count('"rtmp_demo"') < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a log file says nothing when it grows
    return server.recording("rtmp_demo")


async def test_a_publisher_that_vanishes_and_comes_back(product: Product, server: NginxRtmp, media: Clip) -> None:
    id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 200_000)
        await sender.vanish()
    gone = time.monotonic()
    await product.rest.until_state(id_, "WaitingForPublisher", timeout=20)
    print(f"noticed after {time.monotonic() - gone:.1f} s")
    flv = Flv.read(await finished(server, 1))
    assert missing_at_start(sender.sent, flv) == 0
    assert missing_at_end(sender.sent, flv) == 0
    async with await start_when_free(product, media) as again:
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 200_000)
        await product.rest.tell("terminate", id_)
        recording = await finished(server, 2)
    assert missing_at_start(again.sent, Flv.read(recording)) == 0
    assert decode_errors(recording) == ""


async def start_when_free(product: Product, media: Clip) -> WhipSender:
    """Publish as soon as the name is free again: it is, at most a moment after the transponder waits."""
    async with asyncio.timeout(5):
        while True:
            sender = WhipSender(media)
            try:
                await sender.start(product.whip("demo"))
                return sender
            except WhipRefused as refusal:
                await sender.vanish()
                if refusal.status != 409:
                    raise
                await asyncio.sleep(0.1)
