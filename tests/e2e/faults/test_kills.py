"""SIGKILL for each program of the product while a stream is live. Times are printed."""

import asyncio
import time

from support.installation import Installation
from support.kubectl import Object
from support.live_stream import LIVE, WAITING, LiveStream, Site, aside, until
from support.node_hand import NodeHand
from support.product import Rest
from support.whip_sender import WhipRefused, WhipSender


async def test_a_killed_relay_is_replaced(site: Site, hand: NodeHand) -> None:
    """Its publisher publishes again as soon as it is let in, and the transponder goes live by itself."""
    installed = site.installed
    await aside(installed.until_idle, 2)
    async with site.live("relay-killed") as live:
        uid = await aside(uid_of, installed, live.name)
        await aside(hand.kill, live.relay, installed.namespace)
        killed = time.monotonic()
        await live.sender.vanish()
        again, refusals = await published_again(site, live.name)
        back = time.monotonic() - killed
        await site.until_phase(live.name, LIVE)
        print(f"relay killed: published again after {back:.1f} s, live after {time.monotonic() - killed:.1f} s")
        print(f"WHIP until then: {refusals}")
        second = LiveStream(site, live.name, again, await aside(installed.relay_of, live.name))
        assert second.relay != live.relay
        assert await aside(uid_of, installed, live.name) == uid
        await second.goes_on()
        await second.ends_unharmed(sessions=2)
    assert set(refusals) <= {409, 503}
    await site.until_phase(live.name, WAITING)


async def published_again(site: Site, name: str, seconds: float = 30) -> tuple[WhipSender, list[int]]:
    """What a web page does: try until it is taken. The refusals on the way."""
    refusals = []
    async with asyncio.timeout(seconds):
        while True:
            sender = site.sender()
            try:
                await sender.start(site.installed.whip(name))
                return sender, refusals
            except WhipRefused as refusal:
                await sender.vanish()
                refusals.append(refusal.status)
            await asyncio.sleep(0.3)


async def test_a_killed_operator_harms_no_stream(site: Site, hand: NodeHand) -> None:
    """It comes back in its pod, has its Lease at once, and takes up what happened meanwhile."""
    installed = site.installed
    async with site.live("operator-killed") as live:
        (pod,) = await aside(installed.pods, "operator")
        await aside(hand.kill, pod["metadata"]["name"], installed.namespace)
        killed = time.monotonic()
        await site.add("made-meanwhile")
        await site.until_phase("made-meanwhile", WAITING, 60)
        print(f"operator killed: a new transponder was served after {time.monotonic() - killed:.1f} s")
        (now,) = await aside(installed.pods, "operator")
        assert now["metadata"]["uid"] == pod["metadata"]["uid"]
        assert restarts(now) == restarts(pod) + 1
        await live.goes_on()
        assert site.phase(live.name) == LIVE
        assert await aside(installed.relay_of, live.name) == live.relay
        await live.ends_unharmed()
        await site.until_phase(live.name, WAITING)


async def test_a_killed_api_harms_no_stream(site: Site, hand: NodeHand, rest: Rest) -> None:
    """WHIP needs no certain pod: the publisher ends its session at another one than it began it at."""
    installed = site.installed
    async with site.live("api-killed") as live:
        pods = {pod["metadata"]["name"]: pod for pod in await aside(installed.pods, "api")}
        assert len(pods) == 2
        for name in pods:  # both: one of them took the publisher in
            await aside(hand.kill, name, installed.namespace)
        killed = time.monotonic()
        await until(lambda: installed.pods("api"), lambda now: is_back(now, pods), "API pods ready again", 60)
        print(f"both API pods killed: ready again after {time.monotonic() - killed:.1f} s")
        await until_answers(rest)
        print(f"and answering after {time.monotonic() - killed:.1f} s")
        await live.goes_on()
        assert await aside(installed.relay_of, live.name) == live.relay
        assert await live.sender.stop() == 200
        await live.was_unharmed()


def is_back(now: list[Object], before: dict[str, Object]) -> bool:
    """Every pod has started once more, and is ready."""
    return len(now) == len(before) and all(
        restarts(pod) > restarts(before[pod["metadata"]["name"]])
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
        for pod in now
    )


async def until_answers(rest: Rest) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await rest.find_all()
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return


def restarts(pod: Object) -> int:
    return sum(int(c["restartCount"]) for c in pod["status"]["containerStatuses"])


def uid_of(installed: Installation, name: str) -> str:
    return str(installed.kubectl.json("get", "rtmpt", name)["metadata"]["uid"])
