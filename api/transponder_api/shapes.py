"""Bodies of `/rest-api/push/*`, spelt as Flashphoner WCS spells them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from transponder_crd.resource import SoundFile, StreamName, TransponderPhase

FlashVersion = Annotated[str, Field(min_length=1, max_length=128)]
MediaSessionId = Annotated[str, Field(min_length=1, max_length=128, examples=["0b7e1c52-6a0e-4c4e-9b43-6f3a5b2d8f11"])]
RtmpUrl = Annotated[SecretStr, Field(min_length=1, max_length=2048, examples=["rtmp://rtmp.example.com:1935/live"])]
"""A stream key may be in it, so it is shown in no repr."""


class Request(BaseModel):
    """A request body. Types are not coerced, and an unknown field is an error that names it."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class Empty(Request):
    """No fields."""


class StartOptions(Request):
    """How a transponder begins."""

    action: Literal["mute", "sound_on"] | None = None
    """`mute`: silence; `sound_on`: the sound file instead of the live audio."""
    sound_file: SoundFile | None = None
    """For `sound_on`: a WAV file in the sounds folder of the server."""
    loop: bool | None = None
    """For `sound_on`: begin again at the end. Otherwise the live audio returns."""

    @model_validator(mode="after")
    def _sound_has_file(self) -> Self:
        if self.action == "sound_on" and self.sound_file is None:
            raise PydanticCustomError("sound_file", "is required with action sound_on", {"member": "soundFile"})
        return self


class Startup(Request):
    """A stream and where it goes."""

    stream_name: Annotated[StreamName, Field(examples=["stream1"])]
    """Name of the published stream. It need not be published yet: the transponder waits for it."""
    rtmp_url: RtmpUrl
    """`rtmp://` or `rtmps://`; may hold credentials, a query and, with full URL, the name on the RTMP side."""
    options: StartOptions | None = None
    rtmp_transponder_full_url: bool | None = None
    """The last segment of the URL's path is the stream name on the RTMP side. Default: the server's setting."""
    rtmp_flash_version: FlashVersion | None = None
    """`flashVer` of the RTMP connect command. Default: the server's setting."""


class Find(Request):
    """A filter. What is left out matches all."""

    stream_name: Annotated[StreamName, Field(examples=["rtmp_stream1"])] | None = None
    """The stream's name with or without the prefix."""
    rtmp_url: RtmpUrl | None = None
    """As given at startup, or as it is shown in answers."""


class ById(Request):
    media_session_id: MediaSessionId


class SoundOn(Request):
    media_session_id: MediaSessionId
    sound_file: Annotated[SoundFile, Field(examples=["sample.wav"])]
    """A WAV file in the sounds folder of the server."""
    loop: bool | None = None
    """Begin again at the end. Otherwise the live audio returns."""


class Transponder(BaseModel):
    """One destination of one stream, as it is now."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, use_attribute_docstrings=True
    )

    media_session_id: str = Field(examples=["0b7e1c52-6a0e-4c4e-9b43-6f3a5b2d8f11"])
    stream_name: str = Field(examples=["rtmp_stream1"])
    """Name on the RTMP side, prefix included."""
    rtmp_url: str = Field(examples=["rtmp://rtmp.example.com:1935/live"])
    """As given, but for what is secret in it."""
    width: int = Field(examples=[1280])
    """Width of the picture in pixels; 0 while unknown."""
    height: int = Field(examples=[720])
    muted: bool = Field(examples=[False])
    sound_enabled: bool = Field(examples=[False])
    """A sound file is being sent instead of the live audio."""
    options: dict[str, Any] = Field(examples=[{}])
    """The options of the startup call."""
    state: TransponderPhase = Field(examples=[TransponderPhase.LIVE])
    last_error: str | None = Field(examples=[None])
    """Why the destination was not reached when it last was not."""
    reconnects: int = Field(examples=[0])
    """How often the connection to the destination was made anew or failed."""
    published_name: str = Field(examples=["stream1"])
    """Name under which the stream is published."""
    bitrate: int | None = Field(examples=[2_600_000])
    """bit/s being sent, over the last seconds; null unless it is known."""
    fps: float | None = Field(examples=[30.0])
    """Pictures a second being sent, as `bitrate`."""
