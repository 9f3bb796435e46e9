"""VP8 from packets: real frames cut anywhere, every form of descriptor, loss, and bytes that mean nothing."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clip import Clip, vpx_clip
from support.coded_packets import Packet, feed, packets_of

from transponder_relay.ingest.vp8 import Depacketiser, descriptor_size
from transponder_relay.media import CodedPicture


@pytest.fixture(scope="module")
def media() -> Clip:
    return vpx_clip("VP8")


@pytest.mark.parametrize("limit", [100, 1150, 1 << 20])
def test_frames_come_back_bit_identical(media: Clip, limit: int) -> None:
    pictures = feed(Depacketiser(), packets_of(media, 70, limit))
    assert [p.frame for p in pictures] == [p.nals[0] for p in media.pictures[:70]]
    assert [p.keyframe for p in pictures] == [p.keyframe for p in media.pictures[:70]]
    assert [p.rtp_time for p in pictures] == [i * 3000 for i in range(70)]


@pytest.mark.parametrize(
    ("descriptor", "meaning"),
    [
        ("10", "the one mandatory byte"),
        ("90 00", "no extension after all"),
        ("90 80 11", "a picture ID of 7 bits"),
        ("90 80 91 22", "of 15 bits"),
        ("90 40 07", "TL0PICIDX"),
        ("90 20 40", "a temporal layer"),
        ("90 10 05", "a key index"),
        ("90 30 45", "both in one byte"),
        ("90 f0 91 22 07 45", "all of it"),
        ("b0 80 11", "a frame that no other refers to"),
    ],
)
def test_every_form_of_the_descriptor(media: Clip, descriptor: str, meaning: str) -> None:
    head, frame = bytes.fromhex(descriptor), media.pictures[0].nals[0]
    assert descriptor_size(head + frame) == len(head)
    assert descriptor_size(head) == 0, "nothing follows"
    depacketiser = Depacketiser()
    assert depacketiser.resumes(head + frame), meaning
    (picture,) = depacketiser.push(head + frame, 0, True, 1.5)
    assert picture == CodedPicture(0, 1.5, True, frame)


def test_other_partitions_go_on_with_the_frame(media: Clip) -> None:
    frame = media.pictures[0].nals[0]
    packets = [
        (b"\x10" + frame[:500], 0, False),
        (b"\x11" + frame[500:900], 0, False),
        (b"\x01" + frame[900:], 0, True),
    ]
    assert [p.frame for p in feed(Depacketiser(), packets)] == [frame]
    assert not Depacketiser().resumes(packets[1][0])


def test_a_frame_that_is_not_shown_has_the_time_of_the_next(media: Clip) -> None:
    """An alternative reference frame (RFC 7741 section 4.1): its marker ends it, the time does not change."""
    first, second = (p.nals[0] for p in media.pictures[:2])
    pictures = feed(Depacketiser(), [(b"\x10" + first, 0, True), (b"\x10" + second, 0, True)])
    assert [p.frame for p in pictures] == [first, second]


def test_a_missing_marker_is_made_up_by_the_next_time(media: Clip) -> None:
    packets = [(payload, time, False) for payload, time, _ in packets_of(media, 5)]
    assert [p.frame for p in feed(Depacketiser(), packets)] == [p.nals[0] for p in media.pictures[:4]]


def test_it_starts_with_a_keyframe(media: Clip) -> None:
    depacketiser = Depacketiser()
    pictures = feed(depacketiser, packets_of(media, 70, first=5))
    assert [p.frame for p in pictures] == [p.nals[0] for p in media.pictures[60:75]]
    assert depacketiser.dropped == 55


def test_packets_without_a_payload_change_nothing(media: Clip) -> None:
    packets = packets_of(media, 6)
    padded = [p for packet in packets for p in (packet, (b"", packet[1], False))]
    assert len(feed(Depacketiser(), padded)) == 6


@pytest.mark.parametrize(
    "bad",
    [
        b"\x90",  # the descriptor is cut off
        b"\x90\x80\x80",
        b"\x10\x00",  # no room for a frame tag
        b"\x10\x10\x02\x00\x00\x00\x00\x00\x00\x00\x00",  # a keyframe without its start code
        b"\x00abc",  # not the start of a frame
    ],
)
def test_a_malformed_payload_damages_its_picture_alone(media: Clip, bad: bytes) -> None:
    packets: list[Packet | None] = [*packets_of(media, 2), (bad, 6000, False), *packets_of(media, 68, first=2)]
    depacketiser = Depacketiser()
    pictures = feed(depacketiser, packets)
    assert [p.frame for p in pictures] == [p.nals[0] for p in (*media.pictures[:2], *media.pictures[60:70])]
    assert depacketiser.dropped == 58


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_any_payloads_raise_nothing(packets: list[tuple[bytes, int, bool, bool]]) -> None:
    depacketiser = Depacketiser()
    for payload, time, marker, gap in packets:
        if gap:
            depacketiser.gap()
        depacketiser.resumes(payload)
        for picture in depacketiser.push(payload, time, marker, 0.0):
            assert picture.frame


@given(seed=st.integers(0, 1 << 30), loss=st.floats(0, 0.3), limit=st.sampled_from([300, 1150]))
@settings(max_examples=40, deadline=None)
def test_after_loss_only_whole_frames_with_their_references(seed: int, loss: float, limit: int) -> None:
    media, chance = vpx_clip("VP8"), random.Random(seed)
    packets = [p if chance.random() >= loss else None for p in packets_of(media, 200, limit)]
    pictures = feed(Depacketiser(), packets)
    numbers = [p.rtp_time // 3000 for p in pictures]
    assert [p.frame for p in pictures] == [media.pictures[n].nals[0] for n in numbers]
    for before, after in zip([-1, *numbers], numbers, strict=False):
        assert after == before + 1 or media.pictures[after].keyframe
