"""PodRelays when others do something at the same time, when the API server fails, and when an operator dies."""

import asyncio
import contextlib
import itertools
from typing import Any

import pytest
from cluster.control_plane import ControlPlane
from support import relay_pods
from support.pod_site import Operator, Site, is_ready, pod_site, until, warm

from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.errors import Busy
from transponder_crd.kubernetes.paths import pods
from transponder_crd.meta import OwnerReference
from transponder_crd.store import Unavailable
from transponder_operator.pods.manifest import Claim, claim_patch

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


async def test_an_idle_one_that_somebody_else_took_is_left_to_them(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    first, second = await warm(site, operator, 2)
    await operator.stop_watching()
    theirs = operator.relays._pods.claimable()
    assert theirs is not None
    patch = claim_patch(Claim("theirs", [owner], relay_pods.NOW))
    await site.kube.patch(pods(site.namespace, theirs.name), patch, "json")
    address = await operator.relays.ensure("ours", [owner])
    assert address is not None
    assert {theirs.name, address.instance} == {first, second}
    assert await site.names("theirs") == {theirs.name}
    assert await site.names("ours") == {address.instance}


async def test_an_idle_one_that_is_gone_is_no_error(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, operator, 2)
    await operator.stop_watching()
    gone = operator.relays._pods.claimable()
    assert gone is not None
    await site.finish(gone.name)
    address = await operator.relays.ensure("demo", [owner])
    assert address is not None
    assert address.instance != gone.name


async def test_one_that_is_gone_when_its_owners_change_is_replaced(site: Site) -> None:
    operator, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, operator, 2)
    first = await operator.reconcile("demo", [owner])
    await operator.stop_watching()
    await site.finish(first.instance)
    second = await operator.relays.ensure("demo", [owner, await site.owner("another")])
    assert second is not None
    assert second.instance != first.instance


async def test_an_idle_one_that_was_taken_is_not_removed(site: Site) -> None:
    operator, owner = await site.operator(pool_size=1), await site.owner("stream")
    (name,) = await warm(site, operator)
    await operator.end()
    smaller = await site.operator(pool_size=0, keep=False)
    await smaller.stop_watching()
    await site.kube.patch(pods(site.namespace, name), claim_patch(Claim("theirs", [owner], relay_pods.NOW)), "json")
    await smaller.relays.maintain()
    assert await site.names("theirs") == {name}


