"""playStream to its last status, and what goes from the publisher to players, against a stand-in for the relay."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support.websdk import OFFER, PLAY_OFFER, WebSdkClient, WebSdkServer, running_websdk

from transponder_api.websdk.limits import Limits
from transponder_crd.control import PlayerEvent, PlayerState, StreamEvent

QUICK = Limits(start=0.6, grace=0.3)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebSdkServer]:
    async with running_websdk(tmp_path_factory.mktemp("api"), QUICK) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def server(running: WebSdkServer) -> AsyncIterator[WebSdkServer]:
    yield running
    await running.api.reset()


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: WebSdkServer) -> AsyncIterator[WebSdkClient]:
    async with server.client() as connected:
        yield connected


async def playing(server: WebSdkServer, client: WebSdkClient) -> None:
    await client.play("id", "stream", PLAY_OFFER)
    assert (await client.until("setRemoteSDP"))[0] == "id"
    server.api.relay.player_events.put_nowait(PlayerEvent(state=PlayerState.CONNECTED))
    assert await client.status("id") == ("PLAYING", None)


async def test_play_and_stop(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.7, 1.9 item 6): setRemoteSDP, PLAYING, and STOPPED with the same id; stopStream is idempotent."""
    await playing(server, client)
    await client.call("stopStream", {"mediaSessionId": "id", "name": "stream"})
    assert await client.status("id") == ("STOPPED", "Stopped by user")
    assert len(server.api.relay.stopped_players) == 1
    await client.call("stopStream", {"mediaSessionId": "id"})
    assert await client.status("id") == ("STOPPED", "Stopped by user")


async def test_the_publisher_ends_it(server: WebSdkServer, client: WebSdkClient) -> None:
    """1.7: the page explains this info under FAILED."""
    await playing(server, client)
    server.api.relay.player_events.put_nowait(PlayerEvent(state=PlayerState.ENDED, reason="Stopped by publisher stop"))
    assert await client.status("id") == ("FAILED", "Stopped by publisher stop")


async def test_a_stream_that_is_not_there(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.7): FAILED and `Stream not found`."""
    server.api.directory.instance = None
    for name in ("nobody", "rtsp://host/path"):
        await client.play("id", name, PLAY_OFFER)
        assert await client.status("id") == ("FAILED", "Stream not found")


@pytest.mark.parametrize(
    ("reply", "info"),
    [
        ((409, {"field": "stream", "rule": "is not published"}), "Stream not found"),
        ((400, {"field": "sdp", "rule": "is bad"}), "Failed to add stream to proxy"),
        ((503, {}), "Failed to add stream to proxy"),
        ((500, {}), "Failed to add stream to proxy"),
    ],
)
async def test_a_relay_that_refuses(
    server: WebSdkServer, client: WebSdkClient, reply: tuple[int, Any], info: str
) -> None:
    server.api.relay.reply = (reply[0], json.dumps(reply[1]))
    await client.play("id", "stream", PLAY_OFFER)
    assert await client.status("id") == ("FAILED", info)


@pytest.mark.parametrize(
    ("sdp", "info"),
    [
        ("", "sdp must not be empty"),
        ("v=0", "Failed to add stream to proxy"),
        (OFFER, "No common codecs"),
        (PLAY_OFFER.replace("H264", "VP9").replace("opus", "red"), "No common codecs"),
    ],
)
async def test_a_bad_offer(server: WebSdkServer, client: WebSdkClient, sdp: str, info: str) -> None:
    await client.play("id", "stream", sdp)
    assert await client.status("id") == ("FAILED", info)


async def test_there_is_always_an_answer_in_time(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.5): stop() of a PENDING stream waits for a status for ever."""
    await client.play("id", "stream", PLAY_OFFER)
    assert await client.status("id", QUICK.start + QUICK.cleanup) == ("FAILED", "Failed by ICE timeout")
    assert len(server.api.relay.stopped_players) == 1


async def test_an_id_in_use(server: WebSdkServer, client: WebSdkClient) -> None:
    await playing(server, client)
    for again in (client.play("id", "stream", PLAY_OFFER), client.publish("id", "another")):
        await again
        assert await client.status("id") == ("FAILED", "MediaSessionId is already in use")


async def test_the_end_of_the_session_ends_its_players(server: WebSdkServer) -> None:
    async with server.client() as client:
        await playing(server, client)
    await server.until(lambda: len(server.api.relay.stopped_players) == 1)


async def test_events_reach_players_with_their_own_id(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.8): notifyStreamEvent with the player's id; PLAYING is not said again."""
    await playing(server, client)
    events = server.api.relay.player_events
    events.put_nowait(PlayerEvent(stream_event=StreamEvent(type="data", payload={"count": 23})))
    events.put_nowait(PlayerEvent(state=PlayerState.CONNECTED))
    events.put_nowait(PlayerEvent(stream_event=StreamEvent(type="audioMuted")))
    assert await client.until("notifyStreamEvent") == [
        {"mediaSessionId": "id", "type": "data", "payload": {"count": 23}}
    ]
    assert (await client.next()).data == [{"mediaSessionId": "id", "type": "audioMuted", "payload": None}]


async def test_events_of_a_publisher_go_to_its_relay_in_order(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.8): sendStreamEvent; without a payload too; of no other stream than one's own."""
    await server.publishing(client, "id", "stream")
    async with server.client() as other:
        await other.call("sendStreamEvent", {"mediaSessionId": "id", "type": "data", "payload": "not mine"})
        await other.call("availableStream", {"mediaSessionId": "q", "name": "stream"})
        await other.until("availableStream")
    for number in range(20):
        await client.call("sendStreamEvent", {"mediaSessionId": "id", "type": "data", "payload": {"n": number}})
    for bad in ({"type": 7}, {"type": ""}, {"type": "x" * 65}, {}):
        await client.call("sendStreamEvent", {"mediaSessionId": "id", **bad})
    await client.call("sendStreamEvent", {"mediaSessionId": "id", "type": "videoMuted"})
    received = server.api.relay.stream_events
    await server.until(lambda: bool(received) and received[-1].type == "videoMuted")
    assert [event.payload for event in received] == [*({"n": number} for number in range(20)), None]
