"""Destinations that cannot be reached: the status says why, they recover by themselves, and the others lose nothing."""

import asyncio
from pathlib import Path

import pytest
from support.clip import Clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import Flv, decode_errors
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.processes import free_port
from support.product import Product
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


async def test_a_refusing_destination_harms_no_other_and_recovers(
    product: Product, server: NginxRtmp, media: Clip, tmp_path: Path, secret_watch: SecretWatch
) -> None:
    port, key = free_port(), secret_watch.key()
    rest = product.rest
    good = (await rest.startup("demo", server.url))["mediaSessionId"]
    late = (await rest.startup("demo", f"rtmp://127.0.0.1:{port}/live/{key}", rtmpTransponderFullUrl=True))[
        "mediaSessionId"
    ]
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        await rest.until_state(good, "Live")
        refused = await rest.until_state(late, "Reconnecting")
        assert "refused" in refused["lastError"].lower(), refused
        await rest.until(late, lambda t: t["reconnects"] >= 2, "tried again", 10)
        async with nginx_rtmp(tmp_path / "late", port=port) as late_server:
            recovered = await rest.until_state(late, "Live", timeout=15)
            assert recovered["reconnects"] >= 2
            assert (await rest.until_state(good, "Live"))["reconnects"] == 0
            await late_server.receives(key, 300_000, timeout=15)
            await sender.stop()
            late_recording = Flv.read(await late_server.finished(key))
    recording = await server.finished("rtmp_demo")
    for id_ in (good, late):
        await rest.tell("terminate", id_)
    flv = Flv.read(recording)
    assert missing_at_start(sender.sent, flv) == 0, "the good destination has every picture"
    assert missing_at_end(sender.sent, flv) == 0
    assert decode_errors(recording) == ""
    assert missing_at_end(sender.sent, late_recording) == 0, "the late one has all from its first keyframe on"
    assert missing_at_start(sender.sent, late_recording) > 30
    late_recording.check_monotone()


async def test_a_destination_that_goes_away_and_comes_back(product: Product, media: Clip, tmp_path: Path) -> None:
    port = free_port()
    async with WhipSender(media) as sender:
        await sender.start(product.whip("demo"))
        id_ = (await product.rest.startup("demo", f"rtmp://127.0.0.1:{port}/live"))["mediaSessionId"]
        for round_ in ("first", "second"):
            async with nginx_rtmp(tmp_path / round_, port=port) as server:
                await product.rest.until_state(id_, "Live", timeout=15)
                await server.receives("rtmp_demo", 200_000)
            lost = await product.rest.until_state(id_, "Reconnecting")
            assert lost["lastError"]
            await asyncio.to_thread(check_part, server.recording("rtmp_demo"), sender)
        await product.rest.tell("terminate", id_)


def check_part(recording: Path, sender: WhipSender) -> None:
    """Whatever came is what was sent, from a keyframe on."""
    assert missing_at_start(sender.sent, Flv.read(recording)) >= 0
