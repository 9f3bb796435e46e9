"""`transponder-api` as a program, on a real Kubernetes API server, with the rights that the chart gives it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from support.processes import Program, clean_environment, free_port
from support.product import Answer, Rest

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import DEFAULT_SECRET
from transponder_crd.kubernetes.paths import pods
from transponder_crd.names import (
    ANNOTATION_CONTROL_PORT,
    COMPONENT_RELAY,
    LABEL_COMPONENT,
    LABEL_NAME,
    LABEL_STREAM,
    PRODUCT,
    stream_object_name,
)

TRANSPONDER_API = Path(sys.executable).with_name("transponder-api")
REPOSITORY = Path(__file__).parents[2]
NAMESPACE = "default"
USER = "transponder-api"

RULES = [
    {
        "apiGroups": ["transponder.dev"],
        "resources": ["rtmptransponders", "streams"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": [DEFAULT_SECRET]},
]


async def install(kube: Kube) -> None:
    """The two kinds, and what the API may do."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for file in sorted((REPOSITORY / "crds").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            await kube.create(path, document)
            await _established(kube, f"{path}/{document['metadata']['name']}")
    group = "rbac.authorization.k8s.io"
    base = f"/apis/{group}/v1/namespaces/{NAMESPACE}"
    kind = {"apiVersion": f"{group}/v1", "metadata": {"name": USER}}
    await kube.create(f"{base}/roles", kind | {"kind": "Role", "rules": RULES})
    binding = {
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": group, "kind": "Role", "name": USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }
    await kube.create(f"{base}/rolebindings", kind | binding)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await kube.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)


async def _established(kube: Kube, path: str) -> None:
    async with asyncio.timeout(20):
        while True:
            conditions = (await kube.get(path)).get("status", {}).get("conditions") or []
            if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
                return
            await asyncio.sleep(0.05)


async def add_relay_pod(kube: Kube, name: str, stream_name: str, port: int) -> None:
    """A pod object of a ready relay whose control port is on this machine. Nothing runs in it: there is no kubelet."""
    metadata = {
        "name": name,
        "labels": {
            LABEL_NAME: PRODUCT,
            LABEL_COMPONENT: COMPONENT_RELAY,
            LABEL_STREAM: stream_object_name(stream_name),
        },
        "annotations": {ANNOTATION_CONTROL_PORT: str(port)},
    }
    spec = {"containers": [{"name": "relay", "image": "none"}], "automountServiceAccountToken": False}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    made = await kube.create(pods(NAMESPACE), pod)
    made["status"] = {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    await kube.replace(pods(NAMESPACE, name, "status"), made)


@dataclass
class ApiPod:
    """A running `transponder-api`."""

    program: Program
    rest: Rest
    websdk: str
    health: str

    async def probe(self, path: str) -> Answer:
        """GET at the port of probes and metrics."""
        async with aiohttp.ClientSession(trust_env=False) as http, http.get(self.health + path) as answer:
            text = await answer.text()
            return Answer(answer.status, None, dict(answer.headers), text)

    async def until_probe(self, path: str, status: int, text: str = "", timeout: float = 15) -> None:
        """Raises AssertionError with the log."""
        last: Any = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    assert self.program.running, self.program.text()
                    try:
                        last = await self.probe(path)
                        if last.status == status and text in last.text:
                            return
                    except aiohttp.ClientError as error:
                        last = error
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{path} is not {status} {text}: {last}\n{self.program.text()}") from None


@asynccontextmanager
async def running_api_pod(folder: Path, kubeconfig: Path, **settings: Any) -> AsyncIterator[ApiPod]:
    """The program for the length of the block; whatever is left of it is killed. Settings as in `lame_duck_seconds`."""
    os.makedirs(folder, exist_ok=True)
    http, websdk, metrics = free_port(), free_port(), free_port()
    variables: Mapping[str, Any] = {
        "host": "127.0.0.1",
        "http_port": http,
        "ws_port": websdk,
        "metrics_port": metrics,
        "sounds_folder": folder,
        "lame_duck_seconds": 0,
        **settings,
    }
    environment = {f"TRANSPONDER_{name.upper()}": str(value) for name, value in variables.items()}
    environment = clean_environment(folder, {"KUBECONFIG": str(kubeconfig), **environment})
    program = await Program.start([str(TRANSPONDER_API)], folder / "api.log", environment, folder)
    rest = Rest(f"http://127.0.0.1:{http}")
    try:
        yield ApiPod(program, rest, f"ws://127.0.0.1:{websdk}/", f"http://127.0.0.1:{metrics}")
    finally:
        await rest.close()
        await program.destroy()
