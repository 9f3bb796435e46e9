"""A relay as a process: event loop, control port, signals, logging."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys

import uvloop
from aiohttp import web

from transponder_relay.control import control_app
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

CLOSE_SECONDS = 4.0
"""How long the RTMP sessions may take to end in order."""

NOISY = ("aiortc", "aioice", "aiohttp", "asyncio", "libav")


def run_relay(settings: RelaySettings, listener: socket.socket) -> None:
    """Serve the control port on `listener` until SIGTERM, then end all sessions in order."""
    _log_to_stderr(settings.log_level)
    gc.freeze()  # what was imported lives as long as the process: no collection need walk it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener))


async def _serve(settings: RelaySettings, listener: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    relay = Relay(settings)
    runner = web.AppRunner(control_app(relay, settings.token.get_secret_value()), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(relay.close(), CLOSE_SECONDS)
    await runner.cleanup()


def _log_to_stderr(level: str) -> None:
    """Plain lines `LEVEL logger message`: whoever reads them knows the stream and the time."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s %(message)s", force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
