"""A relay in this process: a publisher by WebRTC in, RTMP servers of ours out."""

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from support.clip import Clip, av1_clip, clip, hevc_clip, vpx_clip
from support.nginx_rtmp import until
from support.rtmp_server import Behaviour, Server, rtmp_server
from support.sounds import tone, wav
from support.whip_sender import WhipSender

from transponder_crd import control
from transponder_crd.control import DesiredOutput, DesiredPublisher, DesiredRelay, OutputState
from transponder_crd.resource import AudioCodec, Sound
from transponder_relay.media import SoundPacket
from transponder_relay.metrics import RelayCollector
from transponder_relay.outputs import amf
from transponder_relay.outputs.chunks import MessageType
from transponder_relay.outputs.output import Output
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings
from transponder_relay.sound import speex
from transponder_relay.sound.batch import SoundBatch
from transponder_relay.sound.library import Library
from transponder_relay.sound.soundtrack import Soundtrack


class Stage:
    """A relay and what is desired of it."""

    def __init__(self, sounds: Path) -> None:
        settings = RelaySettings.model_validate(
            {
                "instance": "one", "stream_name": "demo", "token": "t", "sounds_folder": sounds,
                "media_addresses": ["127.0.0.1"],
            }
        )  # fmt: skip
        self.relay = Relay(settings)
        self.outputs: list[DesiredOutput] = []
        self.publisher: DesiredPublisher | None = None

    def apply(self) -> None:
        self.relay.apply(DesiredRelay(stream_name="demo", publisher=self.publisher, outputs=self.outputs))

    def add(self, server: Server, *, enhanced: bool = False, hold: float = 5.0) -> str:
        target = server.target().model_copy(update={"enhanced": enhanced})
        output = DesiredOutput(id=str(len(self.outputs)), generation=1, target=target, hold_seconds=hold)
        self.outputs.append(output)
        self.apply()
        return output.id

    @contextlib.asynccontextmanager
    async def publishing(self, media: Clip, id_: str = "p") -> AsyncIterator[WhipSender]:
        self.publisher = DesiredPublisher(id=id_)
        self.apply()
        async with WhipSender(media) as sender:
            await sender.accept(await self.relay.answer(control.Offer(publisher_id=id_, sdp=await sender.offer())))
            yield sender

    async def reaches(self, output_id: str, state: OutputState, timeout: float = 10) -> None:
        await until(lambda: self.state(output_id) is state, timeout)

    def state(self, output_id: str) -> OutputState:
        return next(o.state for o in self.relay.report().outputs if o.id == output_id)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        await made.relay.close()


def pictures(server: Server, session: int = 0) -> list[bytes]:
    """Bodies with a picture; the sequence headers left out."""
    if len(server.sessions) <= session:
        return []
    bodies = [m.body for m in server.sessions[session].media(MessageType.VIDEO)]
    return [body for body in bodies if (body[0] & 15 if body[0] & 128 else body[1]) != 0]


@pytest.mark.parametrize("media", [vpx_clip("VP9"), av1_clip(), hevc_clip()], ids=["VP9", "AV1", "HEVC"])
async def test_a_codec_is_passed_on_to_one_and_transcoded_for_another(stage: Stage, media: Clip) -> None:
    code = {"VP9": b"vp09", "AV1": b"av01", "H265": b"hvc1"}[media.codec]
    async with rtmp_server() as passing, rtmp_server() as plain:
        stage.add(passing, enhanced=True)
        async with stage.publishing(media):
            await until(lambda: len(pictures(passing)) > 20, 10)
            assert stage.relay.report().ingest.frames_transcoded == 0
            stage.add(plain)  # in the middle of a group of pictures
            await until(lambda: len(pictures(plain)) > 20, 10)
            report = stage.relay.report()
            assert report.publisher is not None
            assert (report.publisher.width, report.publisher.height) == (640, 360)
            stage.outputs = stage.outputs[:1]
            stage.apply()
            seen = len(pictures(passing))
            await until(lambda: len(pictures(passing)) > seen + 20, 10)  # what was under way is done
            before = stage.relay.report().ingest.frames_transcoded
            await until(lambda: len(pictures(passing)) > seen + 40, 10)
            assert stage.relay.report().ingest.frames_transcoded == before
            stage.add(plain)
            await until(lambda: len(pictures(plain, 1)) > 20, 10)
    frames = [as_sent(media.codec, picture.nals) for picture in media.pictures]
    assert all(body[1:5] == code for body in pictures(passing))
    assert all(body[5:] in frames for body in pictures(passing))
    for session in (0, 1):
        assert pictures(plain, session)[0][:2] == b"\x17\x01", "H.264, from a keyframe on"


