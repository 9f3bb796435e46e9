"""The operator program on a real API server, with relays whose control ports are real too."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster import tools
from cluster.control_plane import ControlPlane, control_plane, free_ports
from support.api_server import NAMESPACES, Namespace, install_crds
from support.control_port import until
from support.faulty_api import FaultyApi
from support.kubectl import Kubectl
from support.operator_process import operator_process
from support.relay_farm import RelayFarm
from support.unavailable import skipped_without

from transponder_crd.control import OutputReason, OutputState, PublisherState
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.paths import events, leases, objects, secrets
from transponder_crd.names import FINALIZER, stream_object_name
from transponder_crd.resource import Stream

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

Start = Callable[..., Any]
LEASE = "rtmp-transponder-operator"


async def test_a_transponder_of_kubectl_comes_and_goes(
    start_operator: Start, space: Namespace, farm: RelayFarm
) -> None:
    async with start_operator() as operator:
        made = await space.add()
        await space.until_phase("WaitingForPublisher")
        there = await space.transponder()
        assert there["metadata"]["finalizers"] == [FINALIZER]
        assert there["status"]["destination"] == "rtmp://host/t"
        assert farm.outputs("demo") == [made["metadata"]["uid"]]
        await space.delete()
        await space.until_gone()
        assert "demo" in farm.deleted
        assert "kopf" not in str(there)
        assert "WARNING" not in operator.log


async def test_deletion_ends_without_its_relay(start_operator: Start, space: Namespace, farm: RelayFarm) -> None:
    async with start_operator():
        await space.add("t")
        await space.add("other")
        await space.until_phase("WaitingForPublisher", "other")
        farm.relays["demo"].put_status = 500
        await space.delete("t")
        await space.until_gone("t")
        assert await space.phase("other") == "WaitingForPublisher"


async def test_kubectl_waits_for_what_is_in_effect(
    start_operator: Start, space: Namespace, farm: RelayFarm, plane: ControlPlane
) -> None:
    kubectl = Kubectl(_kubectl(), plane.kubeconfig, space.name)
    async with start_operator():
        await space.add()
        await _publish(space, farm)
        await asyncio.to_thread(kubectl.wait, "rtmpt/t", "condition=Ready", 20)
        relay = farm.relays["demo"]
        relay.answers = False
        await space.patch({"spec": {"muted": True}})
        await until(lambda: relay.puts[-1].outputs[0].muted)
        waiting = asyncio.create_task(asyncio.to_thread(kubectl.wait, "rtmpt/t", "condition=Ready", 20))
        with pytest.raises(TimeoutError):  # the relay has not told that it is in effect
            await asyncio.wait_for(asyncio.shield(waiting), 1.0)
        relay.say_outputs(generation=2, muted=True)
        await asyncio.wait_for(waiting, 10)
        assert (await space.transponder())["status"]["observedGeneration"] == 2


async def test_transitions_are_events_without_secrets(start_operator: Start, space: Namespace, farm: RelayFarm) -> None:
    key = "s3cr3t-key-0123456789"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "url"}}
    await space.kube.create(secrets(space.name), {**secret, "stringData": {"rtmpUrl": f"rtmp://host/app/{key}"}})
    async with start_operator(log_level="DEBUG") as operator:
        reference = {"rtmpUrl": None, "rtmpUrlFrom": {"secretKeyRef": {"name": "url"}}, "fullUrl": True}
        await space.add(spec=reference)
        await space.until_phase("WaitingForPublisher")
        await _publish(space, farm)
        await space.until_phase("Live")
        relay = farm.relays["demo"]
        for _ in range(2):
            relay.say_outputs(state=OutputState.RETRYING, reason=OutputReason.REFUSED, message="connection refused")
            await space.until_phase("Reconnecting")
            relay.say_outputs(state=OutputState.LIVE, reason=None, message=None)
            await space.until_phase("Live")

        async def told() -> dict[str, tuple[str, int]]:
            found = (await space.kube.list(events(space.name))).items
            return {event["reason"]: (event["type"], event["count"]) for event in found}

        async def counted() -> bool:
            return (await told()).get("Live", ("", 0))[1] == 3

        await until(counted)
        assert await told() == {
            "WaitingForPublisher": ("Normal", 1),
            "Publishing": ("Normal", 1),
            "Live": ("Normal", 3),
            "Reconnecting": ("Warning", 2),
        }
        everything = str((await space.kube.list(events(space.name))).items) + str(await space.transponder())
        _, metrics = await operator.get("/metrics")
        assert key not in everything + operator.log + metrics


async def test_metrics(start_operator: Start, space: Namespace, farm: RelayFarm) -> None:
    async with start_operator() as operator:
        await space.add()
        await space.until_phase("WaitingForPublisher")

        async def is_counted() -> bool:
            reconciled = await operator.metric("transponder_operator_reconcile_seconds_count")
            _, text = await operator.get("/metrics")
            return reconciled >= 1 and 'outcome="success",resource="rtmptransponders/status"' in text

        await until(is_counted)
        assert await operator.metric('transponder_operator_transponders{phase="WaitingForPublisher"}') == 1
        assert await operator.metric('transponder_operator_sweeps_total{outcome="success"}') >= 1
        assert (await operator.get("/healthz")) == (200, "ok\n")
        _, text = await operator.get("/metrics")
        assert "demo" not in text
        assert "rtmp://" not in text


# ---------------------------------------------------------------------------------------------- one that is active


async def test_one_that_is_killed_goes_on_where_it_was(
    start_operator: Start, space: Namespace, farm: RelayFarm
) -> None:
    async with start_operator(lease_seconds="100") as first:
        await space.add("kept")
        await space.add("ended")
        await space.until_phase("WaitingForPublisher", "kept")
        await space.until_phase("WaitingForPublisher", "ended")
        first.send(signal.SIGKILL)
        await first.ended()
    relay = farm.relays["demo"]
    await space.delete("ended")
    await space.patch({"spec": {"muted": True}}, "kept")
    late = await space.add("late", "other")
    began = asyncio.get_running_loop().time()
    async with start_operator(lease_seconds="100"):  # of the same pod: it need not wait for the Lease
        assert asyncio.get_running_loop().time() - began < 20
        await space.until_gone("ended")
        await space.until_phase("WaitingForPublisher", "late")
        assert farm.relays["demo"] is relay
        assert [output.muted for output in relay.puts[-1].outputs] == [True]
        assert farm.outputs("other") == [late["metadata"]["uid"]]
        assert farm.deleted == []


async def test_of_two_one_is_active_and_the_other_follows(
    start_operator: Start, space: Namespace, farm: RelayFarm
) -> None:
    async with start_operator(pod_name="operator-a", lease_seconds="30") as first:
        await space.add()
        await space.until_phase("WaitingForPublisher")
        async with start_operator(pod_name="operator-b", lease_seconds="30", leads=False) as second:
            assert not await second.leads()
            puts = len(farm.relays["demo"].puts)
            first.send(signal.SIGTERM)
            assert await first.ended(seconds=8) == 0
            await until(second.leads, 10)  # it was given back: far less than the Lease's time
            await space.add("more")
            await space.until_phase("WaitingForPublisher", "more")
            assert farm.deleted == []
            assert len(farm.relays["demo"].puts) >= puts + 1
        lease = await space.kube.get(leases(space.name, LEASE))
        assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("operator-b", 1)


async def test_one_that_vanished_is_followed_when_its_lease_ran_out(start_operator: Start, space: Namespace) -> None:
    async with (
        start_operator(pod_name="operator-a", lease_seconds="5") as first,
        start_operator(pod_name="operator-b", lease_seconds="5", leads=False) as second,
    ):
        first.send(signal.SIGKILL)
        await first.ended()
        await until(second.leads, 15)


async def test_one_whose_lease_was_taken_ends(start_operator: Start, space: Namespace) -> None:
    async with start_operator(lease_seconds="5") as operator:
        path = leases(space.name, LEASE)
        await space.kube.patch(path, {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 100}})
        assert await operator.ended() == 1
        assert "somebody took it" in operator.log
        assert (await space.kube.get(path))["spec"]["holderIdentity"] == "somebody"


# ---------------------------------------------------------------------------------------------- faults


async def test_an_api_server_that_dies_and_comes_back(
    start_operator: Start, space: Namespace, farm: RelayFarm, plane: ControlPlane
) -> None:
    async with start_operator(lease_seconds="100") as operator:
        await space.add()
        await space.until_phase("WaitingForPublisher")
        plane.daemons["kube-apiserver"].stop(kill=True)
        farm.relays["demo"].say_outputs(state=OutputState.CONNECTING)
        await asyncio.sleep(1)
        plane.daemons["kube-apiserver"].start()
        await asyncio.to_thread(plane.wait_ready)
        await space.until_phase("Connecting", seconds=30)
        await space.add("later", "other")
        await space.until_phase("WaitingForPublisher", "later", seconds=30)
        await space.delete("later")
        await space.until_gone("later", seconds=30)
        assert farm.deleted.count("demo") == 0
        assert (await operator.get("/healthz"))[0] == 200


async def test_a_watch_that_tells_nothing_is_noticed_and_made_up_for(
    start_operator: Start, space: Namespace, farm: RelayFarm, plane: ControlPlane
) -> None:
    """It may list, but not watch."""
    kubeconfig = await _user(plane, space, watch=False)
    settings = {"resync_seconds": "1", "watch_grace_seconds": "3"}
    async with start_operator(kubeconfig=kubeconfig, **settings) as operator:
        await space.add()
        await space.until_phase("WaitingForPublisher")
        await space.delete()
        await space.until_gone()
        await space.add("again")
        await space.until_phase("WaitingForPublisher", "again")
        assert (await operator.get("/healthz"))[0] == 200

        async def dies() -> bool:
            return await operator.get("/healthz") == (503, "the watch of rtmptransponders is dead\n")

        await until(dies, 20)
        assert await operator.metric('transponder_operator_watch_missed_seconds{resource="rtmptransponders"}') > 3


async def test_what_vanished_unseen_is_found(
    start_operator: Start, space: Namespace, farm: RelayFarm, plane: ControlPlane
) -> None:
    kubeconfig = await _user(plane, space, watch=False)
    async with start_operator(kubeconfig=kubeconfig, resync_seconds="1"):
        await space.add()
        await space.until_phase("WaitingForPublisher")
        await space.patch({"metadata": {"finalizers": []}})
        await space.delete()
        await until(lambda: "demo" in farm.deleted, 10)


async def test_an_api_server_that_refuses_every_fifth_request(
    start_operator: Start, space: Namespace, farm: RelayFarm, plane: ControlPlane, tmp_path: Path
) -> None:
    names = [f"t-{number}" for number in range(20)]
    async with FaultyApi(plane, rate=0.2) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path)
        async with start_operator(kubeconfig=kubeconfig, resync_seconds="5", lease_seconds="100") as operator:
            for name in names:
                await space.add(name, f"stream-{name}")
            for name in names:
                await space.until_phase("WaitingForPublisher", name, seconds=40)
            for name in names:
                await space.delete(name)
            for name in names:
                await space.until_gone(name, seconds=40)
            assert proxy.refused > 20
            assert (await operator.get("/healthz"))[0] == 200
            assert (
                "reconciling failed" not in operator.log
            )  # kopf, whose watch is cut in the middle of a line, may fail


async def test_it_waits_for_the_custom_resources(tmp_path: Path, farm: RelayFarm) -> None:
    """kopf alone would never find what comes after its start."""
    with control_plane() as bare:
        kube = Kube.connect(bare.kubeconfig)
        space = Namespace(kube, "early")
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "early"}})
        (port,) = free_ports(1)

        async def run() -> None:
            async with operator_process(tmp_path, bare.kubeconfig, farm.url, port, namespace="early"):
                await space.add()
                await space.until_phase("WaitingForPublisher", seconds=30)

        running = asyncio.create_task(run())
        log = tmp_path / f"operator-0-{port}.log"
        await until(lambda: log.exists() and "cannot be listed" in log.read_text(), 30)
        await install_crds(kube)
        await running
        await kube.close()


# ---------------------------------------------------------------------------------------------- helpers


def _kubectl() -> Any:
    with skipped_without():
        return tools.kubectl()


async def _publish(space: Namespace, farm: RelayFarm) -> None:
    """The stream is published, and its output live."""
    body = {
        "apiVersion": "transponder.dev/v1alpha1",
        "kind": "Stream",
        "metadata": {"name": stream_object_name("demo")},
        "spec": {"name": "demo", "source": "whip"},
    }
    await space.kube.create(objects(Stream, space.name), body)
    await until(
        lambda: bool(farm.relays.get("demo") and farm.relays["demo"].puts and farm.relays["demo"].puts[-1].publisher)
    )
    await until(lambda: bool(farm.outputs("demo")))
    relay = farm.relays["demo"]
    relay.say_publisher(state=PublisherState.CONNECTED, video_codec="H264", width=640, height=360)
    relay.say_outputs(state=OutputState.LIVE)


async def _user(plane: ControlPlane, space: Namespace, *, watch: bool) -> Any:
    """A kubeconfig of somebody who may do in this namespace what the operator must, but perhaps watch."""
    user = f"user-of-{space.name}"
    verbs = ["get", "list", "create", "update", "patch", "delete", *(["watch"] if watch else [])]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space.name}"
    groups = {"transponder.dev": ["*"], "": ["pods", "secrets", "events"], "coordination.k8s.io": ["leases"]}
    rules = [{"apiGroups": [group], "resources": names, "verbs": verbs} for group, names in groups.items()]
    meta = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "operator"}}
    await space.kube.create(f"{rbac}/roles", {**meta, "kind": "Role", "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    binding = {**meta, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
    await space.kube.create(f"{rbac}/rolebindings", binding)
    return plane.kubeconfig_for(user, namespace=space.name)
