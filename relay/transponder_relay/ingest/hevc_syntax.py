"""The little of HEVC (ITU-T H.265, 7.3) that a relay must read: NAL units, sequence parameter sets. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from transponder_relay.ingest.bits import Bits, InvalidSyntax, rbsp

VPS: Final = 32
SPS: Final = 33
PPS: Final = 34
PARAMETER_SETS: Final = (VPS, SPS, PPS)
HEADER_BYTES: Final = 2
_PROFILE_BYTES = 12
"""general_profile_space to general_level_idc."""
_MAX_SIZE = 16384
_MAX_SUB_LAYERS = 7
_MOST_PPS_ID = 63


def nal_type(nal: bytes) -> int:
    return nal[0] >> 1 & 63


def is_slice(kind: int) -> bool:
    return kind < VPS


def is_random_access(kind: int) -> bool:
    """IDR, CRA and BLA pictures: decoding can begin there."""
    return 16 <= kind <= 21


def nal_units(picture: bytes) -> Iterator[bytes]:
    """Those of a picture with 4-byte lengths. Raises InvalidSyntax."""
    at = 0
    while at < len(picture):
        end = at + 4 + int.from_bytes(picture[at : at + 4])
        if end > len(picture) or end < at + 4 + HEADER_BYTES:
            raise InvalidSyntax("HEVC: a NAL unit is cut off")
        yield picture[at + 4 : end]
        at = end


def parameter_set_id(nal: bytes) -> int:
    """Of a VPS or PPS. Of the SPS, whose id lies deeper, one is in force: 0. Raises InvalidSyntax."""
    bits = rbsp(nal[:16], HEADER_BYTES)
    match nal_type(nal):
        case 32:
            return bits.read(4)
        case 34:
            identifier = bits.unsigned()
            if identifier > _MOST_PPS_ID:
                raise InvalidSyntax("HEVC: impossible id of a PPS")
            return identifier
        case _:
            return 0


class SequenceParameters(NamedTuple):
    profile: bytes
    """general_profile_space to general_level_idc: 12 bytes, as HEVCDecoderConfigurationRecord has them."""
    sub_layers: int
    nesting: bool
    """sps_temporal_id_nesting_flag"""
    chroma_format: int
    luma_depth: int
    """Bits above 8."""
    chroma_depth: int
    width: int
    """Luma samples within the conformance window."""
    height: int


def parse_sps(nal: bytes) -> SequenceParameters:
    """7.3.2.2.1, up to the bit depths. Raises InvalidSyntax."""
    bits = rbsp(nal, HEADER_BYTES)
    bits.read(4)  # sps_video_parameter_set_id
    sub_layers = bits.read(3) + 1
    if sub_layers > _MAX_SUB_LAYERS:
        raise InvalidSyntax("HEVC: too many sub-layers")
    nesting = bits.flag()
    profile = bits.read(8 * _PROFILE_BYTES).to_bytes(_PROFILE_BYTES)
    _skip_sub_layers(bits, sub_layers)
    bits.unsigned()  # sps_seq_parameter_set_id
    chroma = bits.unsigned()
    if chroma > 3:
        raise InvalidSyntax("HEVC: unknown chroma format")
    separate = chroma == 3 and bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    if bits.flag():  # conformance_window_flag
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (left + right) * (2 if chroma in (1, 2) and not separate else 1)
        height -= (top + bottom) * (2 if chroma == 1 and not separate else 1)
    if not (0 < width <= _MAX_SIZE and 0 < height <= _MAX_SIZE):
        raise InvalidSyntax("HEVC: impossible picture size")
    luma_depth, chroma_depth = bits.unsigned(), bits.unsigned()
    if max(luma_depth, chroma_depth) > 8:
        raise InvalidSyntax("HEVC: impossible bit depth")
    return SequenceParameters(profile, sub_layers, nesting, chroma, luma_depth, chroma_depth, width, height)


def _skip_sub_layers(bits: Bits, sub_layers: int) -> None:
    """The rest of profile_tier_level (7.3.3)."""
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers - 1)]
    if present:
        bits.read(2 * (8 - len(present)))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
