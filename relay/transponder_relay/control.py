"""The control port: desired state in, reports and SDP answers out (messages: `transponder_crd.control`)."""

import contextlib
import hmac
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import ValidationError

from transponder_crd import control
from transponder_crd.offer import InvalidOffer
from transponder_relay.metrics import RelayCollector
from transponder_relay.relay import Relay

logger = logging.getLogger(__name__)

RELAY = web.AppKey("relay", Relay)
METRICS = web.AppKey("metrics", CollectorRegistry)

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Probes carry no token and tell nothing."""


def control_app(relay: Relay, token: str) -> web.Application:
    """The aiohttp application of one relay."""
    app = web.Application(middlewares=[_bearer(token)], client_max_size=1 << 20)
    app[RELAY] = relay
    app[METRICS] = CollectorRegistry()
    app[METRICS].register(RelayCollector(relay))
    app.router.add_put("/desired", put_desired)
    app.router.add_get("/observed", get_observed)
    app.router.add_post("/offer", post_offer)
    app.router.add_get("/metrics", get_metrics)
    app.router.add_get("/healthz", probe)
    app.router.add_get("/readyz", probe)
    return app


def _bearer(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode()
        if request.path not in OPEN_PATHS and not hmac.compare_digest(given, expected):
            raise web.HTTPUnauthorized
        return await handler(request)

    return check


async def put_desired(request: web.Request) -> web.Response:
    try:
        desired = control.DesiredRelay.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    request.app[RELAY].apply(desired)
    return web.Response(status=204)


async def get_observed(request: web.Request) -> web.StreamResponse:
    """One report at once, one on each transition, one at least every HEARTBEAT_SECONDS."""
    relay = request.app[RELAY]
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError):  # who followed is gone
        while True:
            # taken before the report is made: what changes while it is being written is not missed
            change = relay.next_change()
            await response.write(relay.report().model_dump_json().encode() + b"\n")
            await relay.wait_for(change, control.HEARTBEAT_SECONDS)
    return response


async def post_offer(request: web.Request) -> web.Response:
    try:
        offer = control.Offer.model_validate_json(await request.read())
        answer = await request.app[RELAY].answer(offer)
    except ValidationError as error:
        first = error.errors()[0]
        return _refuse(".".join(map(str, first["loc"])), first["msg"])
    except InvalidOffer as error:
        return _refuse(error.field, error.rule)
    except OSError as error:
        logger.warning("no media port: %s", error)
        raise web.HTTPServiceUnavailable(text="no media port is free") from None
    return web.Response(text=control.Answer(sdp=answer).model_dump_json(), content_type="application/json")


def _refuse(field: str, rule: str) -> web.Response:
    body = control.Refusal(field=field, rule=rule).model_dump_json()
    return web.Response(status=400, text=body, content_type="application/json")


async def get_metrics(request: web.Request) -> web.Response:
    body = generate_latest(request.app[METRICS])
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def probe(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
