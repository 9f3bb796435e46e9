"""The soundtrack end to end: real Opus or G.711 in, AAC out, decoded and measured."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from support.sounds import BLOCK, RATE, Recorder, beeps, g711, opus, tone, wav

from transponder_crd.resource import Sound
from transponder_relay.media import SoundPacket
from transponder_relay.sound import live
from transponder_relay.sound.decoders import OpusDecoder
from transponder_relay.sound.soundtrack import Soundtrack

Packets = Iterable[tuple[int, SoundPacket]]
BITRATE = 128_000
BLOCK_SECONDS = BLOCK / RATE


class Stage:
    """A soundtrack with the live sound running, and things that happen at given times."""

    def __init__(self, folder: Path | None = None, codec: str | None = "opus") -> None:
        self.events = Recorder()
        self.track = Soundtrack(folder, self.events)
        self.track.set_codec(codec)

    def subscribe(self, output_id: str = "a", muted: bool = False, sound: Sound | None = None) -> None:
        self.track.subscribe(output_id, muted, sound, BITRATE)

    def play(self, packets: Packets, at: dict[float, Callable[[], object]] | None = None) -> None:
        """Give the packets; call what is due (seconds) before the first packet from then on."""
        due = sorted((at or {}).items(), key=lambda item: item[0])
        for position, packet in packets:
            while due and due[0][0] * RATE <= position:
                due.pop(0)[1]()
            self.track.live(packet, position)
        assert not due

    async def sound(self, sound: Sound, output_id: str = "a", muted: bool = False) -> None:
        """Subscribe and wait until the file is read."""
        self.subscribe(output_id, muted, sound)
        await asyncio.gather(*self.track._loads.values())
        await asyncio.sleep(0)  # the callbacks of the load


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """low.wav 300 Hz 0.5 s, high.wav 2 kHz 0.2 s: no live sound has these."""
    (tmp_path / "low.wav").write_bytes(wav(tone(300, 0.5, rate=16_000), 16_000))
    (tmp_path / "high.wav").write_bytes(wav(tone(2000, 0.2, rate=44_100), 44_100, channels=2))
    return tmp_path


# ------------------------------------------------------------------------------------------------ live


@pytest.mark.parametrize("at", [0, 5000])
def test_opus_comes_out_in_place(at: int) -> None:
    stage = Stage()
    stage.subscribe()
    source = beeps(2.0)
    stage.play(opus(source, at))
    heard = stage.events.heard("a")
    assert abs(heard.lag(source, at)) <= 48  # 1 ms
    assert heard.start == 0
    assert heard.hertz(at / RATE + 0.25, at / RATE + 0.30) == pytest.approx(1000, abs=20)
    assert heard.peak(at / RATE + 0.35, at / RATE + 0.70) < 0.01


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_g711_comes_out_in_place(codec: str) -> None:
    stage = Stage(codec=codec)
    stage.subscribe()
    stage.play(g711(beeps(2.0, 8000), codec, 3000))
    heard = stage.events.heard("a")
    assert abs(heard.lag(beeps(2.0), 3000)) <= 48
    assert heard.peak(0.3, 0.35) == pytest.approx(0.5, abs=0.05)


def test_outputs_alike_share_one_tag() -> None:
    stage = Stage()
    for output_id in "ab":
        stage.subscribe(output_id)
    for output_id in "mn":
        stage.subscribe(output_id, muted=True)
    stage.track.subscribe("c", False, None, 64_000)
    stage.play(opus(tone(440, 0.5)))
    tags = stage.events.tags
    assert len(tags["a"]) > 15
    assert all(a is b for a, b in zip(tags["a"], tags["b"], strict=True))
    assert all(m is n for m, n in zip(tags["m"], tags["n"], strict=True))
    assert len({tag.body for tag in tags["m"]}) == 1
    assert len({id(tag.config) for output_id in "abmn" for tag in tags[output_id]}) == 1
    assert all(c is not a for a, c in zip(tags["a"], tags["c"], strict=True))
    assert tags["c"][0].config.bitrate == 64_000


def test_live_is_decoded_only_for_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    real = OpusDecoder.decode
    monkeypatch.setattr(OpusDecoder, "decode", lambda self, payload: decoded.append(payload) or real(self, payload))
    stage = Stage()
    stage.subscribe("m", muted=True)
    packets = opus(tone(440, 2.0))
    stage.play(packets[:50])
    assert not decoded
    stage.subscribe("a")
    stage.play(packets[50:70])
    assert len(decoded) == 20
    stage.track.unsubscribe("a")
    stage.play(packets[70:80])
    assert len(decoded) == 20
    assert stage.events.heard("m").peak(0.0, 1.4) == 0.0
    assert stage.events.tags["a"][-1].time < 1400


# ------------------------------------------------------------------------------------------------ mute


def test_mute_is_digital_silence_at_once_and_unmute_brings_live_back() -> None:
    stage = Stage()
    stage.subscribe("b")
    stage.subscribe("a")
    at = {0.5: lambda: stage.subscribe(muted=True), 1.0: stage.subscribe}
    stage.play(opus(tone(440, 1.6)), at)
    heard = stage.events.heard("a")
    assert heard.peak(0.5, 0.95) == 0.0
    assert heard.level(0.1, 0.5 - 0.07) == pytest.approx(0.354, abs=0.02)
    assert heard.level(1.02, 1.5) == pytest.approx(0.354, abs=0.02)
    for start in np.arange(0.4, 1.1, 0.01):  # cross-fades, no click
        assert heard.peak(start, start + 0.01) < 0.75
    assert stage.events.heard("b").level(0.1, 1.5) == pytest.approx(0.354, abs=0.02)


async def test_no_switch_clicks(sounds: Path) -> None:
    """Measured where the sound is faded: hardly a step between two samples that the tones do not have, and what
    is neither the one nor the other lasts a frame and its overlap at most."""
    stage = Stage(sounds)
    stage.subscribe("b")  # Opus is decoded all the time: it begins from nothing where it was not
    stage.subscribe()
    packets = opus(tone(1000, 4.0))
    stage.play(packets[:130], {1.0: lambda: stage.subscribe(muted=True), 1.5: stage.subscribe})
    await stage.sound(Sound(file="low.wav"))
    stage.play(packets[130:])
    heard = stage.events.heard("a")
    sound = heard.samples[RATE // 4 :]
    calm = float(np.abs(np.diff(sound[: RATE // 4])).max())
    assert float(np.abs(np.diff(sound)).max()) <= 1.4 * calm, "a cut would be 7 times as steep"
    window = 480  # whole periods of both tones
    pieces = sound[: len(sound) // window * window].reshape(-1, window)
    turning = np.exp(-2j * np.pi * 1000 * np.arange(window) / RATE)
    live = np.abs(pieces @ turning) * 2 / window
    changing = np.flatnonzero((live > 0.06) & (live < 0.44))
    groups = np.split(changing, np.flatnonzero(np.diff(changing) > 10) + 1)
    assert len(groups) == 4, "mute, unmute, file, live again"
    for group in groups:
        assert (group[-1] - group[0] + 1) * window <= 2 * BLOCK + window


def test_unmute_of_the_only_listener_within_50_ms() -> None:
    stage = Stage()
    stage.subscribe(muted=True)
    stage.play(opus(tone(440, 1.0)), {0.5: stage.subscribe})
    heard = stage.events.heard("a")
    assert heard.peak(0.0, 0.45) == 0.0
    assert heard.level(0.55, 0.9) == pytest.approx(0.354, abs=0.02)


# ------------------------------------------------------------------------------------------------ sound files


async def test_a_file_is_heard_for_its_length_then_live_again(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe()
    packets = opus(tone(1000, 2.0))
    stage.play(packets[:30])
    position = packets[30][0]
    assert not stage.track.sound_enabled("a")
    await stage.sound(Sound(file="low.wav"))
    assert stage.track.sound_enabled("a")  # whoever asked sees it at once
    stage.play(packets[30:40])
    assert stage.track.sound_enabled("a")
    assert stage.events.changes == ["a"]
    stage.subscribe(sound=Sound(file="low.wav"))  # the same: nothing changes
    stage.play(packets[40:])
    assert not stage.track.sound_enabled("a")
    assert stage.events.changes == ["a", "a"]
    stage.subscribe(sound=Sound(file="low.wav"))  # it stays ended
    assert not stage.track._loads
    heard = stage.events.heard("a")
    [(start, end)] = heard.spans(300)
    begun = -(-position // BLOCK) * BLOCK_SECONDS  # the block that was next
    assert start == pytest.approx(begun, abs=BLOCK_SECONDS + 0.01)
    assert end - start == pytest.approx(0.5, abs=BLOCK_SECONDS)
    assert [round(heard.hertz(a, a + 0.3), -1) for a in (0.2, start + 0.1, end + 0.1)] == [1000, 300, 1000]
    for at in np.arange(start - 0.1, end + 0.1, 0.01):
        assert heard.peak(at, at + 0.01) < 0.75


async def test_a_file_loses_nothing_at_its_ends(sounds: Path) -> None:
    """Also while the live encoder runs for another output, so that a switch could come too soon."""
    blocks = 12
    source = tone(3000, blocks * BLOCK_SECONDS)
    (sounds / "exact.wav").write_bytes(wav(source))
    stage = Stage(sounds)
    stage.subscribe("b")
    stage.subscribe()
    packets = opus(np.zeros(RATE))
    stage.play(packets[:20])
    start = -(-(packets[19][0] + 960) // BLOCK) - 1  # the block being filled
    await stage.sound(Sound(file="exact.wav"))
    stage.play(packets[20:])
    heard = stage.events.heard("a").samples.reshape(-1, BLOCK)
    wanted = np.zeros_like(heard)
    wanted[start : start + blocks] = source.reshape(-1, BLOCK)
    error = np.sqrt(np.mean((heard - wanted) ** 2, axis=1))
    assert error.max() < 0.03
    assert stage.events.heard("b").peak(0, 0.9) < 0.001


async def test_a_file_goes_on_while_there_is_no_publisher(sounds: Path) -> None:
    (sounds / "two.wav").write_bytes(wav(np.concatenate([tone(300, 0.5), tone(2000, 0.5)])))
    stage = Stage(sounds, codec=None)
    await stage.sound(Sound(file="two.wav"))
    stage.track.advance(RATE // 4)
    stage.track.restart(RATE * 3 // 4)
    stage.events.tags.clear()
    for position in range(RATE * 3 // 4, 2 * RATE, 2400):
        stage.track.advance(position)
    heard = stage.events.heard("a")
    assert not heard.spans(300)
    [(start, end)] = heard.spans(2000)
    assert (start, end) == pytest.approx((0.75, 1.0), abs=2 * BLOCK_SECONDS)


async def test_a_loop_goes_on_until_it_is_ended(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe()
    packets = opus(tone(1000, 2.0))
    stage.play(packets[:10])
    await stage.sound(Sound(file="high.wav", loop=True))
    stage.play(packets[10:70])
    assert stage.track.sound_enabled("a")
    stage.subscribe(sound=None)
    assert not stage.track.sound_enabled("a")
    stage.play(packets[70:])
    [(start, end)] = stage.events.heard("a").spans(2000)
    assert start == pytest.approx(0.2, abs=0.05)
    assert end == pytest.approx(1.4, abs=0.05)


async def test_a_second_sound_replaces_the_first_and_a_trigger_plays_it_again(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe()
    packets = opus(np.zeros(2 * RATE))
    stage.play(packets[:10])
    await stage.sound(Sound(file="low.wav"))
    stage.play(packets[10:20])
    await stage.sound(Sound(file="high.wav"))
    stage.play(packets[20:50])
    await stage.sound(Sound(file="high.wav", trigger="again"))
    stage.play(packets[50:])
    heard = stage.events.heard("a")
    [(low_start, low_end)] = heard.spans(300)
    [(high_start, high_end), (again_start, again_end)] = heard.spans(2000)
    assert (low_start, low_end) == pytest.approx((0.2, 0.4), abs=0.05)
    assert (high_start, high_end) == pytest.approx((0.4, 0.6), abs=0.05)
    assert (again_start, again_end) == pytest.approx((1.0, 1.2), abs=0.05)
    assert high_start - low_end <= BLOCK_SECONDS + 0.01  # no live sound between


async def test_mute_silences_a_file_whose_time_goes_on(sounds: Path) -> None:
    (sounds / "two.wav").write_bytes(wav(np.concatenate([tone(300, 0.5), tone(2000, 0.5)])))
    stage = Stage(sounds)
    packets = opus(tone(1000, 2.0))
    await stage.sound(Sound(file="two.wav"), muted=True)
    stage.play(packets[:30])
    assert stage.track.sound_enabled("a")
    stage.subscribe(sound=Sound(file="two.wav"))
    stage.play(packets[30:])
    heard = stage.events.heard("a")
    assert heard.peak(0.0, 0.55) == 0.0
    assert not heard.spans(300)
    [(start, end)] = heard.spans(2000)
    assert (start, end) == pytest.approx((0.6, 1.0), abs=0.05)
    assert heard.hertz(1.1, 1.6) == pytest.approx(1000, abs=10)


async def test_a_file_ends_while_muted(sounds: Path) -> None:
    stage = Stage(sounds)
    await stage.sound(Sound(file="high.wav"), muted=True)
    stage.play(opus(tone(1000, 1.0)))
    assert stage.events.changes == ["a", "a"]
    assert not stage.track.sound_enabled("a")
    assert stage.events.heard("a").peak(0.0, 0.9) == 0.0


async def test_a_file_asked_for_together_is_encoded_once(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe("b", sound=Sound(file="low.wav"))
    await stage.sound(Sound(file="low.wav"), "a")
    stage.play(opus(np.zeros(RATE // 2)))
    tags = stage.events.tags
    assert all(a is b for a, b in zip(tags["a"], tags["b"], strict=True))
    assert stage.events.heard("a").spans(300)


@pytest.mark.parametrize("name", ["missing.wav", "../secret/low.wav"])
async def test_a_file_that_cannot_be_read_leaves_live(
    sounds: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    stage = Stage(sounds)
    stage.subscribe()
    packets = opus(tone(1000, 1.0))
    stage.play(packets[:20])
    changed = asyncio.Event()
    stage.events.on_sound_change = lambda _: changed.set()
    with caplog.at_level(logging.WARNING):
        stage.subscribe(sound=Sound.model_construct(file=name, loop=False, trigger=None))
        assert stage.track.sound_enabled("a")
        await changed.wait()
        assert not stage.track.sound_enabled("a")
    assert "plays no sound" in caplog.text
    assert str(sounds) not in caplog.text
    stage.play(packets[20:])
    assert not stage.track.sound_enabled("a")
    assert stage.events.heard("a").level(0.1, 0.9) == pytest.approx(0.354, abs=0.02)


async def test_an_answer_that_comes_too_late_is_ignored(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe(sound=Sound(file="low.wav"))
    stage.subscribe("b", sound=Sound(file="low.wav"))
    stage.track.unsubscribe("b")
    await stage.sound(Sound(file="high.wav"))
    stage.play(opus(np.zeros(RATE // 2)))
    assert not stage.events.heard("a").spans(300)
    assert stage.events.heard("a").spans(2000)


async def test_a_failure_of_a_sound_no_longer_asked_for_is_ignored(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe(sound=Sound(file="missing.wav"))
    stage.subscribe(sound=Sound(file="low.wav"))
    await asyncio.gather(*stage.track._loads.values(), return_exceptions=True)
    await asyncio.sleep(0)
    assert not stage.events.changes
    stage.play(opus(np.zeros(RATE // 2)))
    assert stage.events.heard("a").spans(300)


async def test_a_sound_that_is_ended_before_it_is_read_never_plays(sounds: Path) -> None:
    stage = Stage(sounds)
    stage.subscribe(sound=Sound(file="low.wav"))
    stage.subscribe(sound=None)
    await asyncio.gather(*stage.track._loads.values())
    await asyncio.sleep(0)
    stage.play(opus(np.zeros(RATE // 2)))
    assert not stage.events.changes
    assert not stage.events.heard("a").spans(300)


# ---------------------------------------------------------------------------------------------- gaps and the wall clock


def test_a_lost_packet_is_concealed_and_a_pause_is_silent() -> None:
    stage = Stage()
    stage.subscribe()
    packets = opus(tone(1000, 3.0))
    stage.play(packets[:40] + packets[41:75] + packets[100:])
    heard = stage.events.heard("a")
    assert heard.level(0.79, 0.82) > 0.2
    assert heard.peak(1.65, 1.95) < 0.001
    assert heard.level(2.05, 2.8) == pytest.approx(0.354, abs=0.02)
    for at in np.arange(0.1, 2.8, 0.01):
        assert heard.peak(at, at + 0.01) < 0.75


def test_damage_does_not_raise_and_keeps_time() -> None:
    stage = Stage()
    stage.subscribe()
    source = beeps(3.0)
    packets = opus(source)
    for number in range(5, 140, 7):
        position, packet = packets[number]
        packets[number] = (position, SoundPacket(0, 0.0, (b"\xfb\x82\xfc", b"", packet.payload[:1])[number % 3]))
    stage.play(packets)
    assert stage.track.statistics.corrupt > 5
    assert abs(stage.events.heard("a").lag(source)) <= 48


def test_without_a_track_the_wall_clock_paces_silence() -> None:
    stage = Stage(codec=None)
    stage.subscribe()
    stage.track.advance(-7200)
    assert not stage.events.tags
    for position in range(0, 2 * RATE, 2400):
        stage.track.advance(position)
        behind = position - len(stage.events.tags.get("a", [])) * BLOCK
        assert behind <= 3 * BLOCK
    assert stage.events.heard("a").peak(0.0, 1.8) == 0.0


async def test_a_file_plays_without_a_track(sounds: Path) -> None:
    stage = Stage(sounds, codec=None)
    await stage.sound(Sound(file="low.wav"))
    for position in range(0, RATE, 2400):
        stage.track.advance(position)
    [(start, end)] = stage.events.heard("a").spans(300)
    assert (start, end) == pytest.approx((0.0, 0.5), abs=BLOCK_SECONDS)


def test_live_sound_lines_up_again_after_the_wall_clock_ran_ahead() -> None:
    stage = Stage()
    stage.subscribe()
    source = beeps(3.0)
    packets = opus(source)
    stage.play(packets[:50])
    for position in range(RATE, 2 * RATE, 2400):
        stage.track.advance(position)
    stage.play(packets[90:])
    assert stage.track.statistics.late > 5
    heard = stage.events.heard("a")
    assert abs(heard.lag(source)) <= 48
    assert [round(start, 1) for start, _ in heard.spans(1000)] == [0.2, 0.8, 2.2, 2.8]


def test_packets_that_are_always_late_are_heard_all_the_same() -> None:
    """400 ms behind the wall clock, where the fallback is only 150 ms behind."""
    stage = Stage()
    stage.subscribe()
    for position, packet in opus(tone(440, 4.0)):
        if position // 960 % 3 == 0:
            stage.track.advance(position + round((0.4 - 0.15) * RATE))
        stage.track.live(packet, position)
    heard = stage.events.heard("a")
    assert heard.level(0.6, 3.8) == pytest.approx(0.354, abs=0.01)
    assert stage.track.statistics.late < 20


def test_a_long_jump_is_filled_in_steps() -> None:
    stage = Stage()
    stage.subscribe()
    stage.track.advance(60 * RATE)
    assert len(stage.events.tags["a"]) <= live.FILL_LIMIT / BLOCK
    for _ in range(12):
        stage.track.advance(60 * RATE)
    assert stage.events.heard("a").peak(0, 59) == 0.0


def test_a_new_publisher_goes_on_after_a_gap_in_time() -> None:
    stage = Stage()
    stage.subscribe()
    stage.play(opus(tone(440, 0.5)))
    before = len(stage.events.tags["a"])
    stage.track.set_codec(None)
    stage.track.set_codec("PCMA")
    stage.track.restart(10 * RATE)
    assert len(stage.events.tags["a"]) == before
    source = beeps(2.0)
    stage.play(g711(beeps(2.0, 8000), "PCMA", 10 * RATE - 480))  # its first samples lie before the restart
    tags = stage.events.tags["a"]
    times = [tag.time for tag in tags]
    assert times == sorted(set(times))
    assert 10_000 <= times[before] < 10_022
    stage.events.tags["a"] = tags[before:]
    assert abs(stage.events.heard("a").lag(source, 10 * RATE - 480)) <= 48


async def test_a_sound_waits_for_the_publisher(sounds: Path) -> None:
    stage = Stage(sounds, codec=None)
    await stage.sound(Sound(file="low.wav"))
    assert stage.track.sound_enabled("a")
    stage.track.set_codec("opus")
    stage.track.restart(5 * RATE)
    stage.play(opus(np.zeros(RATE), 5 * RATE))
    [(start, end)] = stage.events.heard("a").spans(300)
    assert (start, end) == pytest.approx((5.0, 5.5), abs=BLOCK_SECONDS + 0.01)


def test_bad_codec() -> None:
    with pytest.raises(ValueError, match="codec: must be"):
        Stage(codec="G722")
