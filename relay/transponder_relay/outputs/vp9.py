"""VP9 as it came, for servers of enhanced RTMP: what the sequence header says is read from the keyframe.

VP9 bitstream specification 0.6, section 7.2; "VP Codec ISO Media File Format Binding" 1.0 for the record.
"""

from struct import Struct

from transponder_relay.media import VideoConfig
from transponder_relay.outputs.enhanced import FourCC, video_config
from transponder_relay.outputs.tagger import Tagger

_SYNC_CODE = b"\x49\x83\x42"
_SRGB = 7
_LEVELS = (
    (36_864, 10), (73_728, 11), (122_880, 20), (245_760, 21), (552_960, 30), (983_040, 31), (2_228_224, 40),
    (8_912_896, 50), (35_651_584, 60),
)  # fmt: skip
"""Luma samples of a picture and the level that takes them (annex A)."""
_RECORD = Struct(">IBBBBBBH").pack
_UNSPECIFIED = 2
"""Colour primaries, transfer and matrix: VP9 does not tell the first two."""


class Vp9Tagger(Tagger):
    """Pictures of profile 0."""

    CODE = FourCC.VP9

    def _read(self, keyframe: bytes) -> tuple[VideoConfig | None, bytes]:
        return _config(keyframe), keyframe


def _config(frame: bytes) -> VideoConfig | None:
    """By the uncompressed header of a keyframe of profile 0; None if it is another one.

    In bits: frame_marker 2, profile 2, show_existing_frame 1, frame_type 1, show_frame 1, error_resilient_mode 1,
    frame_sync_code 24, color_space 3, color_range 1, frame_width_minus_1 16, frame_height_minus_1 16.
    """
    if len(frame) < 9 or frame[0] >> 4 != 0b1000 or frame[1:4] != _SYNC_CODE or frame[4] >> 5 == _SRGB:
        return None
    bits = int.from_bytes(frame[4:9])
    full_range = bits >> 36 & 1
    width, height = (bits >> 20 & 0xFFFF) + 1, (bits >> 4 & 0xFFFF) + 1
    level = next((level for most, level in _LEVELS if width * height <= most), _LEVELS[-1][1])
    # version 1, profile 0, level, 8 bits with 4:2:0 colocated with luma, no codec initialisation data
    record = _RECORD(1 << 24, 0, level, 8 << 4 | 1 << 1 | full_range, _UNSPECIFIED, _UNSPECIFIED, _UNSPECIFIED, 0)
    return video_config(FourCC.VP9, width, height, record)
