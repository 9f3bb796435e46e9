"""The little of AV1 (AV1 bitstream specification 1.0.0) that a relay must read: OBUs and sequence headers. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from transponder_relay.ingest.bits import Bits, InvalidSyntax

SEQUENCE_HEADER: Final = 1
TEMPORAL_DELIMITER: Final = 2
FRAME_HEADER: Final = 3
TILE_LIST: Final = 8
FRAME: Final = 6
PADDING: Final = 15

_HAS_SIZE, _EXTENDED = 0x02, 0x04
_LONGEST = 512
"""Bytes of a sequence header, with room: 32 operating points take 350."""
_BT709, _SRGB, _IDENTITY = 1, 13, 0
_UNSPECIFIED = 2


def obu_type(obu: bytes) -> int:
    return obu[0] >> 3 & 15


def read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends (4.10.5). Raises InvalidSyntax."""
    value = 0
    for index, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise InvalidSyntax("AV1: leb128 is cut off or too long")


def leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def payload_of(obu: bytes) -> bytes:
    """What follows its header, whether that tells a size or not. Raises InvalidSyntax."""
    if not obu or obu[0] & 0x80:
        raise InvalidSyntax("AV1: not an OBU")
    at = 2 if obu[0] & _EXTENDED else 1
    size = len(obu) - at
    if obu[0] & _HAS_SIZE:
        size, at = read_leb128(obu, at)
    if not 0 <= size <= len(obu) - at:
        raise InvalidSyntax("AV1: an OBU is cut off")
    return obu[at : at + size]


def with_size(obu: bytes) -> bytes:
    """The same OBU in the low-overhead format (5.2). Raises InvalidSyntax."""
    payload = payload_of(obu)
    head = bytes((obu[0] | _HAS_SIZE,)) + (obu[1:2] if obu[0] & _EXTENDED else b"")
    return head + leb128(len(payload)) + payload


def obus(unit: bytes) -> Iterator[bytes]:
    """Those of a temporal unit in the low-overhead format. Raises InvalidSyntax."""
    at = 0
    while at < len(unit):
        if not unit[at] & _HAS_SIZE:
            raise InvalidSyntax("AV1: an OBU without its size")
        size, start = read_leb128(unit, at + (2 if unit[at] & _EXTENDED else 1))
        if start + size > len(unit):
            raise InvalidSyntax("AV1: an OBU is cut off")
        yield unit[at : start + size]
        at = start + size


def begins_with_key_frame(frame: bytes) -> bool:
    """By the payload of a frame (header) OBU: not shown from before, a key frame, shown (5.9.2)."""
    return bool(frame) and frame[0] >> 4 == 0b0001


class SequenceHeader(NamedTuple):
    """What `av1C` and metadata say."""

    profile: int
    level: int
    tier: int
    high_bitdepth: int
    twelve_bit: int
    monochrome: int
    subsampling_x: int
    subsampling_y: int
    sample_position: int
    width: int
    height: int


def parse_sequence_header(obu: bytes) -> SequenceHeader:
    """5.5.1. Raises InvalidSyntax."""
    bits = Bits(payload_of(obu)[:_LONGEST])
    profile = bits.read(3)
    bits.flag()  # still_picture
    reduced = bits.flag()
    level, tier = (bits.read(5), 0) if reduced else _operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    if not reduced and bits.flag():  # frame_id_numbers_present_flag
        bits.read(7)
    bits.read(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not reduced:
        _tools(bits)
    bits.read(3)  # enable_superres, enable_cdef, enable_restoration
    return SequenceHeader(profile, level, tier, *_color_config(bits, profile), width, height)


def _operating_points(bits: Bits) -> tuple[int, int]:
    """Timing, and level and tier of the first operating point."""
    delay_bits = 0
    if bits.flag():  # timing_info_present_flag
        bits.read(64)
        if bits.flag():  # equal_picture_interval
            bits.unsigned()
        if bits.flag():  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_display_delay = bits.flag()
    points = [_operating_point(bits, delay_bits, has_display_delay) for _ in range(bits.read(5) + 1)]
    return points[0]


def _operating_point(bits: Bits, delay_bits: int, has_display_delay: bool) -> tuple[int, int]:
    bits.read(12)  # operating_point_idc
    level = bits.read(5)
    tier = bits.read(1) if level > 7 else 0
    if delay_bits and bits.flag():  # operating_parameters_info
        bits.read(2 * delay_bits + 1)
    if has_display_delay and bits.flag():
        bits.read(4)
    return level, tier


def _tools(bits: Bits) -> None:
    bits.read(4)  # interintra and masked compound, warped motion, dual filter
    has_order_hint = bits.flag()
    if has_order_hint:
        bits.read(2)
    forces_screen_content = bits.flag() or bits.flag()  # chosen by each frame, or for all
    if forces_screen_content and not bits.flag():  # seq_choose_integer_mv
        bits.read(1)
    if has_order_hint:
        bits.read(3)


def _color_config(bits: Bits, profile: int) -> tuple[int, int, int, int, int, int]:
    """5.5.2, in the order of SequenceHeader."""
    high = bits.read(1)
    twelve = bits.read(1) if profile == 2 and high else 0
    monochrome = 0 if profile == 1 else bits.read(1)
    described = (bits.read(8), bits.read(8), bits.read(8)) if bits.flag() else (_UNSPECIFIED,) * 3
    if monochrome:
        return high, twelve, 1, 1, 1, 0
    if described == (_BT709, _SRGB, _IDENTITY):
        return high, twelve, 0, 0, 0, 0
    bits.read(1)  # color_range
    x, y = _subsampling(bits, profile, twelve)
    return high, twelve, 0, x, y, bits.read(2) if x and y else 0


def _subsampling(bits: Bits, profile: int, twelve: int) -> tuple[int, int]:
    if profile == 0:
        return 1, 1
    if profile == 1:
        return 0, 0
    if not twelve:
        return 1, 0
    x = bits.read(1)
    return x, bits.read(1) if x else 0
