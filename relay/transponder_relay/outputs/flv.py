"""FLV bodies: what RTMP carries as video, audio and metadata (Adobe Flash Video File Format 10.1, annex E.4).

access unit ── VideoTagger ──► VideoTag (with the VideoConfig in force)
"""

from transponder_relay.media import AccessUnit, AudioConfig, ParameterSets, VideoConfig, VideoTag
from transponder_relay.outputs import amf

# E.4.3.1: frame type (1 key, 2 inter) and codec, AVCPacketType, composition time. WebRTC has no B pictures: always 0.
_AVC_SEQUENCE_HEADER = bytes((0x17, 0, 0, 0, 0))
_AVC_KEYFRAME = bytes((0x17, 1, 0, 0, 0))
_AVC_INTER_FRAME = bytes((0x27, 1, 0, 0, 0))
AVC_HEAD_BYTES = len(_AVC_KEYFRAME)
"""Of a VIDEODATA body with AVC, before the access unit."""

_PROFILES_WITH_CHROMA = frozenset((100, 110, 122, 144, 244))
"""Those whose configuration record says chroma format and bit depths (ISO/IEC 14496-15, 5.3.3.1.2)."""


def video_config(sets: ParameterSets) -> VideoConfig:
    """VIDEODATA that precedes the first picture."""
    return VideoConfig(sets.width, sets.height, _AVC_SEQUENCE_HEADER + avc_configuration_record(sets))


def avc_configuration_record(sets: ParameterSets) -> bytes:
    """AVCDecoderConfigurationRecord with 4-byte NAL unit lengths (ISO/IEC 14496-15, 5.3.3.1.2)."""
    first = sets.sps[0]
    record = bytes((1, first[1], first[2], first[3], 0xFF, 0xE0 | len(sets.sps)))
    record += _with_lengths(sets.sps) + bytes((len(sets.pps),)) + _with_lengths(sets.pps)
    if first[1] in _PROFILES_WITH_CHROMA:
        chroma, luma_depth, chroma_depth = sets.samples
        record += bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0))
    return record


def _with_lengths(nal_units: tuple[bytes, ...]) -> bytes:
    return b"".join(len(nal).to_bytes(2) + nal for nal in nal_units)


class VideoTagger:
    """Access units into tags; one for a relay, since the tags are shared by all outputs."""

    def __init__(self) -> None:
        self._sets: ParameterSets | None = None
        self._config: VideoConfig | None = None

    def tag(self, unit: AccessUnit, time: int) -> VideoTag:
        """`time`: stream clock, ms."""
        config = self._config
        if config is None or unit.parameter_sets is not self._sets:
            config = self._configure(unit.parameter_sets)
        head = _AVC_KEYFRAME if unit.keyframe else _AVC_INTER_FRAME
        return VideoTag(time, unit.keyframe, head + unit.avcc, config)

    def _configure(self, sets: ParameterSets) -> VideoConfig:
        config = video_config(sets)
        if self._config is None or config != self._config:
            self._config = config
        self._sets = sets
        return self._config


def metadata(video: VideoConfig | None, audio: AudioConfig | None, encoder: str) -> bytes:
    """The body of the data message `@setDataFrame("onMetaData", ...)` (E.5)."""
    facts = amf.EcmaArray()
    if video is not None:
        facts |= {"width": video.width, "height": video.height, "videocodecid": video.codec_id}
    if audio is not None:
        facts |= {"audiocodecid": audio.codec_id}
        if audio.bitrate:
            facts |= {"audiodatarate": audio.bitrate / 1000}
        facts |= {
            "audiosamplerate": audio.sample_rate,
            "audiosamplesize": 16,
            "stereo": audio.channels == 2,
        }
    return amf.encode("@setDataFrame", "onMetaData", facts | {"encoder": encoder})
