"""The life of transponders by REST alone, over real HTTP: duplicates, finding and ends."""

import pytest
from support.product import Product

pytestmark = pytest.mark.integration

URL = "rtmp://127.0.0.1:1/live"


async def test_duplicates_finding_and_ends(product: Product) -> None:
    rest = product.rest
    started = await rest.startup("demo", URL)
    assert started["streamName"] == "rtmp_demo"
    assert (started["rtmpUrl"], started["muted"], started["soundEnabled"]) == (URL, False, False)
    assert (started["width"], started["height"], started["options"]) == (0, 0, {})
    duplicate = await rest.push("startup", {"streamName": "demo", "rtmpUrl": URL, "options": {}})
    assert (duplicate.status, duplicate.body["status"]) == (409, 409), duplicate.text
    other_url = await rest.startup("demo", URL + "2")
    other_stream = await rest.startup("demo2", URL)
    ids = {t["mediaSessionId"] for t in (started, other_url, other_stream)}
    assert {t["mediaSessionId"] for t in await rest.find_all()} == ids
    assert len(ids) == 3

    for name in ("demo", "rtmp_demo"):
        found = await rest.push("find", {"streamName": name, "rtmpUrl": URL})
        assert [t["mediaSessionId"] for t in found.body] == [started["mediaSessionId"]], name
    assert len((await rest.push("find", {"rtmpUrl": URL})).body) == 2
    assert (await rest.push("find", {"streamName": "other"})).status == 404
    by_get = await rest.request("GET", "/rest-api/push/find_all", headers={"Origin": "http://page.example"})
    assert (by_get.status, len(by_get.body)) == (200, 3)
    assert by_get.headers["Access-Control-Allow-Origin"] == "*"

    for id_ in ids:
        await rest.until_state(id_, "WaitingForPublisher")
        await rest.tell("terminate", id_)
        gone = await rest.push("terminate", {"mediaSessionId": id_})
        assert (gone.status, gone.body["status"]) == (404, 404), gone.text
    assert (await rest.push("find_all")).status == 404
    assert await product.until_relays(lambda relays: not relays) == []
    again = await rest.startup("demo", URL)
    assert again["mediaSessionId"] not in ids
    await rest.tell("terminate", again["mediaSessionId"])
