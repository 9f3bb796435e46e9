import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.outputs.chunks import (
    CHUNK_SIZE,
    ChunkError,
    ChunkReader,
    Message,
    MessageType,
    header,
    pack,
    split,
)

messages = st.builds(
    Message,
    type=st.sampled_from([8, 9, 18, 20]),
    stream_id=st.sampled_from([0, 1, 0x01020304]),
    timestamp=st.integers(0, 0xFFFFFFFF) | st.integers(0xFFFFFD, 0x1000001),
    body=st.binary(max_size=700),
)


def chunk_size_message(size: int) -> bytes:
    return pack(Message(MessageType.SET_CHUNK_SIZE, 0, 0, size.to_bytes(4)), 2, 128)


@given(st.lists(messages, max_size=6), st.integers(1, 300), st.integers(1, 97))
def test_what_is_written_can_be_read(written: list[Message], chunk_size: int, piece: int) -> None:
    wire = chunk_size_message(chunk_size)
    wire += b"".join(pack(m, 3 + n % 4, chunk_size) for n, m in enumerate(written))
    reader = ChunkReader()
    found = [m for at in range(0, len(wire), piece) for m in reader.receive(wire[at : at + piece])]
    assert found == written


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_give_messages_or_the_documented_error(pieces: list[bytes]) -> None:
    reader = ChunkReader()
    try:
        for piece in pieces:
            for message in reader.receive(piece):
                assert len(message.body) <= 1 << 16
    except ChunkError:
        pass


def read(wire: str) -> list[Message]:
    return list(ChunkReader().receive(bytes.fromhex(wire)))


def test_header_of_type_0() -> None:
    assert header(6, 9, 1, 0x010203, 0x0A0B0C).hex(" ") == "06 01 02 03 0a 0b 0c 09 01 00 00 00"
    assert header(4, 8, 1, 0xFFFFFF, 1).hex(" ") == "04 ff ff ff 00 00 01 08 01 00 00 00 00 ff ff ff"


def test_extended_timestamps_are_repeated_in_type_3_chunks() -> None:
    wire = pack(Message(9, 1, 0x01000000, b"abcdef"), 6, 4)
    assert wire.hex(" ") == "06 ff ff ff 00 00 06 09 01 00 00 00 01 00 00 00 61 62 63 64 c6 01 00 00 00 65 66"


def test_short_headers() -> None:
    """Types 1, 2 and 3 as the specification's example 1 (5.3.2.1) has them: deltas of 20 ms."""
    wire = "030003e8000001080c000000 aa43000014000001 08 bb83000014 ccc3 dd"
    found = [(m.type, m.stream_id, m.timestamp, m.body) for m in read(wire)]
    assert found == [(8, 12, 1000, b"\xaa"), (8, 12, 1020, b"\xbb"), (8, 12, 1040, b"\xcc"), (8, 12, 1060, b"\xdd")]


def test_chunk_streams_with_large_numbers() -> None:
    assert read("0010 000000000001 08 00000000 aa0105 01 000000000001 08 00000000 bb") == [
        Message(8, 0, 0, b"\xaa"),
        Message(8, 0, 0, b"\xbb"),
    ]


def test_messages_of_two_chunk_streams_may_be_interleaved() -> None:
    one, two = pack(Message(8, 1, 5, b"a" * 200), 4, 128), pack(Message(9, 1, 6, b"b" * 200), 6, 128)
    found = list(ChunkReader().receive(one[:140] + two[:140] + one[140:] + two[140:]))
    assert found == [Message(8, 1, 5, b"a" * 200), Message(9, 1, 6, b"b" * 200)]


def test_abort_drops_what_has_come_of_a_message() -> None:
    begun = pack(Message(8, 1, 5, b"a" * 200), 4, 128)[:140]
    abort = pack(Message(MessageType.ABORT, 0, 0, (4).to_bytes(4)), 2, 128)
    whole = Message(8, 1, 7, b"b" * 9)
    assert list(ChunkReader().receive(begun + abort + pack(whole, 4, 128))) == [whole]


@pytest.mark.parametrize(
    "wire",
    [
        "03 000000 010001 14 00000000",
        "c3",
        "02 000000 000004 01 00000000 00000000",
        "02 000000 000004 01 00000000 80000000",
        "02 000000 000002 01 00000000 0000",
        "03 000000 0000ff 14 00000000" + "61" * 128 + "03 000000 000001 14 00000000 61",
        "".join(f"{3 + n:02x} 000000 000001 14 00000000 61" for n in range(33)),
    ],
    ids=["too long", "no header before", "size 0", "size too large", "too short", "within another", "too many streams"],
)
def test_bounds(wire: str) -> None:
    with pytest.raises(ChunkError):
        read(wire)


def test_a_body_that_fits_is_not_copied() -> None:
    body = bytes(CHUNK_SIZE)
    assert split(body, 6, 0) is body
    assert len(split(body + b"x", 6, 0)) == CHUNK_SIZE + 2
