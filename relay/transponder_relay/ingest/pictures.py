"""What the depacketisers of all video codecs have in common: where a picture ends, and what a gap means. Pure."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from transponder_relay.media import CodedPicture

P = TypeVar("P", covariant=True)

MOST_PARTS = 20_000
"""Of one picture; more, some 20 MB, no RTMP message can hold."""


class Depacketiser(Generic[P]):
    """Joins payloads, given in order of sequence number, to pictures; `gap` tells where packets are missing.

    Only whole pictures come out, and after a gap or a damaged picture none before the next whole keyframe.
    """

    __slots__ = ("_arrival", "_damaged", "_gap", "_gap_before", "_parts", "_time", "awaiting_keyframe", "dropped")

    def __init__(self) -> None:
        self.awaiting_keyframe = True
        self.dropped = 0
        """Pictures that were damaged, or came while a keyframe was awaited."""
        self._gap = False
        self._time = -1
        self._begin()

    def push(self, payload: bytes, rtp_time: int, marker: bool, arrival: float) -> Sequence[P]:
        """The pictures that this packet ends: its own by the marker bit, the one before by a new RTP time."""
        before: Sequence[P] = ()
        if rtp_time != self._time:
            before = self._end_unmarked()
            self._time = rtp_time
            self._gap_before = self._gap
        elif self._gap:
            self._damaged = True
        self._gap = False
        if len(self._parts) > MOST_PARTS:  # of a sender that ends no picture
            self._begin()
            self._damaged = True
        if payload:
            self._arrival = arrival
            self._take(payload)
        if not marker:
            return before
        picture = self._finish()
        self._begin()
        if picture is None:
            return before
        return (*before, picture) if before else (picture,)

    def gap(self) -> None:
        """Packets are missing before the next one, for ever."""
        self._gap = True
        self.awaiting_keyframe = True

    def resumes(self, payload: bytes) -> bool:
        """Whether decoding can start at this packet, so that nothing before it is needed any more."""
        raise NotImplementedError

    def _begin(self) -> None:
        """The next packet is of another picture."""
        self._parts: list[bytes] = []
        self._damaged = self._gap_before = False
        self._arrival = 0.0

    def _begun(self) -> bool:
        """Whether anything of a picture came since `_begin`."""
        return bool(self._parts) or self._damaged

    def _end_unmarked(self) -> Sequence[P]:
        """The picture whose marker never came; a gap right behind it may have held more of it."""
        picture = None
        if self._begun():
            self._damaged = self._damaged or self._gap
            picture = self._finish()
        self._begin()
        return (picture,) if picture is not None else ()

    def _take(self, payload: bytes) -> None:
        """A payload of the present picture, not empty."""
        raise NotImplementedError

    def _finish(self) -> P | None:
        """The picture, if it is whole and of use; counts those that are not."""
        raise NotImplementedError


class FrameDepacketiser(Depacketiser[CodedPicture]):
    """Codecs whose picture is one frame that begins at a marked packet (VP8, VP9)."""

    __slots__ = ("_keyframe",)

    def _begin(self) -> None:
        super()._begin()
        self._keyframe = False

    def _start(self, frame: bytes, keyframe: bool | None) -> None:
        """The first part of a frame; `keyframe` is None if its header is malformed."""
        if self._parts or keyframe is None:
            self._damaged = True
            return
        self._keyframe = keyframe
        self._parts.append(frame)

    def _go_on(self, part: bytes) -> None:
        if self._parts:
            self._parts.append(part)
        else:
            self._damaged = True  # its first packet never came

    def _finish(self) -> CodedPicture | None:
        if not self._begun():
            return None
        if self._damaged:
            self.awaiting_keyframe = True
        if self._damaged or (self.awaiting_keyframe and not self._keyframe):
            self.dropped += 1
            return None
        self.awaiting_keyframe = False
        return CodedPicture(self._time, self._arrival, self._keyframe, b"".join(self._parts))
