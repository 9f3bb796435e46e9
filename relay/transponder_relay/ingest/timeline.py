"""One clock for sound and picture (RFC 3550 section 6.4.1; RFC 7273 is not needed). Pure.

Sound is the master: its position is its anchor plus RTP difference, so it has no gap but those the sender made. The
anchor is set by arrival less the packet's own duration: a packet is sent when its last sample was taken. A picture is
placed by arrival at first; once both sender reports are in, by their NTP times against the sound, slewed so that its
times stay smooth. Without sound the picture is its own master.

Stream time 0 is the first media of the relay. All times are in seconds of `time.monotonic()` or milliseconds of the
stream clock, as named; RTP times are unwrapped.
"""

from collections import deque
from enum import Enum

from transponder_relay.ingest.audio import SOUND_CLOCK

PICTURE_CLOCK = 90_000
SLEW = 2.0
"""Milliseconds by which one picture may be moved against the one before."""
STEP_LIMIT = 1000.0
"""Sender reports that would move the picture further than this from its arrival are absurd (ms)."""
REPORT_TOLERANCE = 0.02
"""Seconds by which a sender report may leave the line through the one before: more is a clock that jumped."""
_EARLY, _LATE = 1.0, 5.0
"""Seconds by which media may be ahead of, or behind, its arrival before its RTP times are taken to have jumped."""
_WINDOW = 5.0


class Kind(Enum):
    SOUND = "sound"
    PICTURE = "picture"


def _plausible(position: float, elapsed: float) -> bool:
    """Whether media at that position (48 kHz samples) may arrive `elapsed` seconds after the clock's start."""
    return -_EARLY < elapsed - position / SOUND_CLOCK < _LATE


def _towards(origin: float, target: float) -> float:
    """The stream clock runs with its master; it moves by a millisecond a packet at most, so that it stays smooth."""
    return origin + max(-0.001, min(target - origin, 0.001))


class LeastOf:
    """The least of the values of the last 5 to 10 seconds: the transit of the packets that were not delayed."""

    __slots__ = ("_windows", "value")

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=2)  # (start, least)
        self.value = 0.0

    def add(self, value: float, now: float) -> None:
        if not self._windows or now >= self._windows[-1][0] + _WINDOW:
            self._windows.append((now, value))
        elif value < self._windows[-1][1]:
            self._windows[-1] = (self._windows[-1][0], value)
        else:
            return
        self.value = min(least for _, least in self._windows)


class _Publisher:
    """What is known of one publisher's clocks."""

    __slots__ = ("picture_offset", "picture_transit", "reports", "sound_offset", "sound_transit")

    def __init__(self) -> None:
        self.sound_offset: int | None = None  # position - RTP time, samples
        self.sound_transit = LeastOf()  # s, of a packet's end against its position
        self.picture_offset: float | None = None  # ms against the RTP time
        self.picture_transit = LeastOf()  # ms
        self.reports: dict[Kind, tuple[float, int]] = {}


