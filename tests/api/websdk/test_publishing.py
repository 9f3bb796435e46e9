"""publishStream to its last status, against a stand-in for the relay's answers and the reconciler's statuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.websdk import OFFER, WebSdkClient, WebSdkServer, running_websdk

from transponder_api.websdk.limits import Limits
from transponder_crd.names import ANNOTATION_MEDIA_SESSION_ID, transponder_object_name
from transponder_crd.resource import RtmpTransponder, Secret, Stream, StreamPhase, StreamSource, TransponderPhase
from transponder_crd.waiting import wait_for

QUICK = Limits(start=0.6, grace=0.3)
URL = "rtmp://127.0.0.1:1935/live"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebSdkServer]:
    async with running_websdk(tmp_path_factory.mktemp("api"), QUICK, relay_timeout=5, close_timeout=5) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def server(running: WebSdkServer) -> AsyncIterator[WebSdkServer]:
    yield running
    await running.api.reset()


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: WebSdkServer) -> AsyncIterator[WebSdkClient]:
    async with server.client() as connected:
        yield connected


async def test_a_stream_is_published_and_unpublished(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.5, 1.9 items 2, 3): setRemoteSDP [id, answer], PUBLISHING when media can flow, UNPUBLISHED with the
    same id."""
    await client.publish("id-1", "stream")
    answer = await client.until("setRemoteSDP")
    assert answer == ["id-1", "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"]
    stream = await server.stream("stream")
    assert stream.spec.source == StreamSource.WEBSDK
    assert stream.metadata.annotations[ANNOTATION_MEDIA_SESSION_ID] == "id-1"
    assert server.api.relay.offers[0].sdp == OFFER
    await server.phase("stream", StreamPhase.CONNECTING)
    await server.phase("stream", StreamPhase.PUBLISHING)
    assert await client.status("id-1") == ("PUBLISHING", None)
    await client.unpublish("id-1", "stream")
    assert await client.status("id-1") == ("UNPUBLISHED", "Stopped by user")
    assert await server.names() == []


async def test_the_name_is_free_when_the_page_hears_of_the_end(server: WebSdkServer, client: WebSdkClient) -> None:
    """6.1: the session stays open, and the next Start uses the same name at once."""
    for number in range(5):
        await server.publishing(client, f"id-{number}", "stream")
        await client.unpublish(f"id-{number}")
        assert (await client.status(f"id-{number}"))[0] == "UNPUBLISHED"


async def test_unpublish_of_what_is_not_there_is_answered(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.9 item 3): idempotent; or the page's button stays disabled."""
    await client.unpublish("never-seen")
    assert await client.status("never-seen") == ("UNPUBLISHED", "Stopped by user")
    await server.publishing(client, "id", "stream")
    for _ in range(2):
        await client.unpublish("id")
        assert await client.status("id") == ("UNPUBLISHED", "Stopped by user")


async def test_a_stream_of_another_session_is_not_touched(server: WebSdkServer, client: WebSdkClient) -> None:
    await server.publishing(client, "id", "stream")
    async with server.client() as other:
        await other.unpublish("id", "stream")
        assert (await other.status("id"))[0] == "UNPUBLISHED"
        assert await server.names() == ["stream"]


async def test_unpublish_while_connecting(server: WebSdkServer, client: WebSdkClient) -> None:
    await client.publish("id", "stream")
    await client.until("setRemoteSDP")
    await client.unpublish("id")
    assert await client.status("id") == ("UNPUBLISHED", "Stopped by user")
    assert await server.names() == []


# ---------------------------------------------------------------------------------------------- FAILED, and why


async def test_a_name_in_use(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.5, 1.9 item 2): name free; the page has a text of its own for this info."""
    await server.publishing(client, "id-1", "stream")
    await client.publish("id-2", "stream")
    assert await client.status("id-2") == ("FAILED", "Stream name is already in use")
    async with server.client() as other:
        await other.publish("id-3", "stream")
        assert await other.status("id-3") == ("FAILED", "Stream name is already in use")
    assert await server.names() == ["stream"]


async def test_an_id_in_use(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.9 item 2): id free, in this session or another."""
    async with server.client() as other:
        await server.publishing(other, "id", "stream")
        for asking in (client, other):
            await asking.publish("id", "another")
            assert await asking.status("id") == ("FAILED", "MediaSessionId is already in use")
        assert await server.names() == ["stream"]


