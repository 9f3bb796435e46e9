"""The messages on a relay's control port: the whole desired state in, reports out.

`PUT /desired` takes a DesiredRelay and answers 204, 409 if it is for another stream than the relay serves; `GET
/observed` streams RelayReport as one JSON object a line (one at once, one on each transition, one at least every
`HEARTBEAT_SECONDS`); `GET /report` answers one RelayReport; `POST /offer` takes an Offer and answers an Answer, a
Refusal, or 503 while no publisher can be taken. Every request carries `Authorization: Bearer <token of this relay>`.

Players: `POST /players` takes a PlayOffer and answers an Answer, or a Refusal with 400, with 409 while nothing is being
published; `GET /players/{id}` streams PlayerEvent as one JSON object a line (its state at once, the last one has state
`ended`); `DELETE /players/{id}` ends a player and answers 204, 404 if there is none; `POST /stream-events` takes a
StreamEvent, hands it to every player's event stream and answers 204.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field, JsonValue, SecretStr, field_serializer

from transponder_crd.model import Model
from transponder_crd.resource import AudioCodec, Sound

HEARTBEAT_SECONDS = 5.0


class RtmpTarget(Model):
    """One RTMP destination, parsed and composed: exactly what goes on the wire."""

    tls: bool = False
    host: str
    port: int
    app: SecretStr
    """`app` of the connect command; may hold a query with secrets."""
    tc_url: SecretStr
    stream_name: SecretStr
    """The name given to releaseStream, FCPublish and publish."""
    flash_version: str
    enhanced: bool = False
    """Enhanced RTMP: codecs that have no number in FLV are sent under their FourCC."""
    user: str | None = Field(default=None, repr=False)
    password: SecretStr | None = None

    # A control message must carry what logs must not: reveal only in JSON, and only here.
    @field_serializer("app", "tc_url", "stream_name", "password", when_used="json")
    def _reveal(self, value: SecretStr | None) -> str | None:
        return value.get_secret_value() if value is not None else None


class ReconnectPolicy(Model):
    initial_seconds: float = 1.0
    max_seconds: float = 30.0
    max_attempts: int = 0
    """0 tries for ever."""


class DesiredOutput(Model):
    """One transponder, as its relay needs it."""

    id: str
    """uid of the RtmpTransponder."""
    generation: int
    """Echoed in reports once in effect."""
    target: RtmpTarget
    muted: bool = False
    sound: Sound | None = None
    audio_codec: AudioCodec = AudioCodec.AAC
    audio_bitrate: int = 128_000
    """bit/s, of AAC."""
    reconnect: ReconnectPolicy = ReconnectPolicy()
    hold_seconds: float = 0.0
    """How long a live session stays up without a publisher."""


class DesiredPublisher(Model):
    """The publisher that may connect. Another id, or none, ends the session of the present one."""

    id: str
    """uid of the Stream."""


class DesiredRelay(Model):
    """All that a relay is to do. The message is whole and idempotent; what is not in it is ended in order."""

    stream_name: str = Field(min_length=1)
    """A relay that was started without a stream serves the first one that it is told of, and no other."""
    publisher: DesiredPublisher | None = None
    keyframe_interval: float = 2.0
    """Seconds; the smallest wish of all outputs."""
    outputs: list[DesiredOutput] = []


class PublisherState(StrEnum):
    WAITING = "waiting"
    """No offer yet."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ENDED = "ended"


class PublisherReport(Model):
    id: str
    state: PublisherState
    reason: str | None = None
    """Why it ended: a WCS `info` string (wire constant of the WebSDK)."""
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int = 0
    height: int = 0
    started_at: datetime | None = None


class OutputState(StrEnum):
    WAITING = "waiting"
    """No publisher."""
    CONNECTING = "connecting"
    LIVE = "live"
    HOLDING = "holding"
    """The publisher is gone: the last picture and silence are sent for `hold_seconds`."""
    RETRYING = "retrying"
    """The last attempt failed; the next one is due after the backoff."""
    FAILED = "failed"
    """Given up after `max_attempts`."""
    CLOSING = "closing"


