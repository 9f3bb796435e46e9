import base64
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clip import clip

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.h264_parameters import ParameterStore, sprop_nal_units
from transponder_relay.ingest.h264_syntax import parse_pps, parse_slice_pps, parse_sps
from transponder_relay.outputs.flv import avc_configuration_record


def encoded_sps(width: int, height: int, options: dict[str, str], pixels: str = "yuv420p") -> bytes:
    """The SPS that libx264 writes."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, pixels
    context.time_base = Fraction(1, 30)
    context.options = {"preset": "ultrafast", "tune": "zerolatency"} | options
    frame = av.VideoFrame(width, height, pixels)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    data = b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])
    units = [u.rstrip(b"\0") for u in data.split(b"\0\0\1")]
    return next(u for u in units if u and u[0] & 31 == 7)


@pytest.mark.parametrize(
    ("width", "height", "options", "pixels"),
    [
        (640, 360, {"profile": "baseline"}, "yuv420p"),
        (1280, 720, {"profile": "main"}, "yuv420p"),
        (1920, 1080, {"profile": "high"}, "yuv420p"),
        (1920, 1080, {"profile": "high", "x264-params": "interlaced=1"}, "yuv420p"),
        (642, 362, {"profile": "high422"}, "yuv422p"),
        (641, 363, {"profile": "high444"}, "yuv444p"),
        (320, 240, {"profile": "high", "x264-params": "cqm=jvt"}, "yuv420p"),
        (
            3840,
            2160,
            {
                "profile": "high",
            },
            "yuv420p",
        ),
    ],
)
def test_size_after_cropping(width: int, height: int, options: dict[str, str], pixels: str) -> None:
    sps = parse_sps(encoded_sps(width, height, options, pixels))
    assert (sps.width, sps.height) == (width, height)


@given(st.binary(max_size=60))
def test_any_bytes_give_parameters_or_invalid_syntax(data: bytes) -> None:
    for parse in (parse_sps, parse_pps, parse_slice_pps):
        try:
            parse(data)
        except InvalidSyntax:
            continue


def test_every_cut_of_an_sps_is_invalid_or_whole() -> None:
    sps = encoded_sps(640, 360, {"profile": "high"})
    whole = parse_sps(sps)
    for end in range(len(sps)):
        try:
            assert parse_sps(sps[:end]) == whole
        except InvalidSyntax:
            continue


def test_sprop_parameter_sets() -> None:
    sps, pps = clip().pictures[0].nals[:2]
    text = f"{base64.b64encode(sps).decode()},{base64.b64encode(pps).decode()}"
    assert sprop_nal_units(text) == [sps, pps]
    assert sprop_nal_units("") == []
    assert sprop_nal_units("!!,") == []


def test_the_store_keeps_its_object_until_something_changes() -> None:
    sps, pps, idr = clip().pictures[0].nals
    store = ParameterStore()
    assert store.current() is None
    with pytest.raises(InvalidSyntax, match="never came"):
        store.activate(idr[:16])
    store.add(sps)
    store.add(pps)
    assert store.current() is None, "nothing is in force before an IDR picture"
    store.activate(idr[:16])
    first = store.current()
    assert first is not None
    assert (first.sps, first.pps, first.width, first.height) == ((sps,), (pps,), 640, 360)
    store.add(sps)
    store.activate(idr[:16])
    assert store.current() is first
    store.add(encoded_sps(320, 240, {"profile": "baseline"}))  # the same id, another content
    changed = store.current()
    assert changed is not None
    assert (changed.width, changed.height) == (320, 240)


def test_a_malformed_set_changes_nothing() -> None:
    sps, pps, idr = clip().pictures[0].nals
    store = ParameterStore()
    store.add(sps)
    store.add(pps)
    store.activate(idr[:16])
    before = store.current()
    for bad in (sps[:5], b"\x67", b"\x68", pps + b"\x80" * 0x10000):
        with pytest.raises(InvalidSyntax):
            store.add(bad)
    assert store.current() is before


def test_more_parameter_sets_than_a_configuration_record_holds() -> None:
    sps, pps, idr = clip().pictures[0].nals
    store = ParameterStore()
    for nal in (sps, pps, *(picture_parameters(identifier) for identifier in range(1, 256))):
        store.add(nal)
    store.activate(idr[:16])
    sets = store.current()
    assert sets is not None
    assert sets.pps[0] == pps
    assert avc_configuration_record(sets)


def picture_parameters(identifier: int) -> bytes:
    """The beginning of a PPS of that id for SPS 0."""
    code = f"{identifier + 1:b}"
    bits = "0" * (len(code) - 1) + code + "1"
    return b"\x68" + int(bits.ljust(24, "1"), 2).to_bytes(3)
