"""`/rest-api/stream/*`: find, find_all, terminate."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, running_api
from support.product import Answer

from transponder_crd.meta import ObjectMeta
from transponder_crd.names import ANNOTATION_END_REASON, ANNOTATION_MEDIA_SESSION_ID, stream_object_name
from transponder_crd.resource import Stream, StreamPhase, StreamSource, StreamSpec, StreamStatus
from transponder_crd.store import EventType

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROWSER_ID = "b5c1f2a0-c7a4-11f0-8de9-0242ac120002"
PUBLISHING = StreamStatus(
    phase=StreamPhase.PUBLISHING, video_codec="H264", audio_codec="opus", width=1280, height=720, relay_pod="relay-1"
)


async def published(api: Api, name: str, session: str | None = None, status: StreamStatus = PUBLISHING) -> Stream:
    api.statuses.relays_ready = False  # this is the one that writes its status
    metadata = ObjectMeta(
        name=stream_object_name(name), annotations={} if session is None else {ANNOTATION_MEDIA_SESSION_ID: session}
    )
    source = StreamSource.WHIP if session is None else StreamSource.WEBSDK
    stream = await api.store.create(Stream(metadata=metadata, spec=StreamSpec(name=name, source=source)))
    return await api.store.update_status(stream.model_copy(update={"status": status}))


async def call(api: Api, name: str, body: Any = None, method: str = "POST") -> Answer:
    return await api.request(method, f"/rest-api/stream/{name}", **({} if body is None else {"json": body}))


async def names(api: Api, body: Any) -> list[str]:
    answer = await call(api, "find", body)
    return [stream["name"] for stream in answer.body] if answer.status == 200 else []


async def test_a_stream_of_the_websdk_has_the_browsers_own_id(api: Api) -> None:
    """/stream/find_all: array of Stream."""
    stream = await published(api, "shop", BROWSER_ID)
    answer = await call(api, "find_all")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json;charset=UTF-8")
    created = stream.metadata.creation_timestamp
    assert created is not None
    assert answer.body == [
        {
            "appKey": "defaultApp",
            "mediaSessionId": BROWSER_ID,
            "name": "shop",
            "published": True,
            "status": "PUBLISHING",
            "hasVideo": True,
            "hasAudio": True,
            "videoCodec": "H264",
            "audioCodec": "opus",
            "width": 1280,
            "height": 720,
            "createDate": int(created.timestamp() * 1000),
            "mediaType": "publish",
            "mediaProvider": "WebRTC",
            "record": False,
            "source": "websdk",
        }
    ]


async def test_the_id_of_a_whip_stream_does_not_end_its_session(api: Api) -> None:
    stream = await published(api, "shop")
    (shown,) = (await call(api, "find_all")).body
    assert shown["mediaSessionId"] not in {stream.uid, ""}
    assert stream.uid not in str(shown)
    assert (await call(api, "find_all")).body == [shown], "it is stable"
    assert (await api.request("DELETE", f"/whip-session/{shown['mediaSessionId']}")).status == 404
    assert (await api.request("DELETE", f"/whip-session/{stream.uid}")).status == 200


async def test_a_stream_that_is_not_published_yet_is_pending(api: Api) -> None:
    await published(api, "early", status=StreamStatus(phase=StreamPhase.CONNECTING))
    (shown,) = (await call(api, "find_all", method="GET")).body
    assert (shown["status"], shown["hasVideo"], shown["width"], shown["videoCodec"]) == ("PENDING", False, 0, None)


async def test_an_ended_stream_is_not_there(api: Api) -> None:
    await published(api, "gone", status=StreamStatus(phase=StreamPhase.ENDED))
    assert (await call(api, "find_all")).status == 404
    assert (await call(api, "terminate", {"name": "gone"})).status == 404


async def test_find_filters(api: Api) -> None:
    """/stream/find: mediaSessionId, name, published, status, display."""
    await published(api, "a", BROWSER_ID)
    await published(api, "b", status=StreamStatus(phase=StreamPhase.READY))
    assert await names(api, {}) == await names(api, None) == ["a", "b"]
    assert await names(api, {"mediaSessionId": BROWSER_ID}) == ["a"]
    assert await names(api, {"name": "b"}) == ["b"]
    assert await names(api, {"name": "b", "mediaSessionId": BROWSER_ID}) == []
    assert await names(api, {"published": True, "display": ["metrics"]}) == ["a", "b"]
    assert await names(api, {"published": False}) == []
    assert await names(api, {"status": "PUBLISHING"}) == ["a"]
    assert await names(api, {"status": "PENDING", "name": None}) == ["b"]


@pytest.mark.parametrize(("method", "name"), [("GET", "find_all"), ("POST", "find_all"), ("POST", "find")])
async def test_404_none(api: Api, method: str, name: str) -> None:
    """/stream/find, /stream/find_all: 404 none. The SDK's helper calls without data by GET."""
    answer = await call(api, name, method=method)
    assert (answer.status, answer.body["message"]) == (404, "stream: no stream is like this")


