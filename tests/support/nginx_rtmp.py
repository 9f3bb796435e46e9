"""A private nginx with its RTMP module: a real RTMP server that records what it is sent as FLV."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import free_port

_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")

_CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
worker_rlimit_nofile 1024;
events {{ worker_connections 512; }}
rtmp {{
    access_log {folder}/access.log;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        max_message 8M;
        application live {{
            live on;
            record all;
            record_path {folder}/recordings;
            {extra}
        }}
    }}
}}
"""


@dataclass(frozen=True)
class NginxRtmp:
    """A running server. Its application is `live`."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live"

    def recording(self, name: str) -> Path:
        """The FLV of the stream `name`; whole once the publisher has left."""
        return self.folder / "recordings" / f"{name}.flv"

    def access_log(self) -> str:
        return (self.folder / "access.log").read_text()

    def error_log(self) -> str:
        return (self.folder / "error.log").read_text()

    async def finished(self, name: str, timeout: float = 5.0) -> Path:
        """The recording, when nginx has seen the publisher of `name` leave and has closed the file."""
        await until(lambda: f'"{name}"' in self.access_log(), timeout)
        return self.recording(name)

    async def receives(self, name: str, size: int, timeout: float = 10.0) -> None:
        """Return when the recording of `name` has more than `size` bytes."""
        path = self.recording(name)
        await until(lambda: path.exists() and path.stat().st_size > size, timeout)


async def until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Return when `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - files of another program signal nothing
            await asyncio.sleep(0.02)


def skip_without_nginx() -> None:
    if shutil.which("nginx") is None or not _MODULE.exists():
        pytest.skip("nginx with its RTMP module is not installed (Debian: nginx, libnginx-mod-rtmp)")


@contextlib.asynccontextmanager
async def nginx_rtmp(folder: Path, extra: str = "", port: int = 0) -> AsyncIterator[NginxRtmp]:
    """Run a server in `folder`, or skip. `extra`: more directives of the application, such as on_publish."""
    skip_without_nginx()
    server = NginxRtmp(folder, port or free_port())
    server.recording("-").parent.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    text = _CONFIGURATION.format(module=_MODULE, folder=folder, port=server.port, extra=extra)
    configuration.write_text(text)
    process = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration),
        stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await _answers(server, process)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), 5)
        except TimeoutError:
            process.kill()
            await process.communicate()


async def _answers(server: NginxRtmp, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(10):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
    raise RuntimeError(f"nginx did not start: {server.error_log()}")
