"""IDR pictures with another `idr_pic_id`: the same picture, and one that a decoder tells from the one before."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.codec.context import Flags
from support.clip import avcc_nals

from transponder_relay.ingest.bits import InvalidSyntax, rbsp
from transponder_relay.ingest.h264_idr import with_idr_pic_id
from transponder_relay.ingest.h264_parameters import ParameterStore
from transponder_relay.media import ParameterSets

WIDTH, HEIGHT = 176, 144
FORMS = {
    "cavlc": "cabac=0:bframes=0",
    "cabac": "cabac=1:bframes=0",
    "cabac, several slices": "cabac=1:bframes=0:slices=4",
    "cavlc, several slices": "cabac=0:bframes=0:slices=3",
    "no deblocking": "cabac=1:no-deblock=1",
    "8x8 transform": "cabac=1:8x8dct=1",
}


def encoded(form: str, noise: int = 1) -> tuple[bytes, ParameterSets]:
    """One IDR picture of noise, and its parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 30), Fraction(30), 1
    encoder.flags |= Flags.global_header
    encoder.options = {"tune": "zerolatency", "x264-params": f"{form}:annexb=0"}
    encoder.open()
    samples = np.random.default_rng(noise).integers(0, 255, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
    frame.pts = 0
    (packet,) = encoder.encode(frame)
    avcc = b"".join(len(nal).to_bytes(4) + nal for nal in avcc_nals(bytes(packet)) if nal[0] & 31 == 5)
    return avcc, parameter_sets(bytes(encoder.extradata or b""), avcc)


def parameter_sets(record: bytes, avcc: bytes) -> ParameterSets:
    store, at = ParameterStore(), 5
    for mask in (31, 255):
        count, at = record[at] & mask, at + 1
        for _ in range(count):
            end = at + 2 + int.from_bytes(record[at : at + 2])
            store.add(record[at + 2 : end])
            at = end
    store.activate(avcc[4:])
    sets = store.current()
    assert sets is not None
    return sets


def decoded(sets: ParameterSets, *pictures: bytes) -> list[bytes]:
    """What FFmpeg makes of pictures in one stream without any delimiter but their own headers (Annex B)."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    start = b"\0\0\0\1"
    stream = start + sets.sps[0] + start + start.join(sets.pps)
    for picture in pictures:
        stream += b"".join(start + nal for nal in avcc_nals(picture))
    frames = []
    for packet in [*decoder.parse(stream), *decoder.parse(None)]:
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    assert not any(frame.is_corrupt for frame in frames)
    return [frame.to_ndarray().tobytes() for frame in frames]


def idr_pic_id(nal: bytes) -> int:
    """x264 writes frame_num in 4 bits where there are few reference frames."""
    bits = rbsp(nal)
    for _ in range(3):
        bits.unsigned()
    bits.read(4)
    return bits.unsigned()


@pytest.mark.parametrize("form", FORMS)
def test_the_picture_stays_and_the_id_is_another(form: str) -> None:
    avcc, sets = encoded(FORMS[form])
    others = [with_idr_pic_id(avcc, sets, number) for number in (65533, 65534, 1)]
    assert [idr_pic_id(avcc_nals(other)[-1]) for other in others] == [65533, 65534, 1]
    frames = decoded(sets, avcc, *others)
    assert len(frames) == 4
    assert len(set(frames)) == 1


@pytest.mark.parametrize("form", FORMS)
def test_back_to_the_old_id_is_the_old_picture_bit_by_bit(form: str) -> None:
    for noise in range(8):
        avcc, sets = encoded(FORMS[form], noise)
        old = idr_pic_id(avcc_nals(avcc)[0])
        assert with_idr_pic_id(with_idr_pic_id(avcc, sets, 65533), sets, old) == avcc


def test_no_start_code_appears() -> None:
    for noise in range(20):
        avcc, sets = encoded(FORMS["cavlc"], noise)
        for nal in avcc_nals(with_idr_pic_id(avcc, sets, 65534)):
            assert not any(bytes((0, 0, n)) in nal for n in range(3))
            assert nal[-1]


def test_other_nal_units_stay_as_they_are() -> None:
    avcc, sets = encoded(FORMS["cavlc"])
    sei = bytes((6, 5, 1, 0, 0x80))
    framed = len(sei).to_bytes(4) + sei
    assert with_idr_pic_id(framed + avcc, sets, 5) == framed + with_idr_pic_id(avcc, sets, 5)


def test_what_is_not_understood_is_refused() -> None:
    avcc, sets = encoded(FORMS["cavlc"])
    without = ParameterSets(sets.sps, (), WIDTH, HEIGHT)
    with pytest.raises(InvalidSyntax):
        with_idr_pic_id(avcc, without, 5)
    inter = avcc[:4] + bytes((0x65, 0b10011111, 0xFF)) + avcc[7:]  # slice_type 0: P
    with pytest.raises(InvalidSyntax):
        with_idr_pic_id(inter, sets, 5)
