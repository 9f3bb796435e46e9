"""Relays for an operator under test: one HTTP server with the control ports of all of them.

It lives in the test's process, so relays outlive an operator that is killed. `FarmHosts` is the operator's side.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp import web
from support.control_port import TOKEN, ControlPort

from transponder_crd.kubernetes.mirror import Change
from transponder_crd.kubernetes.relay_pods import RELAY_SELECTOR
from transponder_crd.meta import OwnerReference
from transponder_crd.relay_host import Absence, RelayAddress
from transponder_operator.installation import Host, Installation


class RelayFarm:
    """By stream: a relay that was asked for, until it is deleted."""

    def __init__(self, goes_live: bool = False) -> None:
        """`goes_live`: see `ControlPort`."""
        self.relays: dict[str, ControlPort] = {}
        self._goes_live = goes_live
        self.deleted: list[str] = []
        self.url = ""
        self._count = 0
        self._by_instance: dict[str, ControlPort] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_put("/hosts/{stream}", self._ensure)
        app.router.add_delete("/hosts/{stream}", self._delete)
        app.router.add_put("/relays/{instance}/desired", self._put_desired)
        app.router.add_get("/relays/{instance}/observed", self._get_observed)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for port in self._by_instance.values():
            port.break_connections()
        if self._runner:
            await self._runner.cleanup()

    def outputs(self, stream_name: str) -> list[str]:
        """Ids of the outputs that the relay of the stream was told to have last."""
        port = self.relays.get(stream_name)
        return [output.id for output in port.puts[-1].outputs] if port and port.puts else []

    async def _ensure(self, request: web.Request) -> web.Response:
        stream_name = request.match_info["stream"]
        if stream_name not in self.relays:
            self._count += 1
            port = ControlPort(f"relay-{self._count}")
            port.goes_live = self._goes_live
            self.relays[stream_name] = self._by_instance[port.instance] = port
        return web.json_response({"instance": self.relays[stream_name].instance})

    async def _delete(self, request: web.Request) -> web.Response:
        stream_name = request.match_info["stream"]
        self.deleted.append(stream_name)
        if port := self.relays.pop(stream_name, None):
            del self._by_instance[port.instance]
            port.break_connections()
        return web.Response()

    async def _put_desired(self, request: web.Request) -> web.Response:
        return await self._port(request).put_desired(request)

    async def _get_observed(self, request: web.Request) -> web.StreamResponse:
        return await self._port(request).get_observed(request)

    def _port(self, request: web.Request) -> ControlPort:
        port = self._by_instance.get(request.match_info["instance"])
        if port is None:
            raise web.HTTPNotFound
        return port


class FarmHosts:
    """`installation.Hosts`, whose relays are those of the farm at `url`."""

    selector = RELAY_SELECTOR

    def __init__(self, url: str) -> None:
        self._url = url

    async def make(self, installation: Installation) -> Host:
        return _FarmHost(self._url)


class _FarmHost:
    def __init__(self, url: str) -> None:
        self._url = url
        self._client = aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(limit=16))

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        await self._client.close()

    def changed(self, changes: Iterable[Change[dict[str, Any]]]) -> None:
        pass

    async def address(self, stream_name: str) -> RelayAddress | None:
        return await self.ensure(stream_name, ())

    async def ensure(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayAddress | None:
        async with self._client.put(self._at(stream_name)) as response:
            instance = (await response.json())["instance"]
        return RelayAddress(instance, f"{self._url}/relays/{instance}", TOKEN)

    def absence(self, stream_name: str) -> Absence | None:
        return None

    async def delete(self, stream_name: str) -> None:
        async with self._client.delete(self._at(stream_name)) as response:
            response.raise_for_status()

    def _at(self, stream_name: str) -> str:
        return f"{self._url}/hosts/{quote(stream_name, safe='')}"
