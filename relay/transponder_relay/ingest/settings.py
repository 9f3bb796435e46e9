"""What a publisher's session is told."""

from dataclasses import dataclass

from transponder_relay.webrtc.settings import TransportSettings


@dataclass(frozen=True, slots=True)
class IngestSettings(TransportSettings):
    inactivity_timeout: float = 10.0
    """Seconds without any RTP that end the session."""
    keyframe_interval: float = 2.0
    """Longest time between two keyframes, seconds."""
    passed: bool = False
    """Pictures in any codec but VP8 are passed on; else those that are not H.264 are transcoded."""
    max_bitrate: int = 4_000_000
    """bit/s of the picture that the sender may use."""
    start_bitrate: int = 2_500_000
    """bit/s at which a browser starts, if `max_bitrate` allows."""