async def test_relays_of_another_control_key_are_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took the Secret with the key away: nobody has the tokens of those that were made with it."""
    before, owner = await site.operator(pool_size=1), await site.owner("stream")
    async with site.kubelet():
        lost = await before.reconcile("demo", [owner])
        await until(lambda: len(before.mirror.of("pool", "idle")) == 1)
        await before.end()
        old = await site.names()
        monkeypatch.setattr("support.pod_site.KEY", ControlKey(b"another key of 32 bytes or more."))
        after = await site.operator(pool_size=1)
        new = await after.reconcile("demo", [owner])
        assert new.instance not in old
        assert ("demo", lost.instance, "ControlKeyChanged") in [(*one[:2], one[2].reason) for one in after.lost]

        async def none_is_left() -> bool:
            return not old & await site.names()

        await until(none_is_left, 20)


async def test_two_operators_claim_for_different_streams_at_once(site: Site) -> None:
    first, owner = await site.operator(pool_size=6), await site.owner("stream")
    await warm(site, first, 6)
    await first.end()
    operators = [await site.operator(pool_size=6, keep=False) for _ in range(2)]
    streams = [(operator, f"stream-{n}") for n in range(3) for operator in operators]
    names = [f"{stream}-of-{index % 2}" for index, (_, stream) in enumerate(streams)]
    calls = (operator.relays.ensure(name, [owner]) for (operator, _), name in zip(streams, names, strict=True))
    addresses = await asyncio.gather(*calls)
    instances = {address.instance for address in addresses if address}
    assert len(instances) == 6
    for name, address in zip(names, addresses, strict=True):
        assert address is not None
        assert await site.names(name) == {address.instance}


async def test_two_operators_claim_for_one_stream_at_once(site: Site) -> None:
    first, owner = await site.operator(pool_size=2), await site.owner("stream")
    await warm(site, first, 2)
    await first.end()
    async with site.kubelet():
        operators = [await site.operator(pool_size=2, keep=False) for _ in range(2)]
        await asyncio.gather(*(operator.relays.ensure("demo", [owner]) for operator in operators))
        claimed = await site.names("demo")
        for operator in operators:
            await until(lambda seen=operator: {one["metadata"]["name"] for one in seen.mirror.items()} >= claimed)
            await operator.relays.start()
        addresses = [await operator.reconcile("demo", [owner]) for operator in operators]
        assert addresses[0] == addresses[1]
        await until(lambda: _is_settled(site, {"demo"}, idle=2))


async def test_a_busy_api_server_is_tried_again(site: Site) -> None:
    operator, owner = await site.operator(keep=False), await site.owner("stream")
    for method, part, stream in [("POST", "/pods", "one"), ("POST", "/secrets", "two")]:
        operator.kube.fail_once(method, part, Busy("429", nothing_done=True))
        with pytest.raises(Unavailable):
            await operator.relays.ensure(stream, [owner])
        await operator.relays.ensure(stream, [owner])
        await operator.relays.maintain()
        assert len(await site.names(stream)) == 1
    assert await site.secrets() == await site.names()


async def test_the_keeper_outlives_a_busy_api_server(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    operator = await site.operator(pool_size=1, keep=False)
    operator.kube.fail_once("POST", "/pods", Busy("pods: TooManyRequests (429)", nothing_done=True))
    await operator.relays.start()
    await until(lambda: len(operator.mirror) == 1)
    assert "relay pods: pods: TooManyRequests (429); trying again" in caplog.messages


LOST = [("POST", "/pods"), ("POST", "/secrets"), ("PATCH", "/pods")]


@pytest.mark.parametrize(("method", "part"), LOST)
async def test_a_lost_answer_leaves_nothing_behind(site: Site, method: str, part: str) -> None:
    owner = await site.owner("stream")
    async with site.kubelet():
        operator = await site.operator(pool_size=1 if method == "PATCH" else 0)
        if method == "PATCH":
            await until(lambda: [is_ready(pod) for pod in operator.mirror.items()] == [True])
        operator.kube.fail_once(method, part, Busy("no answer"), after=True)
        with contextlib.suppress(Unavailable):
            await operator.relays.ensure("demo", [owner])
        await until(lambda: _present(operator, "demo"))
        await operator.reconcile("demo", [owner])
        await until(lambda: _is_settled(site, {"demo"}, idle=1 if method == "PATCH" else 0))
        await until(lambda: _have_tokens(site))


async def _present(operator: Operator, stream_name: str) -> bool:
    return bool(operator.relays._pods.of_stream(stream_name))


class Crash(BaseException):
    """The operator dies."""


STEPS = list(itertools.product(("cold", "warm"), LOST, (False, True)))


@pytest.mark.parametrize(("pool", "call", "after"), STEPS)
async def test_an_operator_that_dies_while_it_gets_a_pod(
    site: Site, pool: str, call: tuple[str, str], after: bool
) -> None:
    owner, size = await site.owner("stream"), 1 if pool == "warm" else 0
    async with site.kubelet():
        first = await site.operator(pool_size=size)
        if size:
            await until(lambda: [is_ready(pod) for pod in first.mirror.items()] == [True])
        first.kube.fail_once(*call, Crash(), after=after)
        with contextlib.suppress(Crash):
            await first.relays.ensure("demo", [owner])
        await first.end()
        second = await site.operator(pool_size=size)
        if await site.names("demo"):
            await until(lambda: second.woken["demo"] > 0)
        await second.reconcile("demo", [owner])
        await until(lambda: _is_settled(site, {"demo"}, idle=size))
        await until(lambda: _have_tokens(site))


@pytest.mark.parametrize("after", [False, True])
async def test_an_operator_that_dies_while_it_ends_a_pod(site: Site, after: bool) -> None:
    owner = await site.owner("stream")
    async with site.kubelet():
        first = await site.operator()
        await first.reconcile("demo", [owner])
        first.kube.fail_once("DELETE", "/pods", Crash(), after=after)
        with pytest.raises(Crash):
            await first.relays.delete("demo")
        await first.end()
        second = await site.operator()
        if await site.names("demo"):
            # the reconciler is told of a pod whose stream nobody needs
            await until(lambda: second.woken["demo"] > 0)
            await second.relays.delete("demo")
        await until(lambda: _is_settled(site, set(), idle=0))


async def test_an_operator_that_was_away_while_pods_died(plane: ControlPlane) -> None:
    async with pod_site(plane.kubeconfig) as site:
        owner = await site.owner("stream")
        async with site.kubelet():
            first = await site.operator(pool_size=1)
            streams = [f"stream-{number}" for number in range(4)]
            addresses = [await first.reconcile(stream, [owner]) for stream in streams]
            await until(lambda: _is_settled(site, set(streams), idle=1))
            await first.end()
            for address in addresses[:3]:
                await site.status(address.instance, relay_pods.terminated(137))
            second = await site.operator(pool_size=1)
            await until(lambda: all(second.woken[stream] for stream in streams))
            again = await asyncio.gather(*(second.reconcile(stream, [owner]) for stream in streams))
            assert again[3] == addresses[3]
            assert {one.instance for one in again}.isdisjoint(one.instance for one in addresses[:3])
            await until(lambda: _is_settled(site, set(streams), idle=1))


async def test_a_pod_without_labels_is_nobodys(site: Site) -> None:
    operator, owner = await site.operator(pool_size=1), await site.owner("stream")
    (name,) = await warm(site, operator)
    labels: dict[str, Any] = {"metadata": {"labels": {"transponder.dev/pool": None}}}
    await site.kube.patch(pods(site.namespace, name), labels)
    (fresh,) = await warm(site, operator, but={name})
    address = await operator.relays.ensure("demo", [owner])
    assert address is not None
    assert address.instance == fresh
    await operator.relays.maintain()
    assert name in await site.names()


async def test_owners_of_pods_are_kept_by_whoever_claims(site: Site) -> None:
    template = await site.owner("template")
    operator = await site.operator(pool_size=1, pool_owner=template)
    await warm(site, operator)
    stream = await site.owner("stream")
    address = await operator.relays.ensure("demo", [stream])
    assert address is not None
    pod = await site.kube.get(pods(site.namespace, address.instance))
    owners = [OwnerReference.model_validate(one) for one in pod["metadata"]["ownerReferences"]]
    assert owners == [stream]


async def _have_tokens(site: Site) -> bool:
    return await site.names() <= await site.secrets()  # nobody collects Secrets here


async def _is_settled(site: Site, streams: set[str], idle: int) -> bool:
    """One pod for each stream, so many idle ones, and none besides."""
    pods_of = [await site.names(stream) for stream in streams]
    everything = await site.pods()
    idle_now = [pod for pod in everything if "transponder.dev/pool" in pod["metadata"]["labels"]]
    return [len(names) for names in pods_of] == [1] * len(streams) and (
        (len(idle_now), len(everything)) == (idle, idle + len(streams))
    )


async def test_it_ends_although_something_changes_at_that_moment(site: Site) -> None:
    operator = await site.operator()
    await until(lambda: bool(operator.relays._keeper._dirty._waiters))  # it waits for changes
    operator.relays.changed([])
    async with asyncio.timeout(5):
        await operator.relays.close()
