"""The settings of an installation that a transponder may leave out."""

from importlib.metadata import version
from typing import Annotated

from pydantic import Field

from transponder_crd.control import ReconnectPolicy
from transponder_crd.model import Model
from transponder_crd.resource import AudioCodec, StreamNamePrefix


class DefaultReconnect(ReconnectPolicy):
    """With the bounds that the spec of a transponder has (`resource.Reconnect`)."""

    initial_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    """The first wait."""
    max_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """The longest wait."""
    max_attempts: Annotated[int, Field(ge=0)] = 0
    """Attempts without progress before a transponder is `Failed`; 0 tries for ever."""


class Defaults(Model):
    """What counts where a transponder's spec says nothing. The first two are settings of Flashphoner WCS by name."""

    stream_name_prefix: StreamNamePrefix = "rtmp_"
    """Put before the stream name on the RTMP side (`rtmp_transponder_stream_name_prefix`); empty for none."""
    full_url: bool = False
    """The RTMP URL ends with the stream name (`rtmp_transponder_full_url`)."""
    flash_version: Annotated[str, Field(max_length=128)] = (
        f"FMLE/3.0 (compatible; rtmp-transponder/{version('rtmp-transponder')})"
    )
    """`flashVer` of the RTMP connect command."""
    audio_codec: AudioCodec = AudioCodec.AAC
    audio_bitrate: Annotated[int, Field(ge=32_000, le=320_000)] = 128_000
    """bit/s, of AAC."""
    keyframe_interval: Annotated[float, Field(ge=1, le=20)] = 2.0
    """Seconds."""
    enhanced_rtmp: bool = False
    """Send what comes as Opus or VP9 as it came."""
    reconnect: DefaultReconnect = DefaultReconnect()
    hold_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How long an RTMP session stays up, with the last picture and silence, when the publisher is gone; 0: not."""
