"""Packets as real senders sent them (tests/wire): whole pictures, gap-free sound, and reports that join the two."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from support.rtpdump import Captured, read

from transponder_relay.ingest.jitter import RepairTiming
from transponder_relay.ingest.offer import VideoChoice
from transponder_relay.ingest.picture_receiver import VideoReceiver
from transponder_relay.ingest.receiver import Counters
from transponder_relay.ingest.sound_receiver import AudioReceiver
from transponder_relay.ingest.timeline import Kind, Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.sound.decoders import decoder_of
from transponder_relay.sound.pcm import SAMPLE_BYTES
from transponder_relay.webrtc import rtcp
from transponder_relay.webrtc.rtp import parse_rtp
from transponder_relay.webrtc.sdp import AudioChoice

WIRE = Path(__file__).parents[2] / "wire"
CAPTURES: dict[str, Any] = json.loads((WIRE / "captures.json").read_text())
BROWSERS = sorted(name for name in CAPTURES if name.startswith(("chromium", "firefox")))


def video_choice(codec: str, payload_type: int, rtx_payload_type: int | None) -> VideoChoice:
    return VideoChoice(0, payload_type, codec, rtx_payload_type, True, True, True, True, 1, None, ())


@dataclass
class Replay:
    """A capture through the receivers and the timeline, as a session joins them."""

    name: str
    pictures: list[tuple[AccessUnit | CodedPicture, int]] = field(default_factory=list)
    sound: list[tuple[SoundPacket, int, int]] = field(default_factory=list)
    damages: int = 0
    items: list[rtcp.RtcpItem] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    timeline: Timeline = field(default_factory=Timeline)

    def __post_init__(self) -> None:
        choice = CAPTURES[self.name]
        self.codec: str = choice["video"]["codec"]
        timing = RepairTiming()
        self.video = VideoReceiver(video_choice(**choice["video"]), timing, self.counters, self.picture, self.damage)
        self.audio = AudioReceiver(AudioChoice(section=1, **choice["audio"]), timing, self.counters, self.heard)
        self.types = choice["video"]["payload_type"], choice["audio"]["payload_type"]

    def picture(self, picture: AccessUnit | CodedPicture) -> None:
        self.pictures.append((picture, self.timeline.video(picture.rtp_time, picture.arrival)))

    def damage(self) -> None:
        self.damages += 1

    def heard(self, packet: SoundPacket, samples: int) -> None:
        self.sound.append((packet, samples, self.timeline.audio(packet.rtp_time, packet.arrival, samples)))

    def run(self, packets: list[Captured]) -> "Replay":
        for packet in packets:
            (self.control if packet.control else self.media)(packet.data, 1000 + packet.seconds)
        return self

    def media(self, data: bytes, arrival: float) -> None:
        if self.video.keep(data, arrival):
            return
        packet = parse_rtp(data)
        if packet.payload_type == self.types[0]:
            self.video.on_packet(packet, arrival)
        elif packet.payload_type == self.types[1]:
            self.audio.on_packet(packet, arrival)
        else:
            self.video.on_retransmission(packet, arrival)

    def control(self, data: bytes, arrival: float) -> None:
        for item in rtcp.parse_rtcp(data):
            self.items.append(item)
            if isinstance(item, rtcp.SenderReport):
                for kind, receiver in ((Kind.PICTURE, self.video), (Kind.SOUND, self.audio)):
                    time = receiver.sender_report(item, arrival)
                    if time is not None:
                        self.timeline.sender_report(kind, item.seconds, time)


_replays: dict[str, Replay] = {}


@pytest.fixture(params=sorted(CAPTURES))
def replay(request: pytest.FixtureRequest) -> Replay:
    return replayed(request.param)


def replayed(name: str) -> Replay:
    if name not in _replays:
        _replays[name] = Replay(name).run(read(WIRE / name))
    return _replays[name]


def test_pictures_come_whole_and_decode(replay: Replay) -> None:
    assert len(replay.pictures) >= 40
    assert replay.pictures[0][0].keyframe
    assert (replay.damages, replay.counters.video_frames_dropped) == (0, 0)
    decoder = av.CodecContext.create("libdav1d" if replay.codec == "AV1" else replay.codec.lower(), "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    frames = [frame for picture, _ in replay.pictures for frame in decoder.decode(av.Packet(as_decoded(picture)))]
    frames += decoder.decode(None)
    assert len(frames) == len(replay.pictures)
    assert not any(frame.is_corrupt for frame in frames)
    assert {frame.width / frame.height for frame in frames} <= {16 / 9, 4 / 3}


def as_decoded(picture: AccessUnit | CodedPicture) -> bytes:
    if isinstance(picture, CodedPicture):
        return picture.frame
    sets = (*picture.parameter_sets.sps, *picture.parameter_sets.pps) if picture.keyframe else ()
    return b"".join(b"\0\0\0\1" + nal for nal in (*sets, *nal_units(picture.avcc)))


def nal_units(avcc: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(avcc):
        size = int.from_bytes(avcc[at : at + 4])
        yield avcc[at + 4 : at + 4 + size]
        at += 4 + size


def test_sound_comes_without_a_gap(replay: Replay) -> None:
    lengths = [samples for _, samples, _ in replay.sound]
    usual = 6 * 1024 if replay.name.startswith("ffmpeg") else 960
    assert set(lengths[:-1]) == {usual}, "but for the last one"
    assert sum(lengths) > 1.4 * 48_000
    assert all(after[2] - before[2] == usual for before, after in pairwise(replay.sound))
    decoder = decoder_of(CAPTURES[replay.name]["audio"]["codec"])
    for packet, samples, _ in replay.sound:
        assert decoder.duration(packet.payload) == samples
        assert abs(len(decoder.decode(packet.payload)) // SAMPLE_BYTES - samples) <= 6 * 40, "but for a filter's delay"


def test_times_of_pictures_follow_their_arrival(replay: Replay) -> None:
    times = [time for _, time in replay.pictures]
    assert all(before < after for before, after in pairwise(times))
    first = replay.pictures[0]
    late = [time - first[1] - 1000 * (picture.arrival - first[0].arrival) for picture, time in replay.pictures]
    assert max(map(abs, late)) < 150, late


def test_each_stream_is_reported_in_a_clock_that_both_share(replay: Replay) -> None:
    reports = [item for item in replay.items if isinstance(item, rtcp.SenderReport)]
    assert {report.ssrc for report in reports} == {replay.video.ssrc, replay.audio.ssrc}
    names = {item.ssrc: item.name for item in replay.items if isinstance(item, rtcp.SourceName)}
    if not replay.name.startswith("ffmpeg"):  # it gives no names
        assert len({names[report.ssrc] for report in reports}) == 1, "one CNAME: one wall clock"
    assert replay.timeline.skew is not None
    assert abs(replay.timeline.skew) < 60


@pytest.mark.parametrize("name", BROWSERS)
def test_browsers_echo_the_time_of_our_reports(name: str) -> None:
    echoes = [item for item in replayed(name).items if isinstance(item, rtcp.ReceiverTimeEcho)]
    assert [echo for echo in echoes if echo.time and echo.delay < 2 * 65536]


@pytest.mark.parametrize("lost", [0.05, 0.3])
def test_without_some_packets_only_whole_pictures_come(replay: Replay, lost: float) -> None:
    """Each is one that came without loss."""
    packets = read(WIRE / replay.name)
    drops: Callable[[int], bool] = lambda number: number * 7919 % 1000 < lost * 1000  # noqa: E731
    kept = [p for number, p in enumerate(packets) if p.control or number < 3 or not drops(number)]
    damaged = Replay(replay.name).run(kept)
    damaged.video.on_timer(1e9)
    whole = {as_decoded(picture) for picture, _ in replay.pictures}
    assert all(as_decoded(picture) in whole for picture, _ in damaged.pictures)
    assert len(damaged.pictures) < len(replay.pictures)
