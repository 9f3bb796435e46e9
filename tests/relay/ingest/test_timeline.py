"""The stream clock against simulated senders: two clocks, a network, sender reports."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transponder_relay.ingest.timeline import SLEW, Kind, Timeline

WALL = 3_900_000_000.0


class Sender:
    """Sound and picture of one capture. Times are seconds since its start; `start` is on the receiver's clock."""

    def __init__(
        self, timeline: Timeline, start: float = 1000.0, sound_ppm: float = 0.0, picture_delay: float = 0.0
    ) -> None:
        self.timeline = timeline
        self.start = start
        self.rate = 48000 * (1 + sound_ppm / 1e6)
        self.picture_delay = picture_delay
        self.sound_base, self.picture_base = 7 << 32, 5 << 32
        self.wall = WALL
        self.sound: list[tuple[float, int]] = []
        self.pictures: list[tuple[float, int]] = []

    def send_sound(self, number: int, lateness: float = 0.0) -> None:
        """Packet `number`: 960 samples, sent when they are over."""
        end = (number + 1) * 960 / self.rate
        position = self.timeline.audio(self.sound_base + number * 960, self.start + end + lateness, 960)
        self.sound.append((number * 960 / self.rate, position))

    def send_picture(self, moment: float, lateness: float = 0.0) -> None:
        rtp_time = self.picture_base + round(moment * 90000)
        time = self.timeline.video(rtp_time, self.start + moment + self.picture_delay + lateness)
        self.pictures.append((moment, time))

    def report(self, kind: Kind, moment: float) -> None:
        if kind is Kind.SOUND:
            self.timeline.sender_report(kind, self.wall + moment, self.sound_base + round(moment * self.rate))
        else:
            self.timeline.sender_report(kind, self.wall + moment, self.picture_base + round(moment * 90000))

    def run(self, seconds: float, first: float = 0.0, reports: dict[Kind, tuple[float, float]] | None = None) -> None:
        """All media from `first` on; `reports`: when the first one comes, and how often."""
        due = dict(reports or {})
        number = round(self.sound[-1][0] * self.rate / 960) + 1 if self.sound else 0
        picture = round(first * 30)
        while picture / 30 < seconds:
            if (number + 1) * 0.02 <= picture / 30 + self.picture_delay:  # in order of arrival
                self.send_sound(number)
                number += 1
                continue
            self.send_picture(picture / 30)
            for kind, (next_report, period) in due.items():
                if picture / 30 >= next_report:
                    due[kind] = (next_report + period, period)
                    self.report(kind, picture / 30)
            picture += 1

    def skew(self, last: int = 30) -> float:
        """By how many ms the picture is late against the sound, mean of the last pictures."""
        moment, position = self.sound[-1]
        at = {m: position / 48 + (m - moment) * 1000 for m, _ in self.pictures[-last:]}
        return sum(time - at[m] for m, time in self.pictures[-last:]) / last


CHROME = {Kind.PICTURE: (0.5, 1.0), Kind.SOUND: (2.5, 5.0)}


def steps(times: list[tuple[float, int]]) -> set[int]:
    return {b[1] - a[1] for a, b in pairwise(times)}


def test_it_begins_at_zero_with_the_first_media() -> None:
    timeline = Timeline()
    assert timeline.now(55.0) == 0
    assert timeline.audio(123456, 1000.02, 960) == 0
    assert timeline.now(1000.02) == pytest.approx(20)
    timeline = Timeline()
    assert timeline.video(123456, 1000.0) == 0
    assert timeline.audio(99, 1000.03, 960) == 480
    assert timeline.audio(99 + 960, 1000.08, 960) == 1440, "by RTP, not by arrival"


