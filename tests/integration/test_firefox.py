"""Another real browser: headless Firefox publishes its fake camera and microphone by WHIP."""

from pathlib import Path

import pytest
from support.firefox import firefox_program, firefox_publisher, own_address
from support.flv import Flv, decode_errors, ffprobe
from support.nginx_rtmp import NginxRtmp
from support.product import running_product

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(firefox_program() is None, reason="Firefox is not installed (Debian: firefox-esr)"),
]


async def test_firefox_reaches_the_rtmp_server(tmp_path: Path, server: NginxRtmp) -> None:
    """Without its download of OpenH264, as here, Firefox offers VP8, VP9 and AV1."""
    address = own_address()
    if address is None:
        pytest.skip("Firefox leaves loopback out of ICE, and this machine has no other address")
    async with running_product(tmp_path, "--media-address", address) as product:
        started = await product.rest.startup("fox", server.url)
        async with firefox_publisher(product.whip("fox"), tmp_path / "firefox") as browser:
            await browser.connected(40)
            await product.rest.until_state(started["mediaSessionId"], "Live")
            await browser.until(lambda page: frames(page.last("statistics")) > 60, "60 pictures sent", 20)
            await browser.stop()
        await product.rest.tell("terminate", started["mediaSessionId"])
        check_recording(await server.finished("rtmp_fox"))
        assert "VP8" in (browser.last("statistics") or {})["codec"]


def frames(statistics: dict[str, object] | None) -> int:
    sent = (statistics or {}).get("framesSent")
    return sent if isinstance(sent, int) else 0


def check_recording(path: Path) -> None:
    streams = {s["codec_type"]: s for s in ffprobe(path)["streams"]}
    video, audio = streams["video"], streams["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", 640, 360)
    assert (audio["codec_name"], audio["profile"]) == ("aac", "LC")
    assert decode_errors(path) == ""
    flv = Flv.read(path)
    flv.check_monotone()
    flv.check_gapless_sound()
    assert flv.pictures[0].keyframe
    assert len(flv.pictures) > 30
