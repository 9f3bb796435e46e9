"""What one RTMP connection is sent for each tag: when to begin, which headers, at what time."""

from dataclasses import dataclass

from transponder_relay.media import AudioConfig, AudioTag, VideoConfig, VideoTag
from transponder_relay.outputs import flv
from transponder_relay.outputs.chunks import CHUNK_SIZE, ChunkStream, MessageType, header, split

_EXTENDED = 0xFFFFFF
_NOTHING: list[bytes] = []


@dataclass(slots=True)
class Epoch:
    """Time 0 of what a destination receives. It outlives connections: after a reconnect time goes on."""

    start: int | None = None
    """Stream clock, ms; None until the first tag is sent."""


class Feed:
    """One connection's view of the stream: tags in, RTMP messages out, as buffers to be written in order.

    The first picture is a keyframe, and sound waits for it (players take a stream that begins with sound for one
    without a picture), but no longer than `sound_alone_ms`, so that a stream without a picture works too.
    """

    def __init__(
        self, stream_id: int, epoch: Epoch, expected_audio: AudioConfig, sound_alone_ms: float, encoder: str
    ) -> None:
        """`expected_audio`: what metadata says of the sound until the first of it has come; its header is not sent."""
        self.needs_keyframe = True
        self._stream_id = stream_id
        self._epoch = epoch
        self._sound_alone_ms = sound_alone_ms
        self._encoder = encoder
        self._begun = False
        self._first_sound: int | None = None
        self._video: VideoConfig | None = None
        self._audio = expected_audio
        self._video_header_sent = b""
        self._audio_header_sent: bytes | None = None
        self._metadata_sent = b""
        self._video_time = 0
        self._audio_time = 0

    @property
    def has_picture(self) -> bool:
        return self._video is not None

    def video(self, tag: VideoTag) -> list[bytes]:
        """Empty while it waits for a keyframe."""
        begins = False
        if self.needs_keyframe:
            if not tag.keyframe:
                return _NOTHING
            begins = not self._begun
            self.needs_keyframe = False
            self._begun = True
        time = self._video_time = max(self._video_time, self._relative(tag.time))
        if begins:
            self._audio_time = time
        message = _media(ChunkStream.VIDEO, MessageType.VIDEO, self._stream_id, time, tag.body)
        if tag.config is self._video:
            return message
        self._video = tag.config
        return self._headers(time) + message

    def audio(self, tag: AudioTag) -> list[bytes]:
        """Empty while it waits for the first picture, and for sound older than that."""
        if not self._begun and not self._sound_alone(tag):
            if tag.config is not self._audio:
                self._audio = tag.config  # so that the first metadata tells of it
            return _NOTHING
        time = self._relative(tag.time)
        if time < self._audio_time:
            return _NOTHING
        self._audio_time = time
        message = _media(ChunkStream.AUDIO, MessageType.AUDIO, self._stream_id, time, tag.body)
        if tag.config is self._audio and self._audio_header_sent is not None:
            return message
        self._audio = tag.config
        return self._headers(time) + message

    def _sound_alone(self, tag: AudioTag) -> bool:
        if self._first_sound is None:
            self._first_sound = tag.time
        self._begun = tag.time - self._first_sound >= self._sound_alone_ms
        return self._begun

    def _relative(self, time: int) -> int:
        """ms since the epoch; negative for sound that is older than the first picture."""
        if self._epoch.start is None:
            self._epoch.start = time
        return time - self._epoch.start

    def _headers(self, time: int) -> list[bytes]:
        """Metadata and sequence headers as far as they changed (once for each change: see SRS issue 4695)."""
        buffers = []
        metadata = flv.metadata(self._video, self._audio, self._encoder)
        if metadata != self._metadata_sent:
            self._metadata_sent = metadata
            buffers += _media(ChunkStream.METADATA, MessageType.DATA_AMF0, self._stream_id, time, metadata)
        if self._video is not None and self._video.sequence_header != self._video_header_sent:
            body = self._video_header_sent = self._video.sequence_header
            buffers += _media(ChunkStream.VIDEO, MessageType.VIDEO, self._stream_id, time, body)
        if self._audio.sequence_header != self._audio_header_sent:
            body = self._audio_header_sent = self._audio.sequence_header
            if body:  # G.711 and Speex have none
                buffers += _media(ChunkStream.AUDIO, MessageType.AUDIO, self._stream_id, time, body)
        return buffers


def _media(chunk_stream: int, message_type: int, stream_id: int, time: int, body: bytes) -> list[bytes]:
    """A message as its header, which is the output's own, and its body, which is shared."""
    time &= 0xFFFFFFFF
    start = header(chunk_stream, message_type, stream_id, time, len(body))
    if len(body) <= CHUNK_SIZE:
        return [start, body]
    if time >= _EXTENDED:
        return [start, split(body, chunk_stream, time)]
    return [start, _split_once(body, chunk_stream)]


_last: tuple[bytes, int, bytes] = (b"", 0, b"")


def _split_once(body: bytes, chunk_stream: int) -> bytes:
    """The split body: outputs are fed one after the other with the same tag, so only the first one splits it."""
    global _last
    if _last[0] is not body or _last[1] != chunk_stream:
        _last = (body, chunk_stream, split(body, chunk_stream, 0))
    return _last[2]