@pytest.mark.parametrize(
    ("change", "info"),
    [
        ({"sdp": ""}, "sdp must not be empty"),
        ({"sdp": None}, "sdp must be a string"),
        ({"sdp": "v=0\r\n"}, "Failed to add stream to proxy"),
        ({"sdp": OFFER + "a=x:" + "y" * 65536}, "Failed to add stream to proxy"),
        ({"sdp": OFFER.replace("H264", "VP7").replace("opus", "speex")}, "No common codecs"),
        ({"sdp": OFFER.replace("sendonly", "recvonly")}, "No common codecs"),
        ({"name": ""}, "name must not be empty"),
        ({"name": "two words"}, "name must be printable text without white space"),
    ],
)
async def test_bad_input_fails_in_words(
    server: WebSdkServer, client: WebSdkClient, change: dict[str, Any], info: str
) -> None:
    """MUST (1.9 item 2): sdp present, else FAILED and info."""
    await client.publish(**{"media_session": "id", "name": "stream", **change})
    assert await client.status("id") == ("FAILED", info)
    assert await server.names() == []


@pytest.mark.parametrize("media_session", [None, "", 7, "x" * 129])
async def test_an_id_that_is_none(client: WebSdkClient, media_session: Any) -> None:
    await client.publish(media_session, "stream")
    (event,) = await client.until("notifyStreamStatusEvent")
    assert (event["mediaSessionId"], event["info"]) == (None, "MediaSessionId is null")


@pytest.mark.parametrize("reply", [(400, {"field": "sdp", "rule": "is bad"}), (500, {}), (200, {"nothing": 1})])
async def test_a_relay_that_refuses(
    server: WebSdkServer, client: WebSdkClient, reply: tuple[int, dict[str, Any]]
) -> None:
    server.api.relay.reply = (reply[0], json.dumps(reply[1]))
    await client.publish("id", "stream")
    assert await client.status("id") == ("FAILED", "Failed to add stream to proxy")
    assert await server.names() == []


@pytest.mark.parametrize("part", ["relay", "answer", "ice"])
async def test_there_is_always_an_answer_in_time(server: WebSdkServer, client: WebSdkClient, part: str) -> None:
    """MUST (1.5, 1.9 item 2): PUBLISHING or FAILED within a bound: stop() of a page waits for it for ever."""
    server.api.statuses.relays_ready = part != "relay"
    server.api.relay.silent = part == "answer"
    await client.publish("id", "stream")
    info = "Failed by ICE timeout" if part == "ice" else "Failed to add stream to proxy"
    assert await client.status("id", timeout=QUICK.start + QUICK.cleanup) == ("FAILED", info)
    assert await server.names() == []


async def test_the_bound_is_fifteen_seconds() -> None:
    """MUST (1.5): 15 s recommended."""
    assert Limits().start + Limits().cleanup < 15


async def test_too_many_streams(server: WebSdkServer, client: WebSdkClient) -> None:
    server.api.relay.silent = True
    for number in range(QUICK.streams + 1):
        await client.publish(f"id-{number}", f"stream-{number}")
    info = "this session has as many streams as it may have"
    assert await client.status(f"id-{QUICK.streams}") == ("FAILED", info)


# ---------------------------------------------------------------------------------------------- ended by others


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("Failed by ICE keep alive", ("FAILED", "Failed by ICE keep alive")),
        ("Failed by RTP activity", ("FAILED", "Failed by RTP activity")),
        ("Failed by DTLS error", ("FAILED", "Failed by DTLS error")),
        ("Stopped by user", ("UNPUBLISHED", "Stopped by user")),
        ("Relay lost", ("FAILED", "Failed by error")),
    ],
)
async def test_lost_media(server: WebSdkServer, client: WebSdkClient, reason: str, ending: tuple[str, str]) -> None:
    """MUST (1.9 item 5): media loss gives FAILED and its info, after a grace."""
    await server.publishing(client, "id", "stream")
    began = asyncio.get_running_loop().time()
    await server.phase("stream", StreamPhase.ENDED, reason)
    assert await client.status("id") == ending
    assert asyncio.get_running_loop().time() - began >= QUICK.grace


