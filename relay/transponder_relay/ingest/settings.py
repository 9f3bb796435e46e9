"""What a publisher's session is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IngestSettings:
    addresses: tuple[str, ...] = ()
    """IP addresses to offer; empty: every local address and 127.0.0.1, IPv4 first. One that is not of this machine is
    taken for the outer side of a 1:1 NAT that keeps the port."""
    port_range: tuple[int, int] | None = None
    """First and last UDP port; None: any free port."""
    connect_timeout: float = 15.0
    """Seconds from the answer to the end of the DTLS handshake."""
    inactivity_timeout: float = 10.0
    """Seconds without any RTP that end the session."""
    keyframe_interval: float = 2.0
    """Longest time between two keyframes, seconds."""
    max_bitrate: int = 4_000_000
    """bit/s of the picture that the sender may use."""
    start_bitrate: int = 2_500_000
    """bit/s at which a browser starts, if `max_bitrate` allows."""
