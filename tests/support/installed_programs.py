"""API, operator and relays as processes on a real API server, in one namespace: an installation without containers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from cluster import tools
from cluster.control_plane import free_ports
from support.api_pod import ApiPod, running_api_pod
from support.api_server import NAMESPACES, install_crds
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess, operator_process
from support.pod_site import WatchedKube
from support.process_kubelet import ProcessSite

from transponder_crd.store import AlreadyExists

TEMPLATE = {
    "metadata": {"labels": {"app.kubernetes.io/instance": "test"}},
    "spec": {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "relay",
                "image": "none",
                "env": [
                    {"name": "TRANSPONDER_LOG_LEVEL", "value": "DEBUG"},
                    {"name": "TRANSPONDER_OPEN_METRICS", "value": "true"},
                ],
            }
        ],
    },
}


@dataclass
class Installed:
    """The programs that run; the most talkative log is on."""

    site: ProcessSite
    kubectl: Kubectl
    operator: OperatorProcess
    api: ApiPod

    async def run_kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.kubectl, *arguments, stdin=stdin)


@asynccontextmanager
async def installed(
    admin: Path,
    namespace: str,
    folder: Path,
    *,
    operator_kubeconfig: Path | None = None,
    api_kubeconfig: Path | None = None,
    **of_operator: str,
) -> AsyncIterator[Installed]:
    """`admin`: the administrator's kubeconfig, which the programs have too unless they are given others.
    `of_operator`: further settings of it."""
    async with AsyncExitStack() as stack:
        kube = WatchedKube.to(admin)
        stack.push_async_callback(kube.close)
        await install_crds(kube)
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        with suppress(AlreadyExists):  # a controller manager makes it too, in its time
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            await kube.create(f"{NAMESPACES}/{namespace}/serviceaccounts", account)
        template = folder / "relay-pod.yaml"
        template.write_text(yaml.safe_dump(TEMPLATE))
        site = ProcessSite(admin, kube, namespace, folder)
        await stack.enter_async_context(site.kubelet())
        settings = {
            "namespace": namespace,
            "log_level": "DEBUG",
            "relay_template": str(template),
            "media_mode": "hostNetwork",
            "media_addresses": "127.0.0.1",
            **of_operator,
        }
        (port,) = free_ports(1)
        operator = await stack.enter_async_context(
            operator_process(folder, operator_kubeconfig or admin, None, port, **settings)
        )
        api = await stack.enter_async_context(
            running_api_pod(folder / "api", api_kubeconfig or admin, namespace=namespace, log_level="DEBUG")
        )
        await api.until_probe("/readyz", 200)
        yield Installed(site, Kubectl(tools.kubectl(), admin, namespace), operator, api)
