import struct

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    unpack_remb_fci,
)
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.webrtc import rtcp
from transponder_relay.webrtc.rtp import InvalidPacket


def test_sender_report_name_and_goodbye_are_read() -> None:
    info = RtcpSenderInfo(ntp_timestamp=0xE9A1B2C3_80000000, rtp_timestamp=4000000000, packet_count=1, octet_count=2)
    source = RtcpSourceInfo(ssrc=11, items=[(1, b"camera"), (2, b"x")])
    data = (
        bytes(RtcpSrPacket(ssrc=11, sender_info=info))
        + bytes(RtcpSdesPacket(chunks=[source]))
        + bytes(RtcpByePacket(sources=[11, 12]))
    )
    report, name, goodbye = rtcp.parse_rtcp(data)
    assert report == rtcp.SenderReport(11, 0xE9A1B2C3_80000000, 4000000000)
    assert report.seconds == 0xE9A1B2C3 + 0.5
    assert report.compact == 0xB2C38000
    assert name == rtcp.SourceName(11, b"camera")
    assert goodbye == rtcp.Goodbye((11, 12))


@given(st.binary(max_size=120))
def test_any_bytes_give_items_or_invalid_packet(data: bytes) -> None:
    try:
        rtcp.parse_rtcp(data)
    except InvalidPacket:
        return


@given(st.integers(200, 207), st.integers(0, 31), st.binary(max_size=60).map(lambda b: b + bytes(-len(b) % 4)))
def test_any_well_framed_body_gives_items_or_invalid_packet(kind: int, count: int, body: bytes) -> None:
    try:
        rtcp.parse_rtcp(struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body)
    except InvalidPacket:
        return


def test_what_is_written_is_read_by_another_implementation() -> None:
    block = rtcp.ReportBlock(7, 64, -3, 70000, 12, 0x12345678, 65536)
    data = (
        rtcp.receiver_report(1, [block])
        + rtcp.source_description(1, b"relay")
        + rtcp.picture_loss_indication(1, 7)
        + rtcp.receiver_estimated_max_bitrate(1, 4_000_000, [7])
    )
    report, description, pli, remb = RtcpPacket.parse(data)
    assert isinstance(report, RtcpRrPacket)
    (seen,) = report.reports
    assert (seen.ssrc, seen.fraction_lost, seen.packets_lost) == (7, 64, -3)
    assert (seen.highest_sequence, seen.jitter, seen.lsr, seen.dlsr) == (70000, 12, 0x12345678, 65536)
    assert isinstance(description, RtcpSdesPacket)
    assert description.chunks[0].items == [(1, b"relay")]
    assert isinstance(pli, RtcpPsfbPacket)
    assert (pli.fmt, pli.ssrc, pli.media_ssrc) == (1, 1, 7)
    assert isinstance(remb, RtcpPsfbPacket)
    assert unpack_remb_fci(remb.fci) == (4_000_000, [7])


@given(st.binary(min_size=1, max_size=40).filter(lambda n: 0 not in n))
def test_names_of_any_length_are_read_back(name: bytes) -> None:
    assert rtcp.parse_rtcp(rtcp.source_description(9, name)) == [rtcp.SourceName(9, name)]


@given(st.sets(st.integers(65000, 67000), min_size=1, max_size=60))
def test_nacks_name_exactly_the_missing(missing: set[int]) -> None:
    (packet,) = RtcpPacket.parse(rtcp.nack(1, 7, sorted(missing)))
    assert isinstance(packet, RtcpRtpfbPacket)
    assert sorted(s & 0xFFFF for s in packet.lost) == sorted(s & 0xFFFF for s in missing)


def test_nacks_of_neighbours_share_a_field() -> None:
    assert len(rtcp.nack(1, 7, range(100, 117))) == 16
    assert len(rtcp.nack(1, 7, [100, 117])) == 20


@pytest.mark.parametrize("bitrate", [0, 1, 262143, 262144, 2_500_000, 2**40 - 1])
def test_remb_rounds_down_to_18_bits(bitrate: int) -> None:
    (packet,) = RtcpPacket.parse(rtcp.receiver_estimated_max_bitrate(1, bitrate, [7]))
    assert isinstance(packet, RtcpPsfbPacket)
    seen, _ = unpack_remb_fci(packet.fci)
    assert bitrate * (1 - 2**-17) <= seen <= bitrate


def test_what_a_receiver_says_is_read() -> None:
    block = RtcpReceiverInfo(
        ssrc=7, fraction_lost=64, packets_lost=-3, highest_sequence=70000, jitter=12, lsr=5, dlsr=6
    )
    info = RtcpSenderInfo(ntp_timestamp=1, rtp_timestamp=2, packet_count=3, octet_count=4)
    data = (
        bytes(RtcpRrPacket(ssrc=1, reports=[block, block]))
        + bytes(RtcpSrPacket(ssrc=9, sender_info=info, reports=[block]))
        + struct.pack("!BBHIIHHHH", 0x81, 205, 4, 1, 7, 65534, 0b10011, 400, 0)
        + bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=7))
        + bytes(RtcpPsfbPacket(fmt=4, ssrc=1, media_ssrc=0, fci=struct.pack("!IBxxxIBxxx", 7, 1, 8, 1)))
        + bytes(RtcpRtpfbPacket(fmt=15, ssrc=1, media_ssrc=7))
        + bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=0, fci=b"REMB"))
    )
    assert rtcp.parse_rtcp(data) == [
        rtcp.SenderReport(9, 1, 2),
        rtcp.PacketRequest(7, (65534, 65535, 0, 3, 400)),
        rtcp.KeyframeRequest((7,)),
        rtcp.KeyframeRequest((7, 8)),
    ]


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40, unique=True).map(sorted))
def test_our_requests_read_back(sequences: list[int]) -> None:
    assert rtcp.parse_rtcp(rtcp.nack(1, 7, sequences)) == [rtcp.PacketRequest(7, tuple(sequences))]


def test_the_time_of_a_receiver_and_its_echo() -> None:
    """RFC 3611 sections 4.4 and 4.5, byte by byte."""
    written = rtcp.receiver_time(0x01020304, 0x10203 + 0.5)
    assert written == bytes.fromhex("80cf0004 01020304 04000002 00010203 80000000")
    assert rtcp.parse_rtcp(written) == []
    other_block, echoes = "07000001 deadbeef", "05000006 01020304 02038000 00010000 00000005 00000000 00000000"
    echo = bytes.fromhex(f"80cf000a 0000000a {other_block} {echoes}")
    assert rtcp.parse_rtcp(echo) == [
        rtcp.ReceiverTimeEcho(0x01020304, 0x02038000, 0x10000),
        rtcp.ReceiverTimeEcho(5, 0, 0),
    ]
    with pytest.raises(InvalidPacket):
        rtcp.parse_rtcp(bytes.fromhex("80cf0003 0000000a 05000003 01020304 02038000"))


def test_a_sender_report_and_a_goodbye_are_read_by_another_implementation() -> None:
    data = rtcp.sender_report(5, 3_900_000_000.75, 4_000_000_000, 2**32 + 1, 10) + rtcp.goodbye([5, 6])
    report, goodbye = RtcpPacket.parse(data)
    assert isinstance(report, RtcpSrPacket)
    assert report.sender_info.ntp_timestamp == 3_900_000_000 << 32 | 3 << 30
    assert (report.sender_info.rtp_timestamp, report.sender_info.packet_count) == (4_000_000_000, 1)
    assert isinstance(goodbye, RtcpByePacket)
    assert goodbye.sources == [5, 6]
