"""The API on a real HTTP server and a real store, with stand-ins for the two that are not its own: who writes statuses,
and a relay's control port."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from fastapi import FastAPI
from support.product import Answer

from transponder_api.app import create_app
from transponder_api.hosts import HostCheck
from transponder_api.server import Door, bind, serving_all
from transponder_api.settings import ApiSettings
from transponder_crd.control import Offer, PlayerEvent, PlayerState, PlayOffer, RelayReport, StreamEvent
from transponder_crd.relay_host import RelayAddress
from transponder_crd.resource import (
    Resource,
    RtmpTransponder,
    Secret,
    Stream,
    StreamPhase,
    StreamStatus,
    TransponderPhase,
    TransponderStatus,
)
from transponder_crd.sqlite_store import SqliteStore
from transponder_crd.store import Conflict, NotFound, Store, edit
from transponder_crd.waiting import wait_for

R = TypeVar("R", bound=Resource)

INSTANCE = "relay-1"
TOKEN = "relay-token-of-the-test"
ANSWER = "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


class Relay:
    """A relay's `POST /offer` and its players. `reply` is what it answers next to any offer."""

    def __init__(self, token: str = TOKEN) -> None:
        self._token = token
        self._ends = asyncio.Event()
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.offers: list[Offer] = []
        self.reply: tuple[int, str] = (200, json.dumps({"sdp": ANSWER}))
        self.report: RelayReport | None = None
        """What `GET /report` answers; 503 without one."""
        self.silent = False
        self.offered = asyncio.Event()
        self.player_events: asyncio.Queue[PlayerEvent] = asyncio.Queue()
        """What the one who follows a player is told."""
        self.stopped_players: list[str] = []
        self.stream_events: list[StreamEvent] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        app = web.Application()
        app.router.add_get("/report", self._report)
        app.router.add_post("/offer", self._offer)
        app.router.add_post("/players", self._play)
        app.router.add_get("/players/{id}", self._follow)
        app.router.add_delete("/players/{id}", self._stop_player)
        app.router.add_post("/stream-events", self._stream_event)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            yield self
        finally:
            self._ends.set()
            await runner.cleanup()

    async def _report(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        if self.silent:
            await self._ends.wait()
        if self.report is None:
            return web.Response(status=503)
        return web.Response(text=self.report.model_dump_json(), content_type="application/json")

    async def _offer(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {self._token}"):
            return web.Response(status=401)
        self.offers.append(Offer.model_validate_json(await request.read()))
        self.offered.set()
        if self.silent:
            await self._ends.wait()
        return web.Response(status=self.reply[0], text=self.reply[1], content_type="application/json")

    async def _play(self, request: web.Request) -> web.Response:
        PlayOffer.model_validate_json(await request.read())
        return web.Response(status=self.reply[0], text=self.reply[1], content_type="application/json")

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        event = PlayerEvent(state=PlayerState.CONNECTING)
        with suppress(ConnectionResetError):
            while event.state is not PlayerState.ENDED:
                await response.write(event.model_dump_json().encode() + b"\n")
                event = await self.player_events.get()
            await response.write(event.model_dump_json().encode() + b"\n")
        return response

    async def _stop_player(self, request: web.Request) -> web.Response:
        self.stopped_players.append(request.match_info["id"])
        return web.Response(status=204)

    async def _stream_event(self, request: web.Request) -> web.Response:
        self.stream_events.append(StreamEvent.model_validate_json(await request.read()))
        return web.Response(status=204)


@dataclass
class Statuses:
    """Writes what the reconciler would: spec in effect at once, relays ready at once, outputs closed at once."""

    store: Store
    relays_ready: bool = True
    effective: bool = True
    closing: bool = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(RtmpTransponder, self._transponder))
            tasks.create_task(self._watch(Stream, self._stream))

    async def _watch(self, kind: Any, settle: Callable[[Any], Any]) -> None:
        listing = await self.store.list(kind)
        for item in listing.items:
            await settle(item)
        async for event in self.store.watch(kind, listing.resource_version):
            if event.type != "DELETED":
                with suppress(Conflict, NotFound):  # a later event brings the newer state
                    await settle(event.object)

    async def _transponder(self, item: RtmpTransponder) -> None:
        if item.deleting and self.closing:
            await self.store.update(without_finalizers(item))
        elif self.effective and item.status.observed_generation < item.metadata.generation:
            status = TransponderStatus(
                phase=TransponderPhase.WAITING_FOR_PUBLISHER,
                observed_generation=item.metadata.generation,
                media_session_id=item.uid,
                muted=item.spec.muted,
                sound_enabled=item.spec.sound is not None,
            )
            await self.store.update_status(item.model_copy(update={"status": status}))

    async def _stream(self, item: Stream) -> None:
        if self.relays_ready and item.status.phase is None:
            status = StreamStatus(phase=StreamPhase.READY, relay_pod=INSTANCE)
            await self.store.update_status(item.model_copy(update={"status": status}))


@dataclass
class Directory:
    """Every stream's relay is the same one."""

    relay: Relay
    instance: str | None = INSTANCE

    async def address(self, stream_name: str) -> RelayAddress | None:
        return RelayAddress(self.instance, self.relay.url, TOKEN) if self.instance else None


@dataclass
class Api:
    """The running API and all that is around it."""

    base: str
    store: SqliteStore
    statuses: Statuses
    relay: Relay
    directory: Directory
    sounds: Path
    session: aiohttp.ClientSession
    app: FastAPI
    headers: dict[str, str] = field(default_factory=dict)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.session.request(method, self.base + path, headers=headers, **options) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "") and text
            return Answer(response.status, json.loads(text) if is_json else None, response.headers.copy(), text)

    async def push(self, call: str, body: Any = None) -> Answer:
        return await self.request("POST", f"/rest-api/push/{call}", **({} if body is None else {"json": body}))

    async def startup(self, stream_name: str = "stream1", rtmp_url: str = "rtmp://127.0.0.1/live", **more: Any) -> Any:
        answer = await self.push("startup", {"streamName": stream_name, "rtmpUrl": rtmp_url, **more})
        assert answer.status == 200, answer.text
        return answer.body

    async def found(self, media_session_id: str) -> Any:
        answer = await self.push("find_all")
        return next(item for item in answer.body if item["mediaSessionId"] == media_session_id)

    async def stored(self) -> tuple[list[RtmpTransponder], list[Stream], list[Secret]]:
        kinds = (RtmpTransponder, Stream, Secret)
        transponders, streams, secrets = [(await self.store.list(kind)).items for kind in kinds]
        return transponders, streams, secrets  # type: ignore[return-value]

    async def transponder(self, media_session_id: str) -> RtmpTransponder:
        items = (await self.store.list(RtmpTransponder)).items
        return next(item for item in items if item.uid == media_session_id)

    async def reset(self) -> None:
        """As it was at the start."""
        self.relay.reset()
        self.directory.instance = INSTANCE
        self.statuses.relays_ready = self.statuses.effective = self.statuses.closing = True
        for file in self.sounds.iterdir():
            file.rmdir() if file.is_dir() else file.unlink()
        for kind in (RtmpTransponder, Stream, Secret):
            for item in (await self.store.list(kind)).items:
                with suppress(NotFound):
                    await edit(self.store, kind, item.name, without_finalizers)
                    await self.store.delete(kind, item.name)

    async def settled(self, transponder: RtmpTransponder) -> None:
        """Wait until the status of a new transponder is written."""

        def good(now: RtmpTransponder | None) -> bool:
            return now is not None and now.status.observed_generation >= transponder.metadata.generation

        await wait_for(self.store, RtmpTransponder, transponder.name, good, 5)


