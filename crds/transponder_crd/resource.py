"""The custom resources `RtmpTransponder` and `Stream`, each written once; `crds/*.yaml` is generated from them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, SecretStr, model_validator

from transponder_crd.conditions import Condition
from transponder_crd.meta import ObjectMeta, OwnerReference
from transponder_crd.model import Model

GROUP = "transponder.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_PRINTABLE = r"[^\x00-\x20\x7f-\xa0" + "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""Neither control character nor white space (Unicode's White_Space). Written out: `\\s` is ASCII in Kubernetes."""

STREAM_NAME_RULE = f"^{_PRINTABLE}+$"
"""A stream name is any printable text without white space; some sites put a query into it (`key?ds=1`)."""

SOUND_FILE_RULE = r"^[A-Za-z0-9_][A-Za-z0-9_. -]*$"
"""A name inside the sounds folder: no separator and no leading dot, so that it cannot leave the folder."""

RTMP_URL_RULE = f"^[rR][tT][mM][pP][sS]?://{_PRINTABLE}+$"

StreamName = Annotated[str, Field(min_length=1, max_length=255, pattern=STREAM_NAME_RULE)]
StreamNamePrefix = Annotated[str, Field(max_length=64, pattern=f"^{_PRINTABLE}*$")]
SoundFile = Annotated[str, Field(min_length=1, max_length=128, pattern=SOUND_FILE_RULE)]


class Resource(Model):
    """What every stored object has. `kind` and `api_version` are constants of the class."""

    PLURAL: ClassVar[str]
    IMMUTABLE: ClassVar[tuple[str, ...]] = ()
    """Fields of the spec that never change after creation. Both stores refuse the change (Kubernetes by CEL)."""
    api_version: str
    kind: str
    metadata: ObjectMeta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    def owner_reference(self) -> OwnerReference:
        """The reference by which another object names this one as its owner."""
        return OwnerReference(api_version=self.api_version, kind=self.kind, name=self.name, uid=self.uid)


# ---------------------------------------------------------------------------------------------- RtmpTransponder


class SecretKeyRef(Model):
    """A key of a Secret in the transponder's own namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "rtmpUrl"


class RtmpUrlSource(Model):
    """Where an RTMP URL that holds a secret is kept."""

    secret_key_ref: SecretKeyRef


class Sound(Model):
    """A sound file that replaces the live audio of one transponder."""

    file: SoundFile
    """A RIFF WAV file in the sounds folder of the installation."""
    loop: bool = False
    """Start again at the end; otherwise the live audio returns."""
    trigger: Annotated[str, Field(max_length=64)] | None = None
    """Any new value plays the sound again from its start."""


class AudioCodec(StrEnum):
    AAC = "aac"
    PCMA = "pcma"
    PCMU = "pcmu"
    SPEEX = "speex"


class Audio(Model):
    """How the sound is encoded for the RTMP server."""

    codec: AudioCodec | None = None
    """AAC; G.711 (8 kHz, mono), passed on where the publisher sends the same; or Speex (16 kHz, mono)."""
    bitrate: Annotated[int, Field(ge=32_000, le=320_000)] | None = None
    """bit/s, of AAC."""


class Video(Model):
    """What is asked of the publisher's picture. It is never encoded anew."""

    keyframe_interval: Annotated[float, Field(ge=1, le=20)] | None = None
    """The longest time between two keyframes, in seconds."""


class Reconnect(Model):
    """How a lost destination is tried again: exponential backoff with jitter."""

    initial_seconds: Annotated[float, Field(ge=0.1, le=60)] | None = None
    """The first wait."""
    max_seconds: Annotated[float, Field(ge=1, le=3600)] | None = None
    """The longest wait."""
    max_attempts: Annotated[int, Field(ge=0)] | None = None
    """Attempts without progress before the transponder is `Failed`; 0 tries for ever."""


