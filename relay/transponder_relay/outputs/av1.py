"""AV1 as it came, for servers of enhanced RTMP ("AV1 Codec ISO Media File Format Binding" 1.2, section 2.3)."""

from transponder_relay.ingest.av1_syntax import SEQUENCE_HEADER, SequenceHeader, obu_type, obus, parse_sequence_header
from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.media import CodedPicture, VideoConfig, VideoTag
from transponder_relay.outputs.enhanced import FourCC, video_body, video_config

_MARKER_AND_VERSION = 0x81


class Av1Tagger:
    """Temporal units into tags; one for a relay, since the tags are shared by all outputs."""

    def __init__(self) -> None:
        self._config: VideoConfig | None = None

    def tag(self, picture: CodedPicture, time: int) -> VideoTag | None:
        """`time`: stream clock, ms. None before the first keyframe, and after one that cannot be read."""
        if picture.keyframe:
            config = _config(picture.frame)
            if config != self._config:
                self._config = config
        if self._config is None:
            return None
        return VideoTag(time, picture.keyframe, video_body(FourCC.AV1, picture.keyframe, picture.frame), self._config)


def _config(unit: bytes) -> VideoConfig | None:
    """By the sequence header in a keyframe's temporal unit; None if it cannot be read."""
    try:
        obu = next((obu for obu in obus(unit) if obu_type(obu) == SEQUENCE_HEADER), None)
        header = parse_sequence_header(obu) if obu else None
    except InvalidSyntax:
        return None
    if obu is None or header is None:
        return None
    return video_config(FourCC.AV1, header.width, header.height, _record(header) + obu)


def _record(header: SequenceHeader) -> bytes:
    """AV1CodecConfigurationRecord without its OBUs (section 2.3.3); the presentation delay is not told."""
    samples = (
        header.tier << 7
        | header.high_bitdepth << 6
        | header.twelve_bit << 5
        | header.monochrome << 4
        | header.subsampling_x << 3
        | header.subsampling_y << 2
        | header.sample_position
    )
    return bytes((_MARKER_AND_VERSION, header.profile << 5 | header.level, samples, 0))
