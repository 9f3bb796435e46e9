"""Live sound that waits for company: never out of order, never lost, never longer than said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transponder_relay.media import SoundPacket
from transponder_relay.sound.batch import LONGEST, MOST, SoundBatch


class Taken:
    def __init__(self) -> None:
        self.positions: list[int] = []
        self.batch = SoundBatch(lambda _, position: self.positions.append(position))

    def add(self, position: int) -> None:
        self.batch.add(SoundPacket(position, position / 48_000, b"x"), position)


def test_a_fault_with_one_packet_loses_that_one_alone() -> None:
    taken: list[int] = []

    def take(_: SoundPacket, position: int) -> None:
        if position == 960:
            raise RuntimeError("a fault")
        taken.append(position)

    batch = SoundBatch(take)
    batch.add(SoundPacket(0, 0.0, b"x"), 0)
    batch.add(SoundPacket(960, 0.0, b"x"), 960)
    with pytest.raises(RuntimeError):
        batch.add(SoundPacket(1920, 0.0, b"x"), 1920)
    batch.flush()
    batch.flush()
    assert taken == [0, 1920]


def test_sound_goes_on_with_the_next_picture_once_there_are_two_packets() -> None:
    taken = Taken()
    taken.add(0)
    taken.batch.picture()
    assert taken.positions == []
    taken.add(960)
    assert taken.positions == []
    taken.batch.picture()
    assert taken.positions == [0, 960]


def test_sound_without_a_picture_goes_on_after_40_ms() -> None:
    taken = Taken()
    for position in (0, 960, 1920):
        taken.add(position)
    assert taken.positions == [0, 960, 1920]


def test_the_clock_frees_what_waits_for_long_or_lies_where_silence_is_due() -> None:
    taken = Taken()
    taken.add(4800)
    taken.batch.clock(0.1 + LONGEST / 2, silence_to=4799)
    assert taken.positions == []
    taken.batch.clock(0.1 + LONGEST / 2, silence_to=4800)
    assert taken.positions == [4800]
    taken.add(9600)
    taken.batch.clock(0.2 + LONGEST + 0.001, silence_to=0)
    assert taken.positions == [4800, 9600]


@given(st.lists(st.sampled_from([120, 480, 960, 2880, "picture"]), max_size=60))
def test_nothing_is_lost_or_put_out_of_order(events: list[int | str]) -> None:
    taken = Taken()
    added = [0]
    taken.add(0)
    for event in events:
        if isinstance(event, int):
            added.append(added[-1] + event)
            taken.add(added[-1])
        else:
            taken.batch.picture()
        waiting = added[len(taken.positions) :]
        assert not waiting or waiting[-1] - waiting[0] < MOST
    taken.batch.flush()
    assert taken.positions == added
