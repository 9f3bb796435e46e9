"""RTP packets of a test sender: H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628), history for retransmissions."""

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
