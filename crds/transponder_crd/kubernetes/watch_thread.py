"""A watch's answer, read line by line in a thread of its own and handed to the event loop."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import urllib3

from transponder_crd.kubernetes.errors import Busy, parse_status, store_error
from transponder_crd.store import StoreError

Line = dict[str, Any] | StoreError | None


class WatchThread:
    """`open_answer` is called in the thread. What `next` gives: a line's object, a StoreError, None at the end."""

    def __init__(self, open_answer: Callable[[], urllib3.BaseHTTPResponse], what: str, silence: float) -> None:
        self._open_answer = open_answer
        self._what = what
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._lock = threading.Lock()
        self._answer: urllib3.BaseHTTPResponse | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"watch {what}", daemon=True)
        self._thread.start()

    async def next(self, timeout: float) -> Line:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._lines.get()

    def stop(self) -> None:
        """The thread ends soon."""
        with self._lock:
            self._stopped = True
            if self._answer is not None:
                with contextlib.suppress(ValueError, RuntimeError, OSError):  # it ended by itself
                    self._answer.shutdown()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    # ------------------------------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        last: Line = None
        try:
            self._read()
        except StoreError as error:
            last = error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            last = Busy(f"{self._what}: the watch broke off ({type(error).__name__})")
        self._tell(last)

    def _read(self) -> None:
        answer = self._open_answer()
        try:
            with self._lock:
                if self._stopped:
                    return
                self._answer = answer
            if answer.status != 200:
                raise store_error(answer.status, answer.headers, parse_status(answer.read()), self._what)
            _set_timeout(answer, self._silence)
            for line in _lines(answer):
                self._tell(json.loads(line))
        finally:
            with self._lock:
                self._answer = None
            answer.close()
            answer.release_conn()

    def _tell(self, line: Line) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    while data := answer.read1(65_536):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        raise Busy("the watch broke off in the middle of a line")


def _set_timeout(answer: urllib3.BaseHTTPResponse, seconds: float) -> None:
    sock = getattr(answer.connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)
