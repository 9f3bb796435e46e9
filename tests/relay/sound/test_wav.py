"""Parsing WAV files: every format that is taken, every rule that is broken."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import riff, tone, wav

from transponder_relay.sound.wav import WavError, parse_wav

FMT = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)


def fmt(tag: int = 1, channels: int = 1, rate: int = 8000, align: int = 2, bits: int = 16) -> bytes:
    return struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("bits", "floating"), [(8, False), (16, False), (24, False), (32, False), (32, True), (64, True)]
)
def test_takes_each_sample_format(bits: int, floating: bool, channels: int) -> None:
    parsed = parse_wav(wav(tone(440, 0.1, rate=44_100), 44_100, channels, bits, floating))
    assert (parsed.bits, parsed.floating, parsed.channels, parsed.rate) == (bits, floating, channels, 44_100)
    assert parsed.frames == 4410


def test_takes_the_extensible_format_and_skips_other_chunks() -> None:
    extension = struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    content = riff((b"LIST", b"odd"), (b"fmt ", fmt(0xFFFE) + extension), (b"fact", b"1234"), (b"data", b"abcd"))
    assert bytes(parse_wav(content).data) == b"abcd"


def test_data_longer_than_the_file_ends_with_the_file() -> None:
    content = bytearray(riff((b"fmt ", FMT), (b"data", b"abcde")))
    content[40:44] = b"\xff\xff\xff\xff"
    assert bytes(parse_wav(bytes(content)).data) == b"abcdef"[:4] + b"e\0"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "RIFF WAV"),
        (b"RIFX0000WAVE", "RIFF WAV"),
        (riff(), "'data' chunk"),
        (riff((b"fmt ", FMT)), "'data' chunk"),
        (riff((b"data", b"ab"), (b"fmt ", FMT)), "before the 'data'"),
        (riff((b"fmt ", FMT[:10]), (b"data", b"ab")), "16 bytes"),
        (riff((b"fmt ", FMT), (b"data", b"a")), "at least one sample"),
        (riff((b"fmt ", fmt(tag=2)), (b"data", b"ab")), "must be PCM"),
        (riff((b"fmt ", fmt(bits=12)), (b"data", b"ab")), "must be PCM"),
        (riff((b"fmt ", fmt(tag=3)), (b"data", b"ab")), "must be PCM"),
        (riff((b"fmt ", fmt(tag=0xFFFE)), (b"data", b"ab")), "subformat"),
        (riff((b"fmt ", fmt(channels=3, align=6)), (b"data", b"ab" * 3)), "mono or stereo"),
        (riff((b"fmt ", fmt(rate=0)), (b"data", b"ab")), "sample rate"),
        (riff((b"fmt ", fmt(rate=400_000)), (b"data", b"ab")), "sample rate"),
        (riff((b"fmt ", fmt(align=4)), (b"data", b"abcd")), "block alignment"),
        (riff((b"fmt ", fmt(rate=1000, bits=8, align=1)), (b"data", bytes(3_600_001))), "longer than 3600 s"),
    ],
)
def test_says_which_rule_is_broken(content: bytes, rule: str) -> None:
    with pytest.raises(WavError, match=rule):
        parse_wav(content)


@given(st.binary(max_size=100), st.binary(max_size=60), st.integers(0, 60), st.binary(max_size=4))
def test_any_bytes_give_a_wav_or_its_error(noise: bytes, chunk: bytes, place: int, patch: bytes) -> None:
    whole = riff((b"fmt ", FMT), (b"data", chunk))
    damaged = whole[:place] + patch + whole[place + len(patch) :]
    for content in (noise, b"RIFF\0\0\0\0WAVE" + noise, riff((b"fmt ", noise), (b"data", chunk)), damaged):
        try:
            parsed = parse_wav(content)
        except WavError:
            continue
        assert parsed.frames >= 1
        assert len(parsed.data) == parsed.frames * parsed.frame_bytes
