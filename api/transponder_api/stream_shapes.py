"""Bodies of `/rest-api/stream/*`, spelt as Flashphoner WCS spells them."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from transponder_api.shapes import MediaSessionId, Request
from transponder_crd.resource import StreamName, StreamSource

Status = Annotated[str, Field(min_length=1, max_length=64, examples=["PUBLISHING"])]


class FindStreams(Request):
    """A filter. What is left out matches all."""

    media_session_id: MediaSessionId | None = None
    name: Annotated[StreamName, Field(examples=["stream1"])] | None = None
    """Name under which the stream is published."""
    published: bool | None = None
    """Streams that are listed here are all published: false finds none."""
    status: Status | None = None
    display: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=16)] | None = None
    """Taken, and not used: Flashphoner's `metrics` are not in answers."""


class TerminateStreams(Request):
    """Which streams to end. What is given must all match; one thing at least must be given."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("mediaSessionId", "mediaSessionIds", "name", "status")
            ]
        }
    )

    media_session_id: MediaSessionId | None = None
    media_session_ids: Annotated[list[MediaSessionId], Field(min_length=1, max_length=1000)] | None = None
    name: Annotated[StreamName, Field(examples=["stream1"])] | None = None
    status: Status | None = None

    @model_validator(mode="after")
    def _never_all(self) -> Self:
        if (self.media_session_id, self.media_session_ids, self.name, self.status) == (None, None, None, None):
            raise PydanticCustomError(
                "no_filter", "or mediaSessionIds, name or status must be given", {"member": "mediaSessionId"}
            )
        return self


class PublishedStream(BaseModel):
    """One published stream, as it is now."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, use_attribute_docstrings=True
    )

    app_key: str = "defaultApp"
    media_session_id: str = Field(examples=["6d3c1f0e-52b4-8a77-9e21-0c4b5a697788"])
    """The WebSDK's own id of the stream; one made here for a stream that came by WHIP."""
    name: str = Field(examples=["stream1"])
    published: Literal[True] = True
    status: Literal["PENDING", "PUBLISHING"] = Field(examples=["PUBLISHING"])
    has_video: bool = Field(examples=[True])
    has_audio: bool = Field(examples=[True])
    video_codec: str | None = Field(examples=["H264"])
    audio_codec: str | None = Field(examples=["opus"])
    width: int = Field(examples=[1280])
    """Width of the picture in pixels; 0 while unknown."""
    height: int = Field(examples=[720])
    create_date: int = Field(examples=[1790000000000])
    """Milliseconds since 1970."""
    media_type: Literal["publish"] = "publish"
    media_provider: Literal["WebRTC"] = "WebRTC"
    record: Literal[False] = False
    source: StreamSource = Field(examples=[StreamSource.WEBSDK])
    """Added: the protocol of the publisher."""
