"""Keys, tokens and passwords: on the wire where they belong, and neither in answers nor in the most talkative log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.clip import Clip
from support.nginx_rtmp import NginxRtmp
from support.product import Product, running_product
from support.rtmp_server import PASSWORD, USER, Behaviour, rtmp_server
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


@pytest.fixture
async def talkative(tmp_path: Path) -> AsyncIterator[Product]:
    async with running_product(tmp_path, "--log-level", "DEBUG") as started:
        yield started


async def test_secrets_in_urls_are_shown_nowhere(talkative: Product, secret_watch: SecretWatch) -> None:
    rest = talkative.rest
    user, password = secret_watch.key("user"), secret_watch.key("password")
    token, key = secret_watch.key("token"), secret_watch.key("key")
    host = "127.0.0.1:1"
    urls = (f"rtmp://{user}:{password}@{host}/live", f"rtmp://{host}/live?t={token}", f"rtmp://{host}/live/{key}")
    for url in urls:
        started = await rest.startup("demo", url, rtmpTransponderFullUrl=True)
        assert host in started["rtmpUrl"]
        assert not secret_watch.found_in(str(started)), started
        duplicate = await rest.push("startup", {"streamName": "demo", "rtmpUrl": url})
        assert duplicate.status == 409
        assert not secret_watch.found_in(duplicate.text), duplicate.text
        found = await rest.push("find", {"rtmpUrl": url})
        assert [t["mediaSessionId"] for t in found.body] == [started["mediaSessionId"]]
        assert not secret_watch.found_in(found.text), found.text
    for transponder in await rest.find_all():
        await rest.tell("terminate", transponder["mediaSessionId"])


async def test_a_key_in_a_stream_name_is_not_logged(talkative: Product, secret_watch: SecretWatch) -> None:
    """Some sites give a name with a query, which is the key (composition row 14); the RTMP server gets all of it."""
    rest = talkative.rest
    started = await rest.startup(f"148?{secret_watch.key()}", "rtmp://127.0.0.1:1/live")
    await rest.until_state(started["mediaSessionId"], "WaitingForPublisher")
    await rest.tell("terminate", started["mediaSessionId"])
    assert "transponder 148?… → rtmp://127.0.0.1:1/live: WaitingForPublisher" in talkative.log()


async def test_secrets_reach_the_servers_and_no_log(
    talkative: Product, server: NginxRtmp, media: Clip, secret_watch: SecretWatch
) -> None:
    """A server that asks for a password, one that refuses the key, and one that takes key and token."""
    rest = talkative.rest
    secret_watch.keys.append(PASSWORD)
    key, bad_key, token = secret_watch.key("key"), secret_watch.key("bad"), secret_watch.key("token")
    async with (
        rtmp_server(Behaviour.ADOBE) as asking,
        rtmp_server(Behaviour.REFUSE_PUBLISH) as refusing,
        WhipSender(media) as sender,
    ):
        with_password = await rest.startup("demo", f"rtmp://{USER}:{PASSWORD}@127.0.0.1:{asking.port}/live")
        with_bad_key = await full_url(talkative, f"rtmp://127.0.0.1:{refusing.port}/live/{bad_key}")
        with_key = await full_url(talkative, f"{server.url}/{key}?token={token}")
        await sender.start(talkative.whip("demo"))
        await rest.until_state(with_password["mediaSessionId"], "Live")
        await rest.until_state(with_key, "Live")
        refused = await rest.until_state(with_bad_key, "Reconnecting")
        assert "BadStreamKey" in refused["lastError"]
        await server.receives(key, 100_000)
        answer = await rest.push("find_all")
        assert not secret_watch.found_in(answer.text), answer.text
        for transponder in answer.body:
            await rest.tell("terminate", transponder["mediaSessionId"])
        assert bad_key in str(refusing.sessions[0].commands), "the server did get the key"


async def full_url(product: Product, url: str) -> str:
    """The mediaSessionId of a transponder whose URL ends with the key."""
    started = await product.rest.startup("demo", url, rtmpTransponderFullUrl=True)
    return str(started["mediaSessionId"])
