"""x264 for one picture size: a picture in, an access unit's NAL units out at once."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.codec.context import Flags
from av.video.frame import PictureType

from transponder_relay.transcode.rate import NOMINAL_RATE

_TIME_BASE = Fraction(1, NOMINAL_RATE)
_LEVELS = ((1_620, "3.0"), (3_600, "3.1"), (5_120, "3.2"), (8_192, "4.2"), (36_864, "5.2"))
"""Macroblocks of a picture and the level that takes them 30 times a second (H.264 table A-1)."""
MAX_PIXELS = _LEVELS[-1][0] * 256
_LARGE = 1280 * 720
"""Pixels above which the fastest preset is taken: superfast takes twice the time."""


class Form(NamedTuple):
    """What pictures must have in common to go through one encoder."""

    width: int
    """Luma samples; even, as 4:2:0 in H.264 has it."""
    height: int
    colorspace: int
    """As FFmpeg's AVColorSpace, which is that of H.264 table E-5."""
    color_range: int
    """As FFmpeg's AVColorRange: 2 is full."""


class EncodedPicture(NamedTuple):
    keyframe: bool
    avcc: bytes
    """NAL units with 4-byte lengths, without parameter sets."""


class Encoder:
    """Raises av.FFmpegError where x264 refuses, ValueError for a picture that no level takes."""

    def __init__(self, form: Form, bits_per_picture: int) -> None:
        self.form = form
        self.bits_per_picture = bits_per_picture
        self._context = _open(form, bits_per_picture * NOMINAL_RATE)
        self.parameter_sets = tuple(_parameter_sets(self._context.extradata or b""))
        """NAL units of SPS and PPS."""
        self._number = 0

    def encode(self, frame: av.VideoFrame, keyframe: bool) -> EncodedPicture:
        """`frame` has the form of this encoder; it is changed. The first picture is a keyframe anyway."""
        frame.pts = self._number
        frame.time_base = _TIME_BASE
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._number += 1
        (packet,) = self._context.encode(frame)  # zerolatency: one in, one out
        return EncodedPicture(packet.is_keyframe, bytes(packet))


def _open(form: Form, bitrate: int) -> "av.VideoCodecContext":
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = form.width, form.height, "yuv420p"
    context.colorspace, context.color_range = form.colorspace, form.color_range
    context.time_base, context.framerate = _TIME_BASE, Fraction(NOMINAL_RATE)
    context.thread_count = 1
    context.bit_rate = bitrate
    context.flags |= Flags.global_header  # parameter sets in extradata alone
    context.options = {
        "preset": "superfast" if form.width * form.height <= _LARGE else "ultrafast",
        "tune": "zerolatency",
        "level": _level(form),
        "maxrate": str(bitrate),
        "bufsize": str(bitrate),
        "forced-idr": "1",
        # keyframes come when they are asked for, and close the group of pictures
        "x264-params": "keyint=infinite:scenecut=0:open-gop=0:annexb=0",
    }
    context.open()
    return context


def _level(form: Form) -> str:
    macroblocks = ((form.width + 15) // 16) * ((form.height + 15) // 16)
    level = next((level for most, level in _LEVELS if macroblocks <= most), None)
    if level is None:  # fewer pixels than MAX_PIXELS can take more macroblocks
        raise ValueError("the picture is too large")
    return level


def _parameter_sets(record: bytes) -> Iterator[bytes]:
    """NAL units of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1.2)."""
    at = 5
    for mask in (31, 255):
        count = record[at] & mask
        at += 1
        for _ in range(count):
            end = at + 2 + int.from_bytes(record[at : at + 2])
            yield record[at + 2 : end]
            at = end
