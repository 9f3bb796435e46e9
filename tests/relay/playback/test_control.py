"""Players at the control port of a relay, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from support.clip import Clip, clip
from support.control_port import until
from support.whep_player import WhepPlayer
from support.whip_sender import WhipSender

from transponder_crd.control import DesiredPublisher, DesiredRelay, Offer, PlayOffer
from transponder_relay import control as control_port
from transponder_relay.playback import players as players_module
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

SETTINGS = RelaySettings(instance="relay-1", stream_name="demo", token="secret", media_addresses=["127.0.0.1"])  # type: ignore[arg-type]


@asynccontextmanager
async def served(relay: Relay) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(control_port.control_app(relay, "secret"), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        headers = {"Authorization": "Bearer secret"}
        async with aiohttp.ClientSession(base, headers=headers) as session:
            yield session
    finally:
        await relay.close()
        await runner.cleanup()


@pytest.fixture
async def relay() -> Relay:
    return Relay(SETTINGS)


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


async def post(http: aiohttp.ClientSession, path: str, body: str) -> tuple[int, str]:
    async with http.post(path, data=body) as answer:
        return answer.status, await answer.text()


async def publish(relay: Relay, sender: WhipSender) -> None:
    relay.apply(DesiredRelay(stream_name="demo", publisher=DesiredPublisher(id="p1")))
    await sender.accept(await relay.answer(Offer(publisher_id="p1", sdp=await sender.offer())))


async def test_a_player_from_its_offer_to_its_end(relay: Relay, media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_port.control, "HEARTBEAT_SECONDS", 0.05)
    async with served(relay) as http, WhipSender(media) as sender, WhepPlayer() as player:
        await publish(relay, sender)
        offer = PlayOffer(player_id="player-1", sdp=await player.offer())
        status, text = await post(http, "/players", offer.model_dump_json())
        assert status == 200
        async with http.get("/players/player-1") as events:
            assert events.content_type == "application/x-ndjson"
            assert json.loads(await events.content.readline()) == {"state": "connecting"}
            await player.accept(json.loads(text)["sdp"])
            assert await line(events) == {"state": "connected"}
            said = {"type": "data", "payload": {"text": "hello"}}
            assert await post(http, "/stream-events", json.dumps(said)) == (204, "")
            assert await line(events) == {"streamEvent": said}
            assert await events.content.readline() == b"\n", "a heartbeat"
            async with http.delete("/players/player-1") as ended:
                assert ended.status == 204
            assert await line(events) == {"state": "ended", "reason": "Stopped by user"}
            assert await events.content.read() == b""
        async with http.get("/metrics") as metrics:
            assert "transponder_players 0.0" in await metrics.text()
        async with http.delete("/players/player-1") as ended:
            assert ended.status == 404


async def line(events: aiohttp.ClientResponse) -> object:
    """The next event."""
    async with asyncio.timeout(5):
        while (text := await events.content.readline()) == b"\n":
            pass
    return json.loads(text)


async def test_a_follower_that_goes_away_is_forgotten(
    relay: Relay, media: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_port.control, "HEARTBEAT_SECONDS", 0.02)
    async with served(relay) as http, WhipSender(media) as sender, WhepPlayer() as player:
        await publish(relay, sender)
        await post(http, "/players", PlayOffer(player_id="p", sdp=await player.offer()).model_dump_json())
        events = await http.get("/players/p")
        await events.content.readline()
        followers = relay.players._entries["p"].followers
        assert len(followers) == 1
        events.close()
        await until(lambda: not followers)


async def test_refusals(relay: Relay, media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(relay) as http, WhipSender(media) as sender, WhepPlayer() as player:
        offer = PlayOffer(player_id="p", sdp=await player.offer())
        status, text = await post(http, "/players", offer.model_dump_json())
        assert (status, json.loads(text)["field"]) == (409, "streamName")
        await publish(relay, sender)
        for body, field in (
            ("{}", "playerId"),
            ('{"playerId": "a/b", "sdp": ""}', "playerId"),
            ('{"playerId": "a", "sdp": "v=0"}', "sdp.media"),
        ):
            status, text = await post(http, "/players", body)
            assert (status, json.loads(text)["field"]) == (400, field)
        monkeypatch.setattr(players_module, "MAX_PLAYERS", 0)
        assert (await post(http, "/players", offer.model_dump_json()))[0] == 503
        assert (await post(http, "/stream-events", '{"type": 5}'))[0] == 400
        async with http.get("/players/none") as answer:
            assert answer.status == 404
        async with http.get("/players/none", headers={"Authorization": "Bearer other"}) as answer:
            assert answer.status == 401


async def test_a_token_of_any_bytes_is_refused(relay: Relay) -> None:
    async with served(relay) as http:
        url = http._build_url("/observed")
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /observed HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"401"
        writer.close()
        await writer.wait_closed()
