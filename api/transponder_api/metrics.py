"""What the API counts for Prometheus. Labels are routes, methods and kinds of outcomes: no stream, URL or caller."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transponder_api.errors import METHODS, ApiError

Kind = Literal["publish", "play"]
KINDS: tuple[Kind, ...] = ("publish", "play")

SECONDS = (0.01, 0.03, 0.1, 0.3, 0.5, 1, 2, 5, 10)
"""Bounds of the histograms' buckets."""


class Metrics:
    """One set for each application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "transponder_api_requests",
            "HTTP requests that were answered; status is 2xx, 4xx, ... or none when the caller went away.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "transponder_api_request_seconds",
            "Time from a request to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.offers = Counter(
            "transponder_api_offers",
            "SDP offers of publishers and players, by what became of them.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.offer_seconds = Histogram(
            "transponder_api_offer_seconds",
            "Time from an offer to the relay's answer.",
            ["kind"],
            buckets=SECONDS,
            registry=registry,
        )
        self.websdk_sessions = Gauge("transponder_api_websdk_sessions", "WebSDK sessions.", registry=registry)
        self.websdk_streams = Gauge(
            "transponder_api_websdk_streams",
            "Publications and playbacks of WebSDK sessions.",
            ["kind"],
            registry=registry,
        )
        self._watch_silence = Gauge(
            "transponder_api_watch_silence_seconds",
            "Time since the Kubernetes API last said anything about that kind of objects.",
            ["kind"],
            registry=registry,
        )
        for kind in KINDS:
            self.offer_seconds.labels(kind)
            self.websdk_streams.labels(kind)

    def watch_silence(self, kind: str, seconds: Callable[[], float]) -> None:
        """`seconds` says it whenever it is asked for."""
        self._watch_silence.labels(kind).set_function(seconds)

    def live_streams(self) -> int:
        """Publications and playbacks of WebSDK sessions."""
        name = "transponder_api_websdk_streams"
        return int(sum(self.registry.get_sample_value(name, {"kind": kind}) or 0 for kind in KINDS))

    @contextmanager
    def offer(self, kind: Kind) -> Iterator[None]:
        """The block gets an offer answered, or raises."""
        start = time.monotonic()
        outcome = "error"
        try:
            yield
            outcome = "answered"
            self.offer_seconds.labels(kind).observe(time.monotonic() - start)
        except ApiError as error:
            outcome = error.status.name.lower()
            raise
        finally:
            self.offers.labels(kind, outcome).inc()


class Measured:
    """Counts every request (plain ASGI)."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = "none"

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
            await send(message)

        start = time.monotonic()
        try:
            await self.app(scope, receive, observed)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = _route(scope)
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.request_seconds.labels(method, route).observe(time.monotonic() - start)


def _route(scope: Scope) -> str:
    """The template of the route, as in `/whip/{stream_name:path}`: what callers write themselves never is a label."""
    return getattr(scope.get("route"), "path", None) or "none"
