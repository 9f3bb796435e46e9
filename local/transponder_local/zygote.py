"""The client of the relay zygote: a child process that has imported everything and forks relays in milliseconds.

The protocol is told in `transponder_relay.zygote`. No media code is imported here: this process stays small.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from typing import Any

from transponder_local.log_pipe import LogPipe
from transponder_relay.settings import RelaySettings

logger = logging.getLogger(__name__)

READY_SECONDS = 30.0
FORK_SECONDS = 10.0
GRACE_SECONDS = 5.0
KILL_SECONDS = 2.0


class ZygoteError(Exception):
    """The zygote did not start, or did not fork a relay."""


class RelayProcess:
    """A relay that was forked. Signals go by pidfd, so that they never reach another process that got the same pid."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """Exit code, negative for a signal; None if nobody was left to tell."""
        self._pidfd: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def set_exited(self, status: int | None) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if not self.exited.done():
            self.exited.set_result(status)

    def lose_parent(self) -> None:
        """The zygote is gone and tells nothing more: watch the process ourselves, and see to its end."""
        if self._pidfd is None:
            self.set_exited(None)
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self.set_exited, None)
        self.signal(signal.SIGTERM)
        loop.call_later(GRACE_SECONDS, self.signal, signal.SIGKILL)

    async def end(self) -> None:
        """SIGTERM, then SIGKILL after the grace. Returns when it is gone."""
        for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            self.signal(number)
            await asyncio.wait({self.exited}, timeout=seconds)
            if self.exited.done():
                return
        logger.error("relay process %d does not end", self.pid)


class Zygote:
    """A running zygote. Once it is `lost` it stays so: start another one."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, log: LogPipe) -> None:
        self._process = process
        self._channel = channel
        self._log = log
        self._forking: dict[str, asyncio.Future[RelayProcess]] = {}
        self._relays: dict[str, RelayProcess] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(), name="zygote")
        self.lost = False

    @classmethod
    async def start(cls) -> "Zygote":
        """Raises ZygoteError when it is not ready in time."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        log = LogPipe(logging.getLogger("relay.zygote"), "zygote")
        with theirs, log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "transponder_relay.zygote",
                stdin=theirs.fileno(), stdout=log.write_end, stderr=log.write_end,
                start_new_session=True,  # Ctrl-C in the terminal is for us alone: relays are ended in order
            )  # fmt: skip
        zygote = cls(process, ours, log)
        try:
            await asyncio.wait({zygote._ready}, timeout=READY_SECONDS)
        except asyncio.CancelledError:
            zygote.kill()
            await zygote.close()
            raise
        if not zygote._ready.done() or zygote.lost:
            await zygote.close()
            raise ZygoteError("its zygote is not ready")
        return zygote

    async def fork(self, settings: RelaySettings, listener: socket.socket, log: int) -> RelayProcess:
        """A relay that serves its control port on `listener` and writes its log to the descriptor `log`.

        The caller's own copies stay open, and are the caller's to close. Raises ZygoteError.
        """
        if self.lost:
            raise ZygoteError("its zygote is gone")
        forked: asyncio.Future[RelayProcess] = asyncio.get_running_loop().create_future()
        self._forking[settings.instance] = forked
        try:
            self._request(settings, listener.fileno(), log)
            async with asyncio.timeout(FORK_SECONDS):
                return await forked
        except (OSError, TimeoutError) as error:
            self.kill()
            raise ZygoteError("its zygote does not answer") from error
        except asyncio.CancelledError:
            if not forked.cancelled() and not forked.exception():
                forked.result().signal(signal.SIGKILL)
            raise

    def _request(self, settings: RelaySettings, *descriptors: int) -> None:
        request = {"start": settings.instance, "settings": settings.model_dump(mode="json")}
        data = json.dumps(request).encode() + b"\n"
        # a request is far smaller than the socket's buffer: one that does not fit means a zygote that hangs
        if socket.send_fds(self._channel, [data], descriptors) != len(data):
            raise OSError("the request was cut")

    async def close(self) -> None:
        """End it, and with it all relays that still run."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # it sees EOF
        ending = asyncio.create_task(self._process.wait())
        await asyncio.wait({ending}, timeout=GRACE_SECONDS + KILL_SECONDS)
        self.kill()
        await ending
        await self._listening
        self._channel.close()
        await self._log.drain()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def kill_all(self) -> None:
        """The zygote and all relays, at once."""
        for relay in self._relays.values():
            relay.signal(signal.SIGKILL)
        self.kill()

    async def _listen(self) -> None:
        received = b""
        try:
            while data := await asyncio.get_running_loop().sock_recv(self._channel, 65536):
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        except OSError as error:
            logger.debug("zygote: %s", error)
        finally:
            self._lose()

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(None)
        elif "started" in message:
            self._started(message["started"], message["pid"])
        elif "exited" in message and (relay := self._relays.pop(message["exited"], None)):
            relay.set_exited(message["status"])

    def _started(self, instance: str, pid: int) -> None:
        relay = self._relays[instance] = RelayProcess(pid)
        forking = self._forking.pop(instance)
        if forking.done():  # whoever wanted it has gone
            relay.signal(signal.SIGKILL)
        else:
            forking.set_result(relay)

    def _lose(self) -> None:
        self.lost = True
        if not self._ready.done():
            self._ready.set_result(None)
        for forking in self._forking.values():
            if not forking.done():
                forking.set_exception(ZygoteError("its zygote ended"))
        for relay in self._relays.values():
            relay.lose_parent()
        self._relays.clear()
