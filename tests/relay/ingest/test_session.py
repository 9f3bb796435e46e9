"""A publisher end to end in one process: sender → UDP → session → whole pictures and sound on one clock."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
import uvloop
from support.clip import Clip, avcc_nals, clip, slice_crc
from support.whip_sender import SentPicture, WhipSender

from transponder_relay.ingest.session import (
    RTP_ACTIVITY,
    IngestSettings,
    PublisherSession,
)
from transponder_relay.ingest.timeline import SLEW, Timeline
from transponder_relay.media import AccessUnit, SoundPacket
from transponder_relay.webrtc.connecting import DTLS_ERROR, ICE_TIMEOUT, STOPPED_BY_USER
from transponder_relay.webrtc.rtp import RtpPacket, parse_rtp
from transponder_relay.webrtc.transport import CLOSE_TIMEOUT

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
            steps = [b - a for a, b in pairwise(times)]
            assert all(abs(step - 1000 / 30) <= SLEW + 1 for step in steps), times  # 1: times are rounded
            positions = [p for _, p in recorder.sound]
            assert all(b - a == 960 for a, b in pairwise(positions))
            held = sorted(told - unit.arrival for unit, _, told in recorder.pictures)
            assert held[len(held) // 2] < 0.005, "out of the socket, and told: nothing is waited for"
            unit = recorder.pictures[0][0]
            assert unit.keyframe
            assert (unit.parameter_sets.width, unit.parameter_sets.height) == (640, 360)
            assert all(u.parameter_sets is unit.parameter_sets for u, _, _ in recorder.pictures)
            assert sender.counts.plis == 0, "a source with keyframes of its own is not asked"
            assert sender.counts.rembs[0] == LOOPBACK.max_bitrate // 16 * 16
            assert recorder.ended == []
        finally:
            await session.close()


async def test_the_middle_of_pictures_is_kept_unparsed(media: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a packet cheap (docs/performance.md) is used."""
    parsed = 0

    def counting(data: bytes) -> RtpPacket:
        nonlocal parsed
        parsed += 1
        return parse_rtp(data)

    monkeypatch.setattr("transponder_relay.ingest.session.parse_rtp", counting)
    async with WhipSender(media, payload_limit=200) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 40)
            assert recorder.crcs() == beginnings(sender.sent, len(recorder.pictures))
            assert parsed < 0.4 * session.statistics().packets_received
        finally:
            await session.close()


async def test_reports_put_the_picture_where_the_sound_is(media: Clip) -> None:
    async with WhipSender(media, reports="soon") as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 65)
            start = recorder.sound[0][1] / 48  # its first packet is media time 0, and so is picture 0
            for number in (30, 45, 60, 64):
                assert recorder.pictures[number][1] == pytest.approx(start + number * 1000 / 30, abs=2)
            assert session.statistics().skew_ms is not None
        finally:
            await session.close()


@pytest.mark.parametrize("rtx", [True, False])
async def test_loss_is_repaired(media: Clip, rtx: bool) -> None:
    async with WhipSender(media, rtx=rtx, loss=0.05, nack_delay=0.02) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(sender.sent) >= 100 and len(recorder.pictures) >= 99)
            assert_clean(recorder, sender)
            statistics = session.statistics()
            assert statistics.packets_lost > 0
            assert statistics.packets_repaired > 0
            assert statistics.video_frames_dropped <= 3
            assert sender.counts.nacks < 3 * sender.counts.lost + 10
        finally:
            await session.close()


def assert_clean(recorder: Recorder, sender: WhipSender) -> None:
    """What came was sent, in that order; and nothing is missing inside a group of pictures that goes on."""
    sent = iter(sender.sent)
    came = []
    for crc in recorder.crcs():  # the clip repeats after a jump, so a CRC alone does not tell which one it was
        came.append(next((p for p in sent if p.crc == crc), None))
        assert came[-1], "a picture that was not sent, or not in that order"
    assert came[0].keyframe
    for before, after in pairwise(came):
        assert after.keyframe or after.number == before.number + 1, "a picture without its reference"


def test_it_runs_on_uvloop(media: Clip) -> None:
    """The loop that relays use; the other tests run on the loop of the standard library."""

    async def publish() -> None:
        async with WhipSender(media, loss=0.02) as sender:
            session, recorder = await connect(sender)
            await recorder.until(lambda: len(recorder.pictures) >= 15)
            assert_clean(recorder, sender)
            await session.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(publish())


