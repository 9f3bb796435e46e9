"""Numbers, history and reports of a stream that is sent, read by another implementation."""

import pytest
from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket, unwrap_rtx

from transponder_relay.playback.outgoing import HISTORY, RESEND_GAP, OutgoingStream


def sent(stream: OutgoingStream, count: int, start: int = 0) -> list[RtpPacket]:
    return [
        RtpPacket.parse(stream.packet(n * 3000, n % 2 == 1, b"payload %d" % n)) for n in range(start, start + count)
    ]


def test_packets_count_up() -> None:
    stream = OutgoingStream(102, 90_000)
    packets = sent(stream, 4)
    first = packets[0]
    assert [p.sequence_number - first.sequence_number & 0xFFFF for p in packets] == [0, 1, 2, 3]
    assert [p.timestamp - first.timestamp & 0xFFFFFFFF for p in packets] == [0, 3000, 6000, 9000]
    assert [p.marker for p in packets] == [0, 1, 0, 1]
    assert {(p.payload_type, p.ssrc) for p in packets} == {(102, stream.ssrc)}
    assert stream.started


def test_numbers_wrap() -> None:
    stream = OutgoingStream(102, 90_000, rtx_type=103, history=True)
    first = sent(stream, 1)[0].sequence_number
    for _ in range(0x10000 - first):
        stream.packet(0, False, b"x")
    packet = RtpPacket.parse(stream.packet(2**32 + 5, False, b"after"))
    assert packet.sequence_number == 1
    again = RtpPacket.parse(stream.again(1, 1.0) or b"")
    assert unwrap_rtx(again, 102, stream.ssrc).payload == b"after"


@pytest.mark.parametrize("rtx_type", [103, None])
def test_a_packet_is_sent_again(rtx_type: int | None) -> None:
    stream = OutgoingStream(102, 90_000, rtx_type=rtx_type, history=True)
    packets = sent(stream, 10)
    for wanted in (packets[3], packets[7]):
        data = stream.again(wanted.sequence_number, 1.0)
        assert data is not None
        again = RtpPacket.parse(data)
        if rtx_type:
            assert (again.payload_type, again.ssrc, again.timestamp) == (103, stream.rtx_ssrc, wanted.timestamp)
            again = unwrap_rtx(again, 102, stream.ssrc)
        assert again.serialize() == wanted.serialize()


def test_retransmissions_have_numbers_of_their_own() -> None:
    stream = OutgoingStream(102, 90_000, rtx_type=103, history=True)
    packets = sent(stream, 3)
    again = [RtpPacket.parse(stream.again(p.sequence_number, 1.0) or b"") for p in reversed(packets)]
    assert [a.sequence_number - again[0].sequence_number for a in again] == [0, 1, 2]


def test_history_is_bounded_and_requests_are_answered_once() -> None:
    stream = OutgoingStream(102, 90_000, rtx_type=103, history=True)
    packets = sent(stream, HISTORY + 1)
    assert stream.again(packets[0].sequence_number, 1.0) is None, "too old"
    assert stream.again(packets[-1].sequence_number + 1, 1.0) is None, "never sent"
    assert stream.again(packets[1].sequence_number, 1.0) is not None
    assert stream.again(packets[1].sequence_number, 1.0 + RESEND_GAP / 2) is None, "a moment ago"
    assert stream.again(packets[1].sequence_number, 1.0 + RESEND_GAP) is not None
    assert OutgoingStream(111, 48_000).again(0, 1.0) is None, "sound is not sent again"


def test_the_sender_report() -> None:
    stream = OutgoingStream(111, 48_000)
    base = sent(stream, 3)[0].timestamp
    (report,) = RtcpPacket.parse(stream.report(3_900_000_000.25, 48_000))
    assert isinstance(report, RtcpSrPacket)
    assert report.ssrc == stream.ssrc
    info = report.sender_info
    assert info.ntp_timestamp == 3_900_000_000 << 32 | 1 << 30
    assert info.rtp_timestamp == base + 48_000 & 0xFFFFFFFF
    assert (info.packet_count, info.octet_count) == (3, 27)
