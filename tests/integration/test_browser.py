"""A real browser: headless Chromium publishes its fake camera and microphone by WHIP."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.chromium import chromium_program, chromium_publisher
from support.flv import Flv, decode_errors, decode_sound, ffprobe
from support.nginx_rtmp import nginx_rtmp
from support.product import Product

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(chromium_program() is None, reason="Chromium is not installed (Debian: chromium)"),
]

LONGEST_GOP = 2.5
"""Seconds: the interval of 2 s, and the time until the first keyframe shows that the browser needs to be asked."""


@pytest.mark.parametrize("codec", ["", "video/VP8", "video/AV1"], ids=["all codecs", "VP8 alone", "AV1 alone"])
async def test_chromium_reaches_the_rtmp_server(product: Product, tmp_path: Path, codec: str) -> None:
    async with nginx_rtmp(tmp_path / "nginx") as server:
        started = await product.rest.startup("browser", server.url)
        async with chromium_publisher(product.whip("browser"), tmp_path / "chromium", codec=codec) as browser:
            await browser.connected()
            live = await product.rest.until_state(started["mediaSessionId"], "Live")
            assert (live["streamName"], live["muted"], live["soundEnabled"]) == ("rtmp_browser", False, False)
            await browser.until(lambda page: sent(page.last("statistics")) > 200, "200 pictures sent", 30)
            with_size = await product.rest.until(started["mediaSessionId"], lambda t: t["width"] > 0, "known in size")
            assert with_size["width"] * 9 == with_size["height"] * 16, "the camera is 16:9"
            await browser.stop()
        await product.rest.tell("terminate", started["mediaSessionId"])
        recording = await server.finished("rtmp_browser")
    assert browser.last("stopped") == {**(browser.last("stopped") or {}), "status": 200}, "WHIP DELETE"
    statistics = browser.last("statistics") or {}
    print(statistics)
    assert statistics["codec"] == (codec or "video/H264")
    check_recording(recording)


def sent(statistics: dict[str, object] | None) -> int:
    frames = (statistics or {}).get("framesSent")
    return frames if isinstance(frames, int) else 0


def check_recording(path: Path) -> None:
    streams = {s["codec_type"]: s for s in ffprobe(path)["streams"]}
    assert streams["video"]["codec_name"] == "h264"
    assert (streams["audio"]["codec_name"], streams["audio"]["profile"]) == ("aac", "LC")
    assert (streams["audio"]["sample_rate"], streams["audio"]["channels"]) == ("48000", 2)
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    assert flv.pictures[0].keyframe
    assert flv.pictures[-1].time_ms - flv.pictures[0].time_ms >= 5000
    keys = [picture.time_ms for picture in flv.pictures if picture.keyframe]
    assert max(b - a for a, b in pairwise([*keys, flv.pictures[-1].time_ms])) <= LONGEST_GOP * 1000, keys
    assert np.abs(decode_sound(flv)).max() > 0.05, "the fake microphone beeps"
