"""Tags onto one live connection, never more than it takes."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs.backlog import Backlog, Tag
from transponder_relay.outputs.connection import Connection
from transponder_relay.outputs.feed import Feed

_MAX_BODY = (1 << 24) - 1
"""What an RTMP message can hold."""


class Counters:
    """Since the relay started; over all connections of an output."""

    __slots__ = ("_keyframe", "audio_frames", "bytes_sent", "dropped_frames", "keyframe_interval", "video_frames")

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.video_frames = 0
        self.audio_frames = 0
        self.dropped_frames = 0
        self.keyframe_interval: float | None = None
        """Seconds between the last two keyframes sent."""
        self._keyframe: int | None = None

    def keyframe(self, time: int) -> None:
        """One was sent; `time`: stream clock, ms."""
        if self._keyframe is not None:
            self.keyframe_interval = (time - self._keyframe) / 1000
        self._keyframe = time


class Sender:
    """Writes each tag at once while the connection takes it; else keeps a bounded backlog and drops to a keyframe."""

    def __init__(
        self,
        connection: Connection,
        feed: Feed,
        backlog: Backlog,
        counters: Counters,
        want_keyframe: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._backlog = backlog
        self._counters = counters
        self._want_keyframe = want_keyframe
        self._asked = False
        """For a keyframe to begin with."""
        self._skipping = False
        """Pictures were dropped: those up to the next keyframe are dropped as well, and counted."""
        connection.on_writable = self._drain

    @property
    def queued_bytes(self) -> int:
        return self._backlog.bytes + self._connection.buffered()

    @property
    def round_trip(self) -> float | None:
        """Of the connection, seconds."""
        return self._connection.round_trip()

    @property
    def has_picture(self) -> bool:
        """A picture was sent on this connection."""
        return self._feed.has_picture

    def ask_for_keyframe(self) -> None:
        """Once; the publisher's side asks again if none comes."""
        if not self._asked:
            self._asked = True
            self._want_keyframe()

    def send(self, tag: Tag) -> None:
        """Never blocks, never raises."""
        if self._connection.paused or self._backlog:
            self._hold(tag)
        else:
            self._write(tag)

    def together(self) -> AbstractContextManager[None]:
        """Tags sent inside go out together."""
        return self._connection.together()

    def _hold(self, tag: Tag) -> None:
        if self._skipping and isinstance(tag, VideoTag):
            if not tag.keyframe:
                self._counters.dropped_frames += 1
                return
            self._skipping = False
        self._backlog.push(tag)
        while self._backlog.full:
            self._counters.dropped_frames += self._backlog.drop_to_keyframe()
            if not self._backlog:
                self._feed.needs_keyframe = self._skipping = True

    def _drain(self) -> None:
        """The connection takes data again."""
        while self._backlog and not self._connection.paused:
            self._write(self._backlog.pop())
        if self._skipping and not self._backlog:
            self._want_keyframe()

    def _write(self, tag: Tag) -> None:
        if len(tag.body) > _MAX_BODY:
            self._counters.dropped_frames += 1
            return
        if isinstance(tag, VideoTag):
            self._write_video(tag)
        else:
            self._write_audio(tag)

    def _write_video(self, tag: VideoTag) -> None:
        buffers = self._feed.video(tag)
        counters = self._counters
        if not buffers:
            counters.dropped_frames += self._skipping
            self.ask_for_keyframe()
            return
        self._asked, self._skipping = True, False
        counters.video_frames += 1
        counters.bytes_sent += sum(map(len, buffers))
        if tag.keyframe:
            counters.keyframe(tag.time)
        self._connection.write(buffers)

    def _write_audio(self, tag: AudioTag) -> None:
        buffers = self._feed.audio(tag)
        if not buffers:
            return
        counters = self._counters
        counters.audio_frames += 1
        counters.bytes_sent += sum(map(len, buffers))
        self._connection.write(buffers)
