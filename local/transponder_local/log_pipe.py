"""A pipe into which a child process logs, one line at a time, and out of which its lines go to our own logging."""

import asyncio
import logging
import os
import re
from types import TracebackType
from typing import Self

MAX_LINE_BYTES = 8192
DRAIN_SECONDS = 1.0

_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)", re.DOTALL)


class LogPipe(asyncio.Protocol):
    """Lines `LEVEL logger message` are logged at that level; others (of a traceback) at that of the line before.

    The child gets `write_end`. Leaving the `with` block closes our copy of it, so that the pipe ends with the child.
    """

    def __init__(self, logger: logging.Logger, subject: str) -> None:
        self._logger = logger
        self._subject = subject
        self._rest = b""
        self._level = logging.WARNING
        self._transport: asyncio.BaseTransport | None = None
        self._connecting: asyncio.Task[object] | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when all that was written has been logged and nobody can write any more."""
        self._read_end, self.write_end = os.pipe()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        source = os.fdopen(self._read_end, "rb", buffering=0)
        self._connecting = loop.create_task(loop.connect_read_pipe(lambda: self, source))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.write_end)

    async def drain(self) -> None:
        """Wait for the last line; not for long, since a grandchild may hold the pipe open."""
        await asyncio.wait({self.closed}, timeout=DRAIN_SECONDS)
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._log(self._rest)
            self._rest = b""

    def connection_lost(self, _: Exception | None) -> None:
        if self._rest:
            self._log(self._rest)
            self._rest = b""
        if not self.closed.done():
            self.closed.set_result(None)

    def _log(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip()
        if match := _LINE.fullmatch(text):
            level, _, text = match.groups()
            self._level = logging.getLevelNamesMapping()[level]
        if text:
            self._logger.log(self._level, "%s: %s", self._subject, text)
