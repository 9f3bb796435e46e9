"""Secrets of RTMP URLs are in Secrets alone: not in another object, an Event, a log line, a metric or an answer.

API, operator and relays are the real programs on a real API server; the most talkative log is on.
"""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cluster import tools
from cluster.control_plane import ControlPlane, control_plane, free_ports
from cluster.folders import Unavailable
from support.api_pod import ApiPod, running_api_pod
from support.api_server import NAMESPACES, install_crds
from support.clip import clip
from support.control_port import until
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess, operator_process
from support.pod_site import WatchedKube
from support.process_kubelet import ProcessSite
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.secret_watch import SecretWatch
from support.whip_sender import WhipSender

from transponder_crd.kubernetes.relay_pods import control_port
from transponder_crd.names import LABEL_STREAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

STREAM = "demo"
GROUP = "transponder.dev/v1alpha1"
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
MISBEHAVING = (
    Behaviour.REFUSE_PUBLISH,  # it tells the key in its refusal
    Behaviour.REFUSE_CONNECT,
    Behaviour.ADOBE,
    Behaviour.NOT_RTMP,
    Behaviour.CLOSE_AFTER_PUBLISH,
    Behaviour.GOOD,
)


@dataclass
class Cluster:
    """The programs, and whoever looks for traces of keys."""

    site: ProcessSite
    kubectl: Kubectl
    operator: OperatorProcess
    api: ApiPod
    folder: Path

    async def run_kubectl(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.kubectl, *arguments)

    async def everything(self) -> dict[str, str]:
        """All that somebody may see who may not read Secrets, by where it is seen."""
        kinds = await self.run_kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name")
        names = ",".join(kind for kind in kinds.split() if not kind.endswith(".metrics.k8s.io"))
        items = json.loads(await self.run_kubectl("get", names, "-o", "json"))["items"]
        seen = {
            "objects": json.dumps([_without_what_was_meant(item) for item in items]),
            "describe": "".join([await self.run_kubectl("describe", kind) for kind in ("stream", "pod", "secret")]),
            "operator's log": self.operator.log,
            "operator's metrics": (await self.operator.get("/metrics"))[1],
            "API's log": self.api.program.text(),
            "API's metrics": (await self.api.probe("/metrics")).text,
        }
        described = await self.run_kubectl("describe", "rtmpt", "-l", LABEL_STREAM)  # those that REST made
        table = await self.run_kubectl("get", "rtmpt", "-o", "wide")
        for pod in await self.site.pods():
            url = f"http://127.0.0.1:{control_port(pod)}/metrics"
            async with aiohttp.ClientSession(trust_env=False) as http, http.get(url) as answer:
                seen[f"metrics of {pod['metadata']['name']}"] = await answer.text()
        logs = {f"log of {name}": program.text() for name, program in self.site.programs.items()}
        return seen | logs | {"described transponders": described, "table": table}


def _without_what_was_meant(item: dict[str, Any]) -> dict[str, Any]:
    """A Secret's data, and what somebody wrote into a spec himself, who could have used a Secret."""
    item.pop("data", None)
    item.get("spec", {}).pop("rtmpUrl", None)
    return item


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    try:
        with control_plane(controllers=True) as running:
            yield running
    except Unavailable as error:
        pytest.skip(str(error))


