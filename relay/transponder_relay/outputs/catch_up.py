"""What comes before a connection is there: kept from the last keyframe on, as long as that is of use."""

from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs.backlog import Backlog, Tag


class CatchUp:
    """Tags with which a connection can begin at once."""

    def __init__(self, backlog: Backlog, longest: float) -> None:
        """`longest`: ms from the first to the last; what is longer is too old to begin with."""
        self._backlog = backlog
        self._longest = longest
        self.midstream = False
        """Pictures came already, or before: a keyframe will not come by itself."""

    def __bool__(self) -> bool:
        return bool(self._backlog)

    @property
    def bytes(self) -> int:
        return self._backlog.bytes

    def video(self, tag: VideoTag) -> None:
        self.midstream = True
        if tag.keyframe:
            self._backlog.clear()
            self._backlog.push(tag)
        else:
            self._keep(tag)

    def audio(self, tag: AudioTag) -> None:
        self._keep(tag)

    def pop(self) -> Tag:
        """The oldest. Only while there is one."""
        return self._backlog.pop()

    def clear(self) -> None:
        self._backlog.clear()

    def _keep(self, tag: Tag) -> None:
        backlog = self._backlog
        if not backlog:
            return
        backlog.push(tag)
        if backlog.full or backlog.span > self._longest:
            backlog.clear()
