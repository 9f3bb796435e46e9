"""node-media-server from npm: a second RTMP server of another make, with RTMPS and enhanced RTMP, that records FLV."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import trustme
from support.nginx_rtmp import until
from support.processes import free_port

VERSION = "4.4.3"
_NODE = 20
_INSTALL_SECONDS = 120


@dataclass(frozen=True)
class NodeMediaServer:
    """A running server. Any application and stream name of letters, digits, `_` and `-` will do."""

    folder: Path
    port: int
    tls_port: int
    """RTMPS on 127.0.0.1; its certificate is signed by `ca_file`."""
    ca_file: Path

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live"

    @property
    def tls_url(self) -> str:
        return f"rtmps://127.0.0.1:{self.tls_port}/live"

    def recordings(self, name: str) -> list[Path]:
        """FLVs of the stream `name`, oldest first; the server closes one some seconds after its publisher has left."""
        return sorted((self.folder / "recordings" / "live" / name).glob("*.flv"))

    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def receives(self, name: str, size: int, timeout: float = 10.0) -> Path:
        """The latest recording of `name`, once it has more than `size` bytes."""
        await until(lambda: any(path.stat().st_size > size for path in self.recordings(name)[-1:]), timeout)
        return self.recordings(name)[-1]


@cache
def installed() -> Path | str:
    """Folder of the package, or why there is none. The first call on a machine installs it into the cache folder."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    found = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    if int(found.removeprefix("v").split(".")[0]) < _NODE:
        return f"node-media-server {VERSION} needs node {_NODE}, and this is {found}"
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache_home / "rtmp-transponder" / f"node-media-server-{VERSION}"
    package = home / "node_modules" / "node-media-server"
    if not package.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:  # several test runs may install it at once
            made = Path(scratch) / "made"
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            command = ["npm", "install", f"--prefix={made}", *options, f"node-media-server@{VERSION}"]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
            except (subprocess.SubprocessError, OSError) as error:
                return f"node-media-server {VERSION} cannot be installed by npm: {type(error).__name__}"
            with contextlib.suppress(OSError):  # another run was faster
                made.rename(home)
    return package


@contextlib.asynccontextmanager
async def node_media_server(folder: Path, publish_secret: str = "") -> AsyncIterator[NodeMediaServer]:
    """Run a server in `folder`, or skip. With `publish_secret`, publishing needs a signature in the stream's query."""
    package = await asyncio.to_thread(installed)
    if isinstance(package, str):
        pytest.skip(package)
    server = NodeMediaServer(folder, free_port(), free_port(), folder / "ca.pem")
    _prepare(server, publish_secret)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "node", str(package / "bin" / "app.js"), "--config", str(folder / "config.json"),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    try:
        await until(lambda: process.returncode is not None or server.log().count("listening on port") == 2, 15)
        assert process.returncode is None, f"node-media-server did not start: {server.log()}"
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _prepare(server: NodeMediaServer, publish_secret: str) -> None:
    server.folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(server.ca_file))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(server.folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(server.folder / "cert.pem"))
    tls = {"port": server.tls_port, "key": str(server.folder / "key.pem"), "cert": str(server.folder / "cert.pem")}
    configuration = {
        "bind": "127.0.0.1",
        "auth": {"play": False, "publish": bool(publish_secret), "secret": publish_secret or "none"},
        "rtmp": {"port": server.port},
        "rtmps": tls,
        "store": {"path": str(server.folder / "data")},
        "record": {"auto": True, "path": str(server.folder / "recordings")},
    }
    (server.folder / "config.json").write_text(json.dumps(configuration))
