"""The control port: desired state in, reports and SDP answers out (messages: `transponder_crd.control`)."""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from transponder_crd import control
from transponder_crd.offer import InvalidOffer
from transponder_relay.metrics import RelayCollector
from transponder_relay.playback.players import NothingPublished, TooManyPlayers
from transponder_relay.relay import Draining, OtherStream, Relay

logger = logging.getLogger(__name__)

M = TypeVar("M", control.Offer, control.PlayOffer)

RELAY = web.AppKey("relay", Relay)
METRICS = web.AppKey("metrics", CollectorRegistry)

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes carry no token and tell nothing."""


def control_app(relay: Relay, token: str, *, open_metrics: bool = False) -> web.Application:
    """The aiohttp application of one relay. `open_metrics`: /metrics wants no token."""
    open_paths = OPEN_PATHS | {"/metrics"} if open_metrics else OPEN_PATHS
    app = web.Application(middlewares=[_bearer(token, open_paths)], client_max_size=1 << 20)
    app[RELAY] = relay
    app[METRICS] = CollectorRegistry()
    app[METRICS].register(RelayCollector(relay))
    app.router.add_put("/desired", put_desired)
    app.router.add_get("/observed", get_observed)
    app.router.add_get("/report", get_report)
    app.router.add_post("/offer", post_offer)
    app.router.add_post("/players", post_player)
    app.router.add_get("/players/{id}", get_player)
    app.router.add_delete("/players/{id}", delete_player)
    app.router.add_post("/stream-events", post_stream_event)
    app.router.add_get("/metrics", get_metrics)
    app.router.add_get("/healthz", get_health)
    app.router.add_get("/readyz", get_readiness)
    return app


def _bearer(token: str, open_paths: frozenset[str]) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if request.path not in open_paths and not hmac.compare_digest(given, expected):
            raise web.HTTPUnauthorized
        return await handler(request)

    return check


async def put_desired(request: web.Request) -> web.Response:
    try:
        desired = control.DesiredRelay.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    try:
        request.app[RELAY].apply(desired)
    except OtherStream:
        return _refuse("streamName", "must be that of the stream which this relay serves", 409)
    return web.Response(status=204)


async def get_observed(request: web.Request) -> web.StreamResponse:
    """One report at once, one on each transition, one at least every HEARTBEAT_SECONDS."""
    relay = request.app[RELAY]
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    with contextlib.suppress(ConnectionResetError):  # who followed is gone, be it before the first report
        await response.prepare(request)
        while True:
            # taken before the report is made: what changes while it is being written is not missed
            change = relay.next_change()
            await response.write(relay.report().model_dump_json().encode() + b"\n")
            await relay.wait_for(change, control.HEARTBEAT_SECONDS)
    return response


async def get_report(request: web.Request) -> web.Response:
    report = request.app[RELAY].report()
    return web.Response(text=report.model_dump_json(), content_type="application/json")


async def post_offer(request: web.Request) -> web.Response:
    try:
        return await _answer(request, control.Offer, request.app[RELAY].answer)
    except Draining:
        raise web.HTTPServiceUnavailable(text="the relay is about to end") from None


async def post_player(request: web.Request) -> web.Response:
    try:
        return await _answer(request, control.PlayOffer, request.app[RELAY].play)
    except NothingPublished:
        return _refuse("streamName", "must be that of a stream which is being published", 409)
    except TooManyPlayers:
        raise web.HTTPServiceUnavailable(text="there are as many players as one relay takes") from None


async def _answer(request: web.Request, kind: type[M], answer: Callable[[M], Awaitable[str]]) -> web.Response:
    """Hand an offer to `answer`, in words of the control port."""
    try:
        sdp = await answer(kind.model_validate_json(await request.read()))
    except ValidationError as error:
        first = error.errors()[0]
        return _refuse(".".join(map(str, first["loc"])), first["msg"])
    except InvalidOffer as error:
        return _refuse(error.field, error.rule)
    except OSError as error:
        logger.warning("no media port: %s", error)
        raise web.HTTPServiceUnavailable(text="no media port is free") from None
    return web.Response(text=control.Answer(sdp=sdp).model_dump_json(), content_type="application/json")


async def get_player(request: web.Request) -> web.StreamResponse:
    """The player's state at once, then its events; an empty line each HEARTBEAT_SECONDS tells that we are there."""
    players, player_id = request.app[RELAY].players, request.match_info["id"]
    queue = players.follow(player_id)
    if queue is None:
        raise web.HTTPNotFound
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    try:
        await response.prepare(request)
        state = None
        while state is not control.PlayerState.ENDED:
            try:
                async with asyncio.timeout(control.HEARTBEAT_SECONDS):
                    event = await queue.get()
            except TimeoutError:
                await response.write(b"\n")
                continue
            state = event.state
            await response.write(event.model_dump_json(exclude_none=True).encode() + b"\n")
    except ConnectionResetError:  # who followed is gone
        pass
    finally:
        players.unfollow(player_id, queue)
    return response


async def delete_player(request: web.Request) -> web.Response:
    return web.Response(status=204 if request.app[RELAY].players.stop(request.match_info["id"]) else 404)


async def post_stream_event(request: web.Request) -> web.Response:
    try:
        event = control.StreamEvent.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    request.app[RELAY].players.send_event(event)
    return web.Response(status=204)


def _refuse(field: str, rule: str, status: int = 400) -> web.Response:
    body = control.Refusal(field=field, rule=rule).model_dump_json()
    return web.Response(status=status, text=body, content_type="application/json")


async def get_metrics(request: web.Request) -> web.Response:
    body = generate_latest(request.app[METRICS])
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def get_health(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def get_readiness(request: web.Request) -> web.Response:
    """503 while it serves to the end what it serves: it is not to be given anything else."""
    if request.app[RELAY].draining:
        raise web.HTTPServiceUnavailable(text="draining\n")
    return web.Response(text="ok\n")
