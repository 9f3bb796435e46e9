"""Options of the WebSDK that the example pages do not use, by a page of our own with the SDK unmodified."""

import pytest
from support.flv import decode_errors, ffprobe
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.vendor_site import VendorSite

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]  # the first run fetches the package

SDK = "/client2/flashphoner.js"

PUBLISH_AND_PLAY = """async ([urlServer, options]) => {
  const display = () => document.body.appendChild(document.createElement('div'));
  const until = (source, status) => new Promise((resolve, reject) =>
    source.on(status, resolve).on('FAILED', () => reject(source.getInfo ? source.getInfo() : 'no session')));
  Flashphoner.init();
  const session = await until(Flashphoner.createSession({urlServer}), 'ESTABLISHED');
  window.published = session.createStream({...options, display: display()});
  const publishing = until(published, 'PUBLISHING');
  published.publish();
  await publishing;
  const events = [];
  const played = session.createStream({name: options.name, display: display()});
  const seen = new Promise(resolve => played.on('PENDING', () => {
    document.getElementById(played.id()).addEventListener('resize', () => resolve(events.push('picture')));
  }));
  const playing = until(played, 'PLAYING').then(() => events.push('PLAYING'));
  played.play();
  await Promise.all([playing, seen]);
  return events.slice(0, 2);
}"""

STOP = """() => new Promise(resolve => {
  published.on('UNPUBLISHED', () => resolve(published.getInfo()));
  published.stop();
})"""


@pytest.mark.parametrize("options", [{}, {"stripCodecs": "h264"}, {"constraints": {"audio": False, "video": True}}])
async def test_publish_play_and_republish(
    product: Product, server: NginxRtmp, site: VendorSite, options: dict[str, object]
) -> None:
    """Pages look for the first picture once they hear of PLAYING (the SDK's own tests do): it must not come before."""
    async with site.open("/blank.html") as page:
        await page.page.add_script_tag(url=SDK)
        wish = {"name": "demo", "rtmpUrl": server.url, **options}
        assert await page.page.evaluate(PUBLISH_AND_PLAY, [product.websdk, wish]) == ["PLAYING", "picture"]
        await server.receives("rtmp_demo", 30_000)
        assert await page.page.evaluate(STOP) == "Stopped by user"
    recording = await server.finished("rtmp_demo")
    assert {s["codec_name"] for s in ffprobe(recording)["streams"]} == {"h264", "aac"}
    assert decode_errors(recording) == ""
