"""Destinations that misbehave, all at once, beside good ones: each says why by REST, and the good ones lose nothing."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from support.clip import Clip
from support.comparison import missing_at_end, missing_at_start
from support.flv import Flv, decode_errors
from support.nginx_rtmp import NginxRtmp, nginx_rtmp
from support.outputs import certificates
from support.processes import free_port
from support.product import Product
from support.rtmp_server import USER, Behaviour, Server, rtmp_server
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration

REASONS = {
    Behaviour.REFUSE_CONNECT: "Refused: the server answered connect with NetConnection.Connect.Rejected",
    Behaviour.REFUSE_PUBLISH: "BadStreamKey: the server answered publish with NetStream.Publish.BadName",
    Behaviour.ADOBE: "AuthFailed: ",
    Behaviour.LIMELIGHT: "AuthFailed: ",
    Behaviour.SILENT: "Timeout: the server did not answer the RTMP handshake within 10 s",
    Behaviour.SILENT_AFTER_HANDSHAKE: "Timeout: the server did not answer connect within 10 s",
    Behaviour.CLOSE_AFTER_PUBLISH: "ClosedByServer: the server closed the connection before it answered publish",
    Behaviour.RESET: "ClosedByServer: the server reset the connection",
    Behaviour.NOT_RTMP: "ProtocolError: the server does not speak RTMP",
}


async def test_every_reason_reaches_rest_and_no_good_destination_is_touched(
    product: Product, server: NginxRtmp, media: Clip, tmp_path: Path, secret_watch: SecretWatch
) -> None:
    tls, _ = certificates(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        expected = {}
        for behaviour, words in REASONS.items():
            bad = await stack.enter_async_context(rtmp_server(behaviour))
            expected[await startup(product, bad, secret_watch)] = words
        for context, words in ((tls, "TlsInvalid: the server's certificate is not valid"), (None, "Unreachable: ")):
            bad = await stack.enter_async_context(rtmp_server(tls=context)) if context else Server(Behaviour.GOOD)
            bad.port = bad.port or free_port()
            expected[await startup(product, bad, secret_watch)] = words
        denying = await stack.enter_async_context(nginx_rtmp(tmp_path / "deny", extra="deny publish all;"))
        expected[(await product.rest.startup("demo", denying.url))["mediaSessionId"]] = "ClosedByServer: "
        good = (await product.rest.startup("demo", server.url))["mediaSessionId"]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            for id_, words in expected.items():
                await until_told(product, id_, words)
            found = await product.rest.until_state(good, "Live")
            assert (found["reconnects"], found["lastError"]) == (0, None)
            assert await sender.stop() == 200
        recording = await server.finished("rtmp_demo")
        for id_ in (*expected, good):
            await product.rest.tell("terminate", id_)
    await asyncio.to_thread(check_complete, recording, sender)


async def startup(product: Product, server: Server, secret_watch: SecretWatch) -> str:
    """A transponder to it, with a wrong password and a key that must not be shown."""
    password, key = secret_watch.key("password"), secret_watch.key("key")
    url = f"rtmp{'s' * server.tls}://{USER}:{password}@127.0.0.1:{server.port}/live/{key}"
    started = await product.rest.startup("demo", url, rtmpTransponderFullUrl=True)
    return str(started["mediaSessionId"])


async def until_told(product: Product, id_: str, words: str) -> None:
    found = await product.rest.until(id_, lambda t: bool(t["lastError"]), words, timeout=20)
    assert found["lastError"].startswith(words), found


def check_complete(path: Path, sender: WhipSender) -> None:
    flv = Flv.read(path)
    assert missing_at_start(sender.sent, flv) == 0
    assert missing_at_end(sender.sent, flv) == 0
    flv.check_monotone()
    flv.check_gapless_sound()
    assert decode_errors(path) == ""


async def test_one_of_three_destinations_is_wedged(
    product: Product, server: NginxRtmp, media: Clip, tmp_path: Path
) -> None:
    """It accepts the stream and then reads nothing more, without a word: noticed within 10 s of no progress."""
    async with rtmp_server(Behaviour.STOP_READING) as wedged, nginx_rtmp(tmp_path / "second") as second:
        ids = [
            (await product.rest.startup("demo", url))["mediaSessionId"]
            for url in (server.url, f"rtmp://127.0.0.1:{wedged.port}/live", second.url)
        ]
        async with WhipSender(media) as sender:
            await sender.start(product.whip("demo"))
            for id_ in ids:
                await product.rest.until_state(id_, "Live")
            await until_told(product, ids[1], "Timeout: the server took no data for 9 s")
            assert [(await product.rest.until_state(i, "Live"))["reconnects"] for i in (ids[0], ids[2])] == [0, 0]
            assert await sender.stop() == 200
        recordings = [await good.finished("rtmp_demo") for good in (server, second)]
        for id_ in ids:
            await product.rest.tell("terminate", id_)
    for recording in recordings:
        await asyncio.to_thread(check_complete, recording, sender)