class Timeline:
    """The stream clock of one relay; it goes on over publishers and never back."""

    __slots__ = ("_last_picture", "_origin", "_publisher", "_sound_end", "skew")

    def __init__(self) -> None:
        self._origin: float | None = None
        self._publisher = _Publisher()
        self._last_picture = -1
        self._sound_end = 0
        self.skew: float | None = None
        """How far the last picture is from where sender reports put it, ms; positive if it is late."""

    def now(self, monotonic: float) -> float:
        """The stream clock in ms; before the first media 0."""
        return 0.0 if self._origin is None else (monotonic - self._origin) * 1000

    def new_publisher(self) -> None:
        """Forget the clocks of the publisher; the stream clock goes on."""
        self._publisher = _Publisher()
        self.skew = None

    # ------------------------------------------------------------------------------------------ sound

    def audio(self, rtp_time: int, arrival: float, packet_samples: int) -> int:
        """The position of a packet's first sample on the stream clock, in 48 kHz samples; never before the end of the
        packet before. `rtp_time` and `packet_samples` are in 48 kHz units too."""
        publisher = self._publisher
        start = arrival - packet_samples / SOUND_CLOCK
        origin = self._begin(start)
        if publisher.sound_offset is None or not _plausible(rtp_time + publisher.sound_offset, start - origin):
            expected = round((start - origin) * SOUND_CLOCK)
            publisher.sound_offset = max(expected, self._sound_end) - rtp_time
            publisher.sound_transit = LeastOf()
        position = max(rtp_time + publisher.sound_offset, self._sound_end)
        self._sound_end = position + packet_samples
        publisher.sound_transit.add(start - position / SOUND_CLOCK, arrival)
        self._origin = _towards(origin, publisher.sound_transit.value)
        return position

    def _begin(self, moment: float) -> float:
        """The origin of the stream clock in monotonic seconds; the first media sets it."""
        if self._origin is None:
            self._origin = moment
        return self._origin

    # ------------------------------------------------------------------------------------------ picture

    def video(self, rtp_time: int, arrival: float) -> int:
        """The stream time of a picture in ms, greater than that of the picture before."""
        base = rtp_time / 90
        offset = self._place(base, arrival)
        time = max(round(base + offset), self._last_picture + 1)
        self._last_picture = time
        return time

    def _place(self, base: float, arrival: float) -> float:
        """The picture's offset: the target at once for the first picture, then moved towards it smoothly."""
        publisher = self._publisher
        origin = self._begin(arrival)
        old = publisher.picture_offset
        if old is not None and not _plausible((base + old) * 48, arrival - origin):
            old = None
            publisher.picture_transit = LeastOf()
        publisher.picture_transit.add(arrival * 1000 - base, arrival)
        by_arrival = publisher.picture_transit.value - origin * 1000
        if old is not None and publisher.sound_offset is None:  # the picture is its own master
            self._origin = _towards(origin, (publisher.picture_transit.value - old) / 1000)
            return old
        target = self._by_reports(publisher, by_arrival)
        told = target is not None
        if target is None:
            target = by_arrival
        offset = target if old is None else old + max(-SLEW, min(target - old, SLEW))
        publisher.picture_offset = offset
        self.skew = offset - target if told else None
        return offset

    def stand_in(self, monotonic: float, interval: float) -> int | None:
        """The stream time, ms, of a picture that stands in for the publisher's; None while the picture before is less
        than `interval` ms old."""
        now = round(self.now(monotonic))
        if self._last_picture < 0 or now - self._last_picture < interval:
            return None
        self._last_picture = now
        return now

    # ------------------------------------------------------------------------------------------ sender reports

    def sender_report(self, kind: Kind, ntp_seconds: float, rtp_time: int) -> None:
        """Take a sender report; `rtp_time` of sound in 48 kHz units."""
        reports = self._publisher.reports
        clock = SOUND_CLOCK if kind is Kind.SOUND else PICTURE_CLOCK
        if kind in reports:
            seconds, before = reports[kind]
            if abs((ntp_seconds - seconds) - (rtp_time - before) / clock) > REPORT_TOLERANCE:
                reports.clear()  # the wall clock jumped: wait until both streams tell the new one
        reports[kind] = (ntp_seconds, rtp_time)

    def _by_reports(self, publisher: _Publisher, by_arrival: float) -> float | None:
        """The picture's offset by NTP; None without both reports, or if they make no sense."""
        if publisher.sound_offset is None or len(publisher.reports) < 2:
            return None
        sound_seconds, sound_time = publisher.reports[Kind.SOUND]
        picture_seconds, picture_time = publisher.reports[Kind.PICTURE]
        sound = (sound_time + publisher.sound_offset) / (SOUND_CLOCK / 1000)
        offset = sound + (picture_seconds - sound_seconds) * 1000 - picture_time / 90
        return offset if abs(offset - by_arrival) < STEP_LIMIT else None
