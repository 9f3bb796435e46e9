"""VP9 from packets: real frames, every form of descriptor, spatial layers, loss, and bytes that mean nothing."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clip import Clip, vpx_clip
from support.coded_packets import Packet, feed, packets_of

from transponder_relay.ingest.vp9 import Depacketiser, parse_descriptor


@pytest.fixture(scope="module")
def media() -> Clip:
    return vpx_clip("VP9")


@pytest.mark.parametrize("limit", [100, 1150, 1 << 20])
def test_frames_come_back_bit_identical(media: Clip, limit: int) -> None:
    pictures = feed(Depacketiser(), packets_of(media, 70, limit))
    assert [p.frame for p in pictures] == [p.nals[0] for p in media.pictures[:70]]
    assert [p.keyframe for p in pictures] == [p.keyframe for p in media.pictures[:70]]


@pytest.mark.parametrize(
    ("descriptor", "layer", "meaning"),
    [
        ("0c", 0, "the one mandatory byte"),
        ("8c 11", 0, "a picture ID of 7 bits"),
        ("8c 91 22", 0, "of 15 bits"),
        ("2c 00 07", 0, "layers and TL0PICIDX in non-flexible mode"),
        ("3c 00", 0, "layers in flexible mode"),
        ("3c 24", 2, "spatial layer 2"),
        ("5c 04", 0, "a reference to another picture"),
        ("5c 05 07 08", 0, "three references"),
        ("5c 05 07 09", 0, "three references are all that may be, whatever the last one says"),
        ("0e 00", 0, "a scalability structure of one layer without sizes"),
        ("0e 18 05 00 02 d0 02 04 04 08 06 08", 0, "with a size, and a group of two pictures: one and two references"),
        ("8e 11 20", 0, "two layers without sizes"),
        ("8e 11 30 01 40 00 b4 02 80 01 68", 0, "with sizes"),
    ],
)
def test_every_form_of_the_descriptor(descriptor: str, layer: int, meaning: str) -> None:
    head = bytes.fromhex(descriptor)
    assert parse_descriptor(head + b"\x82") == (len(head), layer), meaning
    assert parse_descriptor(head) == (0, 0), "nothing follows"
    for size in range(len(head)):
        assert parse_descriptor(head[:size])[0] <= size


def test_of_several_spatial_layers_the_base_is_taken(media: Clip) -> None:
    frame = media.pictures[0].nals[0]
    base, upper = b"\x3c\x00", b"\x3d\x03"
    packets = [(base + frame, 0, False), (upper + b"\x86layer", 0, True)]
    (picture,) = feed(Depacketiser(), packets)
    assert (picture.frame, picture.keyframe) == (frame, True)
    assert Depacketiser().resumes(packets[0][0])
    assert not Depacketiser().resumes(packets[1][0])


@pytest.mark.parametrize("head", [0x84, 0x8A, 0xA4])
def test_frames_that_refer_to_others_are_no_keyframes(head: int) -> None:
    """Inter, show_existing_frame, and inter of another profile."""
    payload = b"\x0c" + bytes((head,)) + b"rest"
    depacketiser = Depacketiser()
    assert not depacketiser.resumes(payload)
    assert depacketiser.push(payload, 0, True, 0.0) == ()
    assert (depacketiser.awaiting_keyframe, depacketiser.dropped) == (True, 1)


@pytest.mark.parametrize(
    "bad",
    [
        b"\x8c",  # the descriptor is cut off
        b"\x0e",
        b"\x0cxyz",  # no frame marker
        b"\x08\x82abc",  # without its end
        b"\x04abc",  # without its start
    ],
)
def test_a_malformed_payload_damages_its_picture_alone(media: Clip, bad: bytes) -> None:
    packets: list[Packet | None] = [*packets_of(media, 2), (bad, 5000, True), *packets_of(media, 68, first=2)]
    depacketiser = Depacketiser()
    pictures = feed(depacketiser, packets)
    assert [p.frame for p in pictures] == [p.nals[0] for p in (*media.pictures[:2], *media.pictures[60:70])]
    assert depacketiser.dropped == 59


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_any_payloads_raise_nothing(packets: list[tuple[bytes, int, bool, bool]]) -> None:
    depacketiser = Depacketiser()
    for payload, time, marker, gap in packets:
        if gap:
            depacketiser.gap()
        depacketiser.resumes(payload)
        for picture in depacketiser.push(payload, time, marker, 0.0):
            assert picture.frame


@given(seed=st.integers(0, 1 << 30), loss=st.floats(0, 0.3))
@settings(max_examples=20, deadline=None)
def test_after_loss_only_whole_frames_with_their_references(seed: int, loss: float) -> None:
    media, chance = vpx_clip("VP9"), random.Random(seed)
    packets = [p if chance.random() >= loss else None for p in packets_of(media, 200)]
    pictures = feed(Depacketiser(), packets)
    numbers = [p.rtp_time // 3000 for p in pictures]
    assert [p.frame for p in pictures] == [media.pictures[n].nals[0] for n in numbers]
    for before, after in zip([-1, *numbers], numbers, strict=False):
        assert after == before + 1 or media.pictures[after].keyframe
