"""One round of coming and going: publishers, destinations and players, all at once.

The stream `kept` has one transponder, to nginx, for the whole soak, so one relay goes through every round. Beside it
other streams come and end, each with a relay of its own. When a round is over, `kept` waits for a publisher again, and
nothing else is left.
"""

import asyncio
from contextlib import AsyncExitStack

from support.clip import Clip
from support.nginx_rtmp import NginxRtmp
from support.processes import free_port
from support.product import Product
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.whep_player import WhepPlayer
from support.whip_sender import WhipRefused, WhipSender

KEPT = "kept"
SOUND = "tone.wav"
"""In the product's sounds folder."""
LOSS = 0.02
LIVE_SECONDS = 25.0
FREE_SECONDS = 30.0
"""A name is free again at most so long after its publisher vanished, on a busy machine too."""
ROUND_SECONDS = 120.0


class Churn:
    def __init__(self, product: Product, nginx: NginxRtmp, media: Clip) -> None:
        self._product, self._rest, self._nginx, self._media = product, product.rest, nginx, media
        self.kept = ""
        """Media session id of the transponder that stays."""

    async def begin(self) -> None:
        self.kept = (await self._rest.startup(KEPT, self._nginx.url))["mediaSessionId"]
        await self._rest.until_state(self.kept, "WaitingForPublisher")

    async def round(self, number: int) -> None:
        """Everything once. Raises an ExceptionGroup with what went wrong."""
        self._rest = self._product.rest
        async with asyncio.timeout(ROUND_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(self._kept_stream(number))
            group.create_task(self._passing_stream(f"passing-{number}-a", vanish=False))
            group.create_task(self._passing_stream(f"passing-{number}-b", vanish=True))

    # ------------------------------------------------------------------------------------------ streams

    async def _kept_stream(self, number: int) -> None:
        first = await self._publish(KEPT, number)
        async with first:
            await self._rest.until_state(self.kept, "Live", LIVE_SECONDS)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._bad_destinations())
                group.create_task(self._destination_that_returns())
                group.create_task(self._controlled(number))
                group.create_task(self._player(KEPT, vanish=number % 2 == 0))
            assert await first.stop() == 200
        back = await self._publish(KEPT, number)
        try:
            await self._rest.until_state(self.kept, "Live", LIVE_SECONDS)
        finally:
            await back.vanish()
        await self._rest.until_state(self.kept, "WaitingForPublisher", FREE_SECONDS)

    async def _passing_stream(self, name: str, vanish: bool) -> None:
        """With a relay that ends with it, whether its publisher says goodbye or not."""
        id_ = (await self._rest.startup(name, self._nginx.url))["mediaSessionId"]
        sender = await self._publish(name, seed=2)
        try:
            await self._rest.until_state(id_, "Live", LIVE_SECONDS)
            await self._player(name, vanish)
            await self._rest.tell("terminate", id_)
            if not vanish:
                assert await sender.stop() == 200
        finally:
            await sender.vanish()

    async def _publish(self, name: str, seed: int) -> WhipSender:
        """As soon as the name is free."""
        async with asyncio.timeout(FREE_SECONDS):
            while True:
                sender = WhipSender(self._media, loss=LOSS, seed=seed)
                try:
                    await sender.start(self._product.whip(name))
                    return sender
                except BaseException as problem:
                    await sender.vanish()
                    if not isinstance(problem, WhipRefused) or problem.status != 409:
                        raise
                await asyncio.sleep(0.1)

    async def _player(self, name: str, vanish: bool) -> None:
        async with WhepPlayer() as player:
            await player.start(f"{self._product.base}/whep/{name}")
            await player.until(lambda: len(player.pictures) >= 10)
            if vanish:
                player.resource = None
                await player.vanish()

    # ------------------------------------------------------------------------------------------ destinations

    async def _startup(self, server: Server) -> str:
        url = f"rtmp://127.0.0.1:{server.port}/live"
        return str((await self._rest.startup(KEPT, url))["mediaSessionId"])

    async def _bad_destinations(self) -> None:
        """Some refuse or reset, some hang; all are given up while the trouble lasts."""
        async with AsyncExitStack() as stack:
            failing, hanging = [], []
            for behaviour in (Behaviour.REFUSE_PUBLISH, Behaviour.RESET, Behaviour.NOT_RTMP):
                failing.append(await self._startup(await stack.enter_async_context(rtmp_server(behaviour))))
            failing.append(await self._startup(Server(Behaviour.GOOD, port=free_port())))  # nobody listens
            for behaviour in (Behaviour.STOP_READING, Behaviour.SILENT, Behaviour.SILENT_AFTER_HANDSHAKE):
                hanging.append(await self._startup(await stack.enter_async_context(rtmp_server(behaviour))))
            for id_ in failing:
                await self._rest.until(id_, lambda t: bool(t["lastError"]), "failing", LIVE_SECONDS)
            await self._rest.until_state(hanging[0], "Live", LIVE_SECONDS)
            for id_ in (*failing, *hanging):
                await self._rest.tell("terminate", id_)

    async def _destination_that_returns(self) -> None:
        async with rtmp_server() as server:
            id_ = await self._startup(server)
            await self._rest.until_state(id_, "Live", LIVE_SECONDS)
            await server.until(lambda: bool(server.sessions[0].messages))
        await self._rest.until(id_, lambda t: t["state"] != "Live", "noticed", LIVE_SECONDS)
        async with rtmp_server(port=server.port):
            await self._rest.until(id_, lambda t: t["state"] == "Live" and t["reconnects"] > 0, "back", LIVE_SECONDS)
            await self._rest.tell("terminate", id_)

    async def _controlled(self, number: int) -> None:
        """Muted, unmuted, given a sound file, and ended; every second time with the sound still on."""
        url = f"{self._nginx.url}/controlled"
        id_ = str((await self._rest.startup(KEPT, url, rtmpTransponderFullUrl=True))["mediaSessionId"])
        await self._rest.until_state(id_, "Live", LIVE_SECONDS)
        for call in ("mute", "unmute"):
            await self._rest.tell(call, id_)
        await self._rest.tell("sound_on", id_, soundFile=SOUND, loop=True)
        await self._rest.until(id_, lambda t: bool(t["soundEnabled"]), "given a sound")
        await self._nginx.receives("controlled", 50_000, LIVE_SECONDS)
        if number % 2:
            await self._rest.tell("sound_off", id_)
        await self._rest.tell("terminate", id_)
