"""FLV bodies: what RTMP carries as video, audio and metadata (Adobe Flash Video File Format 10.1, annex E.4).

access unit ── VideoTagger ──► VideoTag (with the VideoConfig in force)
"""

from transponder_relay.media import AccessUnit, AudioConfig, ParameterSets, VideoConfig, VideoTag
from transponder_relay.outputs import amf

CODEC_AVC = 7
CODEC_AAC = 10

# E.4.3.1: frame type (1 key, 2 inter) and codec, AVCPacketType, composition time. WebRTC has no B pictures: always 0.
_AVC_SEQUENCE_HEADER = bytes((0x17, 0, 0, 0, 0))
_AVC_KEYFRAME = bytes((0x17, 1, 0, 0, 0))
_AVC_INTER_FRAME = bytes((0x27, 1, 0, 0, 0))
# E.4.2.1: AAC; the other bits are fixed for it (44 kHz, 16 bit, stereo), the truth is in the AudioSpecificConfig.
_AAC_SEQUENCE_HEADER = bytes((0xAF, 0))
_AAC_FRAME = bytes((0xAF, 1))

_PROFILES_WITH_CHROMA = frozenset((100, 110, 122, 144, 244))
"""Those whose configuration record says chroma format and bit depths (ISO/IEC 14496-15, 5.3.3.1.2)."""
_PROFILES_WITH_CHROMA_IN_SPS = _PROFILES_WITH_CHROMA | {44, 83, 86, 118, 128, 134, 135, 138, 139}


def aac_sequence_header(audio_specific_config: bytes) -> bytes:
    """AUDIODATA that precedes the first frame; the config is that of ISO/IEC 14496-3, 1.6.2.1."""
    return _AAC_SEQUENCE_HEADER + audio_specific_config


def aac_frame(raw: bytes) -> bytes:
    """AUDIODATA of one frame without ADTS header."""
    return _AAC_FRAME + raw


def video_config(sets: ParameterSets) -> VideoConfig:
    """VIDEODATA that precedes the first picture. Raises ValueError for sets that no configuration record can hold."""
    return VideoConfig(sets.width, sets.height, _AVC_SEQUENCE_HEADER + avc_configuration_record(sets))


def avc_configuration_record(sets: ParameterSets) -> bytes:
    """AVCDecoderConfigurationRecord with 4-byte NAL unit lengths (ISO/IEC 14496-15, 5.3.3.1.2). Raises ValueError."""
    if not 1 <= len(sets.sps) <= 31 or not 1 <= len(sets.pps) <= 255:
        raise ValueError("a configuration record holds 1 to 31 SPS and 1 to 255 PPS")
    if any(len(nal) > 0xFFFF for nal in (*sets.sps, *sets.pps)) or len(sets.sps[0]) < 4:
        raise ValueError("an SPS has 4 bytes at least, a parameter set 65535 at most")
    first = sets.sps[0]
    record = bytes((1, first[1], first[2], first[3], 0xFF, 0xE0 | len(sets.sps)))
    record += _with_lengths(sets.sps) + bytes((len(sets.pps),)) + _with_lengths(sets.pps)
    if first[1] in _PROFILES_WITH_CHROMA:
        chroma, luma_depth, chroma_depth = _chroma(first)
        record += bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0))
    return record


def _with_lengths(nal_units: tuple[bytes, ...]) -> bytes:
    return b"".join(len(nal).to_bytes(2) + nal for nal in nal_units)


def _chroma(sps: bytes) -> tuple[int, int, int]:
    """chroma_format_idc, bit_depth_luma_minus8, bit_depth_chroma_minus8 of an SPS (H.264, 7.3.2.1.1)."""
    if sps[1] not in _PROFILES_WITH_CHROMA_IN_SPS:
        return 1, 0, 0
    bits = _Bits(sps[4:].replace(b"\0\0\3", b"\0\0"))
    bits.unsigned()  # seq_parameter_set_id
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take(1)  # separate_colour_plane_flag
    luma_depth, chroma_depth = bits.unsigned(), bits.unsigned()
    if chroma > 3 or luma_depth > 6 or chroma_depth > 6:
        raise ValueError("an SPS with an impossible chroma format or bit depth")
    return chroma, luma_depth, chroma_depth


class _Bits:
    """Reads bits and Exp-Golomb numbers (H.264, 9.1)."""

    def __init__(self, data: bytes) -> None:
        self._left = len(data) * 8
        self._number = int.from_bytes(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("an SPS that ends too early")
        return self._number >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros | self.take(zeros)) - 1


class VideoTagger:
    """Access units into tags; one for a relay, since the tags are shared by all outputs."""

    def __init__(self) -> None:
        self._sets: ParameterSets | None = None
        self._config: VideoConfig | None = None

    def tag(self, unit: AccessUnit, time: int) -> VideoTag:
        """`time`: stream clock, ms. Raises ValueError as `video_config` does."""
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
        facts |= {"width": video.width, "height": video.height, "videocodecid": CODEC_AVC}
    if audio is not None:
        facts |= {
            "audiocodecid": CODEC_AAC,
            "audiodatarate": audio.bitrate / 1000,
            "audiosamplerate": audio.sample_rate,
            "audiosamplesize": 16,
            "stereo": audio.channels == 2,
        }
    return amf.encode("@setDataFrame", "onMetaData", facts | {"encoder": encoder})