async def test_loss_beyond_repair_cuts_to_a_keyframe(media: Clip) -> None:
    async with WhipSender(media, loss=0.03, nack_delay=1.5) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(sender.sent) >= 150)
            assert_clean(recorder, sender)
            assert sender.counts.plis >= 1
            assert sender.counts.plis <= 2 * 150 / 30 + 2, "throttled"
            assert session.statistics().video_frames_dropped > 0
        finally:
            await session.close()


async def test_a_keyframe_on_request(media: Clip) -> None:
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 10)
            session.request_keyframe()
            session.request_keyframe()
            await recorder.until(lambda: any(u.keyframe for u, _, _ in recorder.pictures[1:]))
            assert len(recorder.pictures) < 20
            assert sender.counts.plis == 1
            assert session.statistics().keyframe_requests == 1
        finally:
            await session.close()


@pytest.mark.parametrize(
    ("setup", "candidates", "video", "audio"),
    [
        ("active", True, True, True),
        ("passive", True, True, False),
        ("actpass", False, False, True),
    ],
)
async def test_every_kind_of_offer_connects(
    setup: Literal["active", "passive", "actpass"], candidates: bool, video: bool, audio: bool, media: Clip
) -> None:
    async with WhipSender(media, setup=setup, candidates=candidates, video=video, audio=audio) as sender:
        session, recorder = await connect(sender)
        try:
            assert recorder.codecs == [("H264" if video else None, "opus" if audio else None)]
            await recorder.until(lambda: len(recorder.pictures) >= 3 * video and len(recorder.sound) >= 3 * audio)
        finally:
            await session.close()


async def test_ports_come_from_the_range(media: Clip) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = IngestSettings(addresses=("127.0.0.1",), port_range=(port, port))
    async with WhipSender(media) as sender:
        session = PublisherSession(settings, Timeline(), Recorder())
        second = PublisherSession(settings, Timeline(), Recorder())
        try:
            answer = await session.answer(await sender.offer())
            assert f" 127.0.0.1 {port} typ host" in answer
            with pytest.raises(OSError, match="no UDP socket"):
                await second.answer(await sender.offer())
        finally:
            await second.close()
            await session.close()


async def test_all_local_addresses_are_offered_ipv4_first(media: Clip) -> None:
    async with WhipSender(media) as sender:
        session = PublisherSession(IngestSettings(), Timeline(), Recorder())
        try:
            answer = await session.answer(await sender.offer())
            candidates = re.findall(r"candidate:\S+ 1 udp (\d+) (\S+) (\d+) typ host", answer.split("m=")[1])
            addresses = [address for _, address, _ in candidates]
            assert "127.0.0.1" in addresses
            assert addresses == sorted(addresses, key=lambda a: ":" in a)
            priorities = [int(priority) for priority, _, _ in candidates]
            assert priorities == sorted(set(priorities), reverse=True)
            await sender.accept(answer)
        finally:
            await session.close()


async def test_the_outer_address_of_a_nat_is_offered(media: Clip) -> None:
    """198.51.100.0/24 is for documentation: no machine has it, so it can only be the outside of a NAT."""
    async with WhipSender(media) as sender:
        recorder = Recorder()
        session = PublisherSession(IngestSettings(addresses=("198.51.100.77",)), Timeline(), recorder)
        try:
            answer = await session.answer(await sender.offer())
            assert set(re.findall(r"udp \d+ (\S+) \d+ typ", answer)) == {"198.51.100.77"}
            await sender.accept(answer.replace("198.51.100.77", "127.0.0.1"))  # what the NAT does
            await recorder.until(lambda: len(recorder.pictures) >= 2)
        finally:
            await session.close()


@pytest.mark.parametrize("way", ["dtls", "bye"])
async def test_a_publisher_that_leaves_in_order(media: Clip, way: str) -> None:
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 2 and len(recorder.sound) >= 2)
            await (sender.stop() if way == "dtls" else sender.say_goodbye())
            await recorder.until(lambda: bool(recorder.ended))
            assert recorder.ended == [STOPPED_BY_USER]
        finally:
            await session.close()
            await session.close()
        assert recorder.ended == [STOPPED_BY_USER]


async def test_a_publisher_that_vanishes(media: Clip) -> None:
    settings = IngestSettings(addresses=("127.0.0.1",), inactivity_timeout=1.0)
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender, settings)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 2)
            await sender.vanish()
            await recorder.until(lambda: bool(recorder.ended), 10)
            assert recorder.ended == [RTP_ACTIVITY]
            assert time.monotonic() - max(unit.arrival for unit, _, _ in recorder.pictures) >= 1.0
        finally:
            await session.close()