def as_sent(codec: str, nals: Sequence[bytes]) -> bytes:
    """What is behind the FourCC."""
    if codec != "H265":
        return b"".join(nals)
    return b"".join(len(nal).to_bytes(4) + nal for nal in nals if not 32 <= nal[0] >> 1 & 63 <= 34)


async def test_one_holds_and_the_other_does_not(stage: Stage) -> None:
    async with rtmp_server() as held, rtmp_server() as ended:
        patient, prompt = stage.add(held, hold=10), stage.add(ended, hold=0)
        async with stage.publishing(clip()):
            await until(lambda: min(len(pictures(held)), len(pictures(ended))) > 10, 10)
        await stage.reaches(patient, OutputState.HOLDING)
        await stage.reaches(prompt, OutputState.WAITING)
        last = len(pictures(held))
        await until(lambda: len(pictures(held)) >= last + 2, 5)
        late = stage.add(ended, hold=10)
        assert stage.state(late) is OutputState.WAITING, "there is nobody to connect for"
        async with stage.publishing(clip(), "q"):
            await stage.reaches(prompt, OutputState.LIVE)
            await until(lambda: len(pictures(ended, 1)) > 10, 10)
        assert len(held.sessions) == 1
        stills = pictures(held)[last : last + 2]
        assert not set(stills) & set(pictures(ended, 1)), "no still is sent to who has not seen that publisher"


async def test_nothing_runs_on_when_the_hold_is_over(stage: Stage) -> None:
    async with rtmp_server() as server:
        id_ = stage.add(server, hold=0.5)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(server)) > 10, 10)
        await stage.reaches(id_, OutputState.HOLDING)
        await stage.reaches(id_, OutputState.WAITING)
        await until(lambda: not stage.relay._clock.running)
        assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("output") and not t.done()]


async def test_a_sound_file_goes_on_without_a_publisher(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(wav(tone(440, 1.0)))
    async with rtmp_server() as server:
        id_ = stage.add(server, hold=30)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(server)) > 10, 10)
        await stage.reaches(id_, OutputState.HOLDING)
        (session,) = server.sessions
        await until(lambda: len({m.body for m in session.media(MessageType.AUDIO)[-10:]}) == 1)
        silent = session.media(MessageType.AUDIO)[-1].body
        stage.outputs[0] = stage.outputs[0].model_copy(update={"sound": Sound(file="tone.wav", loop=True)})
        stage.apply()
        await until(lambda: silent not in [m.body for m in session.media(MessageType.AUDIO)[-10:]])
        times = [m.timestamp for m in session.media(MessageType.AUDIO)[1:]]
        assert max(after - before for before, after in pairwise(times)) <= 22, "no gap where the publisher went"


def change(stage: Stage, **fields: object) -> None:
    """The first output as its next generation."""
    before = stage.outputs[0]
    stage.outputs[0] = before.model_copy(update={"generation": before.generation + 1, **fields})
    stage.apply()


def first(stage: Stage) -> control.OutputReport:
    return next(o for o in stage.relay.report().outputs if o.id == "0")


