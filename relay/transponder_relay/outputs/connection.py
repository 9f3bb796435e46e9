"""One TCP or TLS connection that publishes: the asyncio shell around `Publisher`."""

import asyncio
import errno
import fcntl
import os
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import cast

import aiohappyeyeballs

from transponder_crd.control import OutputReason, RtmpTarget
from transponder_relay.outputs.failure import Failure
from transponder_relay.outputs.publisher import Challenge, Phase, Publisher
from transponder_relay.outputs.resolve import resolve
from transponder_relay.outputs.settings import OutputSettings

_MAX_SESSIONS = 3
"""Adobe's authentication refuses two connections before it accepts one."""
_BUFFER_BYTES = 64 * 1024
"""Above this the transport asks to pause, and tags wait in the backlog, where they can still be dropped."""
_UNSENT_BYTES = 128 * 1024
"""What the kernel may hold beyond what is in flight: a wedged peer is seen early, a long fat path is not slowed."""
_TCP_INFO_ACKED = struct.Struct("120xQ")
"""`tcpi_bytes_acked` of `struct tcp_info` (linux/tcp.h, since 4.1)."""


def _nothing() -> None:
    pass


class Connection(asyncio.Protocol):
    """Made by `open_connection`, and then live."""

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
        if not self.lost.done():
            self.transport.writelines(buffers)

    def buffered(self) -> int:
        """Bytes that the transport holds."""
        return self.transport.get_write_buffer_size()

    def acknowledged(self) -> int:
        """Bytes that the peer's TCP has taken, as the kernel counts them (TLS and handshake included)."""
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_ACKED.size)
        except OSError:
            return 0  # closed
        return int(_TCP_INFO_ACKED.unpack(info)[0]) if len(info) == _TCP_INFO_ACKED.size else 0

    def outstanding(self) -> int:
        """Bytes handed over and not yet taken by the peer's TCP."""
        try:
            unsent = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return 0  # closed
        return self.buffered() + int.from_bytes(unsent, "little")

    async def finish(self, timeout: float) -> None:
        """End the session in order: FCUnpublish, deleteStream, FIN; by force after `timeout` seconds or a cancel."""
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


# ------------------------------------------------------------------------------------------------ opening


async def open_connection(target: RtmpTarget, settings: OutputSettings) -> Connection:
    """A live connection: the server has accepted publish. Raises Failure. May be cancelled at any time."""
    progress = _Progress()
    try:
        async with asyncio.timeout(settings.open_timeout):
            return await _open(target, settings, progress)
    except TimeoutError:
        text = f"the server did not answer {progress.phase} within {settings.open_timeout:g} s"
        raise Failure(OutputReason.TIMEOUT, text) from None


class _Progress:
    """How far opening has come, for the text of a timeout."""

    step = ""
    connection: Connection | None = None

    @property
    def phase(self) -> str:
        return self.connection.phase if self.connection else self.step


async def _open(target: RtmpTarget, settings: OutputSettings, progress: _Progress) -> Connection:
    context = tls_context(settings.ca_file) if target.tls else None
    query = ""
    for _ in range(_MAX_SESSIONS):
        progress.connection, progress.step = None, "the TCP connection"
        sock = await _connect(target, settings)
        progress.step = "the TLS handshake"
        connection = await _wrap(sock, context, Publisher(target, query), target.host)
        progress.connection = connection
        try:
            outcome = await connection.opened
        except BaseException:
            connection.abort()
            raise
        if outcome is None:
            return connection
        if isinstance(outcome, Failure):
            raise outcome
        query = outcome.query
    raise Failure(OutputReason.AUTH_FAILED, "the server does not accept the user or the password")


async def _connect(target: RtmpTarget, settings: OutputSettings) -> socket.socket:
    """A TCP connection to the first address that answers (RFC 8305)."""
    try:
        async with asyncio.timeout(settings.resolve_timeout):
            addresses = await resolve(target.host, target.port)
    except TimeoutError:
        raise _unreachable("the name server did not answer") from None
    except OSError:
        raise _unreachable("the host name does not resolve") from None
    try:
        async with asyncio.timeout(settings.connect_timeout):
            sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=0.25, interleave=1)
    except TimeoutError:
        raise _unreachable(f"no connection within {settings.connect_timeout:g} s") from None
    except OSError as error:
        raise _unreachable(_os_error_text(error)) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    return sock


async def _wrap(sock: socket.socket, context: ssl.SSLContext | None, publisher: Publisher, host: str) -> Connection:
    """The socket as a connection, TLS included."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            lambda: Connection(publisher, sock), sock=sock, ssl=context, server_hostname=host if context else None
        )
    except BaseException as error:
        sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"the server's certificate is not valid: {error.verify_message}"
            raise Failure(OutputReason.TLS_INVALID, text) from None
        if isinstance(error, ssl.SSLError):
            text = f"TLS failed: {(error.reason or 'unknown error').replace('_', ' ').lower()}"
            raise Failure(OutputReason.TLS_INVALID, text) from None
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            text = "the server closed the connection during the TLS handshake"
            raise Failure(OutputReason.CLOSED_BY_SERVER, text) from None
        raise
    return connection


@cache
def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies the certificate and the host name. One for all outputs: loading the authorities takes 30 ms.

    Raises Failure when `ca_file` cannot be read.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise Failure(OutputReason.TLS_INVALID, "the file of extra authorities cannot be read as PEM") from None
    return context


def _unreachable(message: str) -> Failure:
    return Failure(OutputReason.UNREACHABLE, message)


def _os_error_text(error: OSError) -> str:
    """In the system's words, without the addresses that the error's own text may hold."""
    if error.errno == errno.ECONNREFUSED:
        return "connection refused"
    return (
        f"no connection: {os.strerror(error.errno).lower()}" if error.errno else "no connection to any of its addresses"
    )


def _lost(exc: Exception | None, phase: Phase) -> Failure:
    how = "closed" if exc is None else "reset"
    if isinstance(exc, TimeoutError):
        return Failure(OutputReason.TIMEOUT, "the server's host did not acknowledge for too long")
    if isinstance(exc, ssl.SSLError):
        return Failure(OutputReason.CLOSED_BY_SERVER, "the server broke TLS off")
    when = "" if phase in (Phase.LIVE, Phase.FINISHED) else f" before it answered {phase}"
    return Failure(OutputReason.CLOSED_BY_SERVER, f"the server {how} the connection{when}")