async def test_a_publisher_that_never_comes(media: Clip) -> None:
    recorder = Recorder()
    session = PublisherSession(IngestSettings(addresses=("127.0.0.1",), connect_timeout=0.2), Timeline(), recorder)
    sender = WhipSender(media)
    await session.answer(await sender.offer())
    await recorder.until(lambda: bool(recorder.ended))
    assert recorder.ended == [ICE_TIMEOUT]
    await session.close()
    await sender.vanish()


async def test_a_certificate_other_than_the_offered_one_is_refused(media: Clip) -> None:
    recorder = Recorder()
    session = PublisherSession(LOOPBACK, Timeline(), recorder)
    async with WhipSender(media) as sender:
        offer = re.sub("sha-256 [0-9A-F:]+", "sha-256 " + ":".join(["00"] * 32), await sender.offer())
        answer = await session.answer(offer)
        with suppress(ConnectionError):
            await sender.accept(answer)
        await recorder.until(lambda: bool(recorder.ended))
        assert recorder.ended == [DTLS_ERROR]
        assert recorder.codecs == []
        await session.close()


async def test_closing_tells_the_peer_and_frees_everything(media: Clip) -> None:
    before = len(asyncio.all_tasks())
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender)
        await recorder.until(lambda: len(recorder.pictures) >= 2)
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < CLOSE_TIMEOUT, "nothing had to be given up"
        await sender.closed_by_peer(2)
        count = len(recorder.pictures)
        await sender.pause()
        assert len(recorder.pictures) == count
        assert recorder.ended == []
    assert len(asyncio.all_tasks()) == before


async def test_a_fault_of_the_owner_leaves_a_session_that_ends_and_frees_everything(media: Clip) -> None:
    class Faulty(Recorder):
        def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
            super().on_connected(video_codec, audio_codec)
            raise RuntimeError("a fault")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # it is told when the task is collected
    before, recorder = open_sockets(), Faulty()
    session = PublisherSession(replace(LOOPBACK, inactivity_timeout=1.0), Timeline(), recorder)
    async with WhipSender(media) as sender:
        await sender.accept(await session.answer(await sender.offer()))
        await recorder.until(lambda: len(recorder.pictures) >= 2)
        await sender.vanish()
        await recorder.until(lambda: bool(recorder.ended), 5)
        await session.close()
    assert open_sockets() == before


def open_sockets() -> int:
    return sum(entry.is_socket() for entry in list(Path("/proc/self/fd").iterdir()))


async def test_closing_while_an_offer_is_answered_leaves_no_socket(media: Clip) -> None:
    before, tasks = open_sockets(), len(asyncio.all_tasks())
    sender = WhipSender(media)
    offer = await sender.offer()
    opened = open_sockets()
    session = PublisherSession(LOOPBACK, Timeline(), Recorder())
    answering = asyncio.create_task(session.answer(offer))
    await asyncio.sleep(0)  # it is opening its sockets
    await session.close()
    with pytest.raises(OSError, match="closed"):
        await answering
    assert open_sockets() == opened
    assert len(asyncio.all_tasks()) == tasks
    await sender.vanish()
    assert open_sockets() == before


async def test_strangers_are_not_heard(media: Clip) -> None:
    """RTP and DTLS from an address without an authenticated check, and broken STUN from anywhere, change nothing."""
    async with WhipSender(media) as sender:
        session, recorder = await connect(sender)
        try:
            await recorder.until(lambda: len(recorder.pictures) >= 2)
            port = int(re.findall(r" 127\.0\.0\.1 (\d+) typ host", sender.answer)[0])
            received = session.statistics().packets_received
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for data in (b"", b"\x80", b"\x80\x66" + bytes(40), b"\x15\xfe\xfd" + bytes(20), BROKEN_STUN):
                    stranger.sendto(data, ("127.0.0.1", port))
            count = len(recorder.pictures)
            await recorder.until(lambda: len(recorder.pictures) >= count + 5)
            assert recorder.ended == []
            assert session.statistics().packets_received > received
        finally:
            await session.close()


BROKEN_STUN = struct.pack("!HHI12sHHH2x", 1, 8, 0x2112A442, bytes(12), 0x0024, 2, 7)  # PRIORITY of two bytes
