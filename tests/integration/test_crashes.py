"""What is killed without warning comes back or leaves nothing behind; a restart takes up where the last run ended."""

import os
import signal
from pathlib import Path

import pytest
from support.clip import Clip
from support.comparison import missing_at_start
from support.flv import Flv
from support.nginx_rtmp import NginxRtmp
from support.processes import free_port
from support.product import Product, running_product, start_product
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


async def test_a_killed_relay_is_replaced(product: Product, server: NginxRtmp, media: Clip) -> None:
    id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        (old,) = product.relays()
        os.kill(old, signal.SIGKILL)
        await product.until_relays(lambda relays: bool(relays) and old not in relays)
        await product.rest.until_state(id_, "WaitingForPublisher")
        await sender.vanish()
    async with WhipSender(media) as again:
        await again.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 100_000)
        await product.rest.tell("terminate", id_)
    assert missing_at_start(again.sent, Flv.read(server.recording("rtmp_demo"))) == 0


async def test_a_killed_zygote_is_replaced(
    product: Product, server: NginxRtmp, media: Clip, expected_errors: list[str]
) -> None:
    expected_errors.append("zygote ended")
    id_ = (await product.rest.startup("demo", server.url))["mediaSessionId"]
    await product.rest.until_state(id_, "WaitingForPublisher")
    (old,) = product.zygotes()
    relays = product.relays()
    os.kill(old, signal.SIGKILL)
    await product.until_relays(lambda now: bool(now) and not set(now) & set(relays))
    assert old not in product.zygotes()
    await product.rest.until_state(id_, "WaitingForPublisher")
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives("rtmp_demo", 100_000)
    await product.rest.tell("terminate", id_)


async def test_a_killed_product_leaves_no_process_and_good_data(
    tmp_path: Path, server: NginxRtmp, media: Clip, secret_watch: SecretWatch
) -> None:
    url = f"{server.url}/{secret_watch.key()}"
    product = await start_product(tmp_path)
    try:
        started = await product.rest.startup("demo", url, rtmpTransponderFullUrl=True)
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            await product.rest.until_state(started["mediaSessionId"], "Live")
            assert len(product.program.processes()) >= 3, "product, zygote and relay"
            await product.program.end(signal.SIGKILL, 5)
            assert await product.program.none_left(8) == {}
            await sender.vanish()
    finally:
        await product.rest.close()
        await product.program.destroy()
    async with running_product(tmp_path) as after:
        found = await after.rest.until_state(started["mediaSessionId"], "WaitingForPublisher")
        assert found["rtmpUrl"] == started["rtmpUrl"]


async def test_a_restart_takes_up_where_it_ended(
    tmp_path: Path, server: NginxRtmp, media: Clip, secret_watch: SecretWatch
) -> None:
    port, key = free_port(), secret_watch.key()
    async with running_product(tmp_path, port=port) as product, WhipSender(media) as sender:
        started = await product.rest.startup("demo", f"{server.url}/{key}", rtmpTransponderFullUrl=True)
        id_ = started["mediaSessionId"]
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives(key, 100_000)
        await product.rest.tell("mute", id_)
        await product.stop()
        await server.finished(key)  # the RTMP session was ended, not dropped: nginx wrote its line
        await sender.vanish()
    async with running_product(tmp_path, port=port) as product, WhipSender(media) as sender:
        found = await product.rest.until_state(id_, "WaitingForPublisher")
        assert (found["muted"], found["rtmpUrl"]) == (True, started["rtmpUrl"])
        await sender.start(product.whip("demo"))
        await product.rest.until_state(id_, "Live")
        await server.receives(key, 100_000)
        await product.rest.tell("terminate", id_)
        assert (await product.rest.push("find_all")).status == 404
    assert missing_at_start(sender.sent, Flv.read(server.recording(key))) == 0
