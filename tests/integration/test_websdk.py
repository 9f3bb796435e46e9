"""The WebSDK's signalling against the running product: real relays, real media, a real RTMP server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from support.clip import Clip
from support.nginx_rtmp import NginxRtmp
from support.product import Product
from support.websdk import WebSdkClient
from support.whep_player import WhepPlayer
from support.whip_sender import WhipSender

pytestmark = pytest.mark.integration


@pytest.fixture
async def client(product: Product) -> AsyncIterator[WebSdkClient]:
    async with WebSdkClient.connected(product.websdk) as connected:
        yield connected


async def publish(
    client: WebSdkClient, stack: AsyncExitStack, media: Clip, media_session: str, name: str, **more: Any
) -> WhipSender:
    """Up to PUBLISHING, with an offer that has no candidates, as the SDK's."""
    sender = await stack.enter_async_context(WhipSender(media, candidates=False))
    await client.publish(media_session, name, await sender.offer(), **more)
    id_, answer = await client.until("setRemoteSDP", 10)
    assert id_ == media_session
    assert "a=candidate:" in answer, "MUST (1.6): all candidates are in the answer"
    assert not answer.replace("\r\n", "").count("\n"), "MUST (1.5): CRLF line ends"
    await sender.accept(answer)
    assert await client.status(media_session) == ("PUBLISHING", None)
    return sender


async def stop(client: WebSdkClient, sender: WhipSender, media_session: str) -> tuple[str, str | None]:
    """As the SDK's stop(): the message, and the peer connection closed in the same tick."""
    await asyncio.gather(client.unpublish(media_session), sender.stop())
    return await client.status(media_session)


async def test_publish_with_rtmp_url_again_and_again(
    product: Product, server: NginxRtmp, client: WebSdkClient, media: Clip
) -> None:
    """Sections 2 and 6.1: one session, one name, Start and Stop; the stream arrives as rtmp_<name>."""
    async with AsyncExitStack() as stack:
        for number in range(2):
            began = time.monotonic()
            sender = await publish(client, stack, media, f"id-{number}", "demo", rtmpUrl=server.url)
            print(f"PUBLISHING after {time.monotonic() - began:.2f} s")
            await server.receives("rtmp_demo", 50_000)
            print(f"50 kB at the RTMP server after {time.monotonic() - began:.2f} s")
            (found,) = await product.rest.find_all()
            assert (found["streamName"], found["state"]) == ("rtmp_demo", "Live")
            assert await stop(client, sender, f"id-{number}") == ("UNPUBLISHED", "Stopped by user")
            await server.finished("rtmp_demo")
            server.recording("rtmp_demo").unlink()
            await product.until_relays(lambda relays: not relays)
        states = [r.data[0]["payload"]["state"] for r in client.received if r.name == "notifyStreamEvent"]
        assert "Live" in states


async def test_rest_and_two_sessions(product: Product, client: WebSdkClient, media: Clip) -> None:
    """A name in use, an end by REST, and media that is lost while the WebSocket lives."""
    async with WebSdkClient.connected(product.websdk) as other, AsyncExitStack() as stack:
        sender = await publish(client, stack, media, "id-1", "demo")
        refused = await stack.enter_async_context(WhipSender(media, candidates=False))
        await other.publish("id-2", "demo", await refused.offer())
        assert await other.status("id-2") == ("FAILED", "Stream name is already in use")
        answer = await product.rest.request("POST", "/rest-api/stream/terminate", json={"mediaSessionId": "id-1"})
        assert answer.status == 200
        assert await client.status("id-1") == ("UNPUBLISHED", "Stopped by rest /terminate")
        await sender.vanish()
        leaving = await publish(client, stack, media, "id-3", "demo")
        await leaving.stop()  # a page that closes its peer connection and says nothing
        assert await client.status("id-3", 5) == ("UNPUBLISHED", "Stopped by user")
        await publish(other, stack, media, "id-4", "demo")


async def test_the_end_of_the_session_ends_stream_transponder_and_relay(
    product: Product, server: NginxRtmp, media: Clip
) -> None:
    """MUST (1.9 item 4)."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(WebSdkClient.connected(product.websdk))
        sender = await publish(client, stack, media, "id", "demo", rtmpUrl=server.url)
        await server.receives("rtmp_demo", 50_000)
        client.socket._writer.transport.abort()
        await product.until_relays(lambda relays: not relays)
        await server.finished("rtmp_demo")
        assert await product.rest.find_all() == []
        await sender.vanish()


async def test_play(product: Product, client: WebSdkClient, media: Clip) -> None:
    """MUST (1.9 item 6): PLAYING with pictures, events with the player's own id, STOPPED; the publisher's end."""
    async with WebSdkClient.connected(product.websdk) as viewer, AsyncExitStack() as stack:
        player = await stack.enter_async_context(WhepPlayer())
        await viewer.play("play-0", "demo", await player.offer())
        assert await viewer.status("play-0") == ("FAILED", "Stream not found")
        sender = await publish(client, stack, media, "id", "demo")
        await viewer.call("availableStream", {"mediaSessionId": "play-1", "name": "demo"})
        assert await viewer.until("availableStream") == [{"id": "play-1", "status": "true"}]
        await play(viewer, player, "play-1")
        await player.until(lambda: len(player.pictures) >= 10)
        await client.call("sendStreamEvent", {"mediaSessionId": "id", "type": "data", "payload": {"count": 23}})
        event = {"mediaSessionId": "play-1", "type": "data", "payload": {"count": 23}}
        assert await viewer.until("notifyStreamEvent") == [event]
        await viewer.call("stopStream", {"mediaSessionId": "play-1", "name": "demo", "published": False})
        assert await viewer.status("play-1") == ("STOPPED", "Stopped by user")
        again = await stack.enter_async_context(WhepPlayer())
        await play(viewer, again, "play-2")
        assert await stop(client, sender, "id") == ("UNPUBLISHED", "Stopped by user")
        assert await viewer.status("play-2") == ("FAILED", "Stopped by publisher stop")
        await viewer.call("stopStream", {"mediaSessionId": "play-2"})
        assert await viewer.status("play-2") == ("STOPPED", "Stopped by user")


async def play(viewer: WebSdkClient, player: WhepPlayer, media_session: str) -> None:
    await viewer.play(media_session, "demo", await player.offer())
    id_, answer = await viewer.until("setRemoteSDP")
    assert id_ == media_session
    await player.accept(answer)
    assert await viewer.status(media_session) == ("PLAYING", None)