def test_reports_join_what_arrival_set_apart() -> None:
    for delay in (-0.01, 0.0, 0.055, 0.3):
        sender = Sender(Timeline(), picture_delay=delay)
        sender.run(2.5)
        assert sender.skew() == pytest.approx(delay * 1000, abs=2)
        sender.run(15, first=2.5, reports={Kind.PICTURE: (2.5, 1.0), Kind.SOUND: (3.5, 5.0)})
        assert sender.skew() == pytest.approx(0, abs=1)
        assert steps(sender.sound) == {960}
        assert steps(sender.pictures) <= set(range(31, 37)), "smooth"
        assert sender.timeline.skew == pytest.approx(0, abs=1)


def test_the_skew_is_what_is_still_to_be_made_good() -> None:
    sender = Sender(Timeline(), picture_delay=0.2)
    sender.run(2.5)
    assert sender.timeline.skew is None, "nobody told"
    sender.run(4, first=2.5, reports={Kind.PICTURE: (2.5, 1.0), Kind.SOUND: (2.5, 5.0)})
    assert sender.timeline.skew == pytest.approx(200 - 1.5 * 30 * SLEW, abs=5)


def test_one_report_alone_changes_nothing() -> None:
    for kind in Kind:
        sender = Sender(Timeline(), picture_delay=0.05)
        sender.run(20, reports={kind: (0.5, 1.0)})
        assert sender.skew() == pytest.approx(50, abs=2)
        assert sender.timeline.skew is None


def test_reports_before_the_first_picture_place_it_at_once() -> None:
    sender = Sender(Timeline(), picture_delay=0.08)
    for number in range(10):
        sender.send_sound(number)
    sender.report(Kind.SOUND, 0.2)
    sender.report(Kind.PICTURE, 0.2)
    sender.send_picture(0.2)
    assert sender.pictures[0][1] == pytest.approx(200, abs=1)


def test_hours_of_drift() -> None:
    """Sound 100 ppm fast against the wall clock for 3 hours: 1 s in all. Sampled: 2 s of media each minute."""
    sender = Sender(Timeline(), sound_ppm=100)
    for minute in range(180):
        for number in range(minute * 3000, minute * 3000 + 100):
            sender.send_sound(number)
        for picture in range(minute * 1800, minute * 1800 + 60):
            sender.send_picture(picture / 30)
        sender.report(Kind.PICTURE, minute * 60 + 2)
        sender.report(Kind.SOUND, minute * 60 + 2)
    assert sender.skew() == pytest.approx(0, abs=8)  # what one minute without pictures lets drift
    assert {(p - n) for n, (_, p) in enumerate(sender.sound[-100:], start=(179 * 3000))} != set()
    numbers = [minute * 3000 + k for minute in range(180) for k in range(100)]
    first = sender.sound[0][1]
    assert [p for _, p in sender.sound] == [first + n * 960 for n in numbers], "gap-free by RTP"


def test_drift_without_reports_is_followed_by_arrival() -> None:
    sender = Sender(Timeline(), sound_ppm=300)
    sender.run(600)
    assert sender.skew() == pytest.approx(0, abs=10)  # 180 ms of drift
    end = sender.start + sender.sound[-1][0] + 0.02
    assert sender.timeline.now(end) == pytest.approx(sender.sound[-1][1] / 48 + 20, abs=10)


def test_times_of_90_khz_do_not_accumulate_error() -> None:
    timeline = Timeline()
    times = [timeline.video((9 << 32) + n * 3003, 1000 + n * 3003 / 90000) for n in range(100_000)]
    assert times[-1] == round(99_999 * 3003 / 90)
    assert {b - a for a, b in pairwise(times)} == {33, 34}


def test_without_sound_the_picture_is_its_own_master() -> None:
    timeline, rng = Timeline(), random.Random(3)
    times = [timeline.video(n * 3000, 1000 + n / 30 * 1.0001 + rng.uniform(0, 0.08)) for n in range(30_000)]
    assert {b - a for a, b in pairwise(times)} == {33, 34}
    end = 1000 + 30_000 / 30 * 1.0001
    assert timeline.now(end) == pytest.approx(times[-1] + 33, abs=90), "the stream clock runs with it"


