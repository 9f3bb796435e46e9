"""Gives an IDR picture another `idr_pic_id` without decoding it (ITU-T H.264, 7.3.3). Pure.

The id is a code of variable length in the header of each slice, so what follows it moves by some bits: with CAVLC all
of the slice, with CABAC the rest of the header alone, since the slice's data begin at a whole byte.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from transponder_relay.ingest.bits import Bits, InvalidSyntax, rbsp
from transponder_relay.ingest.h264_syntax import HIGH_PROFILES, parse_slice_pps
from transponder_relay.media import ParameterSets

_IDR = 5
_INTRA = (2, 7)


class _Sequence(NamedTuple):
    """What of an SPS (7.3.2.1.1) says how slice headers are to be read."""

    separate_planes: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    delta_always_zero: bool
    frames_only: bool


class _Picture(NamedTuple):
    """The same of a PPS (7.3.2.2)."""

    cabac: bool
    order_in_slices: bool
    redundant: bool
    deblocking: bool


def with_idr_pic_id(avcc: bytes, sets: ParameterSets, number: int) -> bytes:
    """The access unit (NAL units with 4-byte lengths) with that id in its IDR slices.

    Raises InvalidSyntax for what it does not know: field pictures, slice groups, slices other than intra ones.
    """
    sequence = _sequence(sets.sps[0])
    pictures = {_id_of(pps): pps for pps in sets.pps}
    units = []
    for nal in _nal_units(avcc):
        if nal[0] & 31 == _IDR:
            pps = pictures.get(parse_slice_pps(nal))
            if pps is None:
                raise InvalidSyntax("H.264: the slice refers to a parameter set that is not in force")
            nal = _renumbered(nal, sequence, _picture(pps), number)
        units.append(len(nal).to_bytes(4) + nal)
    return b"".join(units)


def _nal_units(avcc: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(avcc):
        end = at + 4 + int.from_bytes(avcc[at : at + 4])
        yield avcc[at + 4 : end]
        at = end


# ------------------------------------------------------------------------------------------ parameter sets


def _sequence(nal: bytes) -> _Sequence:
    bits = rbsp(nal)
    profile = bits.read(8)
    bits.read(16)  # constraint flags, level
    bits.unsigned()  # seq_parameter_set_id
    separate_planes = profile in HIGH_PROFILES and _separate_planes(bits)
    frame_num_bits = bits.unsigned() + 4
    order_type = bits.unsigned()
    order_bits, delta_always_zero = 0, False
    if order_type == 0:
        order_bits = bits.unsigned() + 4
    elif order_type == 1:
        delta_always_zero = bits.flag()
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    bits.unsigned()  # pic_width_in_mbs_minus1
    bits.unsigned()  # pic_height_in_map_units_minus1
    return _Sequence(separate_planes, frame_num_bits, order_type, order_bits, delta_always_zero, bits.flag())


def _separate_planes(bits: Bits) -> bool:
    """separate_colour_plane_flag, and on to log2_max_frame_num_minus4."""
    separate = bits.unsigned() == 3 and bits.flag()
    bits.unsigned()  # bit_depth_luma_minus8
    bits.unsigned()  # bit_depth_chroma_minus8
    bits.flag()  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():
        raise InvalidSyntax("H.264: scaling matrices")
    return separate


def _id_of(pps: bytes) -> int:
    return rbsp(pps).unsigned()


def _picture(nal: bytes) -> _Picture:
    bits = rbsp(nal)
    bits.unsigned()  # pic_parameter_set_id
    bits.unsigned()  # seq_parameter_set_id
    cabac, order_in_slices = bits.flag(), bits.flag()
    if bits.unsigned():
        raise InvalidSyntax("H.264: slice groups")
    bits.unsigned()  # num_ref_idx_l0_default_active_minus1
    bits.unsigned()  # num_ref_idx_l1_default_active_minus1
    bits.read(3)  # weighted_pred_flag, weighted_bipred_idc
    bits.signed()  # pic_init_qp_minus26
    bits.signed()  # pic_init_qs_minus26
    bits.signed()  # chroma_qp_index_offset
    deblocking = bits.flag()
    bits.flag()  # constrained_intra_pred_flag
    return _Picture(cabac, order_in_slices, bits.flag(), deblocking)


# ------------------------------------------------------------------------------------------ slices


def _renumbered(nal: bytes, sequence: _Sequence, picture: _Picture, number: int) -> bytes:
    bits = rbsp(nal)
    _read_to_id(bits, sequence)
    start = bits.position
    bits.unsigned()
    end = bits.position
    plain = nal[1:].replace(b"\0\0\3", b"\0\0").rstrip(b"\0")
    if not picture.cabac:
        moved = _moved(plain, start, end, 8 * len(plain), number)  # with the stop bit; zeros complete the last byte
        return nal[:1] + _escaped(moved)
    _read_to_data(bits, nal[0] >> 5 & 3 != 0, sequence, picture)
    moved = _moved(plain, start, end, bits.position, number, fill=1)
    return nal[:1] + _escaped(moved + plain[-(-bits.position // 8) :])


def _moved(rbsp: bytes, start: int, end: int, last: int, number: int, fill: int = 0) -> bytes:
    """Bits 0 to `start`, ue(`number`) (9.1), and bits `end` to `last`, made whole bytes with bits `fill`."""
    value, size = int.from_bytes(rbsp), 8 * len(rbsp)
    width = 2 * (number + 1).bit_length() - 1
    result = value >> (size - start) << width | (number + 1)
    result = result << (last - end) | (value >> (size - last) & ((1 << (last - end)) - 1))
    length = start + width + last - end
    missing = -length % 8
    result = result << missing | (fill * ((1 << missing) - 1))
    return result.to_bytes((length + missing) // 8).rstrip(b"\0" if not fill else b"")


def _escaped(rbsp: bytes) -> bytes:
    """With emulation prevention (7.4.1)."""
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", rbsp)


def _read_to_id(bits: Bits, sequence: _Sequence) -> None:
    bits.unsigned()  # first_mb_in_slice
    if bits.unsigned() not in _INTRA:
        raise InvalidSyntax("H.264: an IDR slice of another type than I")
    bits.unsigned()  # pic_parameter_set_id
    if sequence.separate_planes:
        bits.read(2)
    bits.read(sequence.frame_num_bits)
    if not sequence.frames_only and bits.flag():
        raise InvalidSyntax("H.264: a field picture")


def _read_to_data(bits: Bits, reference: bool, sequence: _Sequence, picture: _Picture) -> None:
    """What of the header follows the id in an I slice of a frame."""
    if sequence.order_type == 0:
        bits.read(sequence.order_bits)
        if picture.order_in_slices:
            bits.signed()
    elif sequence.order_type == 1 and not sequence.delta_always_zero:
        bits.signed()
        if picture.order_in_slices:
            bits.signed()
    if picture.redundant:
        bits.unsigned()
    if reference:
        bits.read(2)  # dec_ref_pic_marking of an IDR picture
    bits.signed()  # slice_qp_delta
    if picture.deblocking and bits.unsigned() != 1:
        bits.signed()
        bits.signed()
