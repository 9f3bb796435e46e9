"""AV1 from RTP payloads to temporal units (AOM, "RTP Payload Format For AV1" 1.0). Pure.

Z Y W W N - - -    aggregation header: Z goes on with an OBU, Y ends within one, W elements, N a new sequence
"""

from transponder_relay.ingest import av1_syntax as av1
from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.pictures import MOST_PARTS
from transponder_relay.ingest.pictures import Depacketiser as PictureDepacketiser
from transponder_relay.media import CodedPicture

_Z, _Y, _N = 0x80, 0x40, 0x08
_LEFT_OUT = frozenset({av1.TEMPORAL_DELIMITER, av1.TILE_LIST, av1.PADDING})
"""Of no use to who gets whole units (section 5)."""


class Depacketiser(PictureDepacketiser[CodedPicture]):
    """Temporal units in the low-overhead format, without delimiters; keyframes have a sequence header."""

    __slots__ = ("_unfinished",)

    def _begun(self) -> bool:
        return super()._begun() or bool(self._unfinished)

    def resumes(self, payload: bytes) -> bool:
        return len(payload) > 1 and payload[0] & (_Z | _N) == _N

    def _begin(self) -> None:
        super()._begin()
        self._unfinished: list[bytes] = []
        """Pieces of an OBU that goes on in the next packet."""

    def _take(self, payload: bytes) -> None:
        try:
            elements = _elements(payload)
        except InvalidSyntax:
            elements = []
        goes_on = bool(payload[0] & _Z)
        if not elements or goes_on != bool(self._unfinished) or len(self._unfinished) > MOST_PARTS:
            self._damaged, self._unfinished = True, []
            return
        *whole, last = elements
        for element in whole:
            self._end_obu(element)
        if payload[0] & _Y:
            self._unfinished.append(last)
        else:
            self._end_obu(last)

    def _end_obu(self, piece: bytes) -> None:
        self._unfinished.append(piece)
        self._parts.append(b"".join(self._unfinished))
        self._unfinished = []

    def _finish(self) -> CodedPicture | None:
        if not self._begun():
            return None
        unit, keyframe = b"", False
        if not self._damaged and not self._unfinished:
            unit, keyframe = _unit(self._parts)
        if not unit:
            self.awaiting_keyframe = True
        if not unit or (self.awaiting_keyframe and not keyframe):
            self.dropped += 1
            return None
        self.awaiting_keyframe = False
        return CodedPicture(self._time, self._arrival, keyframe, unit)


def _elements(payload: bytes) -> list[bytes]:
    """OBUs, or parts of them (section 4.3). Raises InvalidSyntax."""
    count, at = payload[0] >> 4 & 3, 1
    elements: list[bytes] = []
    while at < len(payload):
        if len(elements) + 1 == count:
            elements.append(payload[at:])
            return elements
        size, at = av1.read_leb128(payload, at)
        if at + size > len(payload):
            raise InvalidSyntax("AV1: an element is cut off")
        elements.append(payload[at : at + size])
        at += size
    if count:
        raise InvalidSyntax("AV1: elements are missing")
    return elements


def _unit(parts: list[bytes]) -> tuple[bytes, bool]:
    """The temporal unit, empty if it is malformed or has no frame; and whether decoding can begin with it."""
    kept = [obu for obu in parts if obu and av1.obu_type(obu) not in _LEFT_OUT]
    try:
        frames = [av1.payload_of(obu) for obu in kept if av1.obu_type(obu) in (av1.FRAME, av1.FRAME_HEADER)]
        unit = b"".join(map(av1.with_size, kept))
    except InvalidSyntax:
        return b"", False
    if not frames:
        return b"", False
    has_header = any(av1.obu_type(obu) == av1.SEQUENCE_HEADER for obu in kept)
    return unit, has_header and av1.begins_with_key_frame(frames[0])
