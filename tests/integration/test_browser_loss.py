"""A real browser on a lossy path is told to send less, and more again; no damaged picture comes through."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.chromium import BrowserPage, chromium_program, chromium_publisher
from support.flv import decode_errors, missing_references
from support.lossy_proxy import Faults, LossyProxy
from support.whip_door import whip_door

from transponder_relay.ingest.session import IngestSettings, PublisherSession
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(chromium_program() is None, reason="Chromium is not installed (Debian: chromium)"),
]

CALM = Faults(delay=0.01)


class Received:
    """What the session gave."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None: ...
    def on_sound(self, packet: SoundPacket, position: int) -> None: ...

    def on_video(self, picture: AccessUnit | CodedPicture, time_ms: int) -> None:
        assert isinstance(picture, AccessUnit)
        self.units.append(picture)

    def on_ended(self, reason: str) -> None:
        raise AssertionError(reason)


@asynccontextmanager
async def publishing(folder: Path, received: Received, proxy: LossyProxy) -> AsyncIterator[PublisherSession]:
    session = PublisherSession(IngestSettings(addresses=("127.0.0.1",)), Timeline(), received)

    async def answer(sdp: str) -> str:
        return await proxy.redirect(await session.answer(sdp))

    try:
        async with whip_door(answer) as url, chromium_publisher(url, folder) as browser:
            await browser.connected()
            yield session
            await stopped(browser)
    finally:
        await session.close()


async def stopped(browser: BrowserPage) -> None:
    await browser.stop()
    assert browser.last("failed") is None


@pytest.mark.timeout(120)
async def test_chromium_sends_less_while_packets_are_lost(tmp_path: Path) -> None:
    received = Received()
    async with LossyProxy(CALM, CALM) as proxy, publishing(tmp_path, received, proxy) as session:

        async def until(good: Callable[[float], bool], seconds: float) -> None:
            """What is allowed, bit/s, is so."""
            async with asyncio.timeout(seconds):
                while not good(session.statistics().allowed_bitrate or 0):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

        await asyncio.sleep(4)
        assert session.statistics().allowed_bitrate == 4_000_000
        usual = await rate(session, 2)
        proxy.change(Faults(loss=0.1, delay=0.01))
        await until(lambda allowed: allowed < 0.8 * usual, 20)
        await asyncio.sleep(1)
        low = await rate(session, 2)
        assert low < 0.9 * usual, "the browser does as it is told"
        proxy.change(CALM)
        await until(lambda allowed: allowed == 4_000_000, 40)
        assert await rate(session, 2) > 1.2 * low
        assert session.statistics().packets_repaired > 0
    check_pictures(received.units, tmp_path / "received.h264")


async def rate(session: PublisherSession, seconds: float) -> float:
    """bit/s received."""
    before = session.statistics().bytes_received
    await asyncio.sleep(seconds)
    return (session.statistics().bytes_received - before) * 8 / seconds


def check_pictures(units: list[AccessUnit], path: Path) -> None:
    """A decoder has nothing to say against them, and misses none that another refers to."""
    assert len(units) > 300
    path.write_bytes(b"".join(map(annex_b, units)))
    assert decode_errors(path) == ""
    assert missing_references(path) == []


def annex_b(unit: AccessUnit) -> bytes:
    """With its parameter sets in front, if it is a keyframe."""
    data, at = bytearray(), 0
    if unit.keyframe:
        for nal in (*unit.parameter_sets.sps, *unit.parameter_sets.pps):
            data += b"\0\0\0\1" + nal
    while at < len(unit.avcc):
        size = int.from_bytes(unit.avcc[at : at + 4])
        data += b"\0\0\0\1" + unit.avcc[at + 4 : at + 4 + size]
        at += 4 + size
    return bytes(data)
