"""What was sent against what was recorded, picture by picture."""

from collections.abc import Sequence

from support.flv import Flv
from support.whip_sender import SentPicture


def missing_at_start(sent: Sequence[SentPicture], recording: Flv) -> int:
    """How many pictures were sent before the first recorded one.

    AssertionError unless the recording is what was sent from there to its last picture: each one bit by bit, in order,
    none left out, none twice, and the first one a keyframe.
    """
    crcs = [picture.crc for picture in recording.pictures]
    assert crcs, "nothing was recorded"
    assert recording.pictures[0].keyframe, "the recording begins in the middle of a group of pictures"
    start = next((i for i, picture in enumerate(sent) if picture.crc == crcs[0]), None)
    assert start is not None, "the first recorded picture was never sent"
    expected = [picture.crc for picture in sent[start : start + len(crcs)]]
    wrong = next((i for i, pair in enumerate(zip(crcs, expected, strict=False)) if pair[0] != pair[1]), None)
    assert wrong is None, f"picture {wrong} of {len(crcs)} is not the one that was sent ({start} before the first)"
    assert len(expected) == len(crcs), f"{len(crcs) - len(expected)} pictures more than were sent"
    return start


def missing_at_end(sent: Sequence[SentPicture], recording: Flv) -> int:
    """How many of the last pictures that were sent are not recorded."""
    return len(sent) - missing_at_start(sent, recording) - len(recording.pictures)
