"""Two replicas on one store: what one began the other goes on with, since neither keeps anything of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support.api import Api, another_replica
from support.websdk import OFFER, PLAY_OFFER, websdk_of

from transponder_crd.resource import StreamPhase

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATE = b"a=ice-ufrag:ufrg\r\na=ice-pwd:pppppppppppppppppppppp\r\na=end-of-candidates\r\n"


@pytest_asyncio.fixture(loop_scope="module")
async def other(api: Api) -> AsyncIterator[Api]:
    async with another_replica(api) as started:
        yield started


async def publish(api: Api, name: str = "demo") -> Any:
    return await api.request("POST", f"/whip/{name}", data=OFFER.encode(), headers=SDP)


async def test_a_whip_session(api: Api, other: Api) -> None:
    begun = await publish(api)
    session, patch = begun.headers["Location"], FRAGMENT | {"If-Match": begun.headers["ETag"]}
    assert (await other.request("PATCH", session, data=CANDIDATE, headers=patch)).status == 204
    assert (await other.request("GET", session)).status == 204
    assert (await publish(other)).status == 409
    assert (await other.request("DELETE", session)).status == 200
    assert (await api.request("DELETE", session)).status == 404
    assert (await publish(other)).status == 201


async def test_a_whep_session(api: Api, other: Api) -> None:
    begun = await api.request("POST", "/whep/demo", data=PLAY_OFFER.encode(), headers=SDP)
    session, patch = begun.headers["Location"], FRAGMENT | {"If-Match": begun.headers["ETag"]}
    assert (await other.request("PATCH", session, data=CANDIDATE, headers=patch)).status == 204
    assert (await other.request("DELETE", session)).status == 200
    assert len(api.relay.stopped_players) == 1


async def test_rest_calls(api: Api, other: Api) -> None:
    started = await api.startup()
    by_id = {"mediaSessionId": started["mediaSessionId"]}
    assert (await other.push("mute", by_id)).status == 200
    assert (await api.found(started["mediaSessionId"]))["muted"] is True
    assert (await other.push("startup", {"streamName": "stream1", "rtmpUrl": "rtmp://127.0.0.1/live"})).status == 409
    assert (await other.push("terminate", by_id)).status == 200
    assert (await api.push("find_all")).status == 404


async def test_of_the_same_startups_at_once_one_wins(api: Api, other: Api) -> None:
    wish = {"streamName": "stream1", "rtmpUrl": "rtmp://127.0.0.1/live"}
    answers = await asyncio.gather(*(one.push("startup", wish) for one in (api, other) * 5))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert len((await api.stored())[0]) == 1


async def test_of_the_same_publishers_at_once_one_wins(api: Api, other: Api) -> None:
    answers = await asyncio.gather(*(publish(one) for one in (api, other) * 5))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    assert len((await api.stored())[1]) == 1


async def test_websdk_sessions(api: Api, other: Api) -> None:
    """One publishes here and one plays there; the name is taken for both; REST of either ends it."""
    async with websdk_of(api) as here, websdk_of(other) as there, here.client() as mine, there.client() as yours:
        await here.publishing(mine, "one", "stream")
        await yours.publish("two", "stream")
        assert await yours.status("two") == ("FAILED", "Stream name is already in use")
        await yours.publish("one", "stream2")
        assert await yours.status("one") == ("FAILED", "MediaSessionId is already in use")
        await yours.call("availableStream", {"mediaSessionId": "probe", "name": "stream"})
        assert (await yours.until("availableStream"))[0] == {"id": "probe", "status": "true"}
        await yours.play("three", "stream", PLAY_OFFER)
        assert (await yours.until("setRemoteSDP"))[0] == "three"
        await mine.call("sendStreamEvent", {"mediaSessionId": "one", "type": "mine", "payload": {"a": 1}})
        await here.until(lambda: bool(api.relay.stream_events))
        ended = await other.request("POST", "/rest-api/stream/terminate", json={"name": "stream"})
        assert ended.status == 200
        assert await mine.status("one") == ("UNPUBLISHED", "Stopped by rest /terminate")
        await yours.publish("two", "stream")
        assert (await yours.until("setRemoteSDP"))[0] == "two"
        await there.phase("stream", StreamPhase.PUBLISHING)
        assert await yours.status("two") == ("PUBLISHING", None)


async def test_a_session_that_ends_leaves_the_stream_of_another_one(api: Api, other: Api) -> None:
    async with websdk_of(api) as here, websdk_of(other) as there, there.client() as yours:
        async with here.client() as mine:
            await here.publishing(mine, "one", "stream")
            await mine.unpublish("one", "stream")
            assert await mine.status("one") == ("UNPUBLISHED", "Stopped by user")
            await there.publishing(yours, "two", "stream")
        await yours.unpublish("two", "stream")
        assert await yours.status("two") == ("UNPUBLISHED", "Stopped by user")
