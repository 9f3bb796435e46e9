"""A publisher end to end in one process: sender → UDP → session → whole pictures and sound on one clock."""

import asyncio
import time
from collections.abc import Callable

import pytest
from support.clip import Clip, avcc_nals, clip, slice_crc
from support.whip_sender import SentPicture, WhipSender

from transponder_relay.ingest.session import (
    IngestSettings,
    PublisherSession,
)
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, SoundPacket

LOOPBACK = IngestSettings(addresses=("127.0.0.1",))


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


class Recorder:
    """Keeps what a session reports, and lets a test wait for it."""

    def __init__(self) -> None:
        self.codecs: list[tuple[str | None, str | None]] = []
        self.pictures: list[tuple[AccessUnit, int, float]] = []
        self.sound: list[tuple[SoundPacket, int]] = []
        self.ended: list[str] = []
        self._changed = asyncio.Event()

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        self.codecs.append((video_codec, audio_codec))
        self._changed.set()

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        self.pictures.append((unit, time_ms, time.monotonic()))
        self._changed.set()

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        self.sound.append((packet, position))
        self._changed.set()

    def on_ended(self, reason: str) -> None:
        self.ended.append(reason)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def crcs(self) -> list[int]:
        return [slice_crc(avcc_nals(unit.avcc)) for unit, _, _ in self.pictures]


async def connect(sender: WhipSender, settings: IngestSettings = LOOPBACK) -> tuple[PublisherSession, Recorder]:
    recorder = Recorder()
    session = PublisherSession(settings, Timeline(), recorder)
    await sender.accept(await session.answer(await sender.offer()))
    await recorder.until(lambda: bool(recorder.codecs))
    return session, recorder


def beginnings(sent: list[SentPicture], count: int) -> list[int]:
    return [picture.crc for picture in sent[:count]]


async def test_every_picture_comes_bit_identical_in_order_and_at_once(media: Clip) -> None:
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 100)
            assert recorder.codecs == [("H264", "opus")]
            assert recorder.crcs() == beginnings(sender.sent, len(recorder.pictures))
            times = [t for _, t, _ in recorder.pictures]
            assert all(b - a in (32, 33, 34, 35, 36) for a, b in zip(times, times[1:], strict=False)), times
            positions = [p for _, p in recorder.sound]
            assert all(b - a == 960 for a, b in zip(positions, positions[1:], strict=False))
            delays = sorted(r[2] - s.time for r, s in zip(recorder.pictures, sender.sent, strict=False))
            assert delays[len(delays) // 2] < 0.005
            unit = recorder.pictures[0][0]
            assert unit.keyframe
            assert (unit.parameter_sets.width, unit.parameter_sets.height) == (640, 360)
            assert all(u.parameter_sets is unit.parameter_sets for u, _, _ in recorder.pictures)
            assert sender.counts.plis == 0, "a source with keyframes of its own is not asked"
            assert sender.counts.rembs[0] == LOOPBACK.max_bitrate // 16 * 16
            assert recorder.ended == []
        finally:
            await session.close()


async def test_flash_and_beep_meet_once_sender_reports_are_in(media: Clip) -> None:
    async with WhipSender(media, reports="soon") as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 60)
            first_sound = recorder.sound[0]
            base = first_sound[1] - 0  # the first packet is media time 0
            for number in (30, 45, 59):
                assert recorder.pictures[number][1] == pytest.approx(base / 48 + number * 1000 / 30, abs=2)
        finally:
            await session.close()
