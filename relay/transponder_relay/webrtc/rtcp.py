"""RTCP (RFC 3550, 3611, 4585, 5104, draft-alvestrand-rmcat-remb-03): what we read and write. Pure.

A datagram is one or more packets after each other; build one by joining the parts made here. The first part must be a
sender or receiver report, followed by `source_description`, unless reduced-size RTCP (RFC 5506) was negotiated.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct, pack
from typing import NamedTuple

from transponder_relay.webrtc.rtp import InvalidPacket

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
EXTENDED_REPORT = 207

GENERIC_NACK = 1
PICTURE_LOSS_INDICATION = 1
FULL_INTRA_REQUEST = 4
APPLICATION_LAYER = 15

_CNAME = 1
_RECEIVER_TIME, _TIME_ECHO = 4, 5  # blocks of an extended report
_HEADER = Struct("!BBH")
_SENDER_INFO = Struct("!IIII").unpack_from
_WORD = Struct("!I").unpack_from
_TRIPLE = Struct("!III").unpack_from
_PAIRS = Struct("!HH").iter_unpack

NTP_EPOCH = 2208988800
"""Seconds from 1900, where NTP begins, to 1970."""


class SenderReport(NamedTuple):
    """The moment `rtp_time` in the sender's wall clock (RFC 3550 section 6.4.1)."""

    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 in the upper half, fraction in the lower."""
    rtp_time: int
    """32 bits, as on the wire."""

    @property
    def seconds(self) -> float:
        return self.ntp / 4294967296

    @property
    def compact(self) -> int:
        """The middle 32 bits of `ntp`: LSR of a report block."""
        return self.ntp >> 16 & 0xFFFFFFFF


class Goodbye(NamedTuple):
    ssrcs: tuple[int, ...]


class SourceName(NamedTuple):
    """The CNAME of a source: sources with one name share one wall clock."""

    ssrc: int
    name: bytes


class PacketRequest(NamedTuple):
    """Generic NACK (RFC 4585 section 6.2.1)."""

    ssrc: int
    """Of the media."""
    sequences: tuple[int, ...]
    """16 bits each, as on the wire."""


class KeyframeRequest(NamedTuple):
    """PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1)."""

    ssrcs: tuple[int, ...]
    """Of the media."""


class ReceiverTimeEcho(NamedTuple):
    """A receiver's reference time come back (DLRR, RFC 3611 section 4.5)."""

    ssrc: int
    """Of the receiver."""
    time: int
    """The middle 32 bits of the NTP time that it told; 0 if it told none."""
    delay: int
    """1/65536 s from that report's arrival to this one's sending."""


RtcpItem = SenderReport | Goodbye | SourceName | PacketRequest | KeyframeRequest | ReceiverTimeEcho


def parse_rtcp(data: bytes) -> list[RtcpItem]:
    """What we use of a decrypted RTCP datagram; other packets are passed over. Raises InvalidPacket."""
    items: list[RtcpItem] = []
    for kind, count, body in _packets(data):
        if kind == SENDER_REPORT:
            if len(body) < 24:
                raise InvalidPacket("RTCP: sender report is cut off")
            ssrc, high, low, rtp_time = _SENDER_INFO(body)
            items.append(SenderReport(ssrc, high << 32 | low, rtp_time))
        elif kind == GOODBYE:
            if len(body) < 4 * count:
                raise InvalidPacket("RTCP: BYE is cut off")
            items.append(Goodbye(tuple(_WORD(body, 4 * i)[0] for i in range(count))))
        elif kind == SOURCE_DESCRIPTION:
            items.extend(_source_names(body, count))
        elif kind in (TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK):
            items.extend(_feedback(kind, count, body))
        elif kind == EXTENDED_REPORT:
            items.extend(_time_echoes(body))
    return items


def _packets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    position, size = 0, len(data)
    while position < size:
        if size - position < 4:
            raise InvalidPacket("RTCP: header is cut off")
        flags, kind, words = _HEADER.unpack_from(data, position)
        end = position + 4 + 4 * words
        if flags >> 6 != 2 or end > size:
            raise InvalidPacket("RTCP: wrong version or length")
        yield kind, flags & 31, data[position + 4 : end]
        position = end


def _source_names(body: bytes, chunks: int) -> Iterator[SourceName]:
    position = 0
    for _ in range(chunks):
        if position + 4 > len(body):
            raise InvalidPacket("RTCP: SDES is cut off")
        ssrc = _WORD(body, position)[0]
        position += 4
        while position < len(body) and body[position]:
            if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
                raise InvalidPacket("RTCP: SDES item is cut off")
            end = position + 2 + body[position + 1]
            if body[position] == _CNAME:
                yield SourceName(ssrc, body[position + 2 : end])
            position = end
        position += 4 - position % 4  # at least one zero ends the chunk


