"""From a target to a live connection: name, address, TCP, TLS, RTMP session, credentials."""

import asyncio
import errno
import os
import socket
import ssl
from functools import cache
from pathlib import Path

import aiohappyeyeballs

from transponder_crd.control import OutputReason, RtmpTarget
from transponder_relay.outputs.connection import Connection
from transponder_relay.outputs.failure import Failure
from transponder_relay.outputs.publisher import Publisher
from transponder_relay.outputs.resolve import resolve
from transponder_relay.outputs.settings import OutputSettings

_MAX_SESSIONS = 3
"""Adobe's authentication refuses two connections before it accepts one."""
_UNSENT_BYTES = 128 * 1024
"""What the kernel may hold beyond what is in flight: a wedged peer is seen early, a long fat path is not slowed."""


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
    context = await asyncio.to_thread(tls_context, settings.ca_file) if target.tls else None
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
