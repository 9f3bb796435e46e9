"""What all outputs of a relay have in common."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Times in seconds."""

    resolve_timeout: float = 5.0
    connect_timeout: float = 5.0
    """TCP, to any address of the host."""
    open_timeout: float = 10.0
    """From the name to the accepted publish, with TLS and authentication."""
    close_timeout: float = 2.0
    hung_after: float = 9.0
    """Without a byte acknowledged by the peer while some are waiting; looked at each second, so noticed within 10."""
    backlog_seconds: float = 3.0
    backlog_bytes: int = 4 << 20
    catch_up: float = 0.5
    """A keyframe no older than this is sent late rather than waiting for the next one."""
    sound_alone_after: float = 1.0
    """How long sound waits for the first picture of a connection."""
    ca_file: Path | None = None
    """PEM; certificate authorities to trust besides those of the system."""
    encoder: str = "rtmp-transponder"
    """In onMetaData."""
