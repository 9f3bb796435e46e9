"""The thread: all in order, nothing blocks, what does not fit is dropped to a keyframe; and a publisher with it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from support.clip import Clip, vpx_clip
from support.likeness import decoded, likeness
from support.whip_sender import WhipSender

from transponder_crd.control import DesiredPublisher, PublisherState
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.outputs.flv import avc_configuration_record
from transponder_relay.publisher import Publisher
from transponder_relay.settings import RelaySettings
from transponder_relay.transcode.transcoder import FULL, Transcoder

CAP = 4_000_000


class Recorder:
    """Keeps what a transcoder or a publisher tells, and lets a test wait for it."""

    def __init__(self) -> None:
        self.units: list[tuple[AccessUnit, int]] = []
        self.wishes = self.changes = 0
        self.ended = False
        self.threads: set[int] = set()
        self._changed = asyncio.Event()

    def _note(self) -> None:
        self.threads.add(threading.get_ident())
        self._changed.set()

    def on_transcoded(self, unit: AccessUnit, time_ms: int) -> None:
        self.on_video(unit, time_ms)

    def on_source_keyframe_needed(self) -> None:
        self.wishes += 1
        self._note()

    def on_publisher_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        self._note()

    def on_publisher_changed(self) -> None:
        self.changes += 1
        self._note()

    def on_publisher_ended(self) -> None:
        self.ended = True
        self._note()

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        self.units.append((unit, time_ms))
        self._note()

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        pass

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def transcoding(patience: float = 5.0) -> AsyncIterator[tuple[Transcoder, Recorder]]:
    recorder = Recorder()
    transcoder = Transcoder("VP8", CAP, recorder, patience)
    try:
        yield transcoder, recorder
    finally:
        await transcoder.close()
        assert not [t for t in threading.enumerate() if t.name == "transcoder" and t.is_alive() and not _ends(t)]


def _ends(thread: threading.Thread) -> bool:
    thread.join(1)
    return not thread.is_alive()


async def counted(transcoder: Transcoder, pictures: int) -> None:
    """Until so many are encoded or dropped; dropping is told to nobody."""
    async with asyncio.timeout(10):
        while transcoder.encoded + transcoder.dropped < pictures:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert transcoder.encoded + transcoder.dropped == pictures


@pytest.fixture(scope="module")
def media() -> Clip:
    return vpx_clip("VP8")


@pytest.fixture(scope="module")
def rare() -> Clip:
    """With one keyframe."""
    return vpx_clip("VP8", seconds=6, gop=9999)


def coded(clip: Clip, number: int) -> CodedPicture:
    picture = clip.pictures[number]
    return CodedPicture(number * 3000, time.monotonic(), picture.keyframe, picture.nals[0])


async def test_in_order_with_their_times_in_the_event_loop(media: Clip) -> None:
    async with transcoding() as (transcoder, recorder):
        for number in range(40):
            transcoder.push(coded(media, number), 1000 + number * 33)
            await recorder.until(lambda: len(recorder.units) > number - 3)  # noqa: B023 - it is called at once
        await recorder.until(lambda: len(recorder.units) == 40)
        assert [t for _, t in recorder.units] == [1000 + n * 33 for n in range(40)]
        assert [u.rtp_time for u, _ in recorder.units] == [n * 3000 for n in range(40)]
        assert recorder.threads == {threading.get_ident()}
        assert (transcoder.encoded, transcoder.dropped, recorder.wishes) == (40, 0, 0)


async def test_a_flood_is_dropped_to_the_next_keyframe_and_counted(rare: Clip) -> None:
    async with transcoding() as (transcoder, recorder):
        for number in range(FULL + 10):
            transcoder.push(coded(rare, number), number)
        assert recorder.units == [], "nothing waits for the thread"
        assert recorder.wishes >= 1, "the decoder needs a keyframe"
        assert transcoder.dropped == 10
        await recorder.until(lambda: len(recorder.units) == FULL)
        transcoder.push(coded(rare, FULL + 10), 1000)
        for number in range(3):
            transcoder.push(coded(rare, number), 1001 + number)
        await recorder.until(lambda: len(recorder.units) == FULL + 3)
        assert [t for _, t in recorder.units] == [*range(FULL), 1001, 1002, 1003], "what follows a gap is of no use"
        assert (transcoder.encoded, transcoder.dropped) == (FULL + 3, 11)


async def test_pictures_that_waited_long_are_decoded_alone(rare: Clip) -> None:
    """But for each fourth, so that the picture does not freeze."""
    async with transcoding(patience=-1.0) as (transcoder, recorder):
        for number in range(52):
            transcoder.push(coded(rare, number), number)
        await counted(transcoder, 52)
        made, units = [t for _, t in recorder.units], [u for u, _ in recorder.units]
        assert made == [*range(3, 52, 4)]
        assert recorder.wishes == 0
        source = decoded("vp8", (p.nals[0] for p in rare.pictures[:52]))
        result = decoded("h264", (u.avcc for u in units), avc_configuration_record(units[0].parameter_sets))
        assert min(likeness(source[t], picture) for t, picture in zip(made, result, strict=True)) > 26


async def test_a_keyframe_takes_the_place_of_a_full_queue(rare: Clip) -> None:
    async with transcoding() as (transcoder, recorder):
        for time_ms, number in enumerate([*range(FULL), 0, 1, 2]):
            transcoder.push(coded(rare, number), time_ms)
        await recorder.until(lambda: bool(recorder.units) and recorder.units[-1][1] == FULL + 2)
        assert [t for _, t in recorder.units][-3:] == [FULL, FULL + 1, FULL + 2]
        assert recorder.wishes == 0
        assert transcoder.encoded < 20
        await counted(transcoder, FULL + 3)


async def test_a_picture_that_does_not_decode_asks_for_a_keyframe(media: Clip) -> None:
    async with transcoding() as (transcoder, recorder):
        for number in range(3):
            transcoder.push(coded(media, number), number)
        await recorder.until(lambda: len(recorder.units) == 3)
        transcoder.push(CodedPicture(9000, 0.0, False, b"\x01\xff\xff"), 3)
        transcoder.push(coded(media, 4), 4)
        transcoder.push(coded(media, 60), 60)
        await recorder.until(lambda: bool(recorder.units) and recorder.units[-1][1] == 60)
        assert [t for _, t in recorder.units] == [0, 1, 2, 60]
        assert (recorder.wishes, transcoder.dropped) == (1, 2)


async def test_after_stop_nothing_comes(media: Clip) -> None:
    async with transcoding() as (transcoder, recorder):
        for number in range(20):
            transcoder.push(coded(media, number), number)
        await recorder.until(lambda: len(recorder.units) >= 2)
        transcoder.stop()
        before = len(recorder.units)
        transcoder.push(coded(media, 60), 60)
        await transcoder.close()
        await transcoder.close()
        assert len(recorder.units) == before


# ---------------------------------------------------------------------------------------------- from the wire


class Placed(Timeline):
    """Keeps where it put each picture, by RTP time."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, int] = {}

    def video(self, rtp_time: int, arrival: float) -> int:
        self.at[rtp_time] = super().video(rtp_time, arrival)
        return self.at[rtp_time]


