"""The WebSDK's REST helper, unmodified, from a page of another origin."""

from typing import Any

import pytest
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.sounds import tone, wav
from support.vendor_site import VendorPage, VendorSite

pytestmark = pytest.mark.integration

HELPER = "/client2/flashphoner-rest-api.js"
SDK = "/client2/flashphoner.js"

PUBLISH = """([url, name]) => new Promise((resolve, reject) => {
  Flashphoner.init();
  const display = document.body.appendChild(document.createElement('div'));
  Flashphoner.createSession({urlServer: url}).on('ESTABLISHED', session => {
    session.createStream({name, display}).on('PUBLISHING', () => resolve()).on('FAILED', reject).publish();
  }).on('FAILED', reject);
})"""

CALL = """([base, path, arguments]) => path.split('.')
  .reduce((api, name) => api[name], FlashphonerRestApi.instance(base))(...arguments)
  .then(value => ({value: value ?? null}), () => ({rejected: true}))"""

FETCH = """([url, body]) => fetch(url, {
  method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body),
}).then(async answer => [answer.status, await answer.text()])"""


async def test_all_calls_of_push(product: Product, server: NginxRtmp, site: VendorSite) -> None:
    (product.sounds / "sample.wav").write_bytes(wav(tone(440, 1)))

    async with site.open("/blank.html") as page:
        for script in (SDK, HELPER):
            await page.page.add_script_tag(url=script)
        await page.page.evaluate(PUBLISH, [product.websdk, "demo"])
        rest = Helper(page, product.base)
        assert await rest.rejects("push.findAll"), "404 while there is none"
        started = await rest.call("push.push", "demo", server.url)
        assert (started["streamName"], started["rtmpUrl"]) == ("rtmp_demo", server.url)
        id_ = started["mediaSessionId"]
        assert await rest.rejects("push.push", "demo", server.url), "409"
        assert await rest.rejects("push.push", "demo", "http://127.0.0.1/live"), "400"
        full = await rest.call("push.push", "demo", f"{server.url}/key", True)
        assert [t["mediaSessionId"] for t in await rest.call("push.find", "rtmp_demo", server.url)] == [id_]
        assert {t["mediaSessionId"] for t in await rest.call("push.findAll")} == {id_, full["mediaSessionId"]}
        await rest.void("push.mute", id_)
        await rest.finds(id_, muted=True, soundEnabled=False)
        await rest.void("push.unmute", id_)
        await rest.void("push.soundOn", id_, "sample.wav", True)
        await rest.finds(id_, muted=False, soundEnabled=True)
        assert await rest.rejects("push.soundOn", id_, "missing.wav", False), "404"
        assert await rest.fetch("/rest-api/push/sound_off", {"mediaSessionId": id_}) == [200, ""]
        await rest.finds(id_, muted=False, soundEnabled=False)
        for each in (id_, full["mediaSessionId"]):
            await rest.void("push.terminate", each)
        assert await rest.rejects("push.terminate", id_), "404"
        assert await rest.rejects("push.find", "rtmp_demo", server.url), "404"


class Helper:
    """FlashphonerRestApi.instance(base)."""

    def __init__(self, page: VendorPage, base: str) -> None:
        self._page, self._base = page.page, base

    async def _settled(self, path: str, *arguments: Any) -> Any:
        return await self._page.evaluate(CALL, [self._base, path, list(arguments)])

    async def call(self, path: str, *arguments: Any) -> Any:
        """The JSON of a 200; the helper takes nothing else for success."""
        settled = await self._settled(path, *arguments)
        assert "value" in settled, f"{path}{arguments} was rejected"
        return settled["value"]

    async def void(self, path: str, *arguments: Any) -> None:
        assert await self.call(path, *arguments) is None

    async def rejects(self, path: str, *arguments: Any) -> bool:
        return "rejected" in await self._settled(path, *arguments)

    async def finds(self, media_session: str, **expected: Any) -> None:
        """find_all right after a call shows what the call did."""
        (found,) = [t for t in await self.call("push.findAll") if t["mediaSessionId"] == media_session]
        assert {key: found[key] for key in expected} == expected

    async def fetch(self, path: str, body: Any) -> Any:
        """The helper's soundOff throws before it sends anything."""
        return await self._page.evaluate(FETCH, [self._base + path, body])
