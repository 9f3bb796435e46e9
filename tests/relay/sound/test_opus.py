"""Opus passed on: the publisher's packets bit by bit, silence and files as Opus, on one clock without gaps."""

import asyncio
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from support.flv import tone_level
from support.sounds import RATE, Recorder, Samples, g711, tone, wav
from support.sounds import opus as encoded

from transponder_crd.resource import Sound
from transponder_relay.media import AudioTag, SoundPacket
from transponder_relay.sound.live import FILL_LIMIT
from transponder_relay.sound.opus import OPUS_CONFIG, SILENCES
from transponder_relay.sound.soundtrack import Soundtrack

BITRATE = 128_000
HEAD = b"\x91Opus"
LOOKAHEAD = 312
"""Samples; of the Opus encoder."""


def opus(samples: Samples, at: int = 0) -> list[tuple[int, SoundPacket]]:
    """The first packet begins at `at`."""
    return encoded(samples, at + LOOKAHEAD)


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def track(events: Recorder, tmp_path: Path) -> Soundtrack:
    (tmp_path / "low.wav").write_bytes(wav(tone(300, 0.5, rate=16_000), 16_000))
    made = Soundtrack(tmp_path, events)
    made.set_codec("opus")
    return made


def subscribe(track: Soundtrack, output_id: str = "o", muted: bool = False, sound: Sound | None = None) -> None:
    track.subscribe(output_id, muted, sound, BITRATE, takes_opus=True)