def without_finalizers(now: R) -> R:
    return now.model_copy(update={"metadata": now.metadata.model_copy(update={"finalizers": []})})


async def any_host(host: str, timeout: float) -> bool:
    return True


@asynccontextmanager
async def another_replica(api: Api, **settings: Any) -> AsyncIterator[Api]:
    """A second API on the same store and relays, as another pod would be."""
    listener = bind("127.0.0.1", 0)
    base = "http://{}:{}".format(*listener.getsockname())
    app = create_app(ApiSettings(sounds_folder=api.sounds, **settings), api.store, api.directory, host_check=any_host)
    async with serving_all([Door(app, listener)]):
        yield replace(api, base=base, app=app)


@asynccontextmanager
async def running_api(folder: Path, *, host_check: HostCheck = any_host, **settings: Any) -> AsyncIterator[Api]:
    sounds = folder / "sounds"
    sounds.mkdir()
    store = SqliteStore.open(folder / "store.db")
    listener = bind("127.0.0.1", 0)
    base = "http://{}:{}".format(*listener.getsockname())
    try:
        async with Relay().running() as relay:
            directory, statuses = Directory(relay), Statuses(store)
            app = create_app(ApiSettings(sounds_folder=sounds, **settings), store, directory, host_check=host_check)
            writer = asyncio.create_task(statuses.run())
            try:
                async with serving_all([Door(app, listener)]), aiohttp.ClientSession(trust_env=False) as session:
                    yield Api(base, store, statuses, relay, directory, sounds, session, app)
            finally:
                writer.cancel()  # one that has failed raises here
                with suppress(asyncio.CancelledError):
                    await writer
    finally:
        store.close()
