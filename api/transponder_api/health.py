"""What probes and Prometheus ask a pod of the API, at a port of its own."""

from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


@dataclass
class Health:
    """What the program says of itself."""

    waiting_for: str = "start"
    """Why it is not ready; empty when it is."""


def create_health_app(health: Health, registry: CollectorRegistry) -> Starlette:
    """`/healthz`, `/readyz` and `/metrics`, open to whoever reaches the port: nothing in them is secret."""

    async def healthz(_: Request) -> Response:
        """Alive. A lost API server is no reason to be started anew: that would end all WebSDK sessions."""
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if health.waiting_for:
            return PlainTextResponse(f"not ready: {health.waiting_for}\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