@pytest.mark.parametrize("wish", ["mediaSessionId", "mediaSessionIds", "name", "status"])
async def test_terminate(api: Api, wish: str) -> None:
    """/stream/terminate: 200 void; one that stays is untouched, and the publisher can be told why."""
    ended = await published(api, "shop", BROWSER_ID)
    kept = await published(api, "kept", status=StreamStatus(phase=StreamPhase.READY))
    position = (await api.store.list(Stream)).resource_version
    body = {"mediaSessionId": BROWSER_ID, "mediaSessionIds": ["x", BROWSER_ID], "name": "shop", "status": "PUBLISHING"}
    answer = await call(api, "terminate", {wish: body[wish]})
    assert (answer.status, answer.text) == (200, "")
    assert [stream.uid for stream in (await api.stored())[1]] == [kept.uid]
    async with asyncio.timeout(5):
        async for event in api.store.watch(Stream, position):
            if event.type == EventType.DELETED:
                assert event.object.uid == ended.uid
                assert event.object.metadata.annotations[ANNOTATION_END_REASON] == "Stopped by rest /terminate"
                break


async def test_terminate_ends_a_whip_stream_by_its_public_id(api: Api) -> None:
    await published(api, "shop")
    (shown,) = (await call(api, "find_all")).body
    assert (await call(api, "terminate", {"mediaSessionId": shown["mediaSessionId"]})).status == 200
    assert (await call(api, "terminate", {"mediaSessionId": shown["mediaSessionId"]})).status == 404


@pytest.mark.parametrize("body", [None, {}, {"mediaSessionId": None}, {"mediaSessionIds": []}])
async def test_terminate_without_parameters_never_means_all(api: Api, body: Any) -> None:
    """A request without parameters is a 400."""
    await published(api, "shop")
    assert (await call(api, "terminate", body)).status == 400
    assert len((await api.stored())[1]) == 1


async def test_terminate_says_what_is_missing(api: Api) -> None:
    answer = await call(api, "terminate", {})
    assert answer.body["field"] == "mediaSessionId"
    assert answer.body["rule"] == "or mediaSessionIds, name or status must be given"


async def test_terminate_404(api: Api) -> None:
    await published(api, "shop", BROWSER_ID)
    for body in ({"mediaSessionId": "x"}, {"name": "shop", "status": "PENDING"}, {"mediaSessionIds": ["x"]}):
        assert (await call(api, "terminate", body)).status == 404
    assert len((await api.stored())[1]) == 1


async def test_startup_may_ask_for_a_published_stream(tmp_path: Path) -> None:
    """Unknown source stream at startup, the other reading: 404 (TRANSPONDER_STARTUP_NEEDS_STREAM)."""
    async with running_api(tmp_path, startup_needs_stream=True) as api:
        body = {"streamName": "shop", "rtmpUrl": "rtmp://127.0.0.1/live"}
        answer = await api.push("startup", body)
        assert (answer.status, answer.body["message"]) == (404, "streamName: no stream of this name is being published")
        stream = await published(api, "shop", status=StreamStatus(phase=StreamPhase.CONNECTING))
        assert (await api.push("startup", body)).status == 404
        await api.store.update_status(stream.model_copy(update={"status": PUBLISHING}))
        assert (await api.push("startup", body)).status == 200
