"""Live sound that waits for company: never out of order, never lost, never longer than said."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import RATE, Recorder, opus, tone

from transponder_relay.media import SoundPacket
from transponder_relay.sound.batch import AT_FIRST, FIRST, LONGEST, USUAL, SoundBatch
from transponder_relay.sound.soundtrack import Soundtrack


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


def test_at_first_sound_goes_on_with_the_next_picture_once_there_are_two_packets() -> None:
    taken = Taken()
    taken.add(0)
    taken.batch.picture()
    assert taken.positions == []
    taken.add(960)
    assert taken.positions == []
    taken.batch.picture()
    assert taken.positions == [0, 960]


def test_at_first_sound_without_a_picture_goes_on_after_40_ms() -> None:
    taken = Taken()
    for position in (0, 960, 1920):
        taken.add(position)
    assert taken.positions == [0, 960, 1920]


def test_after_a_second_more_of_it_goes_together_until_another_publisher_comes() -> None:
    taken = Taken()
    positions = list(range(0, FIRST, 960))
    for position in positions:
        taken.add(position)
    taken.batch.flush()
    assert taken.positions == positions
    later = [FIRST + n * 960 for n in range(5)]
    for position in later[:4]:
        taken.add(position)
    taken.batch.picture()
    assert taken.positions == positions
    taken.add(later[4])
    taken.batch.picture()
    assert taken.positions == positions + later
    taken.batch.begin()
    anew = [FIRST + 48_000 + n * 960 for n in range(3)]
    for position in anew:
        taken.add(position)
    assert taken.positions == positions + later + anew


def test_what_goes_together_goes_within_the_context_given() -> None:
    events: list[int | str] = []

    @contextmanager
    def around() -> Iterator[None]:
        events.append("begin")
        yield
        events.append("end")

    batch = SoundBatch(lambda _, position: events.append(position), around)
    batch.flush()
    assert events == []
    for position in (0, 960, 1920):
        batch.add(SoundPacket(position, 0.0, b"x"), position)
    assert events == ["begin", 0, 960, 1920, "end"]


def test_the_clock_frees_what_waits_for_long_or_whenever_silence_is_due() -> None:
    taken = Taken()
    taken.add(4800)
    taken.batch.clock(0.1 + LONGEST / 2, end=960, silence_to=960)
    assert taken.positions == []
    taken.batch.clock(0.1 + LONGEST / 2, end=960, silence_to=961)  # before the packet: what lies there was lost
    assert taken.positions == [4800]
    taken.add(9600)
    taken.batch.clock(0.2 + LONGEST + 0.001, end=5760, silence_to=0)
    assert taken.positions == [4800, 9600]


@pytest.mark.parametrize("first_lost", range(100, 110))
def test_what_is_lost_is_concealed_and_not_silent(first_lost: int) -> None:
    """100 ms of it, wherever the looks at the clock fall."""
    track = Soundtrack(None, Recorder())
    track.set_codec("opus")
    track.subscribe("a", False, None, 128_000)
    batch = SoundBatch(track.live)
    looks = 0
    for position, packet in opus(tone(440, 3.0)):
        now = position / RATE
        if position // 960 not in range(first_lost, first_lost + 5):
            batch.add(SoundPacket(position, now, packet.payload), position)
        if position // 960 % 3 == 0:
            batch.picture()
        if now >= (looks + 1) * 0.1:
            looks += 1
            silence_to = position - 7200
            batch.clock(now, track.end, silence_to)
            track.advance(silence_to)
    batch.flush()
    assert track.statistics.concealed == 5 * 960
    assert track.statistics.late == 0


@given(st.sampled_from([960, FIRST]), st.lists(st.sampled_from([120, 480, 960, 2880, "picture"]), max_size=60))
def test_nothing_is_lost_or_put_out_of_order(begin: int, events: list[int | str]) -> None:
    taken = Taken()
    added = [begin]
    taken.batch.add(SoundPacket(0, 0.0, b"x"), 0)
    taken.batch.flush()
    taken.positions.clear()
    taken.add(begin)
    for event in events:
        if isinstance(event, int):
            added.append(added[-1] + event)
            taken.add(added[-1])
        else:
            taken.batch.picture()
        waiting = added[len(taken.positions) :]
        most = AT_FIRST.most if added[-1] < FIRST else USUAL.most
        assert not waiting or waiting[-1] - waiting[0] < most
    taken.batch.flush()
    assert taken.positions == added