async def test_the_goodbye_of_the_peer_may_come_before_unpublish(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.5): grace before a lost peer connection becomes FAILED."""
    await server.publishing(client, "id", "stream")
    await server.phase("stream", StreamPhase.ENDED, "Failed by DTLS error")
    await client.unpublish("id")
    assert await client.status("id") == ("UNPUBLISHED", "Stopped by user")


async def test_connecting_that_fails_needs_no_grace(tmp_path: Path) -> None:
    async with running_websdk(tmp_path, Limits(grace=30)) as server, server.client() as client:
        await client.publish("id", "stream")
        await client.until("setRemoteSDP")
        await server.phase("stream", StreamPhase.ENDED, "Failed by ICE timeout")
        assert await client.status("id", 2) == ("FAILED", "Failed by ICE timeout")


async def test_rest_terminates(tmp_path: Path) -> None:
    """MUST (1.9 item 4): info `Stopped by rest /terminate`, at once."""
    async with running_websdk(tmp_path, Limits(grace=30)) as server, server.client() as client:
        await server.publishing(client, "id", "stream")
        answer = await server.api.request("POST", "/rest-api/stream/terminate", json={"mediaSessionId": "id"})
        assert answer.status == 200
        assert await client.status("id", 2) == ("UNPUBLISHED", "Stopped by rest /terminate")
        assert await server.names() == []


async def test_someone_deletes_the_object(server: WebSdkServer, client: WebSdkClient) -> None:
    await server.publishing(client, "id", "stream")
    await server.api.store.delete(Stream, (await server.stream("stream")).name)
    assert await client.status("id") == ("UNPUBLISHED", "Requested stream shutdown")


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_end_of_the_session_ends_its_streams(server: WebSdkServer, how: str) -> None:
    """MUST (1.3, 1.9 item 4): any close of the WebSocket ends all streams of the session, and their transponders."""
    async with server.client() as other, AsyncExitStack() as stack:
        await server.publishing(other, "other", "other")
        client = await stack.enter_async_context(server.client())
        await server.publishing(client, "id-1", "one", rtmpUrl=URL)
        await client.until("notifyStreamEvent")
        await client.publish("id-2", "two")  # still connecting
        await client.until("setRemoteSDP")
        if how == "close":
            await client.socket.close()
        else:
            client.socket._writer.transport.abort()
        await server.gone("one")
        await server.gone("two")
        await no_transponder(server, "one")
        assert await server.names() == ["other"]


# ---------------------------------------------------------------------------------------------- rtmpUrl


async def transponder_of(server: WebSdkServer, name: str, url: str = URL) -> RtmpTransponder:
    found = await wait_for(
        server.api.store, RtmpTransponder, transponder_object_name(name, url), lambda now: now is not None, 3
    )
    assert found is not None
    return found


async def no_transponder(server: WebSdkServer, name: str, url: str = URL) -> None:
    await wait_for(server.api.store, RtmpTransponder, transponder_object_name(name, url), lambda now: now is None, 3)


async def rtmp_status(client: WebSdkClient, media_session: str = "id") -> dict[str, Any]:
    (event,) = await client.until("notifyStreamEvent")
    assert (event["mediaSessionId"], event["type"]) == (media_session, "rtmpStatus")
    payload: dict[str, Any] = event["payload"]
    return payload


async def test_rtmp_url_makes_a_transponder_that_goes_with_the_stream(
    server: WebSdkServer, client: WebSdkClient
) -> None:
    """Section 2: after PUBLISHING, equal to a startup call, found by /push/find, ended with the publication."""
    await client.publish("id", "stream", rtmpUrl=URL)
    await client.until("setRemoteSDP")
    assert (await server.api.push("find_all")).status == 404
    await server.phase("stream", StreamPhase.PUBLISHING)
    assert await client.status("id") == ("PUBLISHING", None)
    payload = await rtmp_status(client)
    answer = await server.api.push("find", {"streamName": "rtmp_stream", "rtmpUrl": URL})
    assert [found["mediaSessionId"] for found in answer.body] == [payload["mediaSessionId"]]
    transponder = await transponder_of(server, "stream")
    stream = await server.stream("stream")
    assert transponder.metadata.owner_references == [stream.owner_reference()]
    await client.unpublish("id")
    assert (await client.status("id"))[0] == "UNPUBLISHED"
    await no_transponder(server, "stream")
    assert (await server.api.store.list(Secret)).items == []


async def test_the_same_name_and_url_again_and_again(server: WebSdkServer, client: WebSdkClient) -> None:
    for number in range(3):
        await server.publishing(client, f"id-{number}", "stream", rtmpUrl=URL)
        await rtmp_status(client, f"id-{number}")
        await client.unpublish(f"id-{number}")
        await client.status(f"id-{number}")


async def test_the_page_is_told_how_the_rtmp_side_does(server: WebSdkServer, client: WebSdkClient) -> None:
    await server.publishing(client, "id", "stream", rtmpUrl="rtmp://user:geheim@127.0.0.1/live")
    states = [await rtmp_status(client)]
    transponder = await transponder_of(server, "stream", "rtmp://user:geheim@127.0.0.1/live")
    for phase, error in ((TransponderPhase.LIVE, None), (TransponderPhase.RECONNECTING, "Refused: no such app")):
        transponder = await server.api.store.get(RtmpTransponder, transponder.name)
        status = transponder.status.model_copy(update={"phase": phase, "last_error": error})
        await server.api.store.update_status(transponder.model_copy(update={"status": status}))
        while states[-1]["state"] != phase:
            states.append(await rtmp_status(client))
    assert states[-1]["lastError"] == "Refused: no such app"
    assert "geheim" not in str(client.received)
    assert await server.names() == ["stream"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/live", "rtmp://", 7, {"a": 1}, "rtmp://host/" + "x" * 3000])
async def test_a_bad_rtmp_url_does_not_keep_the_stream_from_being_published(
    server: WebSdkServer, client: WebSdkClient, url: Any
) -> None:
    await server.publishing(client, "id", "stream", rtmpUrl=url)
    payload = await rtmp_status(client)
    assert payload["state"] == "Failed"
    assert payload["lastError"].startswith("rtmpUrl")
    assert await server.names() == ["stream"]


async def test_a_transponder_that_was_there_stays(server: WebSdkServer, client: WebSdkClient) -> None:
    started = await server.api.startup("stream", URL)
    await server.publishing(client, "id", "stream", rtmpUrl=URL)
    assert (await rtmp_status(client))["mediaSessionId"] == started["mediaSessionId"]
    await client.unpublish("id")
    assert (await client.status("id"))[0] == "UNPUBLISHED"
    assert (await server.api.found(started["mediaSessionId"]))["rtmpUrl"] == URL


@pytest.mark.parametrize("fails", [False, True])
async def test_rtmp_failure_fails_the_stream_only_if_told_to(tmp_path: Path, fails: bool) -> None:
    """Section 2: both readings of `Failed by RTMP writer error`, by a setting."""
    async with running_websdk(tmp_path, QUICK, fail_stream_on_rtmp_error=fails) as server, server.client() as client:
        await server.publishing(client, "id", "stream", rtmpUrl="no URL")
        await rtmp_status(client)
        if fails:
            assert await client.status("id") == ("FAILED", "Failed by RTMP writer error")
            assert await server.names() == []
        else:
            await client.unpublish("id")
            assert await client.status("id") == ("UNPUBLISHED", "Stopped by user")


async def test_available_stream(server: WebSdkServer, client: WebSdkClient) -> None:
    """MUST (1.8, 1.9 item 6): always answered, by id, with a status that is a string."""
    await server.publishing(client, "id", "stream")
    for name, answer in (
        ("stream", {"id": "q", "status": "true"}),
        ("nobody", {"id": "q", "status": "false", "info": "Stream not found"}),
        (7, {"id": "q", "status": "false", "info": "Stream not found"}),
    ):
        await client.call("availableStream", {"mediaSessionId": "q", "name": name})
        assert await client.until("availableStream") == [answer]
