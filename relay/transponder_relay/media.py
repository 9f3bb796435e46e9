"""What flows through a relay: from ingest to tags, from tags to outputs.

    socket → webrtc.transport → ingest.*_receiver → AccessUnit ─ timeline ─ outputs.flv → VideoTag ─┐
                                                → CodedPicture ─ timeline ─ transcode → AccessUnit
                                                → SoundPacket ─ sound.soundtrack → AudioTag ──────┴→ every Output

Times: `arrival` and every `now` are seconds of `time.monotonic()`. RTP times are unwrapped (they only grow over 2^32).
The stream clock starts at 0 with the first media of the relay and never goes back; tags carry it in milliseconds.
"""

from dataclasses import dataclass
from typing import NamedTuple


class SampleFormat(NamedTuple):
    """What an SPS of a high profile says of its samples (H.264, 7.3.2.1.1); the defaults hold for all others."""

    chroma_format_idc: int = 1
    bit_depth_luma_minus8: int = 0
    bit_depth_chroma_minus8: int = 0


ORDINARY_SAMPLES = SampleFormat()
"""4:2:0, 8 bits."""


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """H.264 SPS (1 to 31) and PPS (1 to 255), without start codes, and what they say of the picture."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    width: int
    height: int
    samples: SampleFormat = ORDINARY_SAMPLES


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One whole H.264 picture as received, never decoded."""

    rtp_time: int
    """90 kHz, unwrapped."""
    arrival: float
    """When the packet that ends it came, however long that then waited for others."""
    keyframe: bool
    """It holds an IDR slice."""
    avcc: bytes
    """NAL units with 4-byte lengths, without parameter sets, delimiters and filler."""
    parameter_sets: ParameterSets
    """Those in force for this picture: the same object until they change."""


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One whole picture in another codec than H.264, as received: to be transcoded."""

    rtp_time: int
    """90 kHz, unwrapped."""
    arrival: float
    """When the packet that ends it came, however long that then waited for others."""
    keyframe: bool
    frame: bytes
    """As the codec's decoder takes it."""


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One packet of encoded sound as received."""

    rtp_time: int
    """In units of the codec's RTP clock (48 kHz for Opus), unwrapped."""
    arrival: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """What an RTMP server is told before the first picture; the same object until it changes."""

    width: int
    height: int
    sequence_header: bytes
    """FLV VIDEODATA body: AVCDecoderConfigurationRecord (E.4.3.1 of the FLV specification), or what stands for it."""
    codec_id: int = 7
    """As metadata say it: the codec's number in FLV, or its FourCC as a number."""


@dataclass(frozen=True, slots=True)
class VideoTag:
    """An FLV VIDEODATA body, made once and sent to every output."""

    time: int
    """Stream clock, ms; grows strictly from tag to tag."""
    keyframe: bool
    body: bytes
    config: VideoConfig


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """As VideoConfig, for sound."""

    sample_rate: int
    channels: int
    bitrate: int
    """bit/s; 0 if it is not known."""
    sequence_header: bytes
    """FLV AUDIODATA body: AudioSpecificConfig, or what stands for it."""
    codec_id: int = 10
    """As in VideoConfig."""


@dataclass(frozen=True, slots=True)
class AudioTag:
    """An FLV AUDIODATA body with one frame, made once for all outputs that sound alike."""

    time: int
    """Stream clock, ms."""
    body: bytes
    config: AudioConfig
