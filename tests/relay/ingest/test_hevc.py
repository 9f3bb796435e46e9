"""HEVC from packets: real pictures, every form of packet, loss, and bytes that mean nothing."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clip import Clip, hevc_clip
from support.coded_packets import Packet, feed, packets_of

from transponder_relay.ingest.bits import InvalidSyntax
from transponder_relay.ingest.hevc import Depacketiser
from transponder_relay.ingest.hevc_syntax import PARAMETER_SETS, nal_type, nal_units, parse_sps
from transponder_relay.ingest.pictures import MOST_PARTS


@pytest.fixture(scope="module")
def media() -> Clip:
    return hevc_clip()


def frame(media: Clip, number: int) -> bytes:
    """With its parameter sets in front, as the depacketiser gives it."""
    nals = sorted(media.pictures[number].nals, key=lambda nal: nal_type(nal) not in PARAMETER_SETS)
    return b"".join(len(nal).to_bytes(4) + nal for nal in nals)


@pytest.mark.parametrize("limit", [120, 1150, 1 << 15])
def test_pictures_come_back_bit_identical(media: Clip, limit: int) -> None:
    pictures = feed(Depacketiser(), packets_of(media, 70, limit))
    assert [p.frame for p in pictures] == [frame(media, n) for n in range(70)]
    assert [p.keyframe for p in pictures] == [p.keyframe for p in media.pictures[:70]]


def test_parameter_sets_may_come_out_of_band(media: Clip) -> None:
    sets = [nal for nal in media.pictures[0].nals if nal_type(nal) in PARAMETER_SETS]
    slices = [nal for nal in media.pictures[0].nals if nal_type(nal) < 32]
    assert len(sets) == 3
    assert feed(Depacketiser(), [(slices[0], 0, True)]) == [], "nothing to decode it with"
    depacketiser = Depacketiser([b"", b"@", *sets])
    assert depacketiser.resumes(slices[0])
    (picture,) = feed(depacketiser, [(slices[0], 0, True)])
    assert list(nal_units(picture.frame)) == [*sets, slices[0]]


def test_the_sps_tells_the_size(media: Clip) -> None:
    (sps,) = (nal for nal in media.pictures[0].nals if nal_type(nal) == 33)
    parameters = parse_sps(sps)
    assert (parameters.width, parameters.height, parameters.chroma_format) == (640, 360, 1)
    assert (parameters.luma_depth, parameters.chroma_depth, parameters.sub_layers) == (0, 0, 1)
    assert parameters.profile[0] & 31 == 1, "Main"
    with pytest.raises(InvalidSyntax):
        parse_sps(sps[:20])


@pytest.mark.parametrize(
    "bad",
    [
        b"\x02",  # half a header
        b"\x02\x01",  # nothing follows
        b"\x60\x01\x00\x09abc",  # an aggregated NAL unit is cut off
        b"\x62\x01\x01rest",  # the rest of a fragment
        b"\x62\x01\x81start",  # the start of one
        b"\x64\x01abc",  # PACI
    ],
)
def test_a_malformed_payload_damages_its_picture_alone(media: Clip, bad: bytes) -> None:
    packets: list[Packet | None] = [*packets_of(media, 2), (bad, 5000, True), *packets_of(media, 68, first=2)]
    depacketiser = Depacketiser()
    pictures = feed(depacketiser, packets)
    assert [p.frame for p in pictures] == [frame(media, n) for n in (0, 1, *range(60, 70))]
    assert depacketiser.dropped == 59


def test_a_nal_unit_without_end_is_given_up(media: Clip) -> None:
    depacketiser = Depacketiser()
    begin, go_on = b"\x62\x01\x81" + bytes(1200), b"\x62\x01\x01" + bytes(1200)
    tracemalloc.start()
    feed(depacketiser, [(begin, 0, False), *[(go_on, 0, False)] * (MOST_PARTS + 1000)])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
    assert peak < 2 * 1250 * MOST_PARTS
    assert feed(depacketiser, packets_of(media, 1, first=60)), "the next keyframe comes through"


def pps(identifier: int, size: int) -> bytes:
    code = f"{identifier + 1:b}"
    bits = "0" * (len(code) - 1) + code + "1"
    return b"\x44\x01" + int(bits.ljust(32, "0"), 2).to_bytes(4) + b"\xff" * (size - 6)


@pytest.mark.parametrize("bad", [pps(64, 10), pps(3, 0x10000)], ids=["an id too high", "longer than a record holds"])
def test_an_impossible_parameter_set_damages_its_picture(media: Clip, bad: bytes) -> None:
    depacketiser = Depacketiser()
    first, *rest = packets_of(media, 1, 1 << 17)
    assert feed(depacketiser, [(bad, 0, False), first, *rest]) == []
    assert depacketiser.dropped == 1
    (picture,) = feed(depacketiser, packets_of(media, 1, 1 << 17, first=60))
    assert bad not in picture.frame


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_any_payloads_raise_nothing(packets: list[tuple[bytes, int, bool, bool]]) -> None:
    depacketiser = Depacketiser()
    for payload, time, marker, gap in packets:
        if gap:
            depacketiser.gap()
        depacketiser.resumes(payload)
        for picture in depacketiser.push(payload, time, marker, 0.0):
            assert list(nal_units(picture.frame))


@given(st.binary(max_size=80))
def test_any_sps_is_read_or_refused(data: bytes) -> None:
    try:
        parameters = parse_sps(data)
    except InvalidSyntax:
        return
    assert 0 < parameters.width <= 16384


@given(seed=st.integers(0, 1 << 30), loss=st.floats(0, 0.3))
@settings(max_examples=20, deadline=None)
def test_after_loss_only_whole_pictures_with_their_references(seed: int, loss: float) -> None:
    media, chance = hevc_clip(), random.Random(seed)
    packets = [p if chance.random() >= loss else None for p in packets_of(media, 120, 300)]
    pictures = feed(Depacketiser(), packets)
    numbers = [p.rtp_time // 3000 for p in pictures]
    assert [p.frame for p in pictures] == [frame(media, n) for n in numbers]
    for before, after in zip([-1, *numbers], numbers, strict=False):
        assert after == before + 1 or media.pictures[after].keyframe
