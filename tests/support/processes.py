"""Programs that tests start: an environment of their own, a bounded end, and the proof that none is left."""

import asyncio
import contextlib
import os
import signal
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self

MARK = "TEST_PROCESS_MARK"
"""Environment variable that every descendant of a program inherits: by it the left-overs are found."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's settings or proxies, and a home folder of its own."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **(extra or {})}


def _appending(output: Path) -> BinaryIO:
    output.parent.mkdir(parents=True, exist_ok=True)
    return output.open("ab")


class Program:
    """A program in its own session, with its output in a file. Everything it started is found by session or by mark."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path, mark: str) -> None:
        self.process = process
        self.output = output
        self._mark = f"{MARK}={mark}".encode()

    @classmethod
    async def start(cls, command: Sequence[str], output: Path, environment: Mapping[str, str], folder: Path) -> Self:
        mark = uuid.uuid4().hex
        with _appending(output) as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**environment, MARK: mark},
                cwd=folder,
                start_new_session=True,
            )
        return cls(process, output, mark)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def text(self) -> str:
        """All that the program and its children wrote so far."""
        return self.output.read_text(errors="replace")

    def processes(self) -> dict[int, str]:
        """Living processes of this program, itself included: pid → command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_ours(entry):
                with contextlib.suppress(OSError):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def _is_ours(self, entry: Path) -> bool:
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
            if state == "Z":
                return False
            return int(session) == self.process.pid or self._mark in (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False

    async def end(self, signal_number: int, timeout: float) -> int:
        """Send the signal; the exit code. Raises TimeoutError when the program does not end in time."""
        if self.running:
            self.process.send_signal(signal_number)
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def none_left(self, timeout: float) -> dict[int, str]:
        """What is still alive after at most `timeout` seconds; empty is good."""
        deadline = asyncio.get_running_loop().time() + timeout
        while (left := self.processes()) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the end of a process that is no child cannot be awaited
        return left

    async def destroy(self) -> None:
        """The last resort of a clean-up: kill all of it. Never fails."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 5)
        await self.none_left(5)
