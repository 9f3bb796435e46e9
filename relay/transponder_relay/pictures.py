"""The way of pictures to the outputs: H.264 to all, or a codec as it came to those that take it; and stills."""

from collections.abc import Callable, Iterable

from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, ParameterSets, VideoConfig, VideoTag
from transponder_relay.outputs.av1 import Av1Tagger
from transponder_relay.outputs.flv import VideoTagger
from transponder_relay.outputs.hevc import HevcTagger
from transponder_relay.outputs.output import Output
from transponder_relay.outputs.tagger import Tagger
from transponder_relay.outputs.vp9 import Vp9Tagger
from transponder_relay.still import StillPicture

STILL_INTERVAL_MS = 1000
"""Between two stills while there is no publisher: players take a stream without pictures for broken."""


TAGGERS: dict[str, Callable[[], Tagger]] = {"VP9": Vp9Tagger, "AV1": Av1Tagger, "H265": HevcTagger}
"""Codecs that enhanced RTMP can name."""


class _Way:
    """Outputs that get the same tags."""

    def __init__(self) -> None:
        self.outputs: tuple[Output, ...] = ()
        self.still: StillPicture | None = None
        """From the end of a publisher to the first picture of the next."""
        self._keyframe: tuple[VideoTag, ParameterSets | None] | None = None
        """The latest."""

    def send(self, tag: VideoTag, parameter_sets: ParameterSets | None = None) -> None:
        if tag.keyframe:  # as the first picture of a publisher is
            self._keyframe, self.still = (tag, parameter_sets), None
        for output in self.outputs:
            output.video(tag)

    def hold(self) -> None:
        if self._keyframe and self.still is None and any(output.holding for output in self.outputs):
            self.still = StillPicture(*self._keyframe)

    def show(self, at: int) -> None:
        if self.still:
            tag = self.still.at(at)
            for output in self.outputs:
                output.still(tag)


class Pictures:
    """Which output gets which pictures."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._h264, self._passed = _Way(), _Way()
        self._h264_tagger = VideoTagger()
        self._passed_tagger: Tagger | None = None
        """Of the codec in which the publisher's pictures are passed on."""
        self._outputs: tuple[tuple[Output, bool], ...] = ()
        self._codec: str | None = None

    @property
    def wants_h264(self) -> bool:
        """A publisher's pictures in another codec are to be transcoded."""
        return bool(self._h264.outputs)

    @property
    def wants_passed(self) -> bool:
        """They are to be passed on as well, or instead."""
        return bool(self._passed.outputs)

    @property
    def all_enhanced(self) -> bool:
        """There are outputs, and all of them take enhanced RTMP."""
        return bool(self._outputs) and all(enhanced for _, enhanced in self._outputs)

    def set_outputs(self, outputs: Iterable[tuple[Output, bool]]) -> None:
        """Each with whether it takes enhanced RTMP."""
        self._outputs = tuple(outputs)
        self._arrange()

    def set_codec(self, codec: str | None) -> None:
        """What the present publisher sends; kept until the next one comes."""
        if codec != self._codec:
            self._codec = codec
            make = TAGGERS.get(codec or "")
            self._passed_tagger = make() if make else None
            self.drop_stills()
            self._arrange()

    def _arrange(self) -> None:
        passes = self._passed_tagger is not None
        self._h264.outputs = tuple(output for output, enhanced in self._outputs if not (passes and enhanced))
        self._passed.outputs = tuple(output for output, enhanced in self._outputs if passes and enhanced)

    # ------------------------------------------------------------------------------------------ pictures

    def send_h264(self, unit: AccessUnit, time_ms: int) -> None:
        self._h264.send(self._h264_tagger.tag(unit, time_ms), unit.parameter_sets)

    def send_as_it_came(self, picture: CodedPicture, time_ms: int) -> VideoConfig | None:
        """What was sent, if it was."""
        tag = self._passed_tagger.tag(picture, time_ms) if self._passed_tagger else None
        if tag is None:
            return None
        self._passed.send(tag)
        return tag.config

    # ------------------------------------------------------------------------------------------ stills

    def hold(self) -> None:
        """The publisher is gone: from now on `show_still` shows its last keyframe to the sessions that are held."""
        self._h264.hold()
        self._passed.hold()

    def drop_stills(self) -> None:
        self._h264.still = self._passed.still = None

    def show_still(self, now: float) -> None:
        """Call it now and then; `now`: of `time.monotonic()`."""
        if self._h264.still or self._passed.still:
            at = self._timeline.stand_in(now, STILL_INTERVAL_MS)
            if at is not None:
                self._h264.show(at)
                self._passed.show(at)
