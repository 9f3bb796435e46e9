"""coturn on 127.0.0.1, as a TURN server whose users have time-limited credentials."""

import asyncio
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import Program, clean_environment

_START_SECONDS = 10.0


@dataclass(frozen=True)
class TurnServer:
    port: int
    secret: str
    program: Program

    @property
    def url(self) -> str:
        return f"turn:127.0.0.1:{self.port}?transport=udp"

    def users(self) -> list[str]:
        """Of all allocations so far."""
        return re.findall(r"user <([^>]*)>: incoming packet ALLOCATE processed, success", self.program.text())


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def turn_server(folder: Path, secret: str) -> AsyncIterator[TurnServer]:
    """Running for the length of the block, or skip with the reason."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed (Debian: coturn)")
    port = _free_udp_port()
    command = [
        program, "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--realm=test",
        "--fingerprint", "--use-auth-secret", f"--static-auth-secret={secret}", "--allow-loopback-peers",
        "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780", "--verbose", "--log-file=stdout",
        f"--pidfile={folder / 'turn.pid'}", f"--userdb={folder / 'turn.db'}",
    ]  # fmt: skip
    started = await Program.start(command, folder / "turn.log", clean_environment(folder), folder)
    try:
        await _until_it_listens(started, port)
        yield TurnServer(port, secret, started)
        await started.end(signal.SIGTERM, 5)
    finally:
        await started.destroy()


async def _until_it_listens(program: Program, port: int) -> None:
    """It listens by TCP too. Raises AssertionError with its log."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                assert program.running, program.text()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return
    except TimeoutError:
        raise AssertionError(f"coturn does not listen:\n{program.text()}") from None
