"""RTP packets (RFC 3550 section 5.1, RFC 4588, RFC 5761), parsed at the least cost that serves us. Pure."""

from struct import Struct
from typing import NamedTuple

_FIXED_HEADER = Struct("!BBHII").unpack_from
_EXTENSION_HEADER = Struct("!HH").unpack_from
_SHORT = Struct("!H").unpack_from


class InvalidPacket(ValueError):
    """A datagram that is no well-formed packet of its protocol."""


class RtpPacket(NamedTuple):
    payload_type: int
    marker: bool
    sequence: int
    """16 bits, as on the wire."""
    time: int
    """32 bits, as on the wire."""
    ssrc: int
    payload: bytes
    """Without header extensions and padding; empty in packets that only pad."""


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on the multiplexed port is RTCP (RFC 5761 section 4: packet types 192 to 223)."""
    return 192 <= data[1] <= 223


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse a decrypted RTP packet. Raises InvalidPacket."""
    size = len(data)
    if size < 12:
        raise InvalidPacket("RTP: shorter than its header")
    flags, kind, sequence, time, ssrc = _FIXED_HEADER(data)
    if flags >> 6 != 2:
        raise InvalidPacket("RTP: version is not 2")
    start = 12
    if flags != 0x80:
        start += 4 * (flags & 15)
        if flags & 0x10:
            if size < start + 4:
                raise InvalidPacket("RTP: header extension is cut off")
            start += 4 + 4 * _EXTENSION_HEADER(data, start)[1]
        if flags & 0x20:
            size -= data[-1]
        if start > size:
            raise InvalidPacket("RTP: header and padding exceed the packet")
    return RtpPacket(kind & 127, kind > 127, sequence, time, ssrc, data[start:size])


def original_of(packet: RtpPacket, payload_type: int, ssrc: int) -> RtpPacket | None:
    """The packet that a retransmission carries (RFC 4588 section 4), None if it only pads."""
    payload = packet.payload
    if len(payload) < 2:
        return None
    return RtpPacket(payload_type, packet.marker, _SHORT(payload)[0], packet.time, ssrc, payload[2:])


def unwrap16(value: int, reference: int) -> int:
    """The number nearest to `reference` whose low 16 bits are `value`."""
    return reference + ((value - reference + 0x8000) & 0xFFFF) - 0x8000


def unwrap32(value: int, reference: int) -> int:
    """The number nearest to `reference` whose low 32 bits are `value`."""
    return reference + ((value - reference + 0x80000000) & 0xFFFFFFFF) - 0x80000000
