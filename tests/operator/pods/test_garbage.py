"""With Kubernetes' garbage collector: what owner references of relay pods and their Secrets do."""

import pytest
from support.pod_site import Site, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

CONTROLLERS = True


async def _remove(site: Site, config_map: str) -> None:
    await site.kube.delete(f"/api/v1/namespaces/{site.namespace}/configmaps/{config_map}")


async def test_idle_relays_go_with_the_installation(site: Site) -> None:
    operator = await site.operator(pool_size=2, pool_owner=await site.owner("template"))
    await until(lambda: len(operator.mirror) == 2)
    await until(lambda: operator.kube.calls["POST"] == 4)
    await operator.end()
    await _remove(site, "template")
    await until(lambda: _is_empty(site), seconds=60)


async def test_a_relay_goes_with_the_last_of_its_owners(site: Site) -> None:
    template = await site.owner("template")
    operator = await site.operator(pool_size=1, pool_owner=template)
    await until(lambda: len(operator.mirror) == 1)
    await until(lambda: operator.kube.calls["POST"] == 2)
    owners = [await site.owner("stream"), await site.owner("transponder")]
    await operator.relays.ensure("demo", owners)
    await operator.end()
    claimed = await site.names("demo")
    for name in ("template", "stream"):
        await _remove(site, name)
    idle = await site.names() - claimed
    await until(lambda: _are_gone(site, idle), seconds=60)
    assert await site.names() == claimed == await site.secrets()
    await _remove(site, "transponder")
    await until(lambda: _is_empty(site), seconds=60)


async def _are_gone(site: Site, names: set[str]) -> bool:
    return names.isdisjoint(await site.names() | await site.secrets())


async def _is_empty(site: Site) -> bool:
    return not await site.names() and not await site.secrets()
