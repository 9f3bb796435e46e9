"""Runs applications by uvicorn inside an event loop that someone else owns."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette

STOP_SECONDS = 2
"""How long calls that are under way may take at the end."""


class Door(NamedTuple):
    """An application on a listening socket. Several doors may lead to one application."""

    app: Starlette
    listener: socket.socket
    tls: ssl.SSLContext | None = None
    """None: plain HTTP."""
    options: Mapping[str, Any] = {}
    """More arguments of `uvicorn.Config`."""


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
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ending.wait(), 1)

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
async def serving(app: Starlette, listener: socket.socket, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """`serving_all` of one door."""
    async with serving_all([Door(app, listener, tls)]):
        yield


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
