"""The parameter sets of a stream, and which of them are in force. Pure."""

import base64
import binascii

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.h264_syntax import (
    SequenceParameters,
    parse_pps,
    parse_slice_pps,
    parse_sps,
)
from transponder_relay.media import ParameterSets

SPS, PPS = 7, 8

_LONGEST = 0xFFFF
_MOST_PPS = 255
"""What an AVCDecoderConfigurationRecord can hold (ISO/IEC 14496-15, 5.3.3.1.2): bytes of one, and their number."""


def sprop_nal_units(sprop: str) -> list[bytes]:
    """NAL units of an fmtp `sprop-parameter-sets` (RFC 6184 section 8.1); what is no base64 is passed over."""
    units = []
    for item in sprop.split(","):
        try:
            units.append(base64.b64decode(item, validate=True))
        except (binascii.Error, ValueError):
            continue
    return [unit for unit in units if unit]


class ParameterStore:
    """Keeps the parameter sets by id and tells those in force: one SPS, with every PPS that refers to it.

    An encoder may use a new SPS id for each picture size, so the set in force is the one the last IDR picture named.
    """

    __slots__ = ("_active_pps", "_changed", "_current", "_pps", "_sps")

    def __init__(self) -> None:
        self._sps: dict[int, tuple[bytes, SequenceParameters]] = {}
        self._pps: dict[int, tuple[bytes, int]] = {}
        self._active_pps: int | None = None
        self._current: ParameterSets | None = None
        self._changed = False

    def add(self, nal: bytes) -> None:
        """Take an SPS or PPS. Raises InvalidSyntax, and then keeps what it had."""
        if len(nal) > _LONGEST:
            raise InvalidSyntax("H.264: the parameter set is too long")
        if nal[0] & 31 == SPS:
            sps = parse_sps(nal)
            if self._sps.get(sps.id) != (nal, sps):
                self._sps[sps.id] = (nal, sps)
                self._changed = True
        else:
            pps = parse_pps(nal)
            if self._pps.get(pps.id) != (nal, pps.sequence_id):
                self._pps[pps.id] = (nal, pps.sequence_id)
                self._changed = True

    def activate(self, slice_head: bytes) -> None:
        """An IDR slice names its PPS. Raises InvalidSyntax if it names one that is not here."""
        identifier = parse_slice_pps(slice_head)
        if identifier not in self._pps or self._pps[identifier][1] not in self._sps:
            raise InvalidSyntax("H.264: the slice refers to a parameter set that never came")
        if identifier != self._active_pps:
            self._active_pps = identifier
            self._changed = True

    def current(self) -> ParameterSets | None:
        """Those in force; the same object until they change, None before the first IDR."""
        if self._changed and self._active_pps is not None:
            self._changed = False
            self._refresh(self._active_pps)
        return self._current

    def _refresh(self, active_pps: int) -> None:
        sequence_id = self._pps[active_pps][1]
        if sequence_id not in self._sps:
            return
        nal, sps = self._sps[sequence_id]
        pps = [pps for _, (pps, owner) in sorted(self._pps.items()) if owner == sequence_id]
        fresh = ParameterSets((nal,), tuple(pps[:_MOST_PPS]), sps.width, sps.height, sps.samples)
        if fresh != self._current:
            self._current = fresh
