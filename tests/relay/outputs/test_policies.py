"""The pure rules: backoff, liveness, backlog."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from transponder_crd.control import ReconnectPolicy
from transponder_relay.media import AudioConfig, AudioTag, VideoConfig, VideoTag
from transponder_relay.outputs.backlog import Backlog
from transponder_relay.outputs.backoff import Backoff, made_progress
from transponder_relay.outputs.liveness import Liveness

VIDEO = VideoConfig(640, 360, b"")
AUDIO = AudioConfig(48000, 2, 128_000, b"")


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(ReconnectPolicy(), middle)
    assert [backoff.failed() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    backoff.reset()
    assert backoff.failed() == 1


def test_delays_are_spread() -> None:
    for _ in range(100):
        delay = Backoff(ReconnectPolicy()).failed()
        assert delay is not None
        assert 0.8 <= delay <= 1.2


def test_it_gives_up_and_survives_a_year_of_failures() -> None:
    backoff = Backoff(ReconnectPolicy(max_attempts=3))
    assert [backoff.failed() is None for _ in range(3)] == [False, False, True]
    patient = Backoff(ReconnectPolicy())
    assert all((delay := patient.failed()) is not None and delay <= 30 for _ in range(5000))


def test_progress() -> None:
    assert not made_progress(1_000_000, 1.0)  # taken by the kernel of a server that hangs up
    assert not made_progress(4096, 29.0)
    assert made_progress(4097, 5.0)
    assert made_progress(0, 30.0)


def test_a_connection_hangs_when_nothing_of_what_waits_is_acknowledged() -> None:
    liveness = Liveness(100.0, 10.0)
    assert not liveness.hung(105.0, 50, 1000)
    assert not liveness.hung(114.9, 50, 1000)
    assert liveness.hung(115.0, 50, 1000)


def test_nothing_to_send_is_no_hang_and_one_byte_is_progress() -> None:
    liveness = Liveness(0.0, 10.0)
    assert not any(liveness.hung(float(now), 0, 0) for now in range(60))
    assert not any(liveness.hung(60.0 + now, now, 1000) for now in range(60))


def picture(time: int, keyframe: bool = False) -> VideoTag:
    return VideoTag(time, keyframe, bytes(100), VIDEO)


def sound(time: int) -> AudioTag:
    return AudioTag(time, bytes(10), AUDIO)


def test_a_backlog_is_dropped_up_to_its_newest_keyframe() -> None:
    backlog = Backlog(10_000, 3000)
    for tag in (picture(0, True), sound(1), picture(33), picture(66, True), sound(70), picture(99)):
        backlog.push(tag)
    assert (backlog.bytes, backlog.span, backlog.full) == (420, 99, False)
    assert backlog.drop_to_keyframe() == 3
    assert [backlog.pop().time for _ in range(3)] == [66, 70, 99]
    assert (len(backlog), backlog.bytes, backlog.span) == (0, 0, 0)


def test_a_backlog_with_no_later_keyframe_is_dropped_whole() -> None:
    backlog = Backlog(10_000, 3000)
    for tag in (picture(0, True), picture(33), sound(40)):
        backlog.push(tag)
    assert backlog.drop_to_keyframe() == 3
    assert len(backlog) == 0


@given(st.lists(st.sampled_from([picture(0), picture(0, True), sound(0)]), max_size=40), st.integers(50, 900))
def test_a_backlog_keeps_its_bounds(kinds: list[VideoTag | AudioTag], limit: int) -> None:
    backlog, dropped = Backlog(limit, 500), 0
    for number, kind in enumerate(kinds):
        tag = type(kind)(**{slot: getattr(kind, slot) for slot in kind.__slots__} | {"time": number * 33})
        backlog.push(tag)
        while backlog.full:
            dropped += backlog.drop_to_keyframe()
        assert backlog.bytes <= limit
        assert backlog.span <= 500
    left = [backlog.pop() for _ in range(len(backlog))]
    assert len(left) + dropped == len(kinds)
    assert all(before.time < after.time for before, after in pairwise(left))
