"""A relay as a process: event loop, control port, signals, its end."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket

import uvloop
from aiohttp import web

from transponder_relay.control import control_app
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

CLOSE_SECONDS = 4.0
"""How long the RTMP sessions may take to end in order."""

LAST_WORDS_SECONDS = 1.0
"""For so long a drained relay still tells why its publisher ended, so that whoever follows it can act on that."""

logger = logging.getLogger(__name__)


def run_relay(settings: RelaySettings, listener: socket.socket) -> None:
    """Serve the control port on `listener` until SIGTERM, then drain if that is set, and end all sessions in order.

    A second SIGTERM ends the draining.
    """
    gc.freeze()  # what was imported lives as long as the process: no collection need walk it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, listener))


async def _serve(settings: RelaySettings, listener: socket.socket) -> None:
    signals: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, signals.put_nowait, None)
    relay = Relay(settings)
    runner = web.AppRunner(
        control_app(relay, settings.token.get_secret_value(), open_metrics=settings.open_metrics),
        access_log=None,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await signals.get()
    served = await _drain(relay, settings.drain_seconds, signals) if settings.drain_seconds else False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await relay.close()
    if served:
        await asyncio.sleep(LAST_WORDS_SECONDS)
    await runner.cleanup()


async def _drain(relay: Relay, seconds: float, signals: asyncio.Queue[None]) -> bool:
    """Return when there is no publisher any more, after `seconds`, or at another signal. Whether it had to wait."""
    relay.drain()
    if not relay.has_publisher:
        return False
    logger.info("draining: ends with its publisher, or in %g s", seconds)
    gone, hurried = asyncio.create_task(_no_publisher(relay)), asyncio.create_task(signals.get())
    try:
        await asyncio.wait({gone, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        hurried.cancel()
    return True


async def _no_publisher(relay: Relay) -> None:
    while True:
        change = relay.next_change()
        if not relay.has_publisher:
            return
        await change.wait()
