"""HEVC from RTP payloads to pictures (RFC 7798, without DONs: transmission order is decoding order). Pure."""

from collections.abc import Iterator, Sequence
from struct import Struct

from transponder_relay.ingest import hevc_syntax as hevc
from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.pictures import MOST_PARTS
from transponder_relay.ingest.pictures import Depacketiser as PictureDepacketiser
from transponder_relay.media import CodedPicture

_AGGREGATE, _FRAGMENT = 48, 49
_DELIMITERS = frozenset({35, 36, 37, 38})
"""Delimiter, ends of sequence and bitstream, filler: of no use outside a stream of bytes."""
_LONGEST_SET = 0xFFFF
"""Bytes of a parameter set that an HEVCDecoderConfigurationRecord can hold."""
_SHORT = Struct("!H").unpack_from
_LENGTH = Struct("!I").pack


class Depacketiser(PictureDepacketiser[CodedPicture]):
    """Pictures as NAL units with 4-byte lengths; each keyframe (IDR, CRA, BLA) begins with the parameter sets."""

    __slots__ = ("_complete_start", "_sets", "_sets_here", "_sets_in_band", "_unfinished")

    def __init__(self, parameter_sets: Sequence[bytes] = ()) -> None:
        """`parameter_sets`: NAL units known from the offer."""
        super().__init__()
        self._sets_in_band = False
        self._sets: dict[tuple[int, int], bytes] = {}
        for nal in parameter_sets:
            if len(nal) > hevc.HEADER_BYTES and hevc.nal_type(nal) in hevc.PARAMETER_SETS:
                self._learn(nal)
        self._damaged = False

    def resumes(self, payload: bytes) -> bool:
        kind = next(_kinds(payload), None)
        if self._sets_in_band or not self._sets:
            return kind in hevc.PARAMETER_SETS
        return kind is not None and hevc.is_random_access(kind)

    def _begin(self) -> None:
        super()._begin()
        self._unfinished: list[bytes] = []
        self._complete_start: bool | None = None
        self._sets_here = False

    def _begun(self) -> bool:
        return super()._begun() or bool(self._unfinished)

    # ------------------------------------------------------------------------------------------ payloads

    def _take(self, payload: bytes) -> None:
        kind = hevc.nal_type(payload)
        if len(payload) <= hevc.HEADER_BYTES or kind > _FRAGMENT:
            self._damaged = True  # 50 is PACI, the rest is undefined
        elif kind == _FRAGMENT:
            self._take_fragment(payload)
        elif self._unfinished:
            self._damaged = True
        elif kind == _AGGREGATE:
            for nal in _aggregated(payload):
                self._take_nal(nal)
        else:
            self._take_nal(payload)

    def _take_fragment(self, payload: bytes) -> None:
        header = payload[2]
        goes_on = not header & 0x80
        if len(payload) < 4 or goes_on != bool(self._unfinished) or len(self._unfinished) > MOST_PARTS:
            self._damaged, self._unfinished = True, []
            return
        if not goes_on:
            self._unfinished.append(bytes((payload[0] & 0x81 | (header & 63) << 1, payload[1])))
        self._unfinished.append(payload[3:])
        if header & 0x40:
            nal, self._unfinished = b"".join(self._unfinished), []
            self._take_nal(nal)

    def _take_nal(self, nal: bytes) -> None:
        if len(nal) <= hevc.HEADER_BYTES:
            self._damaged = True
            return
        kind = hevc.nal_type(nal)
        if kind in hevc.PARAMETER_SETS:
            self._sets_here = self._sets_in_band = True
            self._learn(nal)
        elif kind not in _DELIMITERS:
            if hevc.is_slice(kind) and self._complete_start is None:
                self._complete_start = nal[2] > 127  # first_slice_segment_in_pic_flag
            self._parts.append(nal)

    def _learn(self, nal: bytes) -> None:
        """One of a kind and id takes the place of the one before."""
        try:
            if len(nal) > _LONGEST_SET:
                raise InvalidSyntax("HEVC: the parameter set is too long")
            self._sets[hevc.nal_type(nal), hevc.parameter_set_id(nal)] = nal
        except InvalidSyntax:
            self._damaged = True

    # ------------------------------------------------------------------------------------------ pictures

    def _finish(self) -> CodedPicture | None:
        kinds = [hevc.nal_type(nal) for nal in self._parts]
        slices = [kind for kind in kinds if hevc.is_slice(kind)]
        if not slices and not self._damaged and not self._unfinished:
            return None  # parameter sets or SEI alone
        keyframe = bool(slices) and all(map(hevc.is_random_access, slices))
        if not slices or not self._sound(keyframe):
            self.awaiting_keyframe = True
            self.dropped += 1
            return None
        if self.awaiting_keyframe and not (keyframe and self._has_sets()):
            self.dropped += 1
            return None
        self.awaiting_keyframe = False
        nals = [*self._ordered_sets(), *self._parts] if keyframe else self._parts
        frame = b"".join(part for nal in nals for part in (_LENGTH(len(nal)), nal))
        return CodedPicture(self._time, self._arrival, keyframe, frame)

    def _sound(self, keyframe: bool) -> bool:
        """Whether the picture is whole, as far as can be known."""
        if self._damaged or self._unfinished:
            return False
        if not self._gap_before:
            return True
        # its first slice, or its parameter sets, may lie in the gap
        return bool(self._complete_start) and not (keyframe and self._sets_in_band and not self._sets_here)

    def _has_sets(self) -> bool:
        return {kind for kind, _ in self._sets} == set(hevc.PARAMETER_SETS)

    def _ordered_sets(self) -> list[bytes]:
        return [self._sets[key] for key in sorted(self._sets)]


def _aggregated(payload: bytes) -> Iterator[bytes]:
    """NAL units of an aggregation packet (4.4.2); an empty one where it is malformed."""
    at, size = hevc.HEADER_BYTES, len(payload)
    while at < size:
        end = at + 2 + _SHORT(payload, at)[0] if at + 2 <= size else size + 1
        if end > size:
            yield b""
            return
        yield payload[at + 2 : end]
        at = end


def _kinds(payload: bytes) -> Iterator[int]:
    """Types of the NAL units that begin in a payload, without delimiters."""
    if len(payload) <= hevc.HEADER_BYTES:
        return
    kind = hevc.nal_type(payload)
    if kind == _AGGREGATE:
        kinds = [hevc.nal_type(nal) for nal in _aggregated(payload) if nal]
    elif kind == _FRAGMENT:
        kinds = [payload[2] & 63] if payload[2] & 0x80 else []
    else:
        kinds = [kind]
    yield from (kind for kind in kinds if kind not in _DELIMITERS)
