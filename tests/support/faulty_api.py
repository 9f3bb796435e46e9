"""A proxy in front of an API server that refuses a part of all requests, with 429 and 5xx, and cuts watches."""

import random
import ssl
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web
from cluster.control_plane import ControlPlane

FAULTS = (429, 500, 503)
PASSED_ON = ("Content-Type", "Accept", "User-Agent")


class FaultyApi:
    """Plain HTTP on loopback; it has the administrator's rights."""

    def __init__(self, plane: ControlPlane, rate: float, seed: int = 1) -> None:
        """`rate`: the part of requests that fail, 0 to 1."""
        self._config: dict[str, Any] = yaml.safe_load(plane.kubeconfig.read_text())
        self._server = plane.url
        folder = plane.authority.certificate.parent
        self._tls = ssl.create_default_context(cafile=plane.authority.certificate)
        self._tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        self._random = random.Random(seed)
        self.rate = rate
        self.refused = 0
        self._client: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(ssl=self._tls, limit=0))
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner:
            await self._runner.cleanup()
        if self._client:
            await self._client.close()

    def kubeconfig(self, folder: Path) -> Path:
        """For clients of this proxy."""
        assert self._runner is not None
        config: dict[str, Any] = {**self._config}
        port = self._runner.addresses[0][1]
        config["clusters"] = [
            {"name": config["clusters"][0]["name"], "cluster": {"server": f"http://127.0.0.1:{port}"}}
        ]
        config["users"] = [{"name": config["users"][0]["name"], "user": {}}]
        path = folder / "faulty.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        watched = "watch" in request.query
        if self._random.random() < self.rate:
            self.refused += 1
            return web.json_response({"kind": "Status", "reason": "Injected"}, status=self._random.choice(FAULTS))
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        assert self._client is not None
        async with self._client.request(
            request.method, f"{self._server}{request.raw_path}", data=await request.read() or None, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
                if watched and self._random.random() < self.rate:
                    self.refused += 1
                    break
            return response
