"""A publisher without H.264: VP8 or VP9 goes in, H.264 comes out, in time and undamaged."""

from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from support.clip import GOP, vpx_clip
from support.flv import Flv, decode_errors, ffprobe, skews
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.whip_sender import WhipSender

from transponder_relay.transcode.transcoder import MOST_LEFT_OUT

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
async def test_it_arrives_as_h264_with_sound_in_step(product: Product, server: NginxRtmp, codec: str) -> None:
    started = await product.rest.startup("demo", server.url)
    async with WhipSender(vpx_clip(codec)) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(started["mediaSessionId"], "Live")
        await server.receives("rtmp_demo", 600_000, timeout=25)
    await product.rest.tell("terminate", started["mediaSessionId"])
    path = await server.finished("rtmp_demo")
    assert f"stream demo: publishing, {codec}, opus" in product.log()
    assert "stream demo: picture is 640x360" in product.log()
    check_recording(path, sender)
    assert sender.counts.plis == 0, "the source is asked for nothing: the keyframes are the encoder's"


def check_recording(path: Path, sender: WhipSender) -> None:
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    assert decode_errors(path) == ""
    streams = {s["codec_type"]: s for s in ffprobe(path)["streams"]}
    assert (streams["video"]["codec_name"], streams["video"]["width"], streams["video"]["height"]) == ("h264", 640, 360)
    assert len(flv.video_headers) == 1
    assert max(check_steps(flv)) <= 1 + MOST_LEFT_OUT, "a busy machine may leave some out, but freezes nothing"
    assert len(flv.pictures) <= len(sender.sent)
    keys = [picture.time_ms for picture in flv.pictures if picture.keyframe]
    assert max(b - a for a, b in pairwise(keys)) <= GOP * 1000 / 30 + 140, keys
    measured = skews(flv)
    print(f"A/V skew: median {median(measured):+.1f} ms, {min(measured):+.1f} to {max(measured):+.1f} ms")
    assert len(measured) >= 3
    assert max(map(abs, measured)) <= 20


def check_steps(flv: Flv) -> list[int]:
    """Pictures are whole pictures apart, but for the few ms by which the clock may move them: how many."""
    steps = []
    for before, after in pairwise(flv.pictures):
        step = after.time_ms - before.time_ms
        steps.append(round(step * 0.03))
        assert abs(step - steps[-1] / 0.03) <= 6, f"{step} ms at {after.time_ms} ms"
    return steps


async def test_after_loss_there_is_no_damage(product: Product, server: NginxRtmp) -> None:
    """Retransmissions come too late: what is missing is left out, up to a keyframe that was asked for."""
    started = await product.rest.startup("demo", server.url)
    async with WhipSender(vpx_clip("VP8"), loss=0.02, nack_delay=5.0, seed=3) as sender:
        await sender.start(product.whip("demo"))
        await product.rest.until_state(started["mediaSessionId"], "Live")
        await server.receives("rtmp_demo", 450_000, timeout=25)
    await product.rest.tell("terminate", started["mediaSessionId"])
    path = await server.finished("rtmp_demo")
    assert sender.counts.plis >= 1
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    assert len(flv.video_headers) == 1
    check_steps(flv)
    measured = skews(flv)
    assert abs(measured[-1]) <= 20, f"{measured}: a first picture that came late is placed late, and moved back slowly"
