"""The ports that are listened on: which, and by which setting."""

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from transponder_api.server import bind
from transponder_api.settings import ApiSettings
from transponder_crd.start_error import StartError, variable

SettingName = Callable[[str], str]
"""What the user knows a field of the settings by: its option or its variable."""


class Port(NamedTuple):
    """A port as it may be asked for."""

    setting: str
    """Field of the settings."""
    scheme: str
    tls: bool


HTTP = Port("http_port", "http", tls=False)
HTTPS = Port("https_port", "https", tls=True)
WS = Port("ws_port", "ws", tls=False)
WSS = Port("wss_port", "wss", tls=True)
METRICS = Port("metrics_port", "http", tls=False)

PUBLIC = (HTTP, HTTPS, WS, WSS)
"""The ports for clients."""

Listeners = Mapping[Port, socket.socket]


@contextmanager
def listening(
    settings: ApiSettings, ports: Collection[Port] = PUBLIC, named: SettingName = variable
) -> Iterator[Listeners]:
    """Listen on those of `ports` that are on; those for TLS if there is a certificate. Raises StartError."""
    wanted = {port: getattr(settings, port.setting) for port in ports}
    wanted = {port: number for port, number in wanted.items() if number is not None}
    if settings.tls_cert is None:
        wanted = {port: number for port, number in wanted.items() if not port.tls}
    if not set(PUBLIC) & set(wanted):
        raise StartError(f"{named(HTTP.setting)}: a port of HTTP or WebSockets at least must be on")
    with ExitStack() as stack:
        yield {
            port: stack.enter_context(_listen(settings.host, port, number, named)) for port, number in wanted.items()
        }


@contextmanager
def _listen(host: str, port: Port, number: int, named: SettingName) -> Iterator[socket.socket]:
    try:
        listener = bind(host, number)
    except socket.gaierror as error:
        raise StartError(f"{named('host')} {host}: {error.strerror}") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        where = f"{named('host')} {host}" if error.errno == errno.EADDRNOTAVAIL else f"{named(port.setting)} {number}"
        raise StartError(f"{where}: {reason} ({host}:{number})") from None
    with listener:
        yield listener
