"""Tags that wait for a connection: bounded in bytes and in time."""

from collections import deque
from typing import TypeAlias

from transponder_relay.media import AudioTag, VideoTag

Tag: TypeAlias = VideoTag | AudioTag


class Backlog:
    """A queue of tags. The tags themselves are shared by all outputs, so a long queue costs little."""

    def __init__(self, max_bytes: int, max_ms: float) -> None:
        self.bytes = 0
        """Of all bodies."""
        self._max_bytes = max_bytes
        self._max_ms = max_ms
        self._tags: deque[Tag] = deque()

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def span(self) -> int:
        """ms from the oldest to the newest tag."""
        return self._tags[-1].time - self._tags[0].time if self._tags else 0

    @property
    def full(self) -> bool:
        return self.bytes > self._max_bytes or self.span > self._max_ms

    def push(self, tag: Tag) -> None:
        self._tags.append(tag)
        self.bytes += len(tag.body)

    def pop(self) -> Tag:
        tag = self._tags.popleft()
        self.bytes -= len(tag.body)
        return tag

    def clear(self) -> int:
        """The number of tags dropped."""
        dropped = len(self._tags)
        self._tags.clear()
        self.bytes = 0
        return dropped

    def drop_to_keyframe(self) -> int:
        """Drop what comes before the newest keyframe, or all if that is the oldest tag or there is none.

        Returns the number of tags dropped; at least one if there was any.
        """
        tags = self._tags
        newest = next(
            (at for at in range(len(tags) - 1, 0, -1) if isinstance(t := tags[at], VideoTag) and t.keyframe), 0
        )
        if newest == 0:
            return self.clear()
        for _ in range(newest):
            self.pop()
        return newest
