"""AV1 from packets: real temporal units, every form of packet, loss, and bytes that mean nothing."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clip import Clip, av1_clip
from support.coded_packets import Packet, feed, packets_of
from support.rtp_sender import without_size

from transponder_relay.ingest.av1 import Depacketiser
from transponder_relay.ingest.av1_syntax import leb128, obus, parse_sequence_header, with_size
from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.pictures import MOST_PARTS


@pytest.fixture(scope="module")
def media() -> Clip:
    return av1_clip()


def unit(media: Clip, number: int) -> bytes:
    return b"".join(media.pictures[number].nals)


@pytest.mark.parametrize("limit", [40, 1150, 1 << 20])
def test_units_come_back_bit_identical(media: Clip, limit: int) -> None:
    pictures = feed(Depacketiser(), packets_of(media, 70, limit))
    assert [p.frame for p in pictures] == [unit(media, n) for n in range(70)]
    assert [p.keyframe for p in pictures] == [p.keyframe for p in media.pictures[:70]]


def test_elements_may_all_have_lengths_and_obus_sizes(media: Clip) -> None:
    """W is 0 then; a delimiter and padding are left out (sections 4.3 and 5)."""
    obus = [b"\x12\x00", *media.pictures[0].nals, b"\x7a\x02\x80\x00"]
    payload = b"\x08" + b"".join(leb128(len(obu)) + obu for obu in obus)
    (picture,) = feed(Depacketiser(), [(payload, 0, True)])
    assert (picture.frame, picture.keyframe) == (unit(media, 0), True)
    assert Depacketiser().resumes(payload)


def test_an_extension_is_kept(media: Clip) -> None:
    obu = bytes((media.pictures[0].nals[-1][0] & ~2 | 4, 0x20)) + without_size(media.pictures[0].nals[-1])[1:]
    assert with_size(obu)[:2] == bytes((obu[0] | 2, 0x20))
    assert list(obus(with_size(obu) + with_size(obu))) == [with_size(obu)] * 2


def test_the_sequence_header_tells_the_size(media: Clip) -> None:
    header = parse_sequence_header(media.pictures[0].nals[0])
    assert (header.width, header.height) == (640, 360)
    assert (header.profile, header.high_bitdepth, header.monochrome) == (0, 0, 0)
    assert (header.subsampling_x, header.subsampling_y) == (1, 1)
    with pytest.raises(InvalidSyntax):
        parse_sequence_header(media.pictures[0].nals[0][:6])


@pytest.mark.parametrize(
    "bad",
    [
        b"\x10",  # nothing follows
        b"\x00\x05ab",  # an element is cut off
        b"\x20\x02\x30",  # of two elements the first is not whole
        b"\x80rest",  # goes on with nothing
        b"\x50\x30abc",  # the rest never comes
        b"\x10\xb0abc",  # the forbidden bit
        b"\x10\x32\x7f\x00",  # an OBU shorter than its size
        b"\x10\x28meta",  # no frame in it
        b"\x00" + b"\xff" * 9,  # a length without end
    ],
)
def test_a_malformed_payload_damages_its_picture_alone(media: Clip, bad: bytes) -> None:
    packets: list[Packet | None] = [*packets_of(media, 2), (bad, 5000, True), *packets_of(media, 68, first=2)]
    depacketiser = Depacketiser()
    pictures = feed(depacketiser, packets)
    assert [p.frame for p in pictures] == [unit(media, n) for n in (0, 1, *range(60, 70))]
    assert depacketiser.dropped == 59


def test_an_obu_without_end_is_given_up(media: Clip) -> None:
    depacketiser = Depacketiser()
    begin, go_on = b"\x50" + bytes(1200), b"\xd0" + bytes(1200)
    tracemalloc.start()
    feed(depacketiser, [(begin, 0, False), *[(go_on, 0, False)] * (MOST_PARTS + 1000)])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
    assert peak < 2 * 1250 * MOST_PARTS
    assert feed(depacketiser, packets_of(media, 1, first=60)), "the next keyframe comes through"


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_any_payloads_raise_nothing(packets: list[tuple[bytes, int, bool, bool]]) -> None:
    depacketiser = Depacketiser()
    for payload, time, marker, gap in packets:
        if gap:
            depacketiser.gap()
        depacketiser.resumes(payload)
        for picture in depacketiser.push(payload, time, marker, 0.0):
            assert list(obus(picture.frame))


@given(st.binary(max_size=60))
def test_any_sequence_header_is_read_or_refused(data: bytes) -> None:
    try:
        header = parse_sequence_header(data)
    except InvalidSyntax:
        return
    assert header.width > 0
    assert header.height > 0


@given(seed=st.integers(0, 1 << 30), loss=st.floats(0, 0.3))
@settings(max_examples=20, deadline=None)
def test_after_loss_only_whole_units_with_their_references(seed: int, loss: float) -> None:
    media, chance = av1_clip(), random.Random(seed)
    packets = [p if chance.random() >= loss else None for p in packets_of(media, 120, 300)]
    pictures = feed(Depacketiser(), packets)
    numbers = [p.rtp_time // 3000 for p in pictures]
    assert [p.frame for p in pictures] == [unit(media, n) for n in numbers]
    for before, after in zip([-1, *numbers], numbers, strict=False):
        assert after == before + 1 or media.pictures[after].keyframe
