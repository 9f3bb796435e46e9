"""The HTTP port of the operator: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from transponder_crd.start_error import StartError
from transponder_operator.probe import Vitals, not_live, not_ready


@asynccontextmanager
async def serving(
    host: str, port: int, vitals: Callable[[], Vitals], registry: CollectorRegistry
) -> AsyncIterator[int]:
    """For the length of the block. Gives the port's number. Raises StartError."""
    app = web.Application()
    app.router.add_get("/healthz", _probe(lambda: not_live(vitals())))
    app.router.add_get("/readyz", _probe(lambda: not_ready(vitals())))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise StartError(f"{host}:{port}: {error.strerror or error}") from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _probe(faults: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        found = faults()
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=503 if found else 200)

    return answer
