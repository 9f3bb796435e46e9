"""Sound files as blocks: level, frequency, length, loop, and the library that loads them."""

from pathlib import Path

import numpy as np
import pytest
from support.sounds import BLOCK, RATE, Samples, tone, wav

from transponder_relay.sound.clip import Clip, ClipReader
from transponder_relay.sound.library import Library, SoundFileError
from transponder_relay.sound.wav import parse_wav


def read(reader: ClipReader, blocks: int) -> Samples:
    pcm = b"".join(reader.read() for _ in range(blocks))
    stereo = np.frombuffer(pcm, "<i2").reshape(-1, 2)
    assert (stereo[:, 0] == stereo[:, 1]).all()
    assert len(stereo) == blocks * BLOCK
    return stereo[:, 0] / 32767


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize(
    ("bits", "floating"), [(8, False), (16, False), (24, False), (32, False), (32, True), (64, True)]
)
def test_every_format_plays_in_place_and_at_its_level(rate: int, channels: int, bits: int, floating: bool) -> None:
    clip = Clip(parse_wav(wav(tone(400, 0.2, rate=rate), rate, channels, bits, floating)))
    assert clip.length == RATE // 5
    played = read(ClipReader(clip, loop=False), 11)
    wanted = np.pad(tone(400, 0.2), (0, 11 * BLOCK - RATE // 5))
    inner = slice(500, RATE // 5 - 500)  # the filter rings at the edges
    assert np.abs(played - wanted)[inner].max() < (0.02 if bits == 8 else 0.004)
    assert np.abs(played[RATE // 5 + 500 :]).max() < 0.005


def test_a_reader_can_begin_in_the_middle() -> None:
    clip = Clip(parse_wav(wav(tone(400, 0.2, rate=16_000), 16_000)))
    whole = read(ClipReader(clip, loop=False), 8)
    rest = read(ClipReader(clip, loop=False, offset=3 * BLOCK), 5)
    assert np.abs(rest - whole[3 * BLOCK :])[200:].max() < 0.001


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_loop_has_no_seam(rate: int) -> None:
    clip = Clip(parse_wav(wav(tone(400, 0.05, rate=rate), rate)))  # whole periods: the tone goes on
    played = read(ClipReader(clip, loop=True), 30)
    assert np.abs(played - tone(400, 30 * BLOCK / RATE)[: 30 * BLOCK])[200:].max() < 0.004


def test_a_loop_of_one_sample_plays() -> None:
    clip = Clip(parse_wav(wav(np.array([0.25]))))
    assert read(ClipReader(clip, loop=True, offset=5000), 2) == pytest.approx(0.25, abs=0.001)


def test_values_that_are_no_numbers_play_as_something_finite() -> None:
    samples = tone(400, 0.1)
    samples[100:110] = (np.nan, np.inf, -np.inf, 1e30, -1e30, np.nan, 5, -5, 0, 0)
    played = read(ClipReader(Clip(parse_wav(wav(samples, 44_100, 1, 32, True))), loop=False), 4)
    assert np.abs(played).max() <= 32768 / 32767
    assert np.abs(played[1000:4000]).max() == pytest.approx(0.5, abs=0.01)  # and it recovers


def test_a_file_is_loaded_once_until_it_changes(tmp_path: Path) -> None:
    library = Library(tmp_path)
    (tmp_path / "a.wav").write_bytes(wav(tone(400, 0.1)))
    first = library.load("a.wav")
    assert library.load("a.wav") is first
    (tmp_path / "a.wav").write_bytes(wav(tone(400, 0.2)))
    assert library.load("a.wav").length == 2 * first.length


def test_links_may_stay_in_the_folder_but_not_leave_it(tmp_path: Path) -> None:
    (tmp_path / "outside.wav").write_bytes(wav(tone(400, 0.1)))
    folder = tmp_path / "sounds"
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "in.wav").write_bytes(wav(tone(400, 0.1)))
    (folder / "in.wav").symlink_to("..data/in.wav")
    (folder / "out.wav").symlink_to("../outside.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    library = Library(folder)
    assert library.load("in.wav").length == RATE // 10
    for name in ("out.wav", "loop.wav"):
        with pytest.raises(SoundFileError):
            library.load(name)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("missing.wav", "No such file"),
        ("../a.wav", "must be the name"),
        ("a/b.wav", "must be the name"),
        ("a.wav\n", "must be the name"),
        (".", "must be the name"),
        ("", "must be the name"),
        ("folder.wav", "regular file"),
        ("text.wav", "RIFF WAV"),
        ("big.wav", "50 MiB"),
    ],
)
def test_what_cannot_be_played_is_refused_without_paths(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "text.wav").write_text("hello")
    with (tmp_path / "big.wav").open("wb") as big:
        big.truncate(50 * 1024 * 1024 + 1)
    with pytest.raises(SoundFileError, match=rule) as caught:
        Library(tmp_path).load(name)
    assert str(tmp_path) not in str(caught.value)


def test_without_a_folder_there_are_no_sounds() -> None:
    with pytest.raises(SoundFileError, match="no sounds folder"):
        Library(None).load("a.wav")
