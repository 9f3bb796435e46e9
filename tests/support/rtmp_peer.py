"""An RTMP server in a pod, which records what it is sent, and ffprobe beside it."""

import asyncio
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.images import PEER_IMAGE
from support.kubectl import Kubectl
from support.restricted import restricted_pod, service

_NAME = "rtmp-peer"
_GROWS = 'until [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt "$2" ]; do sleep 0.05; done'
_PROBE = ("ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json")


@dataclass(frozen=True)
class RtmpPeer:
    """The server. Its application is `live`."""

    kubectl: Kubectl

    @classmethod
    def start(cls, kubectl: Kubectl) -> "RtmpPeer":
        """In kubectl's namespace; it ends with that."""
        kubectl.apply(restricted_pod(_NAME, PEER_IMAGE, http_port=8080), service(_NAME, 1935))
        kubectl.wait(f"pod/{_NAME}", "condition=Ready")
        return cls(kubectl)

    @property
    def url(self) -> str:
        return f"rtmp://{self.host}/live"

    @property
    def host(self) -> str:
        return f"{_NAME}.{self.kubectl.namespace}.svc"

    async def receives(self, key: str, size: int, seconds: float = 20) -> None:
        """Return when the recording has more than `size` bytes. Raises TimeoutExpired."""
        await asyncio.to_thread(
            self.kubectl.exec, _NAME, "sh", "-c", _GROWS, "sh", _path(key), str(size), seconds=seconds
        )

    async def finished(self, key: str, seconds: float = 15) -> None:
        """Return when the server has seen the publisher leave, and the recording is whole. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while f'"{key}"' not in await asyncio.to_thread(self.kubectl, "logs", _NAME):  # noqa: ASYNC110 - of another program
                await asyncio.sleep(0.1)

    async def probe(self, key: str) -> dict[str, Any]:
        """What ffprobe says in the pod."""
        said = await asyncio.to_thread(self.kubectl.exec, _NAME, *_PROBE, _path(key))
        found: dict[str, Any] = json.loads(said)
        return found

    async def fetch(self, key: str, folder: Path) -> Path:
        """The recording, here."""
        return await asyncio.to_thread(self._fetch, key, folder / f"{key}.flv")

    def _fetch(self, key: str, target: Path) -> Path:
        command = self.kubectl.command("exec", _NAME, "--", "cat", _path(key))
        with target.open("wb") as file:
            subprocess.run(command, check=True, stdout=file, timeout=60)
        return target


def _path(key: str) -> str:
    return f"/tmp/{key}.flv"
