import struct

import pytest
from aiortc.rtp import HeaderExtensionsMap
from aiortc.rtp import RtpPacket as AiortcPacket
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.webrtc.rtp import InvalidPacket, RtpPacket, is_rtcp, original_of, parse_rtp, unwrap16, unwrap32


@given(
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence=st.integers(0, 0xFFFF),
    time=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    sources=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15),
    payload=st.binary(max_size=64),
    padding=st.integers(0, 255),
    extension=st.booleans(),
)
def test_it_reads_what_another_implementation_writes(
    payload_type: int,
    marker: bool,
    sequence: int,
    time: int,
    ssrc: int,
    sources: list[int],
    payload: bytes,
    padding: int,
    extension: bool,
) -> None:
    packet = AiortcPacket(payload_type, marker, sequence, time, ssrc, payload)
    packet.csrc = sources
    packet.padding_size = padding
    extensions = HeaderExtensionsMap()
    extensions.mid = 3
    if extension:
        packet.extensions.mid = "video"
    assert parse_rtp(packet.serialize(extensions)) == (payload_type, marker, sequence, time, ssrc, payload)


@given(st.binary(max_size=80))
def test_any_bytes_give_a_packet_or_invalid_packet(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except InvalidPacket:
        return
    assert len(packet.payload) <= len(data) - 12


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(11), "shorter"),
        (bytes(12), "version"),
        (b"\x9f" + bytes(11), "extension is cut off"),
        (b"\x8f" + bytes(11), "exceed"),
        (b"\xa0" + bytes(10) + b"\x01" + b"\xff", "exceed"),
        (b"\x90" + bytes(11) + struct.pack("!HH", 0xBEDE, 9), "exceed"),
    ],
)
def test_malformed_packets_are_named(data: bytes, words: str) -> None:
    with pytest.raises(InvalidPacket, match=words):
        parse_rtp(data)


def test_retransmission_carries_the_original() -> None:
    packet = RtpPacket(103, True, 7, 90000, 5, struct.pack("!H", 65535) + b"picture")
    assert original_of(packet, 102, 4) == (102, True, 65535, 90000, 4, b"picture")
    assert original_of(packet._replace(payload=b""), 102, 4) is None


@given(st.integers(0x10000, 2**50), st.integers(-0x8000, 0x7FFF))
def test_sequence_numbers_unwrap_to_the_nearest(reference: int, step: int) -> None:
    assert unwrap16((reference + step) & 0xFFFF, reference) == reference + step


@given(st.integers(2**32, 2**60), st.integers(-(2**31), 2**31 - 1))
def test_times_unwrap_to_the_nearest(reference: int, step: int) -> None:
    assert unwrap32((reference + step) & 0xFFFFFFFF, reference) == reference + step


def test_rtcp_is_told_by_its_packet_type() -> None:
    assert is_rtcp(b"\x80\xc8")
    assert not is_rtcp(b"\x80\xe6")  # payload type 102 with its marker
    assert not is_rtcp(b"\x80\x6f")