@asynccontextmanager
async def publishing(sender: WhipSender, timeline: Timeline | None = None) -> AsyncIterator[tuple[Publisher, Recorder]]:
    recorder = Recorder()
    settings = RelaySettings(instance="i", stream_name="s", token="t", media_addresses=["127.0.0.1"])
    publisher = Publisher(DesiredPublisher(id="p").id, settings, timeline or Timeline(), recorder)
    try:
        await sender.accept(await publisher.answer(await sender.offer()))
        await recorder.until(lambda: publisher.state == PublisherState.CONNECTED)
        yield publisher, recorder
    finally:
        await publisher.close()


def sent_pictures(sender: WhipSender, recorder: Recorder, media: Clip) -> list[int]:
    """For each unit: the number in the clip of the picture that it was made from."""
    numbers = {picture.crc: at for at, picture in enumerate(media.pictures)}
    return [numbers[sender.sent[sender.number_of(u.rtp_time)].crc] for u, _ in recorder.units]


@pytest.mark.parametrize("codec", ["VP8", "VP9"])
async def test_every_picture_from_the_wire_comes_out(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source with one keyframe: it is asked for none, the outputs get theirs. None is left out, however busy the
    machine is, for there is patience."""
    monkeypatch.setattr("transponder_relay.publisher.Transcoder", partial(Transcoder, patience=60.0))
    media, timeline = vpx_clip(codec, seconds=6, gop=9999), Placed()
    async with WhipSender(media, on_pli="ignore") as sender, publishing(sender, timeline) as (publisher, recorder):
        await recorder.until(lambda: len(recorder.units) >= 40)
        publisher.request_keyframe()
        asked, next_sent = len(recorder.units), len(sender.sent)
        await recorder.until(lambda: len(recorder.units) >= next_sent + 70)
        report = publisher.report()
        assert (report.video_codec, report.width, report.height) == (codec, 640, 360)
        assert sender.counts.plis == 0
        assert sent_pictures(sender, recorder, media) == [*range(len(recorder.units))]
        keys = [n for n, (u, _) in enumerate(recorder.units) if u.keyframe]
        assert keys[0] == 0
        assert asked <= keys[1] <= next_sent, "with the first picture encoded after it was asked for"
        assert keys[2] == keys[1] + 60
        assert [t for _, t in recorder.units] == [timeline.at[u.rtp_time] for u, _ in recorder.units]
        statistics = publisher.statistics()
        assert (statistics.frames_transcoded, statistics.frames_not_transcoded) == (len(recorder.units), 0)
        await sender.stop()
        await recorder.until(lambda: recorder.ended)


async def test_after_loss_beyond_repair_no_damaged_picture_and_a_keyframe_at_once(media: Clip) -> None:
    async with WhipSender(media, loss=0.03, nack_delay=5.0, seed=4) as sender, publishing(sender) as (_, recorder):
        await recorder.until(lambda: bool(recorder.units) and len(sender.sent) >= 150)
        numbers = sent_pictures(sender, recorder, media)
        units = [u for u, _ in recorder.units]
        lost = len(sender.sent) - len(units)
        assert sender.counts.plis >= 1
        assert lost > 5, "there was loss"
        source = decoded("vp8", (p.nals[0] for p in media.pictures))
        result = decoded("h264", (u.avcc for u in units), avc_configuration_record(units[0].parameter_sets))
        assert len(result) == len(units) > 40
        assert min(likeness(source[n], picture) for n, picture in zip(numbers, result, strict=True)) > 28
