"""PodRelays on a real API server. No pod runs there: the test writes their statuses as a kubelet would."""

import base64
import copy
import time
from typing import Any

import pytest
from cluster.control_plane import ControlPlane
from support import relay_pods
from support.pod_site import KEY, TEMPLATE, Operator, Site, is_ready, pod_site, until, warm

from transponder_crd.control import RelayReport
from transponder_crd.kubernetes.paths import pods, secrets
from transponder_crd.names import ANNOTATION_STREAM_NAME, LABEL_POOL, LABEL_STREAM, stream_object_name
from transponder_operator.pods.ports import MediaMode

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

JsonObject = dict[str, Any]


async def idle_names(site: Site) -> set[str]:
    return {pod["metadata"]["name"] for pod in await site.pods() if LABEL_POOL in pod["metadata"]["labels"]}


async def test_cold(site: Site) -> None:
    operator, owner = await site.operator(), await site.owner("stream")
    assert await operator.relays.address("demo") is None
    assert await operator.relays.ensure("demo", [owner]) is None
    assert operator.relays.absence("demo") == ("RelayStarting", "the relay is starting")
    (pod,) = await site.pods("demo")
    name = pod["metadata"]["name"]
    assert pod["metadata"]["annotations"][ANNOTATION_STREAM_NAME] == "demo"
    assert [one["uid"] for one in pod["metadata"]["ownerReferences"]] == [owner.uid]
    assert {one["manager"] for one in pod["metadata"]["managedFields"]} == {"rtmp-transponder"}
    secret = await site.kube.get(secrets(site.namespace, name))
    assert base64.b64decode(secret["data"]["token"]).decode() == KEY.token(name)
    assert [one["uid"] for one in secret["metadata"]["ownerReferences"]] == [pod["metadata"]["uid"]]

    operator.woken.clear()
    await site.run(name)
    await until(lambda: operator.woken["demo"] > 0)
    address = await operator.reconcile("demo", [owner])
    assert address == (name, "http://127.0.0.1:9090", KEY.token(name))
    assert await operator.relays.address("demo") == address
    assert await site.names() == {name}
    assert operator.claimed == [("demo", name, False)]


async def test_warm_is_one_patch(site: Site) -> None:
    operator, owner = await site.operator(pool_size=3), await site.owner("stream")
    names = await warm(site, operator, 3)
    seconds = []
    for stream in ("one", "two", "three"):
        patches, others = operator.kube.calls["PATCH"], operator.kube.calls["GET"]
        began = time.monotonic()
        address = await operator.relays.ensure(stream, [owner])
        seconds.append(time.monotonic() - began)
        assert address is not None
        assert address == (address.instance, "http://127.0.0.1:9090", KEY.token(address.instance))
        assert (operator.kube.calls["PATCH"], operator.kube.calls["GET"]) == (patches + 1, others)
        assert operator.claimed[-1] == (stream, address.instance, True)
        metadata = (await site.kube.get(pods(site.namespace, address.instance)))["metadata"]
        assert metadata["labels"][LABEL_STREAM] == stream_object_name(stream)
        assert [one["uid"] for one in metadata["ownerReferences"]] == [owner.uid]
    assert {pod for _, pod, _ in operator.claimed} == set(names)
    assert min(seconds) < 0.5
    await until(lambda: len(operator.mirror) == 6)  # the pool is filled again
    assert len(await idle_names(site)) == 3


async def test_again_and_again_writes_nothing(site: Site) -> None:
    operator, owner = await site.operator(pool_size=1), await site.owner("stream")
    await warm(site, operator)
    address = await operator.relays.ensure("demo", [owner])
    await until(lambda: len(operator.mirror) == 2)
    await until(lambda: operator.kube.calls["POST"] == 4)
    operator.kube.calls.clear()
    for _ in range(3):
        assert await operator.relays.ensure("demo", [owner]) == address
        await operator.relays.maintain()
    assert not operator.kube.calls


