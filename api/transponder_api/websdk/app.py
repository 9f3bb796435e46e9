"""The application on the WebSDK's port: a WebSocket at any path."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from transponder_api.app import NO_TELEMETRY
from transponder_api.watching import Watched
from transponder_api.websdk.limits import Limits
from transponder_api.websdk.services import Services
from transponder_api.websdk.session import Session
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import Store

log = logging.getLogger(__name__)

MAX_MESSAGE = 256 * 1024
"""Bytes of a message. An offer has 6 KB, but a line of a page's log may hold several."""


ABORT_SECONDS = 12.0
"""After the end of a session its socket is given up, also if the client never reads what was still to be sent."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's without its log, which would have each client's path with the query and tracebacks of their faults,
    and without sockets that never end: `transport.close()` waits for the client to read."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _silent
        self._abort: asyncio.TimerHandle | None = None

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self._abort = self.loop.call_later(ABORT_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._abort is not None:
            self._abort.cancel()


_silent = logging.getLogger(f"{__name__}.protocol")
_silent.disabled = True

UVICORN_OPTIONS: Mapping[str, Any] = {
    "ws": WebSocketProtocol,
    "ws_max_size": MAX_MESSAGE,
    "ws_ping_interval": None,  # the SDK wants pings as messages
    "ws_per_message_deflate": False,  # small messages: it would cost memory for each client and save nothing
}
"""How this application is to be served."""


def create_websdk_app(api: FastAPI, store: Store, limits: Limits | None = None) -> FastAPI:
    """The application beside `api`, whose services it uses: serve it while that one is being served."""
    state = api.state
    services = Services(
        settings=state.streams.settings,
        token=state.token,
        metrics=state.metrics,
        limits=limits or Limits(),
        streams=state.streams,
        transponders=state.transponders,
        players=state.players,
        watched_streams=Watched(store, Stream),
        watched_transponders=Watched(store, RtmpTransponder),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with services.watched_streams, services.watched_transponders:
            yield

    async def session(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await Session(websocket, services).run()
        except Exception:
            log.exception("a session failed")

    options: dict[str, Any] = {"telemetry": NO_TELEMETRY}
    return FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        routes=[WebSocketRoute("/{_:path}", session), Route("/healthz", _healthz), Route("/{_:path}", _no_websocket)],
        **options,
    )


async def _healthz(_: Any) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


async def _no_websocket(_: Any) -> PlainTextResponse:
    """RFC 9110, section 15.5.22."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return PlainTextResponse("a WebSocket is served here\n", 426, headers)
