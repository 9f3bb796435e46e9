"""The depacketiser against pictures cut in every way the standard allows, and against loss."""

import base64
import random
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clip import Clip, avcc_nals, clip, slice_crc
from support.rtp_sender import fragment, packetise

from transponder_relay.ingest.h264 import Depacketiser
from transponder_relay.ingest.h264_parameters import sprop_nal_units
from transponder_relay.media import AccessUnit

Packet = tuple[bytes, int, bool]
"""Payload, RTP time, marker."""


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


def packets_of(media: Clip, count: int, limit: int = 1150, first: int = 0) -> list[Packet]:
    return [
        (payload, number * 3000, index == len(payloads) - 1)
        for number in range(first, first + count)
        for payloads in [packetise(media.pictures[number].nals, limit)]
        for index, payload in enumerate(payloads)
    ]


def feed(depacketiser: Depacketiser, packets: Sequence[Packet | None]) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    for packet in packets:
        if packet is None:
            depacketiser.gap()
        else:
            units.extend(depacketiser.push(*packet, 0.0))
    return units


def crcs(units: Sequence[AccessUnit]) -> list[int]:
    return [slice_crc(avcc_nals(unit.avcc)) for unit in units]


@pytest.mark.parametrize("limit", [100, 1150, 1 << 20])
def test_pictures_come_back_bit_identical(media: Clip, limit: int) -> None:
    units = feed(Depacketiser(), packets_of(media, 70, limit))
    assert crcs(units) == [p.crc for p in media.pictures[:70]]
    assert [u.keyframe for u in units] == [p.keyframe for p in media.pictures[:70]]
    assert [u.rtp_time for u in units] == [i * 3000 for i in range(70)]
    assert len({id(u.parameter_sets) for u in units}) == 1
    assert not any(n[0] & 31 in (7, 8) for u in units for n in avcc_nals(u.avcc))


def test_several_slices_make_one_picture() -> None:
    sliced = clip(seconds=2, slices=4)
    units = feed(Depacketiser(), packets_of(sliced, 60, 300))
    assert crcs(units) == [p.crc for p in sliced.pictures]
    assert len(avcc_nals(units[0].avcc)) == 4


def test_slices_may_share_an_aggregate() -> None:
    nals = clip(seconds=2, slices=4).pictures[0].nals
    payload = b"\x78" + b"".join(struct.pack("!H", len(n)) + n for n in nals)
    (unit,) = feed(Depacketiser(), [(payload, 0, True)])
    assert avcc_nals(unit.avcc) == list(nals[2:])


def test_delimiters_filler_and_ends_are_left_out_and_sei_is_kept(media: Clip) -> None:
    sps, pps, idr = media.pictures[0].nals
    sei = b"\x06\x05\x01\x80"
    loose = [b"\x09\x10", sps, pps, b"\x0c\xff\x80", sei, idr, b"\x0a"]
    packets = [(n, 0, i == len(loose) - 1) for i, n in enumerate(n for n in loose if len(n) < 60000)]
    (unit,) = feed(Depacketiser(), packets)
    assert avcc_nals(unit.avcc) == [sei, idr]


def test_parameter_sets_from_the_offer(media: Clip) -> None:
    sps, pps, idr = media.pictures[0].nals
    sprop = ",".join(base64.b64encode(n).decode() for n in (sps, pps))
    units = feed(Depacketiser(sprop_nal_units(sprop)), [(p, 0, False) for p in fragment(idr, 1150)[:-1]])
    assert units == []
    depacketiser = Depacketiser(sprop_nal_units(sprop))
    fragments = fragment(idr, 1150)
    (unit,) = feed(depacketiser, [(p, 0, p is fragments[-1]) for p in fragments])
    assert unit.parameter_sets.sps == (sps,)
    # never in band: an IDR picture right behind a gap is whole if its first slice is
    (again,) = feed(depacketiser, [None, *((p, 3000, p is fragments[-1]) for p in fragments)])
    assert again.keyframe


def test_without_parameter_sets_nothing_comes(media: Clip) -> None:
    depacketiser = Depacketiser()
    assert feed(depacketiser, [(p, 0, False) for p in fragment(media.pictures[0].nals[2], 900)]) == []
    assert feed(depacketiser, [(media.pictures[1].nals[0][:800], 3000, True)]) == []
    assert depacketiser.awaiting_keyframe


def test_a_missing_marker_is_made_up_by_the_next_time(media: Clip) -> None:
    packets = [(payload, time, False) for payload, time, _ in packets_of(media, 5)]
    assert crcs(feed(Depacketiser(), packets)) == [p.crc for p in media.pictures[:4]]