async def test_owners_follow(site: Site) -> None:
    operator, first = await site.operator(), await site.owner("first")
    await operator.relays.ensure("demo", [first])
    second = await site.owner("second")
    await operator.relays.ensure("demo", [first, second])
    (pod,) = await site.pods("demo")
    assert [one["uid"] for one in pod["metadata"]["ownerReferences"]] == [first.uid, second.uid]
    await operator.relays.ensure("demo", [second])
    (pod,) = await site.pods("demo")
    assert [one["uid"] for one in pod["metadata"]["ownerReferences"]] == [second.uid]


async def test_the_pool_has_its_size_and_owner(site: Site) -> None:
    owner = await site.owner("template")
    async with site.kubelet():
        operator = await site.operator(pool_size=3, pool_owner=owner)
        await until(lambda: sum(map(is_ready, operator.mirror.items())) == 3)
        assert {one["metadata"]["ownerReferences"][0]["uid"] for one in await site.pods()} == {owner.uid}
        assert await site.secrets() == await site.names()
        await operator.end()
        smaller = await site.operator(pool_size=1)
        await until(lambda: len(smaller.mirror) == 1)


async def test_the_size_of_the_pool_may_change(site: Site) -> None:
    size = 2
    async with site.kubelet():
        operator = await site.operator(pool_size_now=lambda: size)
        await until(lambda: len(operator.mirror) == 2)
        size = 0
        operator.relays.changed([])
        await until(lambda: len(operator.mirror) == 0)


async def test_deleted_in_order(site: Site) -> None:
    operator, owner = await site.operator(pool_size=1), await site.owner("stream")
    (name,) = await warm(site, operator)
    await operator.relays.ensure("demo", [owner])
    await operator.relays.delete("demo")
    (pod,) = await site.pods("demo")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 10
    assert await operator.relays.address("demo") is None
    operator.kube.calls.clear()
    await operator.relays.delete("demo")
    assert operator.kube.calls["DELETE"] == 0
    # who comes back at once gets another one
    (second,) = await warm(site, operator, but={name})
    address = await operator.relays.ensure("demo", [owner])
    assert address is not None
    assert address.instance == second
    await site.finish(name)
    await until(lambda: operator.mirror.get(name) is None)
    assert operator.lost == []
    await operator.relays.delete("nobody")


async def test_a_dead_one_is_replaced_at_once_and_then_more_slowly(site: Site) -> None:
    operator, owner = await site.operator(pool_size=3), await site.owner("stream")
    await warm(site, operator, 3)
    first = await operator.reconcile("demo", [owner])
    operator.woken.clear()
    await site.status(first.instance, relay_pods.terminated(137, reason="OOMKilled"))
    await until(lambda: operator.woken["demo"] > 0)
    second = await operator.relays.ensure("demo", [owner])
    assert second is not None
    assert second.instance != first.instance
    assert [(stream, pod, why.reason) for stream, pod, why in operator.lost] == [
        ("demo", first.instance, "OutOfMemory")
    ]
    await until(lambda: _is_marked_or_gone(operator, first.instance))

    await site.status(second.instance, relay_pods.terminated(3))
    await until(lambda: len(operator.lost) == 2)
    began = time.monotonic()
    assert await operator.relays.ensure("demo", [owner]) is None
    assert operator.relays.absence("demo") == ("RelayFailed", "the relay ended with code 3")
    third = await operator.reconcile("demo", [owner])
    assert third.instance not in (first.instance, second.instance)
    assert 0.5 < time.monotonic() - began < 5


def _is_marked_or_gone(operator: Operator, name: str) -> bool:
    pod = operator.mirror.raw(name)
    return pod is None or "deletionTimestamp" in pod["metadata"]


