"""H.264 from RTP payloads to access units (RFC 6184, packetization modes 0 and 1). Pure.

AVCC is built directly from the payloads: a picture costs one join, a packet one slice of bytes.
"""

from collections.abc import Iterator, Sequence
from struct import Struct

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.h264_parameters import PPS, SPS, ParameterStore
from transponder_relay.ingest.pictures import Depacketiser as PictureDepacketiser
from transponder_relay.media import AccessUnit

_IDR = 5
_AUD = 9
_STAP_A, _FU_A = 24, 28
# slices and SEI; delimiters, filler, ends of sequence and layers of other codecs are of no use in FLV
_KEPT = frozenset({1, 2, 3, 4, 5, 6})
_SLICES = frozenset({1, 2, 3, 4, 5})
_FIRST_SLICES = frozenset({1, 2, 5})  # those whose header begins with first_mb_in_slice

_LENGTH = Struct("!I").pack
_LENGTH_AND_HEADER = Struct("!IB").pack
_SHORT = Struct("!H").unpack_from


class Depacketiser(PictureDepacketiser[AccessUnit]):
    """Access units with AVCC; keyframes are IDR pictures."""

    __slots__ = (
        "_complete_start",
        "_fragment",
        "_fragment_size",
        "_idr_head",
        "_sets_here",
        "_sets_in_band",
        "_slices",
        "_store",
    )

    def __init__(self, parameter_sets: Sequence[bytes] = ()) -> None:
        """`parameter_sets`: NAL units known from the offer; those that are malformed are passed over."""
        super().__init__()
        self._store = ParameterStore()
        self._sets_in_band = False
        for nal in parameter_sets:
            if nal[0] & 31 in (SPS, PPS):
                self._learn(nal)
        self._damaged = False

    def resumes(self, payload: bytes) -> bool:
        kinds = list(_nal_kinds(payload))
        if kinds and kinds[0] == _AUD:
            kinds = kinds[1:]
        return bool(kinds) and kinds[0] == (SPS if self._sets_in_band else _IDR)

    # ------------------------------------------------------------------------------------------ pictures

    def _begin(self) -> None:
        super()._begin()
        self._fragment = -1
        self._fragment_size = 0
        self._sets_here = False
        self._complete_start = True
        self._slices = 0
        self._idr_head = b""

    def _begun(self) -> bool:
        return bool(self._parts) or self._damaged or self._sets_here

    def _finish(self) -> AccessUnit | None:
        if not self._slices and not self._damaged:
            return None  # parameter sets or SEI alone
        keyframe = bool(self._idr_head)
        if not self._sound(keyframe):
            self.awaiting_keyframe = True
            self.dropped += 1
            return None
        sets = self._store.current()
        if sets is None or (self.awaiting_keyframe and not keyframe):
            self.dropped += 1
            return None
        self.awaiting_keyframe = False
        return AccessUnit(self._time, self._arrival, keyframe, b"".join(self._parts), sets)

    def _sound(self, keyframe: bool) -> bool:
        """Whether the picture is whole, as far as can be known."""
        if self._damaged or self._fragment >= 0:
            return False
        if self._gap_before and (not self._complete_start or (self._sets_in_band and keyframe and not self._sets_here)):
            return False  # its first slice, or its parameter sets, may lie in the gap
        if keyframe:
            try:
                self._store.activate(self._idr_head)
            except InvalidSyntax:
                return False
        return True

    # ------------------------------------------------------------------------------------------ payloads

    def _take(self, payload: bytes) -> None:
        kind = payload[0] & 31
        if kind == _FU_A:
            self._take_fragment(payload)
        elif kind == _STAP_A:
            self._take_aggregate(payload)
        elif 0 < kind < 24:
            self._take_nal(payload)
        else:
            self._damaged = True  # STAP-B, MTAP and FU-B belong to mode 2, the rest is undefined

    def _take_aggregate(self, payload: bytes) -> None:
        for nal in _aggregated(payload):
            if not nal:
                self._damaged = True
                return
            self._take_nal(nal)

    def _take_nal(self, nal: bytes) -> None:
        kind = nal[0] & 31
        if kind in _KEPT:
            if kind in _SLICES:
                self._note_slice(kind, nal[:16])
            self._parts.append(_LENGTH(len(nal)))
            self._parts.append(nal)
        elif kind in (SPS, PPS):
            self._sets_here = self._sets_in_band = True
            self._learn(nal)

    def _learn(self, nal: bytes) -> None:
        try:
            self._store.add(nal)
        except InvalidSyntax:
            self._damaged = True

    def _note_slice(self, kind: int, head: bytes) -> None:
        if not self._slices and kind in _FIRST_SLICES:
            self._complete_start = len(head) > 1 and head[1] > 127  # first_mb_in_slice is 0
        self._slices += 1
        if kind == _IDR and not self._idr_head:
            self._idr_head = head

    def _take_fragment(self, payload: bytes) -> None:
        if len(payload) < 3:
            self._damaged = True
            return
        fragment_header = payload[1]
        if fragment_header & 0x80:
            self._start_fragment(payload)
        elif self._fragment >= 0:
            self._parts.append(payload[2:])
            self._fragment_size += len(payload) - 2
        else:
            self._damaged = True
            return
        if fragment_header & 0x40 and self._fragment >= 0:
            self._end_fragment(payload)

    def _start_fragment(self, payload: bytes) -> None:
        if self._fragment >= 0:
            self._damaged = True
        kind = payload[1] & 31
        if kind in _SLICES:
            self._note_slice(kind, bytes((kind,)) + payload[2:17])
        self._fragment = len(self._parts)
        self._fragment_size = len(payload) - 2
        self._parts.append(b"")  # the length and header, once known
        self._parts.append(payload[2:])

    def _end_fragment(self, payload: bytes) -> None:
        start, self._fragment = self._fragment, -1
        header = payload[0] & 0xE0 | payload[1] & 31
        if header & 31 in _KEPT:
            self._parts[start] = _LENGTH_AND_HEADER(self._fragment_size + 1, header)
        else:
            nal = bytes((header,)) + b"".join(self._parts[start + 1 :])
            del self._parts[start:]
            if header & 31 in (SPS, PPS):
                self._take_nal(nal)


def _aggregated(payload: bytes) -> Iterator[bytes]:
    """NAL units of a STAP-A (RFC 6184 section 5.7.1); an empty one where it is malformed."""
    position, size = 1, len(payload)
    if size == 1:
        yield b""
    while position < size:
        end = position + 2 + _SHORT(payload, position)[0] if position + 2 <= size else size + 1
        if end > size:
            yield b""
            return
        yield payload[position + 2 : end]
        position = end


def _nal_kinds(payload: bytes) -> Iterator[int]:
    """Types of the NAL units that begin in a payload."""
    if not payload:
        return
    kind = payload[0] & 31
    if kind == _STAP_A:
        yield from (nal[0] & 31 for nal in _aggregated(payload) if nal)
    elif kind == _FU_A:
        if len(payload) > 1 and payload[1] & 0x80:
            yield payload[1] & 31
    else:
        yield kind
