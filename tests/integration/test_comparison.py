"""The comparison that other tests stand on finds what is wrong."""

import pytest
from support.comparison import missing_at_end, missing_at_start
from support.flv import Flv, Tag
from support.flv import crc_of_slices as crc
from support.whip_sender import SentPicture

GOP = 10
SLICES = [bytes((0x65 if i % GOP == 0 else 0x41,)) + i.to_bytes(2) for i in range(100)]
SENT = [SentPicture(i, crc([nal]), i % GOP == 0, i / 30) for i, nal in enumerate(SLICES)]


def recording(slices: list[bytes]) -> Flv:
    """Each slice as one picture."""
    tags = []
    for i, nal in enumerate(slices):
        head = b"\x17" if nal[0] == 0x65 else b"\x27"
        tags.append(Tag(9, i * 33, head + b"\1\0\0\0" + len(nal).to_bytes(4) + nal))
    return Flv(tags)


def test_a_part_from_a_keyframe_on_is_good() -> None:
    assert missing_at_start(SENT, recording(SLICES)) == 0
    assert missing_at_start(SENT, recording(SLICES[20:70])) == 20
    assert missing_at_end(SENT, recording(SLICES[20:70])) == 30


@pytest.mark.parametrize(
    ("slices", "text"),
    [
        ([], "nothing"),
        (SLICES[1:], "in the middle"),
        (SLICES[:30] + SLICES[31:], "picture 30 of 99"),
        (SLICES[:30] + SLICES[29:], "picture 30 of 101"),
        ([*SLICES[:30], b"\x41damaged", *SLICES[31:]], "picture 30 of 100"),
        ([*SLICES[:30], SLICES[31], SLICES[30], *SLICES[32:]], "picture 30 of 100"),
        ([*SLICES, b"\x41more"], "1 pictures more"),
        ([b"\x65other", *SLICES], "never sent"),
    ],
)
def test_a_fault_is_named(slices: list[bytes], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        missing_at_start(SENT, recording(slices))
