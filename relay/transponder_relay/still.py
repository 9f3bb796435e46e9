"""The last picture, to be shown while the publisher is away."""

from dataclasses import replace
from itertools import cycle

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.h264_idr import with_idr_pic_id
from transponder_relay.media import ParameterSets, VideoTag
from transponder_relay.outputs.flv import AVC_HEAD_BYTES

_IDR_PIC_IDS = (65533, 65534)
"""Encoders count from 0, so these differ from their last one and their next one."""


class StillPicture:
    """A keyframe as many times as wanted. Without parameter sets it is no H.264, and repeated as it is.

    Two IDR pictures in a row must differ in `idr_pic_id` (H.264, 7.4.3), else a decoder may take them for one.
    """

    def __init__(self, keyframe: VideoTag, parameter_sets: ParameterSets | None) -> None:
        self._keyframe = keyframe
        self._bodies = cycle(_numbered(keyframe.body, parameter_sets) if parameter_sets else [keyframe.body])

    def at(self, time: int) -> VideoTag:
        """`time`: stream clock, ms."""
        return replace(self._keyframe, time=time, body=next(self._bodies))


def _numbered(body: bytes, sets: ParameterSets) -> list[bytes]:
    """The body once for each id; as it is where a slice is of a kind that WebRTC does not have."""
    head, avcc = body[:AVC_HEAD_BYTES], body[AVC_HEAD_BYTES:]
    try:
        return [head + with_idr_pic_id(avcc, sets, number) for number in _IDR_PIC_IDS]
    except InvalidSyntax:
        return [body]
