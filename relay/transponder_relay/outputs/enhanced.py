"""Enhanced RTMP (version 2, Veovera Software Organization): codecs that have no number in FLV, named by FourCC.

The bodies are as FFmpeg 8 writes and reads them. AVC and AAC keep their old form, which enhanced servers take as well.
"""

from enum import StrEnum

from transponder_relay.media import VideoConfig
from transponder_relay.outputs import amf


class FourCC(StrEnum):
    HEVC = "hvc1"
    AV1 = "av01"
    VP9 = "vp09"
    OPUS = "Opus"

    @property
    def number(self) -> int:
        """As metadata have it."""
        return int.from_bytes(self.encode())


_CAN_FORWARD = 4
_VIDEO = (FourCC.HEVC, FourCC.AV1, FourCC.VP9)
CAPABILITIES: dict[str, amf.Value] = {
    "fourCcList": [str(code) for code in FourCC],
    "videoFourCcInfoMap": {str(code): _CAN_FORWARD for code in _VIDEO},
    "audioFourCcInfoMap": {str(FourCC.OPUS): _CAN_FORWARD},
    "capsEx": 0,  # neither reconnect requests, nor multitrack, ModEx or nanoseconds
}
"""What is added to the connect command."""

# ExVideoTagHeader: IsExHeader, VideoFrameType (1 key, 2 inter), VideoPacketType
_EX_KEY, _EX_INTER = 0x90, 0xA0
_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X = 0, 1, 3


def video_config(code: FourCC, width: int, height: int, record: bytes) -> VideoConfig:
    """`record`: HEVCDecoderConfigurationRecord, AV1CodecConfigurationRecord, or the `vpcC` box's content of VP9."""
    return VideoConfig(width, height, bytes((_EX_KEY | _SEQUENCE_START,)) + code.encode() + record, code.number)


def video_body(code: FourCC, keyframe: bool, frame: bytes) -> bytes:
    """`frame`: NAL units with 4-byte lengths of HEVC, a temporal unit of AV1, a frame of VP9. Composition time is 0."""
    kind = _CODED_FRAMES_X if code is FourCC.HEVC else _CODED_FRAMES  # the others have no composition time at all
    return bytes(((_EX_KEY if keyframe else _EX_INTER) | kind,)) + code.encode() + frame
