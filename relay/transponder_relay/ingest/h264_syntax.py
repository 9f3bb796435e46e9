"""The little of H.264 (ITU-T H.264, 7.3) that a relay must read: parameter set ids, picture size, slice's PPS. Pure."""

from typing import NamedTuple

from transponder_relay.ingest.bits import Bits, InvalidSyntax, rbsp
from transponder_relay.media import SampleFormat

# profiles whose SPS carries the chroma format fields (7.3.2.1.1)
HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_MAX_SIZE = 16384


class SequenceParameters(NamedTuple):
    id: int
    width: int
    """Luma samples after cropping."""
    height: int
    samples: SampleFormat


class PictureParameters(NamedTuple):
    id: int
    sequence_id: int


def parse_sps(nal: bytes) -> SequenceParameters:
    """7.3.2.1.1, up to the cropping rectangle. Raises InvalidSyntax."""
    if len(nal) < 4:
        raise InvalidSyntax("H.264: the SPS is too short")
    bits = rbsp(nal)
    profile = bits.read(8)
    bits.read(16)  # constraint flags, level
    identifier = bits.unsigned()
    if identifier > 31:
        raise InvalidSyntax("H.264: seq_parameter_set_id exceeds 31")
    samples, chroma_array_type = _read_sample_format(bits) if profile in HIGH_PROFILES else (SampleFormat(), 1)
    bits.unsigned()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    width = 16 * (bits.unsigned() + 1)
    height = 16 * (bits.unsigned() + 1)
    frame_mbs_only = bits.flag()
    if not frame_mbs_only:
        height *= 2
        bits.flag()  # mb_adaptive_frame_field_flag
    bits.flag()  # direct_8x8_inference_flag
    if bits.flag():
        crop_x, crop_y = _crop_units(chroma_array_type, frame_mbs_only)
        width -= crop_x * (bits.unsigned() + bits.unsigned())
        height -= crop_y * (bits.unsigned() + bits.unsigned())
    if not (0 < width <= _MAX_SIZE and 0 < height <= _MAX_SIZE):
        raise InvalidSyntax("H.264: the picture size is out of range")
    return SequenceParameters(identifier, width, height, samples)


def _read_sample_format(bits: Bits) -> tuple[SampleFormat, int]:
    """The format and ChromaArrayType; passes over scaling matrices."""
    chroma_format = bits.unsigned()
    separate_planes = chroma_format == 3 and bits.flag()
    samples = SampleFormat(chroma_format, bits.unsigned(), bits.unsigned())
    if chroma_format > 3 or samples.bit_depth_luma_minus8 > 6 or samples.bit_depth_chroma_minus8 > 6:
        raise InvalidSyntax("H.264: the chroma format or a bit depth is out of range")
    bits.flag()  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():
        for index in range(8 if chroma_format != 3 else 12):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return samples, 0 if separate_planes else chroma_format


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _skip_picture_order(bits: Bits) -> None:
    order_type = bits.unsigned()
    if order_type == 0:
        bits.unsigned()
    elif order_type == 1:
        bits.flag()
        bits.signed()
        bits.signed()
        cycle = bits.unsigned()
        if cycle > 255:
            raise InvalidSyntax("H.264: num_ref_frames_in_pic_order_cnt_cycle exceeds 255")
        for _ in range(cycle):
            bits.signed()


def _crop_units(chroma_array_type: int, frame_mbs_only: bool) -> tuple[int, int]:
    """CropUnitX and CropUnitY (7.4.2.1.1)."""
    x = 2 if chroma_array_type in (1, 2) else 1
    y = 2 if chroma_array_type == 1 else 1
    return x, y * (2 - frame_mbs_only)


def parse_pps(nal: bytes) -> PictureParameters:
    """7.3.2.2, the two ids. Raises InvalidSyntax."""
    bits = rbsp(nal[:16])
    parameters = PictureParameters(bits.unsigned(), bits.unsigned())
    if parameters.id > 255 or parameters.sequence_id > 31:
        raise InvalidSyntax("H.264: parameter set id out of range")
    return parameters


def parse_slice_pps(nal: bytes) -> int:
    """The PPS that a slice uses (7.3.3); the first 16 bytes of the NAL unit are enough. Raises InvalidSyntax."""
    bits = rbsp(nal[:16])
    bits.unsigned()  # first_mb_in_slice
    bits.unsigned()  # slice_type
    return bits.unsigned()
