"""A client of the WebSDK's WebSocket, which reads as the SDK does, and a server of it beside `support.api`."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
from support.api import Api, running_api
from support.sender_offer import SenderTransport, write_offer

from transponder_api.server import Door, bind, serving_all
from transponder_api.websdk.app import UVICORN_OPTIONS, create_websdk_app
from transponder_api.websdk.limits import Limits
from transponder_crd.names import stream_object_name
from transponder_crd.resource import Stream, StreamPhase, StreamStatus
from transponder_crd.waiting import wait_for

OFFER = write_offer(SenderTransport("ufrg", "p" * 22, ":".join(["AB"] * 32), "actpass", []), "cname", 1, 2, 3)
"""Chromium's, without candidates: the SDK sends none."""


PLAY_OFFER = OFFER.replace("sendonly", "recvonly")


class Received(NamedTuple):
    """A message of the server; `data` is what the SDK looks at."""

    name: str
    data: list[Any]


class WebSdkClient:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.answers_pings = True
        self.pings = 0
        self.received: list[Received] = []

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, *, greet: bool = True, **connection: Any) -> AsyncIterator[Self]:
        """A client with a session."""
        async with aiohttp.ClientSession(trust_env=False) as http, http.ws_connect(url, max_msg_size=0) as socket:
            client = cls(socket)
            if greet:
                await client.call("connection", {"appKey": "defaultApp", "clientVersion": "2.0", **connection})
                await client.until("getUserData")
            yield client

    async def call(self, name: str, argument: Any = None) -> None:
        await self.socket.send_str(json.dumps({"message": name, "data": [argument]}))

    async def next(self, timeout: float = 5) -> Received:
        """The next message but pings. Raises ConnectionError when the server has closed."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.socket.receive()
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"{frame.type.name} {self.socket.close_code}")
                message = json.loads(frame.data)
                assert set(message) == {"message", "data"}
                assert isinstance(message["data"], list), "the SDK reads data[0] before it looks at the name"
                received = Received(message["message"], message["data"])
                self.received.append(received)
                if received.name != "ping":
                    return received
                self.pings += 1
                if self.answers_pings:
                    await self.call("pong")

    async def until(self, name: str, timeout: float = 5) -> list[Any]:
        """The data of the next message of that name."""
        async with asyncio.timeout(timeout):
            while (received := await self.next(timeout)).name != name:
                pass
        return received.data

    async def status(self, media_session: str, timeout: float = 5) -> tuple[str, str | None]:
        """The next status of that stream, and its info."""
        async with asyncio.timeout(timeout):
            while True:
                (event,) = await self.until("notifyStreamStatusEvent", timeout)
                if event["mediaSessionId"] == media_session:
                    return event["status"], event.get("info")

    async def closed(self, timeout: float = 5) -> int:
        """The code by which the server closed."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self.next(timeout)
        except ConnectionError:
            assert self.socket.close_code is not None
            return self.socket.close_code

    async def publish(self, media_session: str, name: str, sdp: str = OFFER, **more: Any) -> None:
        """publishStream, with the fields that the SDK always sends."""
        always = {"published": True, "hasVideo": True, "hasAudio": True, "status": "PENDING", "record": False}
        bitrates = {"bitrate": 0, "minBitrate": 0, "maxBitrate": 0, "mediaProvider": "WebRTC"}
        await self.call(
            "publishStream", {"mediaSessionId": media_session, "name": name, "sdp": sdp} | always | bitrates | more
        )

    async def unpublish(self, media_session: str, name: str = "") -> None:
        await self.call("unPublishStream", {"mediaSessionId": media_session, "name": name, "published": True})

    async def play(self, media_session: str, name: str, sdp: str) -> None:
        wish = {"mediaSessionId": media_session, "name": name, "published": False, "status": "PENDING", "sdp": sdp}
        await self.call("playStream", wish | {"width": 0, "height": 0, "quality": 0})


class WebSdkServer:
    """The WebSDK's port of a running API."""

    def __init__(self, api: Api, url: str) -> None:
        self.api, self.url = api, url

    def client(self, **options: Any) -> Any:
        return WebSdkClient.connected(self.url, **options)

    async def phase(self, name: str, phase: StreamPhase, reason: str | None = None) -> None:
        """What the reconciler would write."""
        stream = await self.stream(name)
        status = StreamStatus(phase=phase, reason=reason, relay_pod=stream.status.relay_pod)
        await self.api.store.update_status(stream.model_copy(update={"status": status}))

    async def stream(self, name: str) -> Stream:
        return await self.api.store.get(Stream, stream_object_name(name))

    async def names(self) -> list[str]:
        return [stream.spec.name for stream in (await self.api.store.list(Stream)).items]

    async def gone(self, name: str, timeout: float = 3) -> None:
        """Return when no stream of that name is left."""
        await wait_for(self.api.store, Stream, stream_object_name(name), lambda now: now is None, timeout)

    async def until(self, condition: Callable[[], bool], timeout: float = 3) -> None:
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - what a stand-in was told signals nothing
                await asyncio.sleep(0.01)

    async def publishing(self, client: WebSdkClient, media_session: str, name: str, **more: Any) -> None:
        """Publish up to PUBLISHING."""
        await client.publish(media_session, name, **more)
        assert (await client.until("setRemoteSDP"))[0] == media_session
        await self.phase(name, StreamPhase.PUBLISHING)
        assert await client.status(media_session) == ("PUBLISHING", None)


@asynccontextmanager
async def running_websdk(folder: Path, limits: Limits | None = None, **settings: Any) -> AsyncIterator[WebSdkServer]:
    async with running_api(folder, **settings) as api, websdk_of(api, limits) as server:
        yield server


@asynccontextmanager
async def websdk_of(api: Api, limits: Limits | None = None) -> AsyncIterator[WebSdkServer]:
    """The WebSDK beside a running API."""
    listener = bind("127.0.0.1", 0)
    url = "ws://{}:{}/".format(*listener.getsockname())
    door = Door(create_websdk_app(api.app, api.store, limits), listener, options=UVICORN_OPTIONS)
    async with serving_all([door]):
        yield WebSdkServer(api, url)
