"""One TCP or TLS connection that publishes: the asyncio shell around `Publisher`."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from transponder_crd.control import OutputReason
from transponder_relay.outputs.failure import Failure
from transponder_relay.outputs.publisher import Challenge, Phase, Publisher

_BUFFER_BYTES = 64 * 1024
"""Above this the transport asks to pause, and tags wait in the backlog, where they can still be dropped."""
_TCP_INFO = struct.Struct("68xI48xQ")
"""`tcpi_rtt` (µs) and `tcpi_bytes_acked` of `struct tcp_info` (linux/tcp.h, since 4.1)."""


def _nothing() -> None:
    pass


class Connection(asyncio.Protocol):
    """Made by `opening.open_connection`, and then live."""

    def __init__(self, publisher: Publisher, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.paused = False
        """The transport holds enough: write no media now."""
        self.on_writable: Callable[[], None] = _nothing
        """Called when `paused` ends."""
        self.opened: asyncio.Future[Failure | Challenge | None] = loop.create_future()
        self.lost: asyncio.Future[Failure] = loop.create_future()
        """Done when the connection is over, for whatever reason."""
        self.transport: asyncio.Transport
        self._publisher = publisher
        self._socket = sock
        self._gathered: list[bytes] | None = None

    @property
    def stream_id(self) -> int:
        return self._publisher.stream_id

    @property
    def phase(self) -> Phase:
        return self._publisher.phase

    # -------------------------------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_BUFFER_BYTES, low=_BUFFER_BYTES // 4)
        self.transport.write(self._publisher.start())

    def data_received(self, data: bytes) -> None:
        if self.lost.done():
            return
        try:
            answer = self._publisher.receive(data)
        except (Failure, Challenge) as end:
            self._over(end)
            self.transport.abort()
            return
        if answer:
            self.transport.write(answer)
        if self._publisher.phase is Phase.LIVE and not self.opened.done():
            self.opened.set_result(None)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over(_lost(exc, self._publisher.phase))

    def _over(self, end: Failure | Challenge) -> None:
        if not self.opened.done():
            self.opened.set_result(end)
        if not self.lost.done():
            self.lost.set_result(end if isinstance(end, Failure) else Failure(OutputReason.AUTH_FAILED, str(end)))

    # -------------------------------------------------------------------------------------------- for the output

    def write(self, buffers: Iterable[bytes]) -> None:
        if self._gathered is not None:
            self._gathered += buffers
        elif not self.lost.done():
            self.transport.writelines(buffers)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is sent at the end, in one system call if the socket takes it."""
        gathered = self._gathered = []
        try:
            yield
        finally:
            self._gathered = None
            if gathered:
                self.write(gathered)

    def buffered(self) -> int:
        """Bytes that the transport holds."""
        return self.transport.get_write_buffer_size()

    def acknowledged(self) -> int:
        """Bytes that the peer's TCP has taken, as the kernel counts them (TLS and handshake included)."""
        return self._tcp_info()[1]

    def round_trip(self) -> float | None:
        """Seconds to the peer's TCP and back, smoothed by the kernel; None once it is closed."""
        return self._tcp_info()[0] / 1e6 or None

    def _tcp_info(self) -> tuple[int, int]:
        """Round trip in µs, bytes acknowledged; zeros once it is closed."""
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except OSError:
            return 0, 0
        return _TCP_INFO.unpack(info) if len(info) == _TCP_INFO.size else (0, 0)

    def outstanding(self) -> int:
        """Bytes handed over and not yet taken by the peer's TCP."""
        try:
            unsent = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return 0  # closed
        return self.buffered() + int.from_bytes(unsent, "little")

    async def finish(self, timeout: float) -> None:
        """End the session in order: FCUnpublish, deleteStream, FIN; by force after `timeout` seconds or a cancel."""
        self.on_writable = _nothing  # no media may follow the last words
        try:
            if not self.lost.done():
                self.transport.write(self._publisher.finish())
                # Closing a socket with unread answers in it would reset it, and the server might miss the last words.
                if self.transport.can_write_eof():
                    self.transport.write_eof()
                else:
                    self.transport.close()
                await asyncio.wait({self.lost}, timeout=timeout)
        finally:
            self.abort()

    def abort(self) -> None:
        """End at once; harmless when it is over."""
        self.transport.abort()


def _lost(exc: Exception | None, phase: Phase) -> Failure:
    how = "closed" if exc is None else "reset"
    if isinstance(exc, TimeoutError):
        return Failure(OutputReason.TIMEOUT, "the server's host did not acknowledge for too long")
    if isinstance(exc, ssl.SSLError):
        return Failure(OutputReason.CLOSED_BY_SERVER, "the server broke TLS off")
    when = "" if phase in (Phase.LIVE, Phase.FINISHED) else f" before it answered {phase}"
    return Failure(OutputReason.CLOSED_BY_SERVER, f"the server {how} the connection{when}")
