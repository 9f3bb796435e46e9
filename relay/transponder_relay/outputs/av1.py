"""AV1 as it came, for servers of enhanced RTMP ("AV1 Codec ISO Media File Format Binding" 1.2, section 2.3)."""

from transponder_relay.ingest.av1_syntax import SEQUENCE_HEADER, SequenceHeader, obu_type, obus, parse_sequence_header
from transponder_relay.media import VideoConfig
from transponder_relay.outputs.enhanced import FourCC, video_config
from transponder_relay.outputs.tagger import Tagger

_MARKER_AND_VERSION = 0x81


class Av1Tagger(Tagger):
    """Temporal units; described by the sequence header in a keyframe's."""

    CODE = FourCC.AV1

    def _read(self, keyframe: bytes) -> tuple[VideoConfig | None, bytes]:
        obu = next((obu for obu in obus(keyframe) if obu_type(obu) == SEQUENCE_HEADER), None)
        if not obu:
            return None, keyframe
        header = parse_sequence_header(obu)
        return video_config(self.CODE, header.width, header.height, _record(header) + obu), keyframe


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
