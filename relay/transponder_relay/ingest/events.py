"""What a session tells its owner."""

from typing import Protocol

from transponder_relay.media import AccessUnit, SoundPacket


class PublisherEvents(Protocol):
    """Called in the event loop, media in the iteration in which it came; must not raise."""

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        """DTLS is up; None for a kind that was not offered."""
        ...

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        """`time_ms`: stream clock."""
        ...

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        """`position`: of the first sample, in 48 kHz samples of the stream clock."""
        ...

    def on_ended(self, reason: str) -> None:
        """Exactly once, unless `close` came first; `reason` is a WCS `info` string. The session is to be closed."""
        ...
