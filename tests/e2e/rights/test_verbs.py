"""What API and operator do with the Kubernetes API, by its audit log, held against what the chart allows them."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from cluster.control_plane import ControlPlane, control_plane
from support.chart import of_kind, render
from support.clip import clip
from support.control_port import until
from support.installed_programs import Installed, installed
from support.rtmp_server import rtmp_server
from support.unavailable import skipped_without
from support.whip_sender import WhipSender

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

NAMESPACE = "audited"
PROGRAMS = ("api", "operator")
Verbs = dict[str, set[str]]
"""By resource, `streams/status`."""

LOOK_AGAIN: dict[str, Verbs] = {
    "api": {"rtmptransponders": {"get"}, "streams": {"get"}},
    "operator": {"rtmptransponders": {"get"}, "streams": {"get"}, "pods": {"get"}},
}
"""After a conflict, or where the watch is late: no run does it for certain."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """It writes its audit log to `<folder>/audit`."""
    with skipped_without(), control_plane() as running:
        policy = running.folder / "audit.yaml"
        rule = {"level": "Metadata", "omitStages": ["RequestReceived"]}
        policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [rule]}))
        daemon = running.daemons["kube-apiserver"]
        log = running.folder / "audit"
        daemon.argv = [*daemon.argv, f"--audit-policy-file={policy}", f"--audit-log-path={log}"]
        running.restart("kube-apiserver")
        yield running


async def test_every_right_is_used_and_none_is_missing(plane: ControlPlane, helm: Path, tmp_path: Path) -> None:
    kubeconfigs = {program: plane.kubeconfig_for(program, "system:masters", NAMESPACE) for program in PROGRAMS}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(rtmp_server())
        url = f"rtmp://127.0.0.1:{server.port}/live"
        cluster = await stack.enter_async_context(
            installed(
                plane.kubeconfig,
                NAMESPACE,
                tmp_path,
                operator_kubeconfig=kubeconfigs["operator"],
                api_kubeconfig=kubeconfigs["api"],
                auto_start="true",
                auto_start_url=f"{url}/automatic",
                pool_owner="template",
            )
        )
        await _one_life(cluster, f"{url}/by-rest")
    for program in PROGRAMS:
        given, used = _given(helm, program), _used(plane, program)
        missing = {resource: verbs - given.get(resource, set()) for resource, verbs in used.items()}
        assert not {resource: verbs for resource, verbs in missing.items() if verbs}, f"{program} may do too little"
        unused = {resource: verbs - used.get(resource, set()) for resource, verbs in given.items()}
        in_trouble = LOOK_AGAIN[program]
        left = {resource: verbs - in_trouble.get(resource, set()) for resource, verbs in unused.items()}
        assert not {resource: verbs for resource, verbs in left.items() if verbs}, f"{program} may do too much"


async def _one_life(cluster: Installed, url: str) -> None:
    """A stream is published, and sent on by itself and by REST; its relay dies, twice; it comes again; all ends."""
    rest = cluster.api.rest
    started = await rest.startup("demo", url)
    for last in (False, True):
        async with WhipSender(clip()) as sender:
            await sender.start(f"{rest.base}/whip/demo")
            await until(lambda: _are_live(cluster, 2), 20)
            if last:
                answer = await rest.request("POST", "/rest-api/stream/terminate", json={"name": "demo"})
                assert answer.status == 200, answer.text
                break
            await rest.tell("mute", started["mediaSessionId"])
            relay = await _relay(cluster)
            await cluster.site.crash(relay)
            await until(lambda: _has_no_stream(cluster), 20)
        second = await _relay(cluster, but=relay)
        await cluster.site.crash(second)  # what is told the second time is counted
        await _relay(cluster, but=second)
    await rest.tell("terminate", started["mediaSessionId"])
    await cluster.run_kubectl("delete", "rtmpt", "--all")  # no controller manager collects what the stream owned
    await until(lambda: _has_no_relay(cluster), 20)


async def _are_live(cluster: Installed, count: int) -> bool:
    items = json.loads(await cluster.run_kubectl("get", "rtmpt", "-o", "json"))["items"]
    return [item.get("status", {}).get("phase") for item in items] == ["Live"] * count


async def _relay(cluster: Installed, but: str = "") -> str:
    """The one that the transponders have, as soon as it is another than `but`."""
    found: list[str] = []

    async def is_there() -> bool:
        items = json.loads(await cluster.run_kubectl("get", "rtmpt", "-o", "json"))["items"]
        found[:] = {item.get("status", {}).get("relayPod") or but for item in items}
        return len(found) == 1 and found[0] != but

    await until(is_there, 30)
    return found[0]


async def _has_no_stream(cluster: Installed) -> bool:
    return not json.loads(await cluster.run_kubectl("get", "streams", "-o", "json"))["items"]


async def _has_no_relay(cluster: Installed) -> bool:
    return not await cluster.site.pods("demo")


def _given(helm: Path, program: str) -> Verbs:
    roles = of_kind(render(helm), "Role")
    verbs: defaultdict[str, set[str]] = defaultdict(set)
    for role in roles:
        if role["metadata"]["labels"]["app.kubernetes.io/component"] == program:
            for rule in role["rules"]:
                for resource in rule["resources"]:
                    verbs[resource] |= set(rule["verbs"])
    return dict(verbs)


def _used(plane: ControlPlane, program: str) -> Verbs:
    verbs: defaultdict[str, set[str]] = defaultdict(set)
    for line in (plane.folder / "audit").read_text().splitlines():
        entry = json.loads(line)
        what = entry.get("objectRef") or {}
        if entry["user"]["username"] == program and what.get("namespace") == NAMESPACE:
            verbs["/".join(filter(None, [what["resource"], what.get("subresource")]))].add(entry["verb"])
    return dict(verbs)
