"""Joins the parts to the FastAPI application."""

from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse

from transponder_api import ice_route, push, stream, whep, whip
from transponder_api.bearer import Token, token_of
from transponder_api.errors import install_handlers
from transponder_api.figures import Figures
from transponder_api.hosts import HostCheck, host_exists
from transponder_api.ice_servers import IceServers
from transponder_api.metrics import Measured, Metrics
from transponder_api.middleware import OPEN_PATHS, BearerToken, BodyLimit, Leaving, UnexpectedErrors
from transponder_api.openapi import describe_app
from transponder_api.page import page_files, page_router
from transponder_api.players import Players
from transponder_api.published import Published
from transponder_api.relay_client import RelayClient
from transponder_api.settings import BODY_LIMIT, BODY_TIMEOUT, ApiSettings
from transponder_api.signalling import EXPOSED_HEADERS, AcceptPost
from transponder_api.streams import Streams
from transponder_api.transponders import Transponders
from transponder_crd.relay_host import RelayDirectory
from transponder_crd.store import Store

NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
"""FastAPI's own OpenTelemetry would take request bodies, and stream keys with them, to wherever it is pointed."""


def create_app(
    settings: ApiSettings,
    store: Store,
    relays: RelayDirectory,
    *,
    host_check: HostCheck = host_exists,
    metrics: Metrics | None = None,
    leaving: Callable[[], bool] | None = None,
) -> FastAPI:
    """The application. It keeps nothing of its own; `store` stays open after it has ended.

    When `leaving` says so, connections are not kept open for further requests.
    """
    metrics = metrics or Metrics()
    client = RelayClient()
    page = page_files()
    token = token_of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    options: dict[str, Any] = {"telemetry": NO_TELEMETRY}
    app = FastAPI(
        title="rtmp-transponder",
        summary="Send a stream that a browser publishes by WebRTC to any RTMP(S) server",
        version=version("rtmp-transponder"),
        docs_url=None,  # these pages load scripts of other hosts
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(Measured, metrics=metrics),
            *([Middleware(Leaving, leaving=leaving)] if leaving else []),
            *_middleware(settings, token, OPEN_PATHS | page.keys()),
        ],
        dependencies=[Depends(HTTPBearer(auto_error=False))] if token else [],  # what OpenAPI says of it
        **options,
    )
    app.state.token, app.state.metrics, app.state.public_path = token, metrics, settings.public_path
    app.state.ice_servers = IceServers(settings.ice_servers, settings.ice_credential_seconds)
    app.state.transponders = Transponders(store, settings, host_check)
    app.state.figures = Figures(relays, client)
    app.state.streams = Streams(store, relays, client, settings, metrics)
    app.state.published = Published(app.state.streams)
    app.state.players = Players(relays, client, settings, metrics)
    install_handlers(app)
    app.include_router(push.router)
    app.include_router(stream.router)
    app.include_router(whip.router)
    app.include_router(whep.router)
    app.include_router(ice_route.router)
    app.include_router(page_router(page))
    app.add_api_route("/healthz", _healthz, operation_id="healthz", response_class=PlainTextResponse)
    app.add_api_route("/healthz", _healthz, methods=["HEAD"], include_in_schema=False)  # load balancers ask so
    app.openapi = lambda: describe_app(app)  # type: ignore[method-assign]
    return app


def _middleware(settings: ApiSettings, token: Token | None, open_paths: Set[str]) -> list[Middleware]:
    """The first is the outermost. Errors are answered within CORS, or a page could not read them.

    `open_paths` are answered without a token.
    """
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origin.split(),
        allow_methods=["DELETE", "GET", "OPTIONS", "PATCH", "POST"],
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )
    return [
        Middleware(AcceptPost, endpoints=(whip.ENDPOINT, whep.ENDPOINT)),
        *([cors] if settings.cors_origin else []),
        Middleware(UnexpectedErrors),
        *([Middleware(BearerToken, token=token, open_paths=open_paths)] if token else []),
        Middleware(BodyLimit, limit=BODY_LIMIT, timeout=BODY_TIMEOUT),
    ]


async def _healthz() -> PlainTextResponse:
    """The API is there."""
    return PlainTextResponse("ok\n")
