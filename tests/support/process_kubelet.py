"""A kubelet that runs each relay pod as a `transponder-relay` of this machine: a cluster needs no containers then.

The pods must have the host's network, so that each has a control port of its own.
"""

import base64
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from support import relay_pods
from support.control_port import until
from support.pod_site import Site, WatchedKube
from support.processes import Program, clean_environment

from transponder_crd.kubernetes.paths import pods, secrets
from transponder_crd.kubernetes.relay_pods import control_port

JsonObject = dict[str, Any]

START_SECONDS = 30.0


class ProcessSite(Site):
    """A namespace whose relays are processes; what each says is in `folder/<pod>.log`."""

    def __init__(self, kubeconfig: Path, kube: WatchedKube, namespace: str, folder: Path) -> None:
        super().__init__(kubeconfig, kube, namespace)
        self.folder = folder
        self.programs: dict[str, Program] = {}

    async def run(self, name: str) -> None:
        await self.bind(name)
        pod = await self.kube.get(pods(self.namespace, name))
        self.programs[name] = await self._start(name, pod)
        await until(lambda: _is_ready(control_port(pod)), START_SECONDS)
        await self.status(name, relay_pods.ready(ip="127.0.0.1"))

    async def finish(self, name: str) -> None:
        if program := self.programs.get(name):
            with contextlib.suppress(TimeoutError):
                await program.end(signal.SIGTERM, 10)
        await super().finish(name)

    async def crash(self, name: str) -> None:
        """The relay is killed, and its pod's status says so."""
        await self.programs[name].end(signal.SIGKILL, 5)
        await self.status(name, relay_pods.terminated(137))

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncIterator[None]:
        try:
            async with super().kubelet():
                yield
        finally:
            for program in self.programs.values():
                await program.destroy()

    async def _start(self, name: str, pod: JsonObject) -> Program:
        token = self.folder / f"{name}.token"
        secret = await self.kube.get(secrets(self.namespace, name))
        token.write_bytes(base64.b64decode(secret["data"]["token"]))
        (container,) = pod["spec"]["containers"]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        own = {
            "TRANSPONDER_INSTANCE": name,
            "TRANSPONDER_TOKEN_FILE": str(token),
            "TRANSPONDER_CONTROL_HOST": "127.0.0.1",
        }
        environment = clean_environment(self.folder, {**given, **own})
        command = [sys.executable, "-m", "transponder_relay"]
        return await Program.start(command, self.folder / f"{name}.log", environment, self.folder)


async def _is_ready(port: int) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession(trust_env=False) as http,
            http.get(f"http://127.0.0.1:{port}/readyz") as answer,
        ):
            return answer.status == 200
    return False