def decoded(tags: list[AudioTag]) -> Samples:
    """Sound at its place; tags follow each other without a gap, as far as ms can say."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE, "stereo"
    decoder.open()
    sound = np.zeros(RATE * 10)
    position = tags[0].time * 48
    for tag in tags:
        assert tag.body.startswith(HEAD)
        assert tag.config is OPUS_CONFIG
        assert abs(tag.time * 48 - position) <= 48 + 120, f"a gap before {tag.time} ms"
        (frame,) = decoder.decode(av.Packet(tag.body[len(HEAD) :]))
        samples = frame.to_ndarray().reshape(-1, 2)[:, 0] / 32768
        sound[position : position + len(samples)] = samples
        position += len(samples)
    return sound[:position]


def play(track: Soundtrack, packets: list[tuple[int, SoundPacket]]) -> None:
    for position, packet in packets:
        track.live(packet, position)


def test_packets_come_out_as_they_came(track: Soundtrack, events: Recorder) -> None:
    for output_id in "op":
        subscribe(track, output_id)
    packets = opus(tone(1000, 1.0))
    play(track, packets)
    tags = events.tags["o"]
    assert [tag.body for tag in tags] == [HEAD + packet.payload for _, packet in packets]
    assert [tag.time for tag in tags] == [round(position / 48) for position, _ in packets]
    assert all(o is p for o, p in zip(tags, events.tags["p"], strict=True))


def test_the_header_is_one_that_ffmpeg_takes() -> None:
    assert OPUS_CONFIG.sequence_header[:5] == b"\x90Opus"
    decoder = av.CodecContext.create("opus", "r")
    decoder.extradata = OPUS_CONFIG.sequence_header[5:]
    (frame,) = decoder.decode(av.Packet(opus(tone(1000, 0.02))[0][1].payload))
    assert (frame.samples, frame.sample_rate, frame.layout.name) == (960, RATE, "stereo")


@pytest.mark.parametrize(("samples", "payload"), SILENCES.items())
def test_silence_is_silent(samples: int, payload: bytes) -> None:
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE, "stereo"
    decoder.open()
    for _ in range(3):
        (frame,) = decoder.decode(av.Packet(payload))
        assert frame.samples == samples
        assert np.abs(frame.to_ndarray()).max() == 0


def test_mute_is_silence_from_packet_to_packet(track: Soundtrack, events: Recorder) -> None:
    packets = opus(tone(1000, 1.5))
    subscribe(track)
    play(track, packets[:25])
    subscribe(track, muted=True)
    play(track, packets[25:50])
    subscribe(track)
    play(track, packets[50:])
    level = tone_level(decoded(events.tags["o"]), 1000)
    assert level[RATE // 4] > 0.4
    assert level[int(0.56 * RATE) : int(0.99 * RATE)].max() < 0.001
    assert level[int(1.2 * RATE) : int(1.4 * RATE)].min() > 0.4  # CELT predicts levels: it fades in within 0.1 s


async def test_a_file_is_heard_for_its_length(track: Soundtrack, events: Recorder) -> None:
    packets = opus(tone(1000, 2.0))
    subscribe(track)
    play(track, packets[:25])
    subscribe(track, sound=Sound(file="low.wav"))
    await asyncio.gather(*track._loads.values())
    await asyncio.sleep(0)
    play(track, packets[25:])
    sound = decoded(events.tags["o"])
    low, live = tone_level(sound, 300, window=0.02), tone_level(sound, 1000, window=0.02)
    assert low[int(0.6 * RATE) : int(0.95 * RATE)].min() > 0.4
    assert live[int(0.6 * RATE) : int(0.95 * RATE)].max() < 0.05
    assert live[int(1.15 * RATE) : int(1.9 * RATE)].min() > 0.4
    assert low[int(1.15 * RATE) :].max() < 0.05
    assert events.changes == ["o", "o"]


def test_gaps_and_late_packets(track: Soundtrack, events: Recorder) -> None:
    subscribe(track)
    packets = opus(tone(1000, 1.0))
    play(track, packets[:10] + packets[13:20])
    track.live(packets[11][1], packets[11][0])
    track.live(SoundPacket(0, 0.0, b""), packets[20][0])
    play(track, packets[20:])
    tags = events.tags["o"]
    assert len(tags) == len(packets)
    assert [tag.body[5:] for tag in tags[10:13]] == [SILENCES[960]] * 3
    decoded(tags)


def test_a_jump_does_not_come_out_at_once(track: Soundtrack, events: Recorder) -> None:
    subscribe(track)
    packet = opus(tone(1000, 0.02))[0][1]
    track.live(packet, 0)
    track.live(packet, 3600 * RATE)
    assert len(events.tags["o"]) == 1 + FILL_LIMIT // 960


def test_the_wall_clock_goes_on_without_packets(track: Soundtrack, events: Recorder) -> None:
    subscribe(track)
    play(track, opus(tone(1000, 0.2)))
    track.set_codec(None)
    for step in range(20):
        track.advance(9600 + 2400 * step)
    tags = events.tags["o"]
    assert [tag.time for tag in tags] == [20 * n for n in range(len(tags))]
    assert len(tags) >= 55
    assert {tag.body[5:] for tag in tags[10:]} == {SILENCES[960]}


def test_another_publisher_with_g711_is_heard_as_aac(track: Soundtrack, events: Recorder) -> None:
    subscribe(track)
    play(track, opus(tone(1000, 0.5)))
    track.set_codec(None)
    track.set_codec("PCMA")
    play(track, g711(tone(1000, 0.5, rate=8000), "PCMA", at=24_000))
    track.set_codec(None)
    track.set_codec("opus")
    play(track, opus(tone(1000, 0.5), at=48_000))
    sent = [events.tags["o"][0]]
    for tag in events.tags["o"]:  # AAC comes two frames late; an output drops what is older than what it has sent
        if tag.time > sent[-1].time:
            sent.append(tag)
    assert max(after.time - before.time for before, after in pairwise(sent)) < 45
    kinds = [tag.config.codec_id for tag in sent]
    runs = [kind for kind, following in pairwise([*kinds, 0]) if kind != following]
    assert runs == [OPUS_CONFIG.codec_id, 10, OPUS_CONFIG.codec_id]


def test_outputs_without_enhanced_rtmp_hear_aac(track: Soundtrack, events: Recorder) -> None:
    subscribe(track)
    track.subscribe("a", False, None, BITRATE)
    play(track, opus(tone(1000, 0.5)))
    assert {tag.config.codec_id for tag in events.tags["a"]} == {10}
    assert {tag.config.codec_id for tag in events.tags["o"]} == {OPUS_CONFIG.codec_id}