async def test_one_that_vanished_is_replaced(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, operator, 2)
    first = await operator.reconcile("demo", [owner])
    operator.woken.clear()
    await site.finish(first.instance)
    await until(lambda: operator.mirror.get(first.instance) is None)
    assert operator.woken["demo"] > 0
    second = await operator.reconcile("demo", [owner])
    assert second.instance != first.instance
    assert [why.reason for _, _, why in operator.lost] == ["RelayEnded"]


async def test_a_drained_one_keeps_its_stream_until_it_ends(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, operator, 2)
    first = await operator.reconcile("demo", [owner])
    await site.kube.delete(pods(site.namespace, first.instance))  # as an eviction: with the grace of its own
    await site.status(first.instance, relay_pods.unready(podIP="127.0.0.1"))
    await until(lambda: not is_ready(operator.mirror.raw(first.instance)))
    assert await operator.relays.ensure("demo", [owner]) == first
    await operator.relays.maintain()
    (pod,) = await site.pods("demo")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 3630
    operator.woken.clear()
    await site.status(first.instance, relay_pods.terminated(0, "Succeeded"))
    await until(lambda: operator.woken["demo"] > 0)
    second = await operator.relays.ensure("demo", [owner])
    assert second is not None
    assert second.instance != first.instance


async def test_a_lost_node_is_believed_when_the_relay_is_silent(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, operator, 2)
    first = await operator.reconcile("demo", [owner])
    operator.reports["demo"] = RelayReport(instance=first.instance)
    await site.status(first.instance, relay_pods.lost_node() | {"podIP": "127.0.0.1"})
    await until(lambda: not is_ready(operator.mirror.raw(first.instance)))
    assert await operator.relays.ensure("demo", [owner]) == first
    await operator.relays.maintain()
    assert await site.names("demo") == {first.instance}
    del operator.reports["demo"]
    second = await operator.relays.ensure("demo", [owner])
    assert second is not None
    assert second.instance != first.instance
    assert [why.reason for _, _, why in operator.lost] == ["NodeLost"]


async def test_why_it_does_not_start(site: Site) -> None:
    operator, owner = await site.operator(), await site.owner("stream")
    await operator.relays.ensure("demo", [owner])
    (name,) = await site.names("demo")
    for status, reason in [
        (relay_pods.unschedulable(), "Unschedulable"),
        (relay_pods.waiting("ImagePullBackOff"), "ImagePullFailed"),
    ]:
        operator.woken.clear()
        await site.status(name, status)
        await until(lambda: operator.woken["demo"] > 0)
        assert await operator.relays.ensure("demo", [owner]) is None
        absence = operator.relays.absence("demo")
        assert absence is not None
        assert absence.reason == reason
    assert await site.names("demo") == {name}


async def test_one_that_cannot_start_gives_way_to_one_thatis_ready(site: Site) -> None:
    operator, owner = await site.operator(pool_size=1), await site.owner("stream")
    await until(lambda: len(operator.mirror) == 1)
    (stuck,) = await site.names()
    assert await operator.relays.ensure("demo", [owner]) is None  # that one is the stream's now, and starts
    await warm(site, operator, but={stuck})
    await site.status(stuck, relay_pods.unschedulable())
    address = await operator.reconcile("demo", [owner])
    assert address.instance != stuck
    await until(lambda: operator.mirror.get(stuck) is None)


async def test_one_that_cannot_start_by_an_older_template_is_made_anew(site: Site) -> None:
    owner = await site.owner("stream")
    before = await site.operator()
    await before.relays.ensure("demo", [owner])
    (name,) = await site.names()
    await site.bind(name)
    await site.status(name, relay_pods.waiting("ImagePullBackOff"))
    await before.end()
    after = await site.operator(_other_template())
    assert await after.relays.ensure("demo", [owner]) is None
    (fresh,) = await site.names("demo") - {name}
    pod = await site.kube.get(pods(site.namespace, fresh))
    assert pod["spec"]["containers"][0]["image"] == "registry.example/relay:2"


