"""Runs the application by uvicorn inside an event loop that someone else owns."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from fastapi import FastAPI

STOP_SECONDS = 2
"""How long calls that are under way may take at the end."""


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
async def serving(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on `listener` for the length of the block; afterwards it is closed. Raises RuntimeError if it cannot."""
    config = uvicorn.Config(
        app,
        log_config=None,  # logging is the owner's too
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="on",
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    try:
        await _until_started(server, task)
        yield
    finally:
        server.end()
        await task


async def _until_started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            raise RuntimeError("the HTTP server did not start")
        await asyncio.sleep(0.005)  # uvicorn has no event for it
