"""The relay host of one machine: each relay is a child process, forked by the zygote and kept alive."""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transponder_crd.meta import OwnerReference
from transponder_crd.names import loggable, relay_object_name
from transponder_crd.relay_host import Absence, RelayAddress
from transponder_local.liveness import until_hung
from transponder_local.log_pipe import LogPipe
from transponder_local.zygote import RelayProcess, Zygote, ZygoteError
from transponder_relay.settings import RelaySettings

logger = logging.getLogger(__name__)

FIRST_RESTART_SECONDS = 1.0
LAST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A relay that lived so long was well: the next restart is as the first."""


def restart_delay(failures: int) -> float:
    """Seconds until a relay that ended so many times in a row (1 or more) is started again."""
    return float(min(LAST_RESTART_SECONDS, FIRST_RESTART_SECONDS * 2 ** min(failures - 1, 10)))


@dataclass(slots=True)
class _Relay:
    """The relay of one stream, whichever process it is at the time."""

    stream_name: str
    address: RelayAddress | None = None
    absence: Absence | None = None
    process: RelayProcess | None = None
    port: int = 0
    """Of the control port."""
    supervisor: asyncio.Task[None] | None = field(default=None, repr=False)


class ChildRelays:
    """`relay_host.RelayHost`. `wake(stream name)` is called when a relay became ready, and when one ended."""

    def __init__(self, template: RelaySettings, wake: Callable[[str], None]) -> None:
        """`template`: what all relays have in common; names and tokens in it are replaced."""
        self._template = template
        self._wake = wake
        self._relays: dict[str, _Relay] = {}
        self._zygote: Zygote | None = None
        self._zygote_starting = asyncio.Lock()
        self._logs: set[LogPipe] = set()

    async def prepare(self) -> None:
        """Start the zygote, so that the first relay need not wait for it. Raises ZygoteError."""
        await self._get_zygote()

    async def address(self, stream_name: str) -> RelayAddress | None:
        relay = self._relays.get(stream_name)
        return relay.address if relay else None

    async def ensure(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayAddress | None:  # noqa: ARG002
        """`owners` mean nothing here: the reconciler deletes a relay that nothing needs."""
        relay = self._relays.get(stream_name)
        if relay is None:
            relay = self._relays[stream_name] = _Relay(stream_name)
            relay.supervisor = asyncio.create_task(self._supervise(relay), name=f"relay {loggable(stream_name)}")
        return relay.address

    def absence(self, stream_name: str) -> Absence | None:
        relay = self._relays.get(stream_name)
        return relay.absence if relay and relay.address is None else None

    async def delete(self, stream_name: str) -> None:
        relay = self._relays.get(stream_name)
        if relay is None:
            return
        relay.address = None
        if relay.supervisor:
            relay.supervisor.cancel()
            await asyncio.wait({relay.supervisor})
        if relay.process:
            await relay.process.end()
        # last, so that `close` still knows of it when this was cancelled
        self._relays.pop(stream_name, None)

    async def close(self) -> None:
        """End all relays in order and at the same time, then the zygote."""
        await asyncio.gather(*(self.delete(stream_name) for stream_name in list(self._relays)))
        if self._zygote:
            await self._zygote.close()
            self._zygote = None
        await asyncio.gather(*(log.drain() for log in self._logs))

    def kill(self) -> None:
        """End all at once by force."""
        if self._zygote:
            self._zygote.kill_all()

    # ------------------------------------------------------------------------------------------ one relay

    async def _supervise(self, relay: _Relay) -> None:
        failures = 0
        while True:
            born = time.monotonic()
            try:
                how = await self._live(relay)
            except ZygoteError as error:
                how = f"could not be started: {error}"
            except OSError as error:
                how = f"could not be started: {error.strerror}"
            except Exception:  # whatever it is: without its supervisor the stream would never have a relay again
                logger.exception("stream %s: supervising its relay failed", loggable(relay.stream_name))
                how = "could not be supervised"
            failures = 1 if time.monotonic() - born >= STEADY_SECONDS else failures + 1
            delay = restart_delay(failures)
            logger.warning("stream %s: relay %s; a new one in %.0f s", loggable(relay.stream_name), how, delay)
            relay.absence = Absence("RelayFailed", f"the relay {how}")
            self._wake(relay.stream_name)
            await asyncio.sleep(delay)

    async def _live(self, relay: _Relay) -> str:
        """Start a relay process and wait for its end. How it ended, in words. Raises ZygoteError, OSError."""
        process = await self._start(relay)
        self._wake(relay.stream_name)
        probing = asyncio.create_task(_kill_when_hung(relay.stream_name, relay.port, process))
        try:
            # shielded: the end of this supervisor is not the end of the process
            return how_it_ended(await asyncio.shield(process.exited))
        finally:
            probing.cancel()
            relay.address = None

    async def _start(self, relay: _Relay) -> RelayProcess:
        zygote = await self._get_zygote()
        instance = f"{relay_object_name(relay.stream_name)}-{secrets.token_hex(3)}"
        token = secrets.token_urlsafe(32)
        own = {"instance": instance, "stream_name": relay.stream_name, "token": token}
        settings = RelaySettings.model_validate({**dict(self._template), **own})
        log = self._open_log(relay.stream_name)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, log:
            relay.process = await zygote.fork(settings, listener, log.write_end)
            relay.port = listener.getsockname()[1]
        logger.debug("stream %s: relay started, pid %d", loggable(relay.stream_name), relay.process.pid)
        relay.address = RelayAddress(instance, f"http://127.0.0.1:{relay.port}", token)
        return relay.process

    def _open_log(self, stream_name: str) -> LogPipe:
        log = LogPipe(logging.getLogger("relay"), f"stream {loggable(stream_name)}")
        self._logs.add(log)
        log.closed.add_done_callback(lambda _: self._logs.discard(log))
        return log

    async def _get_zygote(self) -> Zygote:
        async with self._zygote_starting:
            if self._zygote and self._zygote.lost:
                logger.error("the relay zygote ended, and all relays with it")
                zygote, self._zygote = self._zygote, None
                await zygote.close()
            if self._zygote is None:
                self._zygote = await Zygote.start()
            return self._zygote


async def _kill_when_hung(stream_name: str, port: int, process: RelayProcess) -> None:
    await until_hung(port)
    logger.error("stream %s: relay hangs", loggable(stream_name))
    process.signal(signal.SIGKILL)


def how_it_ended(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "ended with its zygote"
    if status >= 0:
        return f"ended with code {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