def test_a_wall_clock_that_jumps_moves_nothing() -> None:
    for jump in (0.3, -0.4, 3600.0, -86400.0):
        sender = Sender(Timeline())
        sender.run(10, reports=CHROME)
        before = sender.skew()
        sender.wall += jump
        sender.run(13.9, first=10, reports={Kind.PICTURE: (10.5, 1.0)})
        assert steps(sender.pictures) <= set(range(31, 37))
        assert sender.skew() == pytest.approx(before, abs=2), "the other stream's report is of the old clock"
        sender.run(20, first=13.9, reports={Kind.SOUND: (14, 5.0), Kind.PICTURE: (14.5, 1.0)})
        assert sender.skew() == pytest.approx(before, abs=2)


def test_absurd_reports_are_not_believed() -> None:
    sender = Sender(Timeline())
    sender.timeline.sender_report(Kind.SOUND, 0.0, sender.sound_base)
    sender.timeline.sender_report(Kind.PICTURE, 5e9, sender.picture_base)
    sender.run(3)
    assert abs(sender.skew()) < 2


def test_rtp_times_that_jump_start_anew_by_arrival() -> None:
    for jump in (3600 * 48000, -3600 * 48000):
        sender = Sender(Timeline())
        sender.run(5, reports=CHROME)
        last_sound, last_picture = sender.sound[-1][1], sender.pictures[-1][1]
        sender.sound_base += jump
        sender.picture_base += jump
        sender.run(8, first=5)
        after = sender.sound[sender.sound.index((sender.sound[-1][0], sender.sound[-1][1])) - 100 :]
        assert all(p > last_sound for _, p in after)
        assert sender.pictures[-1][1] == pytest.approx(last_picture + 3000, abs=60)
        assert sender.sound[-1][1] / 48 == pytest.approx(last_sound / 48 + 3000, abs=60)


def test_the_next_publisher_goes_on_where_the_clock_is() -> None:
    timeline = Timeline()
    first = Sender(timeline)
    first.run(5, reports=CHROME)
    timeline.new_publisher()
    assert timeline.skew is None
    second = Sender(timeline, start=1012.0, picture_delay=0.04)
    second.sound_base, second.picture_base = 1 << 20, 99 << 32
    second.run(6, reports={Kind.PICTURE: (0.5, 1.0), Kind.SOUND: (0.5, 1.0)})
    assert second.sound[0][1] == pytest.approx(12_000 * 48, abs=5)
    assert second.pictures[0][1] == pytest.approx(12_000, abs=45)
    assert second.skew() == pytest.approx(0, abs=1)


def test_a_publisher_that_returns_at_once_never_turns_the_clock_back() -> None:
    timeline = Timeline()
    first = Sender(timeline)
    first.run(5)
    timeline.new_publisher()
    second = Sender(timeline, start=1004.5)
    second.run(2)
    assert second.sound[0][1] >= first.sound[-1][1] + 960
    assert second.pictures[0][1] > first.pictures[-1][1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sound", "picture", "sound report", "picture report", "publisher"]),
            st.integers(0, 2**40),
            st.floats(0, 0.5),
            st.floats(0, 1e10),
        ),
        max_size=60,
    )
)
def test_whatever_comes_times_only_grow(events: list[tuple[str, int, float, float]]) -> None:
    timeline, now = Timeline(), 1000.0
    last_picture, sound_end = -1, 0
    for kind, rtp_time, elapsed, ntp in events:
        now += elapsed
        if kind == "sound":
            position = timeline.audio(rtp_time, now, 960)
            assert position >= sound_end
            sound_end = position + 960
        elif kind == "picture":
            time = timeline.video(rtp_time, now)
            assert time > last_picture
            last_picture = time
        elif kind == "publisher":
            timeline.new_publisher()
        else:
            timeline.sender_report(Kind.SOUND if kind == "sound report" else Kind.PICTURE, ntp, rtp_time)
