"""Opus and G.711 decoding: exact counts, exact places, damage."""

import random
from array import array

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import Samples, beeps, g711, opus, tone

from transponder_relay.sound.concealment import LONGEST, concealed
from transponder_relay.sound.decoders import OpusDecoder, decoder_of, opus_duration
from transponder_relay.sound.live import LiveLine


def left(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").reshape(-1, 2)[:, 0] / 32767


@pytest.mark.parametrize(
    ("payload", "samples"),
    [
        (b"\x00", 480),  # SILK 10 ms
        (b"\x18", 2880),  # SILK 60 ms
        (b"\x60", 480),  # hybrid 10 ms
        (b"\x78", 960),
        (b"\x80", 120),  # CELT 2.5 ms
        (b"\xf8", 960),
        (b"\xf9", 1920),  # two frames
        (b"\xfa", 1920),
        (b"\xfb\x06", 5760),
        (b"\xfb\x07", None),  # longer than 120 ms
        (b"\xfb\x00", None),
        (b"\xfb", None),
        (b"", None),
    ],
)
def test_duration_by_toc(payload: bytes, samples: int | None) -> None:
    assert opus_duration(payload) == samples


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("stereo", {"b": "128000"}),
        ("mono", {"b": "10000", "application": "voip"}),  # SILK
        ("mono", {"b": "24000", "application": "voip"}),  # hybrid
        ("mono", {"b": "64000", "frame_duration": "5"}),
    ],
)
def test_opus_has_no_delay(layout: str, options: dict[str, str]) -> None:
    packets = opus(beeps(1.0), layout=layout, **options)
    decoder = OpusDecoder()
    pcm = [decoder.decode(packet.payload) for _, packet in packets]
    assert [len(p) // 4 for p in pcm] == [opus_duration(packet.payload) for _, packet in packets]
    start, heard = packets[0][0], left(b"".join(pcm))
    onset = int(np.flatnonzero(np.abs(heard) > 0.1)[0]) + start
    assert abs(onset - 12_000) <= 48


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_g711_is_resampled_in_place(codec: str) -> None:
    decoder = decoder_of(codec)
    heard = np.zeros(48_000)
    end = 0
    for position, packet in g711(beeps(1.0, 8000), codec):
        start = position - decoder.held
        pcm = left(decoder.decode(packet.payload))
        assert start == end
        end = start + len(pcm)
        heard[start:end] = pcm
    assert 0 < decoder.held < 200
    assert abs(int(np.flatnonzero(np.abs(heard) > 0.1)[0]) - 12_000) <= 48
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.03)


def test_a_lost_opus_packet_is_concealed() -> None:
    packets = [packet.payload for _, packet in opus(tone(440, 0.4))]
    decoder = OpusDecoder()
    for payload in packets[:10]:
        decoder.decode(payload)
    lost = left(decoder.conceal(960))
    assert len(lost) == 960
    assert np.sqrt(np.mean(lost**2)) > 0.2  # the tone goes on
    long = left(decoder.conceal(48_000))
    assert len(long) == 4800
    assert np.abs(long[-48:]).max() < 0.02  # and fades
    assert len(decoder.decode(packets[12])) == 960 * 4


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize("pitch", [90, 150, 190])
def test_lost_g711_goes_on_at_its_pitch_and_fades(codec: str, pitch: int) -> None:
    line = LiveLine()
    line.set_decoder(decoder_of(codec))
    line.listen(True)
    packets = g711(tone(pitch, 1.0, rate=8000), codec)
    size = packets[1][0] - packets[0][0]
    for number, (position, packet) in enumerate(packets):
        if number not in (10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29):
            line.write(packet.payload, position)
    blocks = iter(line.take, None)
    heard = left(b"".join(block for block in blocks if block))
    whole = np.sin(2 * np.pi * pitch * np.arange(len(heard)) / 48_000) * 0.5
    lost = slice(10 * size, 11 * size)
    off = heard[lost][:720] - whole[lost][:720]
    assert np.sqrt(np.mean(off**2)) < 0.1, "nearly what was lost, at first"
    gone = heard[20 * size + 2880 : 29 * size]
    assert len(gone) > 960 * 5
    assert np.abs(gone).max() < 0.01, "no drone"
    assert line.statistics.concealed == pytest.approx(size + 2880, abs=60)


def test_without_a_past_there_is_nothing_to_go_on_from() -> None:
    assert not concealed(array("h"), 160)
    assert not concealed(array("h", [0] * 280), 160)
    assert len(concealed(array("h", range(280)), 10_000)) == LONGEST


@given(st.lists(st.integers(-32768, 32767), min_size=280, max_size=280), st.integers(0, 600))
def test_any_past_can_be_gone_on_from(past: list[int], count: int) -> None:
    assert len(concealed(array("h", past), count)) <= count


def test_damaged_opus_raises_one_error_and_decoding_goes_on() -> None:
    chance = random.Random(7)
    good = [packet.payload for _, packet in opus(tone(440, 1.0))]
    decoder = OpusDecoder()
    failed = 0
    for number in range(1000):
        payload = bytearray(good[number % len(good)])
        for _ in range(3):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        damaged = bytes(payload[: chance.randrange(1, len(payload))])
        try:
            pcm = decoder.decode(damaged)
        except av.FFmpegError:
            failed += 1
        else:
            assert len(pcm) // 4 == opus_duration(damaged)
    assert failed
    heard = left(b"".join(decoder.decode(payload) for payload in good))
    assert np.abs(heard[4800:]).max() == pytest.approx(0.5, abs=0.05)


def test_a_reset_forgets_everything() -> None:
    packets = [packet.payload for _, packet in opus(tone(440, 0.2))]
    used, fresh = OpusDecoder(), OpusDecoder()
    for payload in packets:
        used.decode(payload)
    used.reset()
    assert used.conceal(960) == b""
    assert [used.decode(payload) for payload in packets] == [fresh.decode(payload) for payload in packets]


def test_other_codecs_are_refused() -> None:
    with pytest.raises(ValueError, match="must be opus, PCMU or PCMA"):
        decoder_of("G722")
