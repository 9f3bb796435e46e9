"""node-media-server: publish, RTMPS, refusal, and enhanced RTMP, from WHIP to its recording."""

import asyncio
from pathlib import Path

import pytest
from support.clip import Clip
from support.comparison import missing_at_start
from support.flv import Flv, decode_errors
from support.node_media_server import NodeMediaServer, node_media_server
from support.product import running_product
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


async def test_publish_and_rtmps_at_once(tmp_path: Path, media: Clip) -> None:
    async with (
        node_media_server(tmp_path / "nms") as server,
        running_product(tmp_path, "--hold-seconds", "0", "--rtmps-ca", str(server.ca_file)) as product,
    ):
        plain = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        secure = (await product.rest.startup("demo", f"{server.tls_url}/secure", rtmpTransponderFullUrl=True))[
            "mediaSessionId"
        ]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            for id_ in (plain, secure):
                await product.rest.until_state(id_, "Live")
            for name in ("rtmp_demo", "secure"):
                await server.receives(name, 300_000)
        for id_ in (plain, secure):
            await product.rest.tell("terminate", id_)
        await asyncio.to_thread(check, server, sender)


def check(server: NodeMediaServer, sender: WhipSender) -> None:
    for name in ("rtmp_demo", "secure"):
        (path,) = server.recordings(name)
        flv = Flv.read(path)
        assert missing_at_start(sender.sent, flv) == 0
        flv.check_monotone()
        flv.check_gapless_sound()
        assert decode_errors(path) == ""
        assert flv.metadata[0]["videocodecid"] == 7


async def test_an_unknown_authority_is_refused(tmp_path: Path, media: Clip) -> None:
    async with node_media_server(tmp_path / "nms") as server, running_product(tmp_path) as product:
        id_ = (await product.rest.startup("demo", server.tls_url))["mediaSessionId"]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            found = await product.rest.until(id_, lambda t: bool(t["lastError"]), "refused")
        assert found["lastError"].startswith("TlsInvalid: the server's certificate is not valid"), found
        await product.rest.tell("terminate", id_)


async def test_a_server_that_says_yes_and_hangs_up(tmp_path: Path, media: Clip, secret_watch: SecretWatch) -> None:
    """It accepts publish, checks the signature then, and closes: the attempts must become rarer all the same."""
    key = secret_watch.key("key")
    async with node_media_server(tmp_path / "nms", publish_secret="s" * 16) as server:
        async with running_product(tmp_path) as product, WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            url = f"{server.url}/{key}?sign=1-bad"
            id_ = (await product.rest.startup("demo", url, rtmpTransponderFullUrl=True))["mediaSessionId"]
            found = await product.rest.until(id_, lambda t: bool(t["reconnects"] >= 2), "tried again", timeout=10)
            assert found["lastError"].startswith("ClosedByServer"), found
            await product.rest.tell("terminate", id_)
        assert server.log().count("authentication verification failed") <= 4