class OutputReason(StrEnum):
    """Why an output is not live, in words for people; condition reason and metric label alike."""

    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"
    BAD_STREAM_KEY = "BadStreamKey"
    AUTH_FAILED = "AuthFailed"
    TLS_INVALID = "TlsInvalid"
    TIMEOUT = "Timeout"
    CLOSED_BY_SERVER = "ClosedByServer"
    PROTOCOL_ERROR = "ProtocolError"
    CODEC_MISSING = "CodecMissing"


class OutputStatistics(Model):
    """Counters since the relay started; from `queued_bytes` on, how it is now."""

    bytes_sent: int = 0
    video_frames: int = 0
    audio_frames: int = 0
    dropped_frames: int = 0
    queued_bytes: int = 0
    bitrate: float = 0.0
    """bit/s that the connection took, over the last seconds."""
    frame_rate: float = 0.0
    """Pictures a second, over the last seconds."""
    keyframe_interval: float | None = None
    """Seconds between the last two keyframes."""
    rtt_ms: float | None = None
    """As TCP measures it; None without a connection."""


class OutputReport(Model):
    id: str
    generation: int
    state: OutputState
    reason: OutputReason | None = None
    message: str | None = None
    """A sentence without secrets."""
    muted: bool = False
    sound_enabled: bool = False
    reconnects: int = 0
    """Connections made again after one was lost, and attempts that failed, since the relay started."""
    live_since: datetime | None = None
    statistics: OutputStatistics = OutputStatistics()


class IngestStatistics(Model):
    """Counters since the relay started: whole numbers. The others, from `bitrate` on, tell how it is now."""

    bytes_received: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    packets_repaired: int = 0
    video_frames: int = 0
    video_frames_dropped: int = 0
    keyframes: int = 0
    keyframe_requests: int = 0
    frames_transcoded: int = 0
    """Pictures of another codec than H.264 that were encoded."""
    frames_not_transcoded: int = 0
    """Those that were damaged, or for which there was no time."""
    audio_packets: int = 0
    audio_packets_corrupt: int = 0
    """Malformed or not decodable."""
    audio_packets_late: int = 0
    """Dropped: silence had taken their place already."""
    audio_concealed_ms: int = 0
    """Sound of gaps that was made up from what came before."""
    bitrate: float = 0.0
    """bit/s received, over the last seconds."""
    frame_rate: float = 0.0
    """Pictures a second, over the last seconds."""
    keyframe_interval: float | None = None
    """Seconds between the last two keyframes."""
    allowed_bitrate: float | None = None
    """bit/s that the publisher was last told to keep below."""
    rtt_ms: float | None = None
    skew_ms: float | None = None
    """Picture against sound, as sent: how far the last picture is from where the publisher's reports put it; positive
    if it is late. None without the reports of both."""

    def followed_by(self, later: "IngestStatistics") -> "IngestStatistics":
        """Counters added up; what is no counter is the later one's."""
        mine, other = self.model_dump(by_alias=False), later.model_dump(by_alias=False)
        counters = {name: mine[name] + value for name, value in other.items() if isinstance(value, int)}
        return later.model_copy(update=counters)


class RelayReport(Model):
    """The state of a relay. Transitions are sent at once; statistics ride along."""

    instance: str
    """Name of this relay process or pod: a new one has no memory of the old one's sessions."""
    draining: bool = False
    """It was told to end, and does so with its publisher: no other one may connect."""
    publisher: PublisherReport | None = None
    outputs: list[OutputReport] = []
    ingest: IngestStatistics = IngestStatistics()


class Offer(Model):
    publisher_id: str
    """uid of the Stream; must be the desired publisher."""
    sdp: str = Field(max_length=65536)


class Answer(Model):
    sdp: str


class Refusal(Model):
    """Why an offer was not taken (HTTP 4xx on the control port)."""

    field: str
    rule: str


class PlayOffer(Model):
    """A browser's offer to receive the stream."""

    player_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Made by whoever hands over the offer; new for each player."""
    sdp: str = Field(max_length=65536)


class PlayerState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    """DTLS is up."""
    ENDED = "ended"


class StreamEvent(Model):
    """What a publisher or the server tells those who play the stream."""

    type: str = Field(max_length=64)
    payload: JsonValue = None


class PlayerEvent(Model):
    """A transition of one player, or a stream event on its way to it: one of `state` and `stream_event` is there."""

    state: PlayerState | None = None
    reason: str | None = None
    """Why it ended: a WCS `info` string (wire constant of the WebSDK)."""
    stream_event: StreamEvent | None = None
