"""RTP packets of a test sender: H.264 (RFC 6184), HEVC (RFC 7798), VP8 (RFC 7741), VP9 (RFC 9628), AV1 (AOM).

And a history of them for retransmissions."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

RTX_HISTORY = 1024


def packetise(nals: Sequence[bytes], limit: int) -> list[bytes]:
    """Payloads of one picture: parameter sets in one STAP-A, slices whole or in FU-A of equal sizes."""
    payloads: list[bytes] = []
    sets = [n for n in nals if n[0] & 31 in (7, 8)]
    if sets:
        payloads.append(b"\x78" + b"".join(struct.pack("!H", len(n)) + n for n in sets))
    for nal in nals:
        if nal[0] & 31 in (7, 8):
            continue
        payloads += [nal] if len(nal) <= limit else fragment(nal, limit)
    return payloads


def fragment(nal: bytes, limit: int) -> list[bytes]:
    """FU-A (RFC 6184 section 5.8)."""
    body = nal[1:]
    count = -(-len(body) // (limit - 2))
    step = -(-len(body) // count)
    indicator, kind = nal[0] & 0xE0 | 28, nal[0] & 31
    return [
        bytes((indicator, (at == 0) << 7 | (at + step >= len(body)) << 6 | kind)) + body[at : at + step]
        for at in range(0, len(body), step)
    ]


def packetise_frame(codec: str, frame: bytes, number: int, keyframe: bool, limit: int) -> list[bytes]:
    """Payloads of one VP8 or VP9 frame of equal sizes, with a picture ID of 15 bits as browsers send it."""
    count = -(-len(frame) // (limit - 4))
    step = -(-len(frame) // count)
    parts = [frame[at : at + step] for at in range(0, len(frame), step)]
    picture = struct.pack("!H", 0x8000 | number & 0x7FFF)
    if codec == "VP8":
        return [bytes((0x80 | (at == 0) << 4, 0x80)) + picture + part for at, part in enumerate(parts)]
    inter = 0 if keyframe else 0x40
    return [
        bytes((0x80 | inter | (at == 0) << 3 | (at == len(parts) - 1) << 2,)) + picture + part
        for at, part in enumerate(parts)
    ]


def packetise_hevc(nals: Sequence[bytes], limit: int) -> list[bytes]:
    """Payloads of one picture: small NAL units in one aggregation packet, the others whole or in fragments."""
    small = [n for n in nals if len(n) <= 100]
    payloads = [b"\x60\x01" + b"".join(struct.pack("!H", len(n)) + n for n in small)] if len(small) > 1 else small
    for nal in nals:
        if len(nal) <= 100:
            continue
        if len(nal) <= limit:
            payloads.append(nal)
            continue
        body, step = nal[2:], limit - 3
        head = bytes((nal[0] & 0x81 | 49 << 1, nal[1]))
        for at in range(0, len(body), step):
            flags = (at == 0) << 7 | (at + step >= len(body)) << 6
            payloads.append(head + bytes((flags | nal[0] >> 1 & 63,)) + body[at : at + step])
    return payloads


def packetise_av1(obus: Sequence[bytes], keyframe: bool, limit: int) -> list[bytes]:
    """Payloads of one temporal unit: OBUs without sizes, each with its length but the last of a packet."""
    elements = [without_size(obu) for obu in obus]
    payloads: list[bytes] = []
    while elements:
        room, taken = limit - 1, []
        goes_on = bool(payloads) and payloads[-1][0] & 0x40 != 0
        cut = False
        while elements and room > 3 and len(taken) < 3:
            part, rest = elements[0][: room - 3], elements[0][room - 3 :]
            taken.append(part)
            room -= len(part) + 3
            if rest:
                elements[0], cut = rest, True
                break
            elements.pop(0)
        head = goes_on << 7 | cut << 6 | len(taken) << 4 | (keyframe and not payloads) << 3
        payloads.append(bytes((head,)) + b"".join(_leb128(len(p)) + p for p in taken[:-1]) + taken[-1])
    return payloads


def without_size(obu: bytes) -> bytes:
    start = 2 if obu[0] & 4 else 1
    at = start
    while obu[at] > 127:
        at += 1
    return bytes((obu[0] & ~2,)) + obu[1:start] + obu[at + 1 :]


def _leb128(value: int) -> bytes:
    return bytes((value,)) if value < 128 else bytes((value & 127 | 128,)) + _leb128(value >> 7)


def packetise_picture(codec: str, nals: Sequence[bytes], number: int, keyframe: bool, limit: int) -> list[bytes]:
    """Payloads of one picture of a clip."""
    match codec:
        case "H264":
            return packetise(nals, limit)
        case "H265":
            return packetise_hevc(nals, limit)
        case "AV1":
            return packetise_av1(nals, keyframe, limit)
        case _:
            return packetise_frame(codec, nals[0], number, keyframe, limit)


class SentPacket(NamedTuple):
    sequence: int
    time: int
    marker: bool
    payload: bytes


class RtpStream:
    """Numbers the packets of one SSRC and keeps the last of them."""

    def __init__(self, payload_type: int, ssrc: int, sequence: int, base_time: int) -> None:
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.base_time = base_time
        self.packets = 0
        self.octets = 0
        self._sequence = sequence
        self._history: dict[int, SentPacket] = {}

    def packet(self, time: int, marker: bool, payload: bytes) -> bytes:
        """`time`: units since the start."""
        sequence, self._sequence = self._sequence, (self._sequence + 1) & 0xFFFF
        self._history[sequence % RTX_HISTORY] = SentPacket(sequence, time, marker, payload)
        self.packets += 1
        self.octets += len(payload)
        kind = self.payload_type | marker << 7
        return struct.pack("!BBHII", 0x80, kind, sequence, self.time(time), self.ssrc) + payload

    def time(self, time: int) -> int:
        return (self.base_time + time) & 0xFFFFFFFF

    def sent(self, sequence: int) -> SentPacket | None:
        packet = self._history.get(sequence % RTX_HISTORY)
        return packet if packet and packet.sequence == sequence else None
