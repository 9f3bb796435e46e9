"""What the codecs of enhanced RTMP have in common: coded pictures become tags, described by the last keyframe."""

from abc import ABC, abstractmethod
from typing import ClassVar

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.media import CodedPicture, VideoConfig, VideoTag
from transponder_relay.outputs.enhanced import FourCC, video_body


class Tagger(ABC):
    """Pictures of one codec into tags; one for a relay, since the tags are shared by all outputs."""

    CODE: ClassVar[FourCC]

    def __init__(self) -> None:
        self._config: VideoConfig | None = None

    def tag(self, picture: CodedPicture, time: int) -> VideoTag | None:
        """`time`: stream clock, ms. None before the first keyframe, and after one that cannot be read."""
        frame = picture.frame
        if picture.keyframe:
            try:
                config, frame = self._read(frame)
            except InvalidSyntax:
                config = None
            if config != self._config:
                self._config = config
        if self._config is None:
            return None
        return VideoTag(time, picture.keyframe, video_body(self.CODE, picture.keyframe, frame), self._config)

    @abstractmethod
    def _read(self, keyframe: bytes) -> tuple[VideoConfig | None, bytes]:
        """Its description (None: there is none), and what of it is sent. Raises InvalidSyntax."""
