"""No operator for a while: streams go on, and what changes meanwhile is put right when it is back."""

import asyncio
import time

from support.installation import FULLNAME, Installation
from support.live_stream import LIVE, WAITING, Site, aside, until
from support.product import Rest

AWAY_SECONDS = 10.0
"""Longer than its pod takes to go and all changes to be made. The Lease is given back, so more would change nothing."""


async def test_what_changes_meanwhile(site: Site, rest: Rest) -> None:
    installed, kubectl = site.installed, site.installed.kubectl
    await site.add("away-deleted")
    await site.add("away-waiting")
    await asyncio.gather(site.until_phase("away-deleted", WAITING), site.until_phase("away-waiting", WAITING))
    async with site.live("away-goes-on") as live, site.live("away-muted") as muted, site.live("away-ended") as ended:
        await aside(scale, installed, 0)
        gone = time.monotonic()
        by_rest = await rest.startup("away-created", f"{site.peer.url}/away-created", rtmpTransponderFullUrl=True)
        await site.add("away-by-kubectl")
        await aside(kubectl, "patch", "rtmpt", "away-muted", "--type=merge", "--patch", '{"spec":{"muted":true}}')
        await aside(kubectl, "delete", "rtmpt", "away-deleted", "--wait=false")
        await rest.tell("terminate", await aside(uid, installed, "away-waiting"))
        await ended.sender.stop()
        await asyncio.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
        assert site.phase("away-goes-on") == LIVE
        assert await aside(streams, installed) >= {"away-goes-on", "away-muted"}
        await aside(scale, installed, 1)
        back = time.monotonic()
        await asyncio.gather(
            rest.until_state(by_rest["mediaSessionId"], WAITING),
            site.until_phase("away-by-kubectl", WAITING),
            site.until_phase("away-ended", WAITING),
            until(lambda: site.phase("away-deleted"), lambda phase: not phase, "away-deleted gone"),
            until(lambda: site.phase("away-waiting"), lambda phase: not phase, "away-waiting gone"),
            until(lambda: observed(installed, "away-muted"), bool, "muted at its relay"),
            until(lambda: streams(installed), lambda names: "away-ended" not in names, "ended stream gone"),
        )
        print(f"operator away for {back - gone:.0f} s: all in order {time.monotonic() - back:.1f} s after its return")
        await live.goes_on()
        assert await aside(installed.relay_of, live.name) == live.relay
        assert await aside(installed.relay_of, muted.name) == muted.relay
        await asyncio.gather(live.ends_unharmed(), muted.ends_unharmed(), ended.was_unharmed())
    await until(lambda: relays(installed), lambda names: not names & {"away-deleted", "away-waiting"}, "relays gone")


def scale(installed: Installation, replicas: int) -> None:
    """Back when there are as many ready pods."""
    deployment = f"deployment/{FULLNAME}-operator"
    installed.kubectl("scale", deployment, f"--replicas={replicas}")
    installed.kubectl("rollout", "status", deployment, "--timeout=60s", seconds=70)
    selector = "app.kubernetes.io/component=operator"
    if not replicas:
        installed.kubectl("wait", "pod", "--selector", selector, "--for=delete", "--timeout=40s", seconds=50)


def uid(installed: Installation, name: str) -> str:
    return str(installed.kubectl.json("get", "rtmpt", name)["metadata"]["uid"])


def observed(installed: Installation, name: str) -> bool:
    """Whether its relay has been told of the last change."""
    found = installed.kubectl.json("get", "rtmpt", name)
    return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"] > 1)


def streams(installed: Installation) -> set[str]:
    return {item["spec"]["name"] for item in installed.kubectl.json("get", "streams")["items"]}


def relays(installed: Installation) -> set[str]:
    """The streams that have a relay."""
    pods = installed.pods("relay", "transponder.dev/stream")
    return {pod["metadata"]["annotations"]["transponder.dev/stream-name"] for pod in pods}
