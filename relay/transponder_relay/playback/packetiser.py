"""H.264 pictures as RTP payloads (RFC 6184, packetization-mode 1). Pure; once for all players."""

from collections.abc import Iterator, Sequence
from struct import Struct

from transponder_relay.media import AccessUnit, ParameterSets

MAX_PAYLOAD = 1150
"""Bytes: with the headers and the SRTP tag, the datagram passes every common path (IPv6, tunnels)."""

_STAP_A, _FU_A = 24, 28
_LENGTH = Struct("!I").unpack_from
_SHORT = Struct("!H").pack


def packetise(unit: AccessUnit, limit: int = MAX_PAYLOAD) -> list[bytes]:
    """The payloads of one picture; parameter sets go before each keyframe, as a player may begin at any of them."""
    payloads = list(_parameter_sets(unit.parameter_sets, limit)) if unit.keyframe else []
    avcc, position, size = unit.avcc, 0, len(unit.avcc)
    while position < size:
        end = position + 4 + _LENGTH(avcc, position)[0]
        nal = avcc[position + 4 : end]
        if len(nal) <= limit:
            payloads.append(nal)
        else:
            payloads += _fragments(nal, limit)
        position = end
    return payloads


def _parameter_sets(sets: ParameterSets, limit: int) -> Iterator[bytes]:
    """As many as fit in one STAP-A (section 5.7.1), which has the highest importance of what is in it."""
    held: list[bytes] = []
    for nal in (*sets.sps, *sets.pps):
        if held and 1 + sum(2 + len(n) for n in (*held, nal)) > limit:
            yield from _aggregate(held, limit)
            held = []
        held.append(nal)
    yield from _aggregate(held, limit)


def _aggregate(nals: Sequence[bytes], limit: int) -> Iterator[bytes]:
    if len(nals) == 1:
        yield from _fragments(nals[0], limit) if len(nals[0]) > limit else nals
    elif nals:
        importance = max(nal[0] & 0x60 for nal in nals)
        yield bytes((importance | _STAP_A,)) + b"".join(_SHORT(len(nal)) + nal for nal in nals)


def _fragments(nal: bytes, limit: int) -> Iterator[bytes]:
    """FU-A (section 5.8) of nearly equal sizes."""
    indicator, kind, size = nal[0] & 0xE0 | _FU_A, nal[0] & 31, len(nal) - 1
    count = -(-size // (limit - 2))
    step = -(-size // count)
    for start in range(1, size + 1, step):
        first, last = start == 1, start + step > size
        yield bytes((indicator, first << 7 | last << 6 | kind)) + nal[start : start + step]