def test_a_picture_without_end_takes_no_more_than_a_message_can_hold(media: Clip) -> None:
    depacketiser = Depacketiser()
    feed(depacketiser, [(b"\x7c\x85" + bytes(10), 0, False)])
    feed(depacketiser, [(b"\x7c\x05" + bytes(10), 0, False)] * 100_000)
    assert len(depacketiser._parts) <= 20_001
    units = feed(depacketiser, [(p, t + 3000, m) for p, t, m in packets_of(media, 3)])
    assert crcs(units) == [p.crc for p in media.pictures[:3]]
    assert depacketiser.dropped == 1


def test_it_starts_with_a_keyframe(media: Clip) -> None:
    depacketiser = Depacketiser()
    units = feed(depacketiser, packets_of(media, 70, first=5))
    assert crcs(units) == [p.crc for p in media.pictures[60:75]]
    assert depacketiser.dropped == 55


def test_a_new_size_gives_new_parameter_sets(media: Clip) -> None:
    other = clip(seconds=2, width=320, height=180)
    packets = packets_of(media, 3) + [(p, t + 9000, m) for p, t, m in packets_of(other, 3)]
    units = feed(Depacketiser(), packets)
    assert [(u.parameter_sets.width, u.parameter_sets.height) for u in units] == [(640, 360)] * 3 + [(320, 180)] * 3
    assert units[3].parameter_sets is units[5].parameter_sets


@pytest.mark.parametrize(
    "bad",
    [
        b"\x7c\x85",  # FU-A without content
        b"\x7c\x05abc",  # FU-A without its start
        b"\x78\x00\x09abc",  # STAP-A cut off
        b"\x78",
        b"\x19abc",  # STAP-B: mode 2
        b"\x7f\x00",  # undefined
        b"\x67\x42",  # SPS cut off
    ],
)
def test_a_malformed_payload_damages_its_picture_alone(media: Clip, bad: bytes) -> None:
    packets: list[Packet | None] = [*packets_of(media, 2), (bad, 6000, False), *packets_of(media, 68, first=2)]
    depacketiser = Depacketiser()
    units = feed(depacketiser, packets)
    assert crcs(units) == [p.crc for p in (*media.pictures[:2], *media.pictures[60:70])]
    assert depacketiser.dropped == 58


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_any_payloads_raise_nothing(packets: list[tuple[bytes, int, bool, bool]]) -> None:
    depacketiser = Depacketiser(clip().pictures[0].nals[:2])
    for payload, time, marker, gap in packets:
        if gap:
            depacketiser.gap()
        for unit in depacketiser.push(payload, time, marker, 0.0):
            assert avcc_nals(unit.avcc)
        depacketiser.resumes(payload)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.001, 0.2), st.sampled_from([200, 1150]))
def test_after_loss_only_whole_pictures_with_their_references(seed: int, loss: float, limit: int) -> None:
    media, rng = clip(), random.Random(seed)
    survivors: list[Packet | None] = []
    lost_pictures: set[int] = set()
    for packet in packets_of(media, 300, limit):
        if rng.random() < loss:
            lost_pictures.add(packet[1] // 3000)
            if not survivors or survivors[-1] is not None:
                survivors.append(None)
        else:
            survivors.append(packet)
    units = feed(Depacketiser(), survivors)
    numbers = [u.rtp_time // 3000 for u in units]
    assert crcs(units) == [media.pictures[n].crc for n in numbers]
    for number in numbers:  # all pictures from its keyframe on came whole, and were given
        group = range(number - number % 60, number + 1)
        assert not lost_pictures & set(group)
        assert set(group) <= set(numbers)
    for start in range(0, 300, 60):  # and nothing good was held back, but a keyframe beside a gap
        if start not in lost_pictures and start not in numbers:
            assert start - 1 in lost_pictures


def test_resumes_at_parameter_sets_or_without_them_at_the_picture(media: Clip) -> None:
    depacketiser = Depacketiser()
    start, *rest = packetise(media.pictures[0].nals, 300)
    assert depacketiser.resumes(rest[0]), "nothing tells yet that parameter sets come in band"
    feed(depacketiser, packets_of(media, 1))
    assert depacketiser.resumes(start)
    assert not depacketiser.resumes(rest[0])
    assert not depacketiser.resumes(rest[1])
    assert depacketiser.resumes(b"\x78\x00\x02\x09\x10" + struct.pack("!H", 4) + b"\x67abc")
    assert not depacketiser.resumes(b"")
