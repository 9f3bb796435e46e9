"""G.711 and Speex out: in place, at their level, passed on bit by bit where that can be, without clicks."""

import asyncio
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from support.flv import tone_level
from support.sounds import BLOCK, RATE, Recorder, Samples, beeps, g711, opus, tone, wav

from transponder_crd.resource import AudioCodec, Sound
from transponder_relay.media import AudioTag, SoundPacket
from transponder_relay.sound import speex
from transponder_relay.sound.coding import missing_library
from transponder_relay.sound.soundtrack import Soundtrack

PCMA, PCMU, SPEEX = AudioCodec.PCMA, AudioCodec.PCMU, AudioCodec.SPEEX
needs_speex = pytest.mark.skipif(speex.speex_is_missing(), reason="libspeex is not installed (Debian: libspeex1)")
ALL = [PCMA, PCMU, pytest.param(SPEEX, marks=needs_speex)]
DECODERS = {PCMA: ("pcm_alaw", 8000), PCMU: ("pcm_mulaw", 8000), SPEEX: ("speex", 16_000)}
HEADS = {PCMA: b"\x72", PCMU: b"\x82", SPEEX: b"\xb2"}
FORMATS = {PCMA: (8000, 1, 7), PCMU: (8000, 1, 8), SPEEX: (16_000, 1, 11)}

Packets = list[tuple[int, SoundPacket]]


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def track(events: Recorder, tmp_path: Path) -> Soundtrack:
    (tmp_path / "low.wav").write_bytes(wav(tone(300, 0.5, rate=16_000), 16_000))
    return Soundtrack(tmp_path, events)


def subscribe(track: Soundtrack, codec: AudioCodec, muted: bool = False, sound: Sound | None = None) -> None:
    track.subscribe("o", muted, sound, 128_000, codec=codec)


def play(track: Soundtrack, packets: Packets) -> None:
    for position, packet in packets:
        track.live(packet, position)


def heard(tags: list[AudioTag], codec: AudioCodec) -> Samples:
    """Decoded, as 48 kHz, from the first tag on; times are gap-free."""
    name, rate = DECODERS[codec]
    context = av.CodecContext.create(name, "r")
    context.sample_rate, context.layout = rate, "mono"
    context.open()
    samples: list[Samples] = []
    count = 0
    for tag in tags:
        assert tag.body[:1] == HEADS[codec]
        assert (tag.config.sample_rate, tag.config.channels, tag.config.codec_id) == FORMATS[codec]
        assert abs(tag.time - tags[0].time - count * 1000 / rate) <= 1.0, "a gap, or an overlap"
        for frame in context.decode(av.Packet(tag.body[1:])):
            values = frame.to_ndarray().reshape(-1).astype(float)
            samples.append(values / 32768 if frame.format.name.startswith("s16") else values)
            count += len(values)
    return np.repeat(np.concatenate(samples), RATE // rate)


def lag(sound: Samples, source: Samples) -> int:
    size = 1 << (len(sound) + len(source)).bit_length()
    peak = int(np.argmax(np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(source, size)))))
    return peak if peak < size // 2 else peak - size


def noise(seconds: float) -> Samples:
    """8 kHz; no two packets alike."""
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * 8000))


