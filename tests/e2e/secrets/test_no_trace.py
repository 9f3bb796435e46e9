"""Secrets of RTMP URLs are in Secrets alone: not in another object, an Event, a log line, a metric or an answer.

API, operator and relays are the real programs on a real API server; the most talkative log is on.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cluster.control_plane import ControlPlane, control_plane
from support.clip import clip
from support.control_port import until
from support.installed_programs import Installed, installed
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.secret_watch import SecretWatch
from support.unavailable import skipped_without
from support.whip_sender import WhipSender

from transponder_crd.kubernetes.relay_pods import control_port
from transponder_crd.names import LABEL_STREAM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

STREAM = "demo"
GROUP = "transponder.dev/v1alpha1"
MISBEHAVING = (
    Behaviour.REFUSE_PUBLISH,  # it tells the key in its refusal
    Behaviour.REFUSE_CONNECT,
    Behaviour.ADOBE,
    Behaviour.NOT_RTMP,
    Behaviour.CLOSE_AFTER_PUBLISH,
    Behaviour.GOOD,
)


async def _everything(cluster: Installed) -> dict[str, str]:
    """All that somebody may see who may not read Secrets, by where it is seen."""
    kinds = await cluster.run_kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name")
    names = ",".join(kind for kind in kinds.split() if not kind.endswith(".metrics.k8s.io"))
    items = json.loads(await cluster.run_kubectl("get", names, "-o", "json"))["items"]
    seen = {
        "objects": json.dumps([_without_what_was_meant(item) for item in items]),
        "table": await cluster.run_kubectl("get", "rtmpt", "-o", "wide"),
        "transponders of REST": await cluster.run_kubectl("describe", "rtmpt", "-l", LABEL_STREAM),
        "others": "".join([await cluster.run_kubectl("describe", kind) for kind in ("stream", "pod", "secret")]),
        "operator's log": cluster.operator.log,
        "operator's metrics": (await cluster.operator.get("/metrics"))[1],
        "API's log": cluster.api.program.text(),
        "API's metrics": (await cluster.api.probe("/metrics")).text,
    }
    for pod in await cluster.site.pods():
        url = f"http://127.0.0.1:{control_port(pod)}/metrics"
        async with aiohttp.ClientSession(trust_env=False) as http, http.get(url) as answer:
            seen[f"metrics of {pod['metadata']['name']}"] = await answer.text()
    return seen | {f"log of {name}": program.text() for name, program in cluster.site.programs.items()}


def _without_what_was_meant(item: dict[str, Any]) -> dict[str, Any]:
    """A Secret's data, and what somebody wrote into a spec himself, who could have used a Secret."""
    item.pop("data", None)
    item.get("spec", {}).pop("rtmpUrl", None)
    return item


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with skipped_without(), control_plane(controllers=True) as running:
        yield running


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
        cluster = await stack.enter_async_context(installed(plane.kubeconfig, "secretive", tmp_path))
        sender = await stack.enter_async_context(WhipSender(clip()))
        await sender.start(f"{cluster.api.rest.base}/whip/{STREAM}")
        answers = await _by_rest(cluster, urls(watch, servers, "rest"))
        await _by_kubectl(cluster, urls(watch, servers, "ref"), urls(watch, servers, "plain"))
        answers += await _refused(cluster, watch)
        await until(lambda: _all_have_been_tried(cluster), 90)
        (relay,) = [pod["metadata"]["name"] for pod in await cluster.site.pods(STREAM)]
        answers.append((await cluster.api.rest.push("find_all")).text)
        _assert_no_trace(watch, {**await _everything(cluster), "answers": "".join(answers)})
        await cluster.site.crash(relay)
        await until(lambda: _is_told(cluster, "RelayFailed"), 30)
        _assert_no_trace(watch, await _everything(cluster))
        kept = json.loads(await cluster.run_kubectl("get", "secrets", "-o", "json"))["items"]
        texts = [base64.b64decode(text).decode() for one in kept for text in (one.get("data") or {}).values()]
        assert watch.found_in("".join(texts)), "the keys are there, for who may see them"
        heard = str([session.commands for server in servers for session in server.sessions])
        assert watch.found_in(heard), "and servers got them"
        await cluster.run_kubectl("delete", "rtmpt", "--all", "--timeout=60s")
        _assert_no_trace(watch, await _everything(cluster))


def _assert_no_trace(watch: SecretWatch, seen: dict[str, str]) -> None:
    for where, text in seen.items():
        lines = [line for line in text.replace("}, {", "},\n{").splitlines() if watch.found_in(line)]
        assert not lines, f"{where}: {lines[0]}"


async def _by_rest(cluster: Installed, given: list[str]) -> list[str]:
    answers = []
    for url in given:
        started = await cluster.api.rest.startup(STREAM, url, rtmpTransponderFullUrl=True)
        again = await cluster.api.rest.push("startup", {"streamName": STREAM, "rtmpUrl": url})
        assert again.status == 409, again.text
        answers += [str(started), again.text]
    return answers


async def _by_kubectl(cluster: Installed, in_secrets: list[str], plain: list[str]) -> None:
    objects: list[dict[str, Any]] = []
    for number, url in enumerate(in_secrets):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"url-{number}"}}
        objects.append({**secret, "stringData": {"rtmpUrl": url}})
        reference = {"secretKeyRef": {"name": f"url-{number}", "key": "rtmpUrl"}}
        objects.append(_transponder(f"ref-{number}", rtmpUrlFrom=reference))
    objects += [_transponder(f"plain-{number}", rtmpUrl=url) for number, url in enumerate(plain)]
    text = yaml.safe_dump_all(objects)
    # create, since apply copies what it is given into an annotation
    await cluster.run_kubectl("create", "-f", "-", stdin=text)


def _transponder(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"streamName": STREAM, "fullUrl": True, **spec}
    return {"apiVersion": GROUP, "kind": "RtmpTransponder", "metadata": {"name": name}, "spec": spec}


async def _refused(cluster: Installed, watch: SecretWatch) -> list[str]:
    """What is no RTMP URL: refused by REST, and by the operator where it comes from a Secret."""
    bad = [f"http://h/{watch.key()}", f"rtmp://h:99999/live/{watch.key()}", f"rtmp://h/a b?{watch.key()}", watch.key()]
    answers = [await cluster.api.rest.push("startup", {"streamName": STREAM, "rtmpUrl": url}) for url in bad]
    assert {answer.status for answer in answers} == {400}
    for number, url in enumerate(bad):
        await cluster.run_kubectl("create", "secret", "generic", f"bad-{number}", f"--from-literal=rtmpUrl={url}")
        reference = {"secretKeyRef": {"name": f"bad-{number}", "key": "rtmpUrl"}}
        text = yaml.safe_dump(_transponder(f"bad-{number}", rtmpUrlFrom=reference))
        await cluster.run_kubectl("create", "-f", "-", stdin=text)
    return [answer.text for answer in answers]


async def _all_have_been_tried(cluster: Installed) -> bool:
    items = json.loads(await cluster.run_kubectl("get", "rtmpt", "-o", "json"))["items"]
    phases = [item.get("status", {}).get("phase") for item in items]
    return all(phase in ("Live", "Reconnecting", "Failed") for phase in phases)


async def _is_told(cluster: Installed, reason: str) -> bool:
    return reason in await cluster.run_kubectl("get", "events")