def _other_template() -> JsonObject:
    other = copy.deepcopy(TEMPLATE)
    other["spec"]["containers"][0]["image"] = "registry.example/relay:2"
    return other


async def test_an_upgrade_replaces_idle_ones_one_by_one(site: Site) -> None:
    owner = await site.owner("stream")
    async with site.kubelet():
        before = await site.operator(pool_size=2)
        await until(lambda: sum(map(is_ready, before.mirror.items())) == 2)
        address = await before.reconcile("demo", [owner])
        await until(lambda: sum(map(is_ready, before.mirror.items())) == 3)
        await before.end()
        after = await site.operator(_other_template(), pool_size=2)
        ready = []

        def is_done() -> bool:
            idle = after.mirror.of("pool", "idle")
            ready.append(sum(is_ready(one) and "deletionTimestamp" not in one["metadata"] for one in idle))
            images = [one["spec"]["containers"][0]["image"] for one in idle]
            return images == ["registry.example/relay:2"] * 2

        await until(is_done)
        assert min(ready) >= 2
        assert await after.relays.ensure("demo", [owner]) == address
        assert await site.names("demo") == {address.instance}


async def test_streams_wait_in_line_while_many_start(site: Site) -> None:
    operator, owner = await site.operator(max_starting=1), await site.owner("stream")
    assert await operator.relays.ensure("first", [owner]) is None
    assert await operator.relays.ensure("second", [owner]) is None
    assert operator.relays.absence("second") == ("RelayQueued", "as many relays as may be are starting")
    (name,) = await site.names()
    operator.woken.clear()
    await site.run(name)
    await until(lambda: operator.woken["second"] > 0)
    assert await operator.relays.ensure("second", [owner]) is None
    assert operator.relays.absence("second") == ("RelayStarting", "the relay is starting")
    assert len(await site.names("second")) == 1


async def test_what_the_api_server_does_not_take_is_told(plane: ControlPlane) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    async with pod_site(plane.kubeconfig, **enforce) as site:
        operator, owner = await site.operator(pool_size=2), await site.owner("stream")
        assert await operator.relays.ensure("demo", [owner]) is None
        absence = operator.relays.absence("demo")
        assert absence is not None
        assert absence.reason == "PodRefused"
        assert "PodSecurity" in absence.message
        assert "relay-" not in absence.message  # no name of an attempt: statuses are written on changes
        await until(lambda: operator.kube.calls["POST"] >= 4)
        assert operator.kube.calls["POST"] <= 12  # slower and slower
        # once it is allowed, the stream gets its pod by itself
        labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
        await site.kube.patch(f"/api/v1/namespaces/{site.namespace}", labels)
        async with site.kubelet():
            await operator.reconcile("demo", [owner], seconds=20)


async def test_relays_on_their_nodes_network_have_ports_of_their_own(site: Site) -> None:
    operator = await site.operator(media_mode=MediaMode.HOST_NETWORK, control_port_range="20000-20002")
    owner = await site.owner("stream")
    for name in ("one", "two", "three"):
        await operator.relays.ensure(name, [owner])
    specs = [pod["spec"] for pod in await site.pods()]
    assert sorted(spec["containers"][0]["ports"][0]["hostPort"] for spec in specs) == [20000, 20001, 20002]
    assert all(spec["hostNetwork"] for spec in specs)


async def test_relays_have_udp_ports_of_their_node(site: Site) -> None:
    settings = {"media_mode": MediaMode.HOST_PORT, "media_port_range": "30000-30005", "ports_per_relay": 3}
    operator, owner = await site.operator(**settings), await site.owner("stream")
    for name in ("one", "two"):
        await operator.relays.ensure(name, [owner])
    ports = [one for pod in await site.pods() for one in pod["spec"]["containers"][0]["ports"]]
    assert sorted(one["hostPort"] for one in ports if one["protocol"] == "UDP") == list(range(30000, 30006))