def _feedback(kind: int, form: int, body: bytes) -> Iterator[PacketRequest | KeyframeRequest]:
    if len(body) < 8:
        raise InvalidPacket("RTCP: feedback is cut off")
    ssrc = _WORD(body, 4)[0]
    if (kind, form) == (TRANSPORT_FEEDBACK, GENERIC_NACK):
        yield PacketRequest(ssrc, tuple(s for first, mask in _PAIRS(body[8:]) for s in _asked(first, mask)))
    elif (kind, form) == (PAYLOAD_FEEDBACK, PICTURE_LOSS_INDICATION):
        yield KeyframeRequest((ssrc,))
    elif (kind, form) == (PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST):
        yield KeyframeRequest(tuple(_WORD(body, at)[0] for at in range(8, len(body) - 7, 8)))


def _time_echoes(body: bytes) -> Iterator[ReceiverTimeEcho]:
    position = 4
    while position + 4 <= len(body):
        block, _, words = _HEADER.unpack_from(body, position)
        position += 4
        if position + 4 * words > len(body):
            raise InvalidPacket("RTCP: block of an extended report is cut off")
        if block == _TIME_ECHO:
            yield from (ReceiverTimeEcho(*_TRIPLE(body, position + 12 * i)) for i in range(words // 3))
        position += 4 * words


def _asked(first: int, mask: int) -> Iterator[int]:
    yield first
    yield from ((first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1)


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """RFC 3550 section 6.4.1, in the units of the wire."""

    ssrc: int
    fraction_lost: int
    """Share of packets lost since the last report, of 256."""
    packets_lost: int
    highest_sequence: int
    """Extended."""
    jitter: int
    """RTP clock units."""
    last_sender_report: int
    delay_since_sender_report: int
    """1/65536 s."""

    def __bytes__(self) -> bytes:
        lost = max(-0x800000, min(self.packets_lost, 0x7FFFFF)) & 0xFFFFFF
        return pack(
            "!IIIIII",
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest_sequence & 0xFFFFFFFF,
            self.jitter & 0xFFFFFFFF,
            self.last_sender_report,
            min(self.delay_since_sender_report, 0xFFFFFFFF),
        )


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def sender_report(ssrc: int, seconds: float, rtp_time: int, packets: int, octets: int) -> bytes:
    """`seconds`: of the NTP clock, when `rtp_time` is; counts are since the start, without retransmissions."""
    whole = int(seconds)
    fraction = int((seconds - whole) * 4294967296)
    sent = (packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    return _packet(SENDER_REPORT, 0, pack("!IIIIII", ssrc, whole & 0xFFFFFFFF, fraction, rtp_time, *sent))


def receiver_report(ssrc: int, blocks: Sequence[ReportBlock] = ()) -> bytes:
    """At most 31 blocks."""
    return _packet(RECEIVER_REPORT, len(blocks), pack("!I", ssrc) + b"".join(map(bytes, blocks)))


def receiver_time(ssrc: int, seconds: float) -> bytes:
    """An extended report with the receiver's reference time, of any clock that only grows (RFC 3611 section 4.4)."""
    whole = int(seconds)
    fraction = int((seconds - whole) * 4294967296)
    return _packet(EXTENDED_REPORT, 0, pack("!IBBHII", ssrc, _RECEIVER_TIME, 0, 2, whole & 0xFFFFFFFF, fraction))


def source_description(ssrc: int, name: bytes) -> bytes:
    """SDES with the CNAME alone, at most 255 bytes of it."""
    chunk = pack("!IBB", ssrc, _CNAME, len(name)) + name
    return _packet(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))


def goodbye(ssrcs: Sequence[int]) -> bytes:
    """BYE (RFC 3550 section 6.6) of at most 31 sources."""
    return _packet(GOODBYE, len(ssrcs), b"".join(pack("!I", s) for s in ssrcs))


def picture_loss_indication(ssrc: int, media_ssrc: int) -> bytes:
    """PLI (RFC 4585 section 6.3.1)."""
    return _packet(PAYLOAD_FEEDBACK, PICTURE_LOSS_INDICATION, pack("!II", ssrc, media_ssrc))


def nack(ssrc: int, media_ssrc: int, sequences: Iterable[int]) -> bytes:
    """Generic NACK (RFC 4585 section 6.2.1) of unwrapped sequence numbers in rising order."""
    fields: list[tuple[int, int]] = []
    for sequence in sequences:
        distance = sequence - fields[-1][0] if fields else 0
        if 1 <= distance <= 16:
            fields[-1] = (fields[-1][0], fields[-1][1] | 1 << (distance - 1))
        else:
            fields.append((sequence, 0))
    body = b"".join(pack("!HH", first & 0xFFFF, mask) for first, mask in fields)
    return _packet(TRANSPORT_FEEDBACK, GENERIC_NACK, pack("!II", ssrc, media_ssrc) + body)


def receiver_estimated_max_bitrate(ssrc: int, bits_per_second: int, media_ssrcs: Sequence[int]) -> bytes:
    """REMB (draft-alvestrand-rmcat-remb-03 section 2.2); the bitrate is rounded down to 18 significant bits."""
    exponent = max(0, bits_per_second.bit_length() - 18)
    body = pack("!II", ssrc, 0) + b"REMB"
    body += pack("!I", len(media_ssrcs) << 24 | exponent << 18 | bits_per_second >> exponent)
    return _packet(PAYLOAD_FEEDBACK, APPLICATION_LAYER, body + b"".join(pack("!I", s) for s in media_ssrcs))