def steepest(sound: Samples, codec: AudioCodec) -> float:
    """The greatest step between samples of the codec's own rate."""
    return float(np.abs(np.diff(sound[:: RATE // DECODERS[codec][1]])).max())


# ------------------------------------------------------------------------------------------------ live


@pytest.mark.parametrize("codec", ALL)
def test_opus_comes_out_in_place(track: Soundtrack, events: Recorder, codec: AudioCodec) -> None:
    track.set_codec("opus")
    subscribe(track, codec)
    source = beeps(2.0)
    play(track, opus(source))
    sound = heard(events.tags["o"], codec)
    assert abs(lag(sound, source) + events.tags["o"][0].time * 48) <= 48
    assert np.abs(sound[round(0.26 * RATE) : round(0.29 * RATE)]).max() == pytest.approx(0.5, abs=0.06)
    assert np.abs(sound[round(0.4 * RATE) : round(0.7 * RATE)]).max() < 0.01


@pytest.mark.parametrize(("codec", "source"), [(PCMA, "PCMA"), (PCMU, "PCMU")])
def test_the_same_law_is_passed_on_bit_by_bit(
    track: Soundtrack, events: Recorder, codec: AudioCodec, source: str
) -> None:
    track.set_codec(source)
    subscribe(track, codec)
    packets = g711(noise(2.0), source, 4800)
    play(track, packets)
    sent = b"".join(packet.payload for _, packet in packets)
    received = b"".join(tag.body[1:] for tag in events.tags["o"])
    silent = received[:800]
    assert set(silent) == {0xD5 if codec is PCMA else 0xFF}, "nothing came for the first 100 ms"
    assert len(received) > 16_000 + 800 - 600
    assert sent.startswith(received[800:])


def test_the_other_law_is_encoded(track: Soundtrack, events: Recorder) -> None:
    track.set_codec("PCMU")
    subscribe(track, PCMA)
    play(track, g711(beeps(2.0, 8000), "PCMU"))
    assert abs(lag(heard(events.tags["o"], PCMA), beeps(2.0))) <= 48


@pytest.mark.parametrize(("source", "first"), [("PCMU", 20), ("PCMA", 20), ("PCMU", 1), ("PCMA", 1)])
def test_a_gap_behind_silence_or_at_the_start_is_silent(
    track: Soundtrack, events: Recorder, source: str, first: int
) -> None:
    """There is nothing that it could be made up from."""
    track.set_codec(source)
    subscribe(track, AudioCodec(source.lower()))
    packets = g711(np.zeros(8000), source, 4800)
    play(track, [*packets[:first], *packets[first + 2 :]])
    received = b"".join(tag.body[1:] for tag in events.tags["o"])
    assert len(received) > 7000
    assert np.abs(heard(events.tags["o"], AudioCodec(source.lower()))).max() < 0.001


def test_what_is_passed_on_survives_loss_and_overlap(track: Soundtrack, events: Recorder) -> None:
    """In place of a lost packet goes on what was before, one that came twice is dropped."""
    track.set_codec("PCMA")
    subscribe(track, PCMA)
    packets = g711(noise(2.0), "PCMA", 4800)
    play(track, [*packets[:30], *packets[31:50], packets[49], *packets[50:]])
    received = b"".join(tag.body[1:] for tag in events.tags["o"])[800:]
    sent = b"".join(packet.payload for _, packet in packets)[: len(received)]
    lost = slice(30 * 160, 31 * 160)
    assert len(received) > 15_000
    assert (received[: lost.start], received[lost.stop :]) == (sent[: lost.start], sent[lost.stop :])
    assert len(set(received[lost])) > 40, "neither silence nor a drone"


def test_a_publisher_with_another_codec_goes_on(track: Soundtrack, events: Recorder) -> None:
    track.set_codec("PCMA")
    subscribe(track, PCMA)
    play(track, g711(tone(1000, 1.0, rate=8000), "PCMA"))
    track.set_codec("opus")
    play(track, opus(tone(1000, 1.0), RATE))
    level = tone_level(heard(events.tags["o"], PCMA), 1000, 0.02)
    assert level[4800:-4800].min() < 0.3, "the encoder begins from nothing"
    assert sum(level[4800:-4800] < 0.4) / RATE < 0.15
    assert level[RATE + RATE // 4 : -4800].min() > 0.45


# ------------------------------------------------------------------------------------------------ switches


@pytest.mark.parametrize("codec", ALL)
@pytest.mark.parametrize("source", ["opus", "PCMA"])
async def test_mute_and_files_switch_in_time_without_a_click(
    track: Soundtrack, events: Recorder, codec: AudioCodec, source: str
) -> None:
    track.set_codec(source)
    subscribe(track, codec)
    packets = opus(tone(1000, 4.0)) if source == "opus" else g711(tone(1000, 4.0, rate=8000), source)
    play(track, packets[:50])
    subscribe(track, codec, muted=True)
    play(track, packets[50:75])
    subscribe(track, codec)
    play(track, packets[75:100])
    subscribe(track, codec, sound=Sound(file="low.wav"))
    assert not track.settled("o")
    await asyncio.gather(*track._loads.values())
    await asyncio.sleep(0)
    play(track, packets[100:])
    assert track.settled("o")
    sound = heard(events.tags["o"], codec)
    live, file = tone_level(sound, 1000, 0.02), tone_level(sound, 300, 0.02)
    at = {name: round(seconds * RATE) for name, seconds in (("mute", 1.0), ("unmute", 1.5), ("file", 2.0))}
    late = round(0.06 * RATE)
    silent = np.abs(sound[at["mute"] + late : at["unmute"] - late])
    assert silent.max() < (0.002 if codec is not SPEEX else 0.01)
    assert live[at["mute"] - 2 * late] > 0.45
    assert live[at["unmute"] + 2 * late : at["file"] - late].min() > 0.4
    assert file[at["file"] + 2 * late : at["file"] + RATE // 2 - 2 * late].min() > 0.4
    assert live[at["file"] + 2 * late : at["file"] + RATE // 2 - 2 * late].max() < 0.05
    assert live[at["file"] + RATE // 2 + 3 * late : -2 * late].min() > 0.4
    calm = steepest(sound[RATE // 4 : RATE // 2], codec)
    assert steepest(sound[RATE // 4 :], codec) <= 1.15 * calm, "no step that the tone itself has not"


@pytest.mark.parametrize("codec", ALL)
def test_silence_without_a_track(track: Soundtrack, events: Recorder, codec: AudioCodec) -> None:
    subscribe(track, codec)
    for position in range(0, 2 * RATE, 2400):
        track.advance(position)
    sound = heard(events.tags["o"], codec)
    assert np.abs(sound).max() < 0.001
    assert len(sound) >= 2 * RATE - 5 * BLOCK


@pytest.mark.parametrize("codec", ALL)
def test_times_without_a_gap_after_a_day(track: Soundtrack, events: Recorder, codec: AudioCodec) -> None:
    day = 24 * 3600
    track.restart(day * RATE)
    subscribe(track, codec)
    for position in range(day * RATE, (day + 300) * RATE, 4 * RATE):
        track.advance(position)
    times = [tag.time for tag in events.tags["o"]]
    steps = [after - before for before, after in pairwise(times)]
    assert set(steps) == ({20} if codec is SPEEX else {21, 22})
    assert 0 <= times[0] - day * 1000 < 64
    assert sum(steps) == pytest.approx(296_000, abs=100)


# ------------------------------------------------------------------------------------------------ Speex


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speex, "LIBRARY", "libspeex-that-is-not-there.so")
    speex._library.cache_clear()
    try:
        told = missing_library(SPEEX)
        assert told is not None
        assert "libspeex1" in told
        assert missing_library(PCMA) is missing_library(AudioCodec.AAC) is None
    finally:
        speex._library.cache_clear()
