"""What comes out of the pipeline: the same pictures in H.264, keyframes where they belong, one header."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from support.clip import Clip, av1_clip, avcc_nals, hevc_clip, vpx_clip
from support.likeness import decoded, likeness

from transponder_relay.media import AccessUnit, CodedPicture
from transponder_relay.outputs.flv import avc_configuration_record
from transponder_relay.transcode.encoder import MAX_PIXELS, Encoder, Form
from transponder_relay.transcode.pipeline import DamagedPicture, Pipeline, with_start_codes

CAP = 4_000_000
DECODERS = {"VP8": "vp8", "VP9": "vp9", "AV1": "libdav1d", "H265": "hevc"}


def source(codec: str) -> Clip:
    match codec:
        case "AV1":
            return av1_clip()
        case "H265":
            return hevc_clip()
        case _:
            return vpx_clip(codec)


@pytest.fixture(scope="module")
def rare() -> Clip:
    """Six seconds with one keyframe, as a browser sends them that is not asked for more."""
    return vpx_clip("VP8", seconds=6, gop=9999)


def coded(clip: Clip, numbers: Sequence[int], step: int = 3000, start: int = 0) -> Iterator[CodedPicture]:
    for place, number in enumerate(numbers):
        picture = clip.pictures[number]
        nals = picture.nals if clip.codec != "H265" else [len(nal).to_bytes(4) + nal for nal in picture.nals]
        yield CodedPicture(start + place * step, place / 30, picture.keyframe, b"".join(nals))


def transcode(pipeline: Pipeline, pictures: Iterator[CodedPicture]) -> list[AccessUnit]:
    return [unit for unit in map(pipeline.transcode, pictures) if unit is not None]


def luma(units: list[AccessUnit]) -> list:  # type: ignore[type-arg]
    return decoded("h264", (u.avcc for u in units), avc_configuration_record(units[0].parameter_sets))


@pytest.mark.parametrize("codec", DECODERS)
def test_every_picture_comes_out_at_once_and_looks_the_same(codec: str) -> None:
    clip = source(codec)
    pipeline = Pipeline(codec, CAP)
    units = []
    for picture in coded(clip, range(75)):
        unit = pipeline.transcode(picture)
        assert unit is not None
        assert (unit.rtp_time, unit.arrival) == (picture.rtp_time, picture.arrival)
        units.append(unit)
    assert len({id(unit.parameter_sets) for unit in units}) == 1
    sets = units[0].parameter_sets
    assert (sets.width, sets.height, len(sets.sps), len(sets.pps)) == (640, 360, 1, 1)
    frames = (p.frame for p in coded(clip, range(75)))
    before = decoded(DECODERS[codec], map(with_start_codes, frames) if codec == "H265" else frames)
    result = luma(units)
    assert len(result) == 75
    assert min(map(likeness, before, result)) > 28


def test_an_access_unit_has_slices_only(rare: Clip) -> None:
    units = transcode(Pipeline("VP8", CAP), coded(rare, range(70)))
    kinds = [[nal[0] & 31 for nal in avcc_nals(unit.avcc)] for unit in units]
    for unit, found in zip(units, kinds, strict=True):
        assert found in ([[5], [6, 5]] if unit.keyframe else [[1]]), "x264 signs its first picture with an SEI"


@pytest.mark.parametrize(("interval", "step"), [(2.0, 3000), (1.0, 3000), (2.0, 2970), (1.0, 7000), (3.0, 45000)])
def test_keyframes_at_the_interval_whatever_the_source_makes(rare: Clip, interval: float, step: int) -> None:
    pipeline = Pipeline("VP8", CAP)
    pipeline.keyframe_interval = interval
    units = transcode(pipeline, coded(rare, range(150), step))
    keys = [u.rtp_time for u in units if u.keyframe]
    gaps = {(b - a) / 90000 for a, b in pairwise(keys)}
    assert max(gaps) <= interval + 0.001
    assert min(gaps) > interval - step / 90000 - 0.001


def test_a_keyframe_when_it_is_wanted_but_not_two_in_half_a_second(rare: Clip) -> None:
    pipeline = Pipeline("VP8", CAP)
    keys = []
    for number, picture in enumerate(coded(rare, range(60))):
        if number in (5, 21):
            pipeline.keyframe_wanted = True
        unit = pipeline.transcode(picture)
        assert unit is not None
        if unit.keyframe:
            keys.append(number)
    assert keys == [0, 15, 30]


def test_a_new_size_begins_with_a_keyframe_and_other_parameter_sets() -> None:
    one, two = vpx_clip("VP8"), vpx_clip("VP8", seconds=2, width=320, height=180)
    pipeline = Pipeline("VP8", CAP)
    units = transcode(pipeline, coded(one, range(20)))
    units += transcode(pipeline, coded(two, range(20), start=20 * 3000))
    units += transcode(pipeline, coded(one, range(20), start=40 * 3000))
    assert [n for n, u in enumerate(units) if u.keyframe] == [0, 20, 40]
    assert [(u.parameter_sets.width, u.parameter_sets.height) for u in units[::20]] == [
        (640, 360),
        (320, 180),
        (640, 360),
    ]
    assert len({id(u.parameter_sets) for u in units}) == 3, "the same object until the size changes"


def test_the_rate_follows_the_source_without_other_parameter_sets() -> None:
    pipeline = Pipeline("VP8", CAP)
    poor, rich = vpx_clip("VP8", bitrate="200k"), vpx_clip("VP8", bitrate="1500k")
    units = transcode(pipeline, coded(poor, range(180)))
    units += transcode(pipeline, coded(rich, range(180), start=180 * 3000))
    assert len({id(u.parameter_sets) for u in units}) == 1
    for clip, settled in ((poor, units[120:180]), (rich, units[300:360])):
        sent = sum(len(p.nals[0]) for p in clip.pictures[120:180])
        assert sum(len(u.avcc) for u in settled) == pytest.approx(1.2 * sent, rel=0.3)
    assert len(luma(units)) == 360


def test_pictures_that_are_not_encoded_are_still_references(rare: Clip) -> None:
    pipeline = Pipeline("VP8", CAP)
    units = [pipeline.transcode(p, encode=n % 3 == 0) for n, p in enumerate(coded(rare, range(60)))]
    made = [u for u in units if u is not None]
    assert len(made) == 20
    source = decoded("vp8", (p.nals[0] for p in rare.pictures[:60]))[::3]
    assert min(map(likeness, source, luma(made))) > 28


def test_an_odd_size_loses_a_line() -> None:
    clip = vpx_clip("VP8", seconds=1, width=321, height=181, gop=30)
    units = transcode(Pipeline("VP8", CAP), coded(clip, range(5)))
    assert (units[0].parameter_sets.width, units[0].parameter_sets.height) == (320, 180)
    assert len(luma(units)) == 5


def test_a_picture_that_does_not_decode_is_damage_and_a_keyframe_heals_it() -> None:
    clip = vpx_clip("VP8")
    pipeline = Pipeline("VP8", CAP)
    before = transcode(pipeline, coded(clip, range(10)))
    with pytest.raises(DamagedPicture, match="bytes"):
        pipeline.transcode(CodedPicture(30_000, 0.0, False, b"\x01\xff\xff"))
    after = transcode(pipeline, coded(clip, range(60, 70), start=180_000))
    assert [u.keyframe for u in after] == [True] + [False] * 9
    assert after[0].parameter_sets is before[0].parameter_sets
    source = decoded("vp8", (p.nals[0] for p in clip.pictures[60:70]))
    assert min(map(likeness, source, luma(after))) > 28


def test_a_picture_too_large_to_be_meant_takes_no_memory() -> None:
    header = b"\x10\x02\x00\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(600)  # a keyframe of 16383 x 16383
    with pytest.raises(DamagedPicture):
        Pipeline("VP8", CAP).transcode(CodedPicture(0, 0.0, True, header))


def test_a_picture_that_no_level_takes_is_refused() -> None:
    """Its pixels are few enough, but they lie in more macroblocks."""
    assert MAX_PIXELS >= 3074 * 3070
    with pytest.raises(ValueError, match="too large"):
        Encoder(Form(3074, 3070, 2, 1), 10_000)