class TransponderSpec(Model):
    """The wish: which stream goes where. What is left out comes from the installation's defaults."""

    # the validator below, for the API server
    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.rtmpUrl) != has(self.rtmpUrlFrom)",
                    "message": "exactly one of rtmpUrl and rtmpUrlFrom must be given",
                }
            ]
        }
    )

    stream_name: StreamName
    """The stream as it is published."""
    rtmp_url: Annotated[str, Field(min_length=8, max_length=2048, pattern=RTMP_URL_RULE)] | None = None
    """Destination without secrets; use `rtmpUrlFrom` where the URL holds a stream key or a password."""
    rtmp_url_from: RtmpUrlSource | None = None
    muted: bool = False
    """Send silence instead of the live audio (and instead of an inserted sound)."""
    sound: Sound | None = None
    """Absent: the live audio."""
    stream_name_prefix: StreamNamePrefix | None = None
    """Put before the stream name on the RTMP side."""
    full_url: bool | None = None
    """The URL already ends with the stream name; `streamName` is not used on the RTMP side."""
    flash_version: Annotated[str, Field(max_length=128)] | None = None
    """`flashVer` of the RTMP connect command."""
    enhanced_rtmp: bool | None = None
    """Send what comes as Opus, VP9, AV1 or HEVC as it came, by enhanced RTMP; only for servers that take it."""
    audio: Audio | None = None
    video: Video | None = None
    reconnect: Reconnect | None = None
    hold_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None
    """How long the RTMP session stays up, with the last picture and silence, when the publisher is gone; 0: not at
    all."""
    options: Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] = {}
    """What the REST call gave as `options`, echoed in its answers."""

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if (self.rtmp_url is None) == (self.rtmp_url_from is None):
            raise ValueError("exactly one of rtmpUrl and rtmpUrlFrom must be given")
        return self


class TransponderPhase(StrEnum):
    """For people; programs read the conditions."""

    PENDING = "Pending"
    WAITING_FOR_PUBLISHER = "WaitingForPublisher"
    CONNECTING = "Connecting"
    LIVE = "Live"
    HOLDING = "Holding"
    """The publisher is gone; the RTMP session is kept up for `holdSeconds`."""
    RECONNECTING = "Reconnecting"
    FAILED = "Failed"
    TERMINATING = "Terminating"


class TransponderStatus(Model):
    """The truth as last seen. Written by the reconciler alone, on transitions only."""

    phase: TransponderPhase | None = None
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    observed_generation: int = 0
    """The generation of the spec that is in effect in the relay."""
    media_session_id: str | None = None
    """The id by which REST calls this transponder: the object's uid."""
    stream_name: str | None = None
    """The stream's name on the RTMP side."""
    destination: str | None = None
    """The RTMP URL without its secrets."""
    host: str | None = None
    """Host of the destination."""
    width: int = 0
    height: int = 0
    muted: bool = False
    sound_enabled: bool = False
    relay_pod: str | None = None
    reconnects: int = 0
    last_error: str | None = None
    started_at: datetime | None = None
    """When media first reached the destination in its present connection."""


class RtmpTransponder(Resource):
    """One destination of one stream."""

    PLURAL: ClassVar[str] = "rtmptransponders"
    IMMUTABLE: ClassVar[tuple[str, ...]] = ("stream_name", "rtmp_url", "rtmp_url_from")
    api_version: Literal["transponder.dev/v1alpha1"] = "transponder.dev/v1alpha1"
    kind: Literal["RtmpTransponder"] = "RtmpTransponder"
    spec: TransponderSpec
    status: TransponderStatus = TransponderStatus()


# ---------------------------------------------------------------------------------------------- Stream


class StreamSource(StrEnum):
    WEBSDK = "websdk"
    WHIP = "whip"


class StreamSpec(Model):
    """Who publishes what."""

    name: StreamName
    """The stream's name, as transponders give it in `streamName`."""
    source: StreamSource
    """The protocol of the publisher."""


class StreamPhase(StrEnum):
    PENDING = "Pending"
    """No relay yet."""
    READY = "Ready"
    """The relay waits for the publisher's offer."""
    CONNECTING = "Connecting"
    """Offer answered; ICE and DTLS under way."""
    PUBLISHING = "Publishing"
    ENDED = "Ended"
    """The publisher is gone; the object is about to be deleted."""


class StreamStatus(Model):
    """The truth as last seen. Written by the reconciler alone, on transitions only."""

    phase: StreamPhase | None = None
    reason: str | None = None
    """Why the phase is Ended, as a WCS `info` string where there is one."""
    relay_pod: str | None = None
    """The relay instance that holds the publisher. It never changes: a new instance means the publisher is lost."""
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int = 0
    height: int = 0
    started_at: datetime | None = None


class Stream(Resource):
    """A published stream. Its object name comes from the stream name, so a name can be published once."""

    PLURAL: ClassVar[str] = "streams"
    IMMUTABLE: ClassVar[tuple[str, ...]] = ("name", "source")
    api_version: Literal["transponder.dev/v1alpha1"] = "transponder.dev/v1alpha1"
    kind: Literal["Stream"] = "Stream"
    spec: StreamSpec
    status: StreamStatus = StreamStatus()


# ---------------------------------------------------------------------------------------------- Secret


class Secret(Resource):
    """A Kubernetes Secret, or its row in the SQLite store. Values show as `**********` in any repr or log."""

    PLURAL: ClassVar[str] = "secrets"
    api_version: Literal["v1"] = "v1"
    kind: Literal["Secret"] = "Secret"
    string_data: dict[str, SecretStr]
