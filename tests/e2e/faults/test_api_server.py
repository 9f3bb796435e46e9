"""The API server dies under a live stream, and is away for a while. Only where the tests started it themselves."""

import asyncio
import time

import pytest
from cluster.choice import Chosen
from cluster.control_plane import ControlPlane
from support.kubectl import Object
from support.live_stream import LIVE, WAITING, LiveStream, Site, aside, until
from support.product import Rest

AWAY_SECONDS = 14.0
"""Longer than an operator goes on that cannot renew its Lease."""


@pytest.fixture
def plane(cluster: Chosen) -> ControlPlane:
    if cluster.local is None or cluster.local.plane is None:
        pytest.skip("the API server was not started by this run of the tests")
    return cluster.local.plane


async def test_it_is_killed(site: Site, rest: Rest, plane: ControlPlane) -> None:
    """It is back in seconds: the operator goes on as it was."""
    async with site.live("api-server-killed") as live:
        (before,) = await aside(site.installed.pods, "operator")
        await aside(plane.restart, "kube-apiserver", kill=True)
        back = time.monotonic()
        await is_served(site, rest, "after-kill")
        print(f"API server killed: new transponders served {time.monotonic() - back:.1f} s after its return")
        (after,) = await aside(site.installed.pods, "operator")
        assert restarts(after) == restarts(before)
        await goes_on(live)


async def test_it_is_away(site: Site, rest: Rest, plane: ControlPlane) -> None:
    """The operator ends, as it must: another one might act by now. It comes back, and so does all else."""
    async with site.live("api-server-away") as live:
        server = plane.daemons["kube-apiserver"]
        await aside(server.stop, kill=True)
        await live.goes_on(AWAY_SECONDS)
        await aside(plane.restart, "kube-apiserver")
        back = time.monotonic()
        await is_served(site, rest, "after-absence")
        print(f"API server away {AWAY_SECONDS:.0f} s: new transponders served {time.monotonic() - back:.1f} s after it")
        await goes_on(live)


async def is_served(site: Site, rest: Rest, name: str) -> None:
    """Made by kubectl and by REST, and deleted again."""
    made = await rest.startup(f"{name}-rest", f"{site.peer.url}/{name}", rtmpTransponderFullUrl=True)
    await site.add(name)
    await asyncio.gather(site.until_phase(name, WAITING, 60), rest.until_state(made["mediaSessionId"], WAITING, 60))
    await rest.tell("terminate", made["mediaSessionId"])
    await aside(site.installed.kubectl, "delete", "rtmpt", name, "--timeout=20s")


async def goes_on(live: LiveStream) -> None:
    await live.goes_on()
    await until(lambda: live.site.phase(live.name), lambda phase: phase == LIVE, LIVE, 20)
    assert await aside(live.site.installed.relay_of, live.name) == live.relay
    await live.ends_unharmed()
    await live.site.until_phase(live.name, WAITING)


def restarts(pod: Object) -> int:
    return sum(int(container["restartCount"]) for container in pod["status"]["containerStatuses"])
