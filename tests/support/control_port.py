"""A relay's control port, scripted by a test: real HTTP, and a RelayHost that hands out such ports."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from aiohttp import web

from transponder_crd.control import (
    DesiredRelay,
    OutputReport,
    OutputState,
    PublisherReport,
    PublisherState,
    RelayReport,
)
from transponder_crd.meta import OwnerReference
from transponder_crd.relay_host import Absence, RelayAddress

TOKEN = "control-port-token"


class ControlPort:
    """PUT /desired is kept in `puts`; GET /observed streams what the test gives to `say`."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.puts: list[DesiredRelay] = []
        self.put_status = 204
        self.put_came = asyncio.Event()
        self.report: RelayReport | None = None
        self.followers = 0
        self.follow_count = 0
        self.answers = True
        """Whether outputs and publisher that are desired show in the report at once."""
        self.goes_live = False
        """Whether a publisher is connected as soon as it is desired, and outputs are live then."""
        self._changed = asyncio.Event()
        self._broken = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def address(self) -> RelayAddress:
        return RelayAddress(self.instance, self._url, TOKEN)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_put("/desired", self.put_desired)
        app.router.add_get("/observed", self.get_observed)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.break_connections()
        if self._runner:
            await self._runner.cleanup()

    def say(self, report: RelayReport) -> None:
        self.report = report
        self._changed.set()
        self._changed = asyncio.Event()

    def say_outputs(self, **changes: object) -> None:
        """The last report with each output changed so."""
        assert self.report is not None
        outputs = [output.model_copy(update=changes) for output in self.report.outputs]
        self.say(self.report.model_copy(update={"outputs": outputs}))

    def say_publisher(self, **changes: object) -> None:
        assert self.report is not None
        assert self.report.publisher is not None
        self.say(self.report.model_copy(update={"publisher": self.report.publisher.model_copy(update=changes)}))

    def break_connections(self) -> None:
        """Cut every GET /observed."""
        self._broken.set()
        self._broken = asyncio.Event()

    async def put_desired(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        desired = DesiredRelay.model_validate_json(await request.read())
        self.puts.append(desired)
        self.put_came.set()
        if self.put_status == 204 and self.answers:
            self.say(self._as_desired(desired))
        return web.Response(status=self.put_status)

    def _as_desired(self, desired: DesiredRelay) -> RelayReport:
        """What a relay reports at once: new outputs wait, a new publisher is waited for."""
        known = {output.id: output for output in (self.report.outputs if self.report else [])}
        outputs = [
            known.get(o.id, OutputReport(id=o.id, generation=o.generation, state=OutputState.WAITING)).model_copy(
                update={"generation": o.generation, "muted": o.muted, "sound_enabled": o.sound is not None}
            )
            for o in desired.outputs
        ]
        if self.goes_live and desired.publisher:
            outputs = [output.model_copy(update={"state": OutputState.LIVE}) for output in outputs]
        publisher = self.report.publisher if self.report else None
        if desired.publisher is None:
            publisher = None
        elif publisher is None or publisher.id != desired.publisher.id:
            state = PublisherState.CONNECTED if self.goes_live else PublisherState.WAITING
            publisher = PublisherReport(id=desired.publisher.id, state=state)
        return RelayReport(instance=self.instance, publisher=publisher, outputs=outputs)

    async def get_observed(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        response = web.StreamResponse()
        await response.prepare(request)
        self.followers += 1
        self.follow_count += 1
        try:
            with contextlib.suppress(ConnectionError):  # who listened has gone
                await self._stream(response)
        finally:
            self.followers -= 1
        if request.transport:
            request.transport.abort()
        return response

    async def _stream(self, response: web.StreamResponse) -> None:
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            while not broken.done():
                changed = asyncio.ensure_future(self._changed.wait())
                if self.report:
                    await response.write(self.report.model_dump_json().encode() + b"\n")
                await asyncio.wait({changed, broken}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        finally:
            broken.cancel()


class ScriptedHost:
    """A RelayHost whose relays are ControlPorts. A relay is ready when `ready` is True."""

    def __init__(self) -> None:
        self.ready = True
        self.ports: dict[str, ControlPort] = {}
        self.owners: dict[str, list[OwnerReference]] = {}
        self.deleted: list[str] = []
        self.why: Absence | None = None
        self._count = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def address(self, stream_name: str) -> RelayAddress | None:
        port = self.ports.get(stream_name)
        return port.address if port and self.ready else None

    async def ensure(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayAddress | None:
        self.owners[stream_name] = list(owners)
        if stream_name not in self.ports:
            await self.replace(stream_name)
        return await self.address(stream_name)

    def absence(self, stream_name: str) -> Absence | None:
        return self.why

    async def replace(self, stream_name: str) -> ControlPort:
        """A new relay in place of the one that was there, as after a crash."""
        self._count += 1
        port = await self._stack.enter_async_context(ControlPort(f"relay-{self._count}"))
        self.ports[stream_name] = port
        return port

    async def delete(self, stream_name: str) -> None:
        self.deleted.append(stream_name)
        if port := self.ports.pop(stream_name, None):
            await port.__aexit__()


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait for a condition that nothing announces."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if (await result) if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.005)
