"""Programs that run beside the tests: a log file each, a bounded end, and none of them outlives its owner."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOG_TAIL = 3_000
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""Where programs are looked for: some of a node's are not for everybody's PATH."""
_END_SECONDS = 10.0


class ProcessError(RuntimeError):
    """A program ended or never became ready; the text holds the end of its log."""


@dataclass
class Daemon:
    """One program. With `within` it is started through another (`nsenter …`), which then is only its parent.

    Unless `outlives` is set, the kernel ends it when the thread that started it ends, however that came about: start
    it from a thread that lives as long as it is needed.
    """

    name: str
    argv: Sequence[str]
    log: Path
    within: Sequence[str] = ()
    outlives: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; its output is appended to the log. Raises FileNotFoundError if the program is missing."""
        tied = () if self.outlives else ("setpriv", "--pdeathsig", "KILL")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*tied, *self.within, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"},
            )

    @property
    def pid(self) -> int:
        """Of the program itself, as this machine counts. Raises ProcessError if it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ProcessError(f"{self.name} does not run")
        if not self.within:
            return self._process.pid
        children = child_pids(self._process.pid)
        if not children:
            raise ProcessError(f"{self.name} has not started")
        return children[0]

    def check(self) -> None:
        """Raises ProcessError with the end of the log if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise ProcessError(f"{self.name} ended with {self._process.returncode}; its log ends:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return log_tail(self.log)

    def stop(self, kill: bool = False) -> None:
        """End it: SIGTERM, and SIGKILL after ten seconds; `kill` sends SIGKILL at once."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessError, ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            process.kill()
            process.wait(_END_SECONDS)
        self._process = None


def child_pids(pid: int) -> list[int]:
    """Processes that this one started and that still run; empty if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def log_tail(log: Path) -> str:
    """The end of a log file; empty if there is none."""
    try:
        return log.read_text(errors="replace")[-LOG_TAIL:]
    except FileNotFoundError:
        return ""


def wait_for(what: str, holds: Callable[[], bool], daemons: Sequence[Daemon] = (), seconds: float = 60.0) -> None:
    """Ask again and again until it holds. Raises ProcessError when one of the programs ends, or the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        for daemon in daemons:
            daemon.check()
        if time.monotonic() > end:
            tails = "".join(f"\n--- {daemon.name}\n{daemon.tail()}" for daemon in daemons)
            raise ProcessError(f"{what}: not within {seconds:.0f} s{tails}")
        time.sleep(0.1)


def run(argv: Sequence[str], seconds: float = 60.0, **keywords: object) -> str:
    """Run a command to its end and return what it printed. Raises ProcessError with its error text."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, **keywords)  # type: ignore[call-overload]
    if done.returncode:
        said = (done.stderr or done.stdout)[-LOG_TAIL:]
        raise ProcessError(f"{' '.join(argv)} ended with {done.returncode}: {said}")
    return str(done.stdout)
