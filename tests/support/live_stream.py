"""A stream that is live on a cluster while a test does something to it, and the proof that it was not harmed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from support.clip import Clip
from support.comparison import missing_at_end
from support.flv import Flv
from support.installation import Installation
from support.kubectl import KubectlError
from support.objects_of_cluster import transponder
from support.rtmp_peer import RtmpPeer
from support.whip_sender import WhipSender

T = TypeVar("T")

aside = asyncio.to_thread
"""kubectl and Helm block; senders must not."""

LIVE, WAITING = "Live", "WaitingForPublisher"
_LAST_PICTURES = 6
"""What may still be on its way when a publisher leaves."""


@dataclass(frozen=True)
class Site:
    """Where streams are published, and where they go."""

    installed: Installation
    peer: RtmpPeer
    media: Clip
    address: str
    """This machine's, for media."""
    folder: Path

    async def add(self, name: str, *, stream_name: str = "") -> None:
        """A transponder of that name, and stream key; its stream is called the same if nothing else is said."""
        url = f"{self.peer.url}/{name}"
        await aside(
            self.installed.kubectl.apply, transponder(name, streamName=stream_name or name, rtmpUrl=url, fullUrl=True)
        )

    def phase(self, name: str) -> str:
        """Empty while it has none, and if there is no such transponder."""
        try:
            return str(self.installed.kubectl.json("get", "rtmpt", name).get("status", {}).get("phase", ""))
        except KubectlError as error:
            if "NotFound" not in str(error):
                raise
            return ""

    async def until_phase(self, name: str, phase: str, seconds: float = 30) -> float:
        """How long it took."""
        return await until(lambda: self.phase(name), lambda found: found == phase, phase, seconds)

    def sender(self) -> WhipSender:
        return WhipSender(self.media, address=self.address)

    @asynccontextmanager
    async def live(self, name: str) -> AsyncIterator["LiveStream"]:
        """Published, and received by the RTMP server, from the beginning of the block to its end."""
        await self.add(name)
        await self.until_phase(name, WAITING)
        async with self.sender() as sender:
            await sender.start(self.installed.whip(name))
            await self.until_phase(name, LIVE)
            await self.peer.receives(name, 100_000)
            yield LiveStream(self, name, sender, await aside(self.installed.relay_of, name))


@dataclass(frozen=True)
class LiveStream:
    site: Site
    name: str
    """Of transponder, stream and stream key."""
    sender: WhipSender
    relay: str
    """The pod that it began in."""

    async def goes_on(self, seconds: float = 2.0) -> None:
        """Return when pictures of so long were sent. The recording shows whether they arrived."""
        more = len(self.sender.sent) + round(30 * seconds)
        async with asyncio.timeout(seconds + 10):
            while len(self.sender.sent) < more:  # noqa: ASYNC110 (the sender tells nobody)
                await asyncio.sleep(0.05)

    async def ends_unharmed(self, sessions: int = 1) -> None:
        """The publisher leaves; the server has all that was sent, bit by bit, in this one of its RTMP sessions."""
        await self.sender.stop()
        await self.was_unharmed(sessions)

    async def was_unharmed(self, sessions: int = 1) -> None:
        """The same, for a publisher that has left."""
        ended = f'"{self.name}"'
        peer = self.site.peer.kubectl
        await until(
            lambda: peer("logs", "rtmp-peer"),
            lambda text: text.count(ended) >= sessions,
            f"end of RTMP session {sessions}",
            20,
        )
        flv = Flv.read(await self.site.peer.fetch(self.name, self.site.folder))
        flv.check_monotone()
        lost = missing_at_end(self.sender.sent, flv)
        assert lost <= _LAST_PICTURES, f"{lost} of {len(self.sender.sent)} pictures are not recorded"
        print(f"{self.name}: {len(flv.pictures)} pictures, none lost")


async def until(look: Callable[[], T], good: Callable[[T], bool], what: str, seconds: float = 30) -> float:
    """Seconds until `look`, which may block, found something good. Raises AssertionError with the last found."""
    began = time.monotonic()
    while not good(found := await aside(look)):
        assert time.monotonic() - began < seconds, f"not {what} within {seconds:.0f} s: {found}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began
