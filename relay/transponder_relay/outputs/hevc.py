"""HEVC as it came, for servers of enhanced RTMP (ISO/IEC 14496-15, 8.3.3.1.2)."""

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.hevc_syntax import (
    PARAMETER_SETS,
    SPS,
    SequenceParameters,
    nal_type,
    nal_units,
    parse_sps,
)
from transponder_relay.media import CodedPicture, VideoConfig, VideoTag
from transponder_relay.outputs.enhanced import FourCC, video_body, video_config

_COMPLETE = 0x80
"""Of an array: there are no others of its kind in the pictures, as `hvc1` says."""


class HevcTagger:
    """Pictures into tags; one for a relay, since the tags are shared by all outputs."""

    def __init__(self) -> None:
        self._config: VideoConfig | None = None

    def tag(self, picture: CodedPicture, time: int) -> VideoTag | None:
        """`time`: stream clock, ms. None before the first keyframe, and after one that cannot be read."""
        frame = picture.frame
        if picture.keyframe:
            try:
                frame = self._take(frame)
            except InvalidSyntax:
                self._config = None
        if self._config is None:
            return None
        return VideoTag(time, picture.keyframe, video_body(FourCC.HEVC, picture.keyframe, frame), self._config)

    def _take(self, frame: bytes) -> bytes:
        """The keyframe without its parameter sets, which go into the configuration. Raises InvalidSyntax."""
        nals = list(nal_units(frame))
        sets = {kind: [nal for nal in nals if nal_type(nal) == kind] for kind in PARAMETER_SETS}
        if all(sets.values()):
            sps = parse_sps(sets[SPS][0])
            config = video_config(FourCC.HEVC, sps.width, sps.height, _record(sps, sets))
            if config != self._config:
                self._config = config
        rest = (nal for nal in nals if nal_type(nal) not in PARAMETER_SETS)
        return b"".join(part for nal in rest for part in (len(nal).to_bytes(4), nal))


def _record(sps: SequenceParameters, sets: dict[int, list[bytes]]) -> bytes:
    """HEVCDecoderConfigurationRecord; neither segmentation, parallelism nor frame rate is told."""
    record = bytearray((1, *sps.profile, 0xF0, 0, 0xFC, 0xFC | sps.chroma_format))
    record += bytes((0xF8 | sps.luma_depth, 0xF8 | sps.chroma_depth, 0, 0))
    record += bytes((sps.sub_layers << 3 | sps.nesting << 2 | 3, len(sets)))  # lengths of 4 bytes
    for kind, nals in sets.items():
        record += bytes((_COMPLETE | kind,)) + len(nals).to_bytes(2)
        record += b"".join(len(nal).to_bytes(2) + nal for nal in nals)
    return bytes(record)
