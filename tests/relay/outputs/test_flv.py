import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.flv import Flv

from transponder_relay.ingest.h264_syntax import parse_sps
from transponder_relay.media import AccessUnit, ParameterSets
from transponder_relay.outputs import flv


@pytest.mark.parametrize("profile", ["baseline", "main", "high", "high10", "high422", "high444"])
def test_the_configuration_record_is_that_of_ffmpeg(tmp_path: Path, profile: str) -> None:
    path = tmp_path / "x.flv"
    formats = {"high10": "yuv420p10", "high422": "yuv422p10", "high444": "yuv444p"}
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=64x48:r=5", "-frames:v", "1", "-c:v", "libx264"]
    command += ["-pix_fmt", formats.get(profile, "yuv420p"), "-profile:v", profile, str(path)]
    subprocess.run(command, check=True, timeout=20)
    record = Flv.read(path).video_headers[0].body[5:]
    sets = parse(record)
    assert flv.avc_configuration_record(sets) == record
    assert flv.video_config(sets).sequence_header == Flv.read(path).video_headers[0].body


def parse(record: bytes) -> ParameterSets:
    """One SPS and one PPS."""
    size = int.from_bytes(record[6:8])
    sps, rest = record[8 : 8 + size], record[8 + size :]
    samples = parse_sps(sps).samples
    return ParameterSets((sps,), (rest[3 : 3 + int.from_bytes(rest[1:3])],), 64, 48, samples)


SETS = ParameterSets((bytes.fromhex("6742c01ed9"),), (bytes.fromhex("68ce3c80"),), 640, 360)


def unit(keyframe: bool, sets: ParameterSets = SETS) -> AccessUnit:
    return AccessUnit(0, 0.0, keyframe, b"\0\0\0\1e" if keyframe else b"\0\0\0\1A", sets)


def test_bodies() -> None:
    tagger = flv.VideoTagger()
    key, inter = tagger.tag(unit(True), 10), tagger.tag(unit(False), 43)
    assert (key.time, key.keyframe, key.body) == (10, True, bytes.fromhex("17 01 000000 00000001 65"))
    assert (inter.time, inter.keyframe, inter.body) == (43, False, bytes.fromhex("27 01 000000 00000001 41"))
    assert key.config is inter.config
    assert key.config.sequence_header.hex() == "17000000000142c01effe100056742c01ed901000468ce3c80"


def test_a_configuration_is_the_same_object_until_it_changes() -> None:
    tagger = flv.VideoTagger()
    first = tagger.tag(unit(True), 1).config
    assert tagger.tag(unit(True, replace(SETS)), 2).config is first
    other = tagger.tag(unit(True, replace(SETS, width=320)), 3).config
    assert other is not first
    assert (other.width, other.height) == (320, 360)
