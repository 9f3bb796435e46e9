"""A process that has imported everything and forks relays: ready in milliseconds, most memory shared.

Protocol (file descriptor 0 is one end of a Unix stream socket pair; JSON, one object a line):

    zygote → host    {"ready": true}
    host → zygote    {"start": instance, "settings": RelaySettings}   with two descriptors (SCM_RIGHTS):
                     the listening control socket and the write end of the relay's log pipe
    zygote → host    {"started": instance, "pid": pid}
    zygote → host    {"exited": instance, "pid": pid, "status": code}   negative: ended by that signal

When the host is gone (EOF), relays are told to end, then made to; when the zygote is gone, the kernel tells them.
"""

import ctypes
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from typing import NoReturn

from transponder_crd.defaults import Defaults
from transponder_relay import process
from transponder_relay.outputs.opening import tls_context
from transponder_relay.settings import RelaySettings
from transponder_relay.sound.aac import aac_format

GRACE_SECONDS = 5.0
PR_SET_PDEATHSIG = 1

NOISY = ("aiortc", "aioice", "aiohttp", "asyncio", "libav")


class Zygote:
    """Single-threaded and without an event loop, so that a fork copies nothing that runs."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._relays: dict[int, str] = {}
        self._received = b""
        self._descriptors: list[int] = []

    def run(self) -> None:
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to answer
        signal.signal(signal.SIGTERM, lambda *_: self._end_relays_and_exit())
        # what costs time once (a first encoder 4 ms, the certificate authorities 30 ms) is spent before the forks
        aac_format(Defaults().audio_bitrate)
        tls_context(None)
        gc.freeze()
        self._say({"ready": True})
        with selectors.DefaultSelector() as selector:
            selector.register(self._host, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wake_read:
                        wake_read.recv(4096)
                        self._reap()
                    else:
                        self._read_requests()

    def _say(self, message: dict[str, object]) -> None:
        try:
            self._host.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._end_relays_and_exit()

    def _read_requests(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._host, 65536, 16)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._end_relays_and_exit()
        self._received += data
        self._descriptors += descriptors
        while b"\n" in self._received:
            line, self._received = self._received.split(b"\n", 1)
            request = json.loads(line)
            listener, log = self._descriptors[:2]
            del self._descriptors[:2]
            self._start(RelaySettings.model_validate(request["settings"]), listener, log)

    def _start(self, settings: RelaySettings, listener: int, log: int) -> None:
        # a SIGTERM for the child must not run our handler in it: that would end its siblings
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            self._become_relay(settings, listener, log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(listener)
        os.close(log)
        self._relays[pid] = settings.instance
        self._say({"started": settings.instance, "pid": pid})

    def _become_relay(self, settings: RelaySettings, listener: int, log: int) -> NoReturn:
        status = 1
        try:
            parent = os.getppid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the zygote died before the kernel was asked to tell
                os._exit(1)
            self._keep_only(listener, log)
            _log_to_stderr(settings.log_level)
            process.run_relay(settings, socket.socket(fileno=listener))
            status = 0
        except BaseException as error:
            sys.stderr.write(f"ERROR {__name__} relay ended by {type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _keep_only(self, listener: int, log: int) -> None:
        """Standard output and error go to the log; nothing of the zygote stays open."""
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(3, listener)
        os.closerange(listener + 1, listener + 1024)

    def _reap(self) -> None:
        while self._relays:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            instance = self._relays.pop(pid, None)
            if instance is not None:
                self._say({"exited": instance, "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _end_relays_and_exit(self) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in self._relays:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._relays and time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                self._relays.pop(pid, None)
            else:
                time.sleep(0.02)
        for pid in self._relays:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _log_to_stderr(level: str) -> None:
    """Plain lines `LEVEL logger message`: whoever reads them knows the stream and the time."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s %(message)s", force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def main() -> None:
    Zygote(socket.socket(fileno=0)).run()


if __name__ == "__main__":
    main()
