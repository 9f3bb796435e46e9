"""The ports that are listened on: which, by which setting, and with which certificate."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from transponder_api.server import bind
from transponder_local.errors import StartError
from transponder_local.settings import LocalSettings


class Port(NamedTuple):
    """A port as it may be asked for."""

    setting: str
    """Field of LocalSettings."""
    scheme: str
    tls: bool

    @property
    def option(self) -> str:
        return "--" + self.setting.replace("_", "-")


HTTP = Port("http_port", "http", tls=False)
HTTPS = Port("https_port", "https", tls=True)
WS = Port("ws_port", "ws", tls=False)
WSS = Port("wss_port", "wss", tls=True)

Listeners = Mapping[Port, socket.socket]


@contextmanager
def listening(settings: LocalSettings) -> Iterator[Listeners]:
    """Listen on all ports that are on; those for TLS if there is a certificate. Raises StartError."""
    wanted = {port: getattr(settings, port.setting) for port in (HTTP, HTTPS, WS, WSS)}
    wanted = {port: number for port, number in wanted.items() if number is not None}
    if settings.tls_cert is None:
        wanted = {port: number for port, number in wanted.items() if not port.tls}
    if not wanted:
        raise StartError("--http-port: a port of HTTP or WebSockets at least must be on")
    with ExitStack() as stack:
        yield {port: stack.enter_context(_listen(settings.host, port, number)) for port, number in wanted.items()}


@contextmanager
def _listen(host: str, port: Port, number: int) -> Iterator[socket.socket]:
    try:
        listener = bind(host, number)
    except socket.gaierror as error:
        raise StartError(f"--host {host}: {error.strerror}") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        option = f"--host {host}" if error.errno == errno.EADDRNOTAVAIL else f"{port.option} {number}"
        raise StartError(f"{option}: {reason} ({host}:{number})") from None
    with listener:
        yield listener


def server_tls(settings: LocalSettings) -> ssl.SSLContext | None:
    """None without a certificate. Raises StartError."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return None
    _check_readable("--tls-cert", certificate)
    _check_readable("--tls-key", key)

    def no_password() -> str:
        raise StartError(f"--tls-key {key}: must not be encrypted")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError:
        raise StartError(f"--tls-cert {certificate}: must be PEM, and --tls-key {key} its private key") from None
    return context


def _check_readable(option: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise StartError(f"{option} {file}: {error.strerror}") from None