@asynccontextmanager
async def installed(plane: ControlPlane, folder: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        kube = WatchedKube.to(plane.kubeconfig)
        stack.push_async_callback(kube.close)
        await install_crds(kube)
        name = "secretive"
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        template = folder / "relay-pod.yaml"
        template.write_text(yaml.safe_dump(TEMPLATE))
        site = ProcessSite(plane.kubeconfig, kube, name, folder)
        await stack.enter_async_context(site.kubelet())
        settings = {
            "namespace": name,
            "log_level": "DEBUG",
            "relay_template": str(template),
            "media_mode": "hostNetwork",
            "media_addresses": "127.0.0.1",
        }
        (port,) = free_ports(1)
        operator = await stack.enter_async_context(operator_process(folder, plane.kubeconfig, None, port, **settings))
        api = await stack.enter_async_context(
            running_api_pod(folder / "api", plane.kubeconfig, namespace=name, log_level="DEBUG")
        )
        await api.until_probe("/readyz", 200)
        yield Cluster(site, Kubectl(tools.kubectl(), plane.kubeconfig, name), operator, api, folder)


def urls(watch: SecretWatch, servers: list[Server], by: str) -> list[str]:
    """One for each way to put secrets into a URL; `by` keeps those of two makers apart."""
    users: list[Callable[[], str]] = [
        lambda: "",
        lambda: f"{watch.key('user')}@",
        lambda: f"{watch.key('user')}:{watch.key('password')}@",
    ]
    paths: list[Callable[[], str]] = [
        lambda: f"live/{watch.key()}",
        lambda: f"live/{by}/{watch.key('%41')}",
        lambda: "live",
    ]
    queries: list[Callable[[], str]] = [
        lambda: "",
        lambda: f"?token={watch.key('token')}",
        lambda: f"?{watch.key('user')}&{watch.key('password')}==",
    ]
    made = []
    for number, parts in enumerate(itertools.product(users, paths, queries)):
        before = len(watch.keys)
        user, path, query = (part() for part in parts)
        if len(watch.keys) > before:
            scheme = "rtmps" if number % 5 == 4 else "rtmp"
            made.append(f"{scheme}://{user}127.0.0.1:{servers[number % len(servers)].port}/{path}{query}")
    return made


async def test_secrets_of_urls_leave_no_trace(plane: ControlPlane, tmp_path: Path) -> None:
    watch = SecretWatch()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(rtmp_server(behaviour)) for behaviour in MISBEHAVING]
        cluster = await stack.enter_async_context(installed(plane, tmp_path))
        sender = await stack.enter_async_context(WhipSender(clip()))
        await sender.start(f"{cluster.api.rest.base}/whip/{STREAM}")
        answers = await _by_rest(cluster, urls(watch, servers, "rest"))
        await _by_kubectl(cluster, urls(watch, servers, "ref"), urls(watch, servers, "plain"))
        answers += await _refused(cluster, watch)
        await until(lambda: _all_have_been_tried(cluster), 90)
        (relay,) = [pod["metadata"]["name"] for pod in await cluster.site.pods(STREAM)]
        answers.append((await cluster.api.rest.push("find_all")).text)
        _assert_no_trace(watch, {**await cluster.everything(), "answers": "".join(answers)})
        await cluster.site.crash(relay)
        await until(lambda: _is_told(cluster, "RelayFailed"), 30)
        _assert_no_trace(watch, await cluster.everything())
        kept = json.loads(await cluster.run_kubectl("get", "secrets", "-o", "json"))["items"]
        texts = [base64.b64decode(text).decode() for one in kept for text in (one.get("data") or {}).values()]
        assert watch.found_in("".join(texts)), "the keys are there, for who may see them"
        heard = str([session.commands for server in servers for session in server.sessions])
        assert watch.found_in(heard), "and servers got them"
        await cluster.run_kubectl("delete", "rtmpt", "--all", "--timeout=60s")
        _assert_no_trace(watch, await cluster.everything())


def _assert_no_trace(watch: SecretWatch, seen: dict[str, str]) -> None:
    for where, text in seen.items():
        lines = [line for line in text.replace("}, {", "},\n{").splitlines() if watch.found_in(line)]
        assert not lines, f"{where}: {lines[0]}"


async def _by_rest(cluster: Cluster, given: list[str]) -> list[str]:
    answers = []
    for url in given:
        started = await cluster.api.rest.startup(STREAM, url, rtmpTransponderFullUrl=True)
        again = await cluster.api.rest.push("startup", {"streamName": STREAM, "rtmpUrl": url})
        assert again.status == 409, again.text
        answers += [str(started), again.text]
    return answers


async def _by_kubectl(cluster: Cluster, in_secrets: list[str], plain: list[str]) -> None:
    objects: list[dict[str, Any]] = []
    for number, url in enumerate(in_secrets):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"url-{number}"}}
        objects.append({**secret, "stringData": {"rtmpUrl": url}})
        reference = {"secretKeyRef": {"name": f"url-{number}", "key": "rtmpUrl"}}
        objects.append(_transponder(f"ref-{number}", rtmpUrlFrom=reference))
    objects += [_transponder(f"plain-{number}", rtmpUrl=url) for number, url in enumerate(plain)]
    text = yaml.safe_dump_all(objects)
    # create, since apply copies what it is given into an annotation
    await asyncio.to_thread(cluster.kubectl, "create", "-f", "-", stdin=text)


def _transponder(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"streamName": STREAM, "fullUrl": True, **spec}
    return {"apiVersion": GROUP, "kind": "RtmpTransponder", "metadata": {"name": name}, "spec": spec}


async def _refused(cluster: Cluster, watch: SecretWatch) -> list[str]:
    """What is no RTMP URL: refused by REST, and by the operator where it comes from a Secret."""
    bad = [f"http://h/{watch.key()}", f"rtmp://h:99999/live/{watch.key()}", f"rtmp://h/a b?{watch.key()}", watch.key()]
    answers = [await cluster.api.rest.push("startup", {"streamName": STREAM, "rtmpUrl": url}) for url in bad]
    assert {answer.status for answer in answers} == {400}
    for number, url in enumerate(bad):
        await cluster.run_kubectl("create", "secret", "generic", f"bad-{number}", f"--from-literal=rtmpUrl={url}")
        reference = {"secretKeyRef": {"name": f"bad-{number}", "key": "rtmpUrl"}}
        text = yaml.safe_dump(_transponder(f"bad-{number}", rtmpUrlFrom=reference))
        await asyncio.to_thread(cluster.kubectl, "create", "-f", "-", stdin=text)
    return [answer.text for answer in answers]


async def _all_have_been_tried(cluster: Cluster) -> bool:
    items = json.loads(await cluster.run_kubectl("get", "rtmpt", "-o", "json"))["items"]
    phases = [item.get("status", {}).get("phase") for item in items]
    return all(phase in ("Live", "Reconnecting", "Failed") for phase in phases)


async def _is_told(cluster: Cluster, reason: str) -> bool:
    return reason in await cluster.run_kubectl("get", "events")
