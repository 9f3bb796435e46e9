"""Two pods of the API get the same call at the same time."""

import asyncio

from support.installation import Installation
from support.live_stream import aside, until
from support.product import Rest
from support.rtmp_peer import RtmpPeer

PAIRS = 8


async def test_the_same_startup_at_two_replicas(installed: Installation, peer: RtmpPeer, rest: Rest) -> None:
    """One has made the transponder, the other answers 409, whichever it is."""
    pods = await aside(installed.pods, "api")
    replicas = [Rest(f"http://{pod['status']['podIP']}:8081") for pod in pods]
    assert len(replicas) == 2
    try:
        bodies = [{"streamName": f"pair-{n}", "rtmpUrl": peer.url} for n in range(PAIRS)]
        calls = [replica.push("startup", body) for body in bodies for replica in replicas]
        answers = await asyncio.gather(*calls)
        pairs = [sorted(answer.status for answer in answers[at : at + 2]) for at in range(0, len(answers), 2)]
        assert pairs == [[200, 409]] * PAIRS
        made = [answer.body["mediaSessionId"] for answer in answers if answer.status == 200]
        found = [t["mediaSessionId"] for t in await rest.find_all() if "pair-" in t["streamName"]]
        assert sorted(found) == sorted(made)
        await asyncio.gather(*(replicas[n % 2].tell("terminate", id_) for n, id_ in enumerate(made)))
        await until(lambda: secrets(installed), lambda names: not names, "their Secrets gone", 20)
    finally:
        await asyncio.gather(*(replica.close() for replica in replicas))


def secrets(installed: Installation) -> set[str]:
    names = installed.kubectl("get", "secrets", "-o", "name").split()
    return {name for name in names if name.startswith("secret/pair-")}