async def test_a_sound_is_in_effect_once_it_plays_or_cannot(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a generation finds that the file is heard, or that it is not to be."""
    (tmp_path / "tone.wav").write_bytes(wav(tone(440, 5.0)))
    slow = threading.Event()
    real = Library.load
    monkeypatch.setattr(Library, "load", lambda self, name: slow.wait(10) and real(self, name))
    async with rtmp_server() as server:
        stage.add(server)
        change(stage, sound=Sound(file="tone.wav", trigger="nobody hears it"))
        assert first(stage).generation == 2, "without a publisher there is nothing to wait for"
        change(stage, sound=None)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(server)) > 10, 10)
            change(stage, sound=Sound(file="tone.wav"))
            assert first(stage).generation == 3
            assert stage.relay._soundtrack._listeners["0"].insertion is None
            slow.set()
            await until(lambda: first(stage).generation == 4)
            assert stage.relay._soundtrack._listeners["0"].insertion is not None
            assert first(stage).sound_enabled
            change(stage, sound=Sound(file="missing.wav"))
            await until(lambda: first(stage).generation == 5)
            assert not first(stage).sound_enabled
            slow.clear()
            change(stage, sound=Sound(file="tone.wav"))
            assert first(stage).generation == 5
            change(stage, sound=None)
            assert first(stage).generation == 7, "what was asked before counts no more"
            slow.set()


async def test_the_end_of_a_publisher_that_was_replaced_does_not_end_the_next(stage: Stage) -> None:
    stage.publisher = DesiredPublisher(id="first")
    stage.apply()
    first = stage.relay._publisher
    assert first is not None
    stage.publisher = DesiredPublisher(id="second")
    stage.apply()
    first.on_ended("what came in before its session was closed")
    async with stage.publishing(clip(), "second"):
        await until(lambda: reported(stage).state is control.PublisherState.CONNECTED, 10)
    await until(lambda: reported(stage).state is control.PublisherState.ENDED, 10)
    assert reported(stage).id == "second"


def reported(stage: Stage) -> control.PublisherReport:
    report = stage.relay.report().publisher
    assert report is not None
    return report


async def test_another_codec_is_another_session(stage: Stage) -> None:
    async with rtmp_server() as server:
        stage.add(server)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(server)) > 10, 10)
            change(stage, audio_codec=AudioCodec.PCMA)
            await until(lambda: len(pictures(server, 1)) > 10, 10)
            assert stage.relay.report().outputs[0].reconnects == 0
    assert server.most_at_once == 1, "a server refuses a name that is being published"
    before, after = server.sessions
    for session, codec, head in ((before, 10, b"\xaf"), (after, 7, b"\x72")):
        (metadata,) = [m for m in session.messages if m.type == MessageType.DATA_AMF0]
        told = amf.decode(metadata.body)[-1]
        assert isinstance(told, dict)
        assert told["audiocodecid"] == codec
        assert {m.body[:1] for m in session.media(MessageType.AUDIO)} == {head}
    assert told["audiosamplerate"] == 8000
    assert told["stereo"] is False


async def test_a_codec_that_is_not_installed_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transponder_relay.sound.speex.LIBRARY", "libspeex-that-is-not-there.so")
    speex._library.cache_clear()
    async with rtmp_server() as server, rtmp_server() as other:
        stage.add(server)
        stage.add(other)
        change(stage, audio_codec=AudioCodec.SPEEX)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(other)) > 10, 10)
            report = first(stage)
            assert (report.state, report.reason) == (OutputState.FAILED, control.OutputReason.CODEC_MISSING)
            assert "libspeex1" in (report.message or "")
            assert not server.sessions
    speex._library.cache_clear()


async def test_the_clock_outlives_a_fault(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a picture or sound from the publisher only the clock gives the server anything."""
    failures = iter([RuntimeError("once"), RuntimeError("twice")])
    advance = Soundtrack.advance

    def faulty(soundtrack: Soundtrack, position: int) -> None:
        error = next(failures, None)
        if error:
            raise error
        advance(soundtrack, position)

    monkeypatch.setattr(Soundtrack, "advance", faulty)
    async with rtmp_server() as server:
        stage.add(server)
        async with stage.publishing(clip()) as sender:
            await until(lambda: bool(pictures(server)), 10)
            await sender.pause()
            sounded = len(server.sessions[0].media(MessageType.AUDIO))
            await until(lambda: len(server.sessions[0].media(MessageType.AUDIO)) > sounded + 20, 10)
    assert next(failures, None) is None
    assert [record.message for record in caplog.records if record.exc_info] == ["the stream's clock failed"]


async def test_sound_that_waits_is_taken_before_a_wish_has_its_effect(stage: Stage) -> None:
    async with rtmp_server() as server:
        stage.add(server)
        async with stage.publishing(clip()):
            await until(lambda: len(stage.relay._batch._waiting) >= 4, 10)
            newest = stage.relay._batch._waiting[-1][1]
            assert stage.relay._soundtrack._line.end <= newest
            change(stage, muted=True)
            assert stage.relay._soundtrack._line.end > newest


async def test_the_first_second_is_that_of_each_publisher(stage: Stage) -> None:
    batch = stage.relay._batch
    async with stage.publishing(clip()):
        await until(lambda: batch._first is not None, 10)
    before = batch._first
    async with stage.publishing(clip(), "q"):
        await until(lambda: batch._first is not None and batch._first != before, 10)


async def test_a_fault_with_the_sound_stops_no_wish(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with rtmp_server() as server:
        stage.add(server)
        async with stage.publishing(clip()):
            await until(lambda: len(stage.relay._batch._waiting) >= 2, 10)
            monkeypatch.setattr(Soundtrack, "live", lambda *_: 1 / 0)
            stage.relay._batch = SoundBatch(stage.relay._soundtrack.live)
            stage.relay.on_sound(SoundPacket(0, 0.0, b""), 0)
            change(stage, muted=True)
            assert first(stage).muted
            monkeypatch.undo()
            stage.relay._batch = SoundBatch(stage.relay._soundtrack.live)
    assert [record.message for record in caplog.records if record.exc_info] == ["sound that had come was lost"]


async def test_sound_of_a_run_goes_to_each_output_in_one_write(stage: Stage) -> None:
    async with rtmp_server() as one, rtmp_server(Behaviour.SILENT) as never, rtmp_server() as other:
        for server in (one, never, other):
            stage.add(server)
        async with stage.publishing(clip()):
            await until(lambda: len(stage.relay._batch._waiting) >= 4, 10)
            writes = [written(output) for output in stage.relay._outputs if output._sender]
            frames = [output.report().statistics.audio_frames for output in stage.relay._outputs]
            stage.relay._batch.flush()
            assert [len(calls) for calls in writes] == [1, 1]
            gained = [o.report().statistics.audio_frames - n for o, n in zip(stage.relay._outputs, frames, strict=True)]
            assert gained[1] == 0
            assert gained[0] == gained[2] > 1


def written(output: Output) -> list[list[bytes]]:
    """What an output's transport is given from now on."""
    assert output._sender is not None
    connection = output._sender._connection
    calls: list[list[bytes]] = []
    real = connection.transport

    class Transport:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def writelines(self, buffers: list[bytes]) -> None:
            calls.append(buffers)
            real.writelines(buffers)

    connection.transport = Transport()  # type: ignore[assignment]
    return calls


async def test_statistics_of_the_sound_are_told(stage: Stage) -> None:
    async with rtmp_server() as server:
        stage.add(server)
        async with stage.publishing(clip()):
            await until(lambda: len(pictures(server)) > 10, 10)
            before = stage.relay.report().ingest
            assert (before.audio_packets_corrupt, before.audio_packets_late) == (0, 0)
            stage.relay.on_sound(SoundPacket(0, 0.0, b""), 0)
            stage.relay.on_sound(SoundPacket(0, 0.0, b"\xfc\xff\xfe"), 0)
        ingest = stage.relay.report().ingest
        assert (ingest.audio_packets_corrupt, ingest.audio_packets_late) == (1, 1)
        told = {sample.name: sample.value for m in RelayCollector(stage.relay).collect() for sample in m.samples}
        assert told["transponder_ingest_corrupt_audio_packets_total"] == 1
        assert told["transponder_ingest_late_audio_packets_total"] == 1
        assert "transponder_ingest_concealed_audio_seconds_total" in told


async def test_what_flows_is_told(stage: Stage) -> None:
    uid = "0123456789abcdef"
    async with rtmp_server() as server:
        stage.outputs.append(DesiredOutput(id=uid, generation=1, target=server.target()))
        async with stage.publishing(clip()):
            await until(lambda: stage.relay.report().outputs[0].statistics.keyframe_interval is not None, 15)
            report = stage.relay.report()
            ingest, sent = report.ingest, report.outputs[0].statistics
            assert ingest.frame_rate == pytest.approx(30, rel=0.5)
            assert sent.frame_rate == pytest.approx(30, rel=0.5)
            assert ingest.bitrate == pytest.approx(
                ingest.frame_rate / ingest.video_frames * ingest.bytes_received * 8, rel=0.5
            )
            assert sent.bitrate == pytest.approx(ingest.bitrate, rel=0.5)
            assert ingest.keyframe_interval == sent.keyframe_interval == pytest.approx(2, abs=0.01)
            assert ingest.allowed_bitrate == 4_000_000
            assert sent.rtt_ms is not None
            assert 0 < sent.rtt_ms < 500
            families = list(RelayCollector(stage.relay).collect())
            await until(lambda: stage.relay.report().ingest.skew_ms is not None, 10)
        await until(lambda: not stage.relay._clock.running, 15)
        ended = stage.relay.report()
        assert (ended.ingest.bitrate, ended.ingest.frame_rate, ended.outputs[0].statistics.bitrate) == (0, 0, 0)
        assert (ended.ingest.keyframe_interval, ended.ingest.rtt_ms, ended.ingest.skew_ms) == (None, None, None)
        assert ended.ingest.video_frames >= ingest.video_frames
    for family in families:
        assert re.fullmatch(r"transponder_[a-z_]+", family.name)
        assert not re.search(r"_(ms|bits?|kb|total_.*)$", family.name)
        assert family.documentation
        for sample in family.samples:
            assert set(sample.labels) == ({"output"} if "_output_" in family.name else set())
            assert sample.labels.get("output", "01234567") == "01234567"
            assert sample.name == family.name + ("_total" if family.type == "counter" else "")
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert values["transponder_output_sent_bytes_total"] > 100_000
    assert values["transponder_output_keyframe_interval_seconds"] == pytest.approx(2, abs=0.01)
    assert values["transponder_ingest_allowed_bytes_per_second"] == 500_000
    assert 0 < values["transponder_output_round_trip_seconds"] < 0.5


async def test_the_rates_of_an_output_with_another_target_begin_anew(stage: Stage) -> None:
    """It keeps its id, and its counters are those of a new one."""
    async with rtmp_server() as one, rtmp_server() as other:
        stage.add(one)
        async with stage.publishing(clip()):
            await until(lambda: first(stage).statistics.bitrate > 200_000, 10)
            change(stage, target=other.target())
            rates: list[float] = []
            await until(lambda: rates.append(first(stage).statistics.bitrate) or rates[-1] > 200_000, 10)  # type: ignore[func-returns-value]
    assert min(rates) == rates[0] == 0
