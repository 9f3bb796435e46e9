"""Runs applications by uvicorn inside an event loop that someone else owns."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transponder_crd.tasks import happens

STOP_SECONDS = 2
"""How long calls that are under way may take at the end."""

HEAD_SECONDS = 10.0
"""In which the head of a request must be here, from its first byte on or, for the first one, from the connection on."""


class Door(NamedTuple):
    """An application on a listening socket. Several doors may lead to one application."""

    app: Starlette
    listener: socket.socket
    tls: ssl.SSLContext | None = None
    """None: plain HTTP."""
    options: Mapping[str, Any] = {}
    """More arguments of `uvicorn.Config`."""


class _HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which waits for ever for a client that says nothing, or not all of its request's head."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if self._late is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _head_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """Signals are the owner's: uvicorn would take SIGINT and SIGTERM for itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """As uvicorn's, which looks ten times a second whether it should end, but ends at once."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 10  # uvicorn counts tenths of seconds; every tenth one refreshes the Date header
            await happens(self.ending, within=1)

    def end(self) -> None:
        self.should_exit = True
        self.ending.set()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    options = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP, "flags": socket.AI_PASSIVE}
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, **options)[0]
    # asyncio sets TCP_NODELAY only where it sees that protocol; without, each answer waits 40 ms for an ACK
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving_all(doors: Sequence[Door], around: Sequence[Starlette] = ()) -> AsyncIterator[None]:
    """Serve at all doors for the length of the block; they end at the same time, and their listeners are then closed.

    The lifespan of each application is around that of all its doors, which is why uvicorn does not run it; those of
    `around` are around all others. Raises RuntimeError if a server does not start, and what a lifespan raises.
    """
    async with AsyncExitStack() as stack:
        for app in {id(app): app for app in (*around, *(door.app for door in doors))}.values():
            await stack.enter_async_context(app.router.lifespan_context(app))
        servers = [_Server(_config(door)) for door in doors]
        tasks = [
            asyncio.create_task(server.serve(sockets=[door.listener]), name="http server")
            for server, door in zip(servers, doors, strict=True)
        ]
        try:
            for server, task in zip(servers, tasks, strict=True):
                await _until_started(server, task)
            yield
        finally:
            for server in servers:
                server.end()
            await asyncio.gather(*tasks)


def _config(door: Door) -> uvicorn.Config:
    tls = door.tls
    return uvicorn.Config(
        door.app,
        log_config=None,  # logging is the owner's too
        access_log=False,
        server_header=False,
        http=_HttpProtocol,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="off",
        ssl_context_factory=None if tls is None else lambda *_: tls,
        **door.options,
    )


async def _until_started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            raise RuntimeError("the HTTP server did not start")
        await asyncio.sleep(0.005)  # uvicorn has no event for it
