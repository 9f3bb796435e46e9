"""Packets of one RTP stream in order of sequence number, and when to ask again for missing ones. Pure.

Waits follow what is measured: the guard grows with observed reordering, patience with the round trip.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

GUARD_LEAST, GUARD_MOST = 0.005, 0.1
RETRY_LEAST = 0.03
PATIENCE_LEAST, PATIENCE_MOST = 0.2, 1.0
ROUND_TRIP_UNKNOWN = 0.1
MAX_HOLES = 500
"""More missing packets are no loss to repair but another stream or a long break."""


class RepairTiming:
    """Seconds to wait, from measured reordering and round trips."""

    __slots__ = ("_answered", "_path", "guard")

    def __init__(self) -> None:
        self.guard = 0.008
        """How long a missing packet may be merely late."""
        self._answered: float | None = None
        self._path: float | None = None

    @property
    def round_trip(self) -> float | None:
        """From a NACK to its answer; until one came, of the path."""
        return self._path if self._answered is None else self._answered

    @property
    def retry(self) -> float:
        """Between two NACKs for one packet."""
        return max(RETRY_LEAST, 1.2 * (self.round_trip or ROUND_TRIP_UNKNOWN))

    @property
    def patience(self) -> float:
        """From noticing a missing packet to giving it up."""
        wait = 2.5 * (self.round_trip or ROUND_TRIP_UNKNOWN) + 0.05 + self.guard
        return max(PATIENCE_LEAST, min(wait, PATIENCE_MOST))

    def measured(self, round_trip: float) -> None:
        """From a NACK to its answer."""
        if 0 <= round_trip < 5:
            old = self._answered
            self._answered = round_trip if old is None else old + (round_trip - old) / 8

    def measured_path(self, round_trip: float) -> None:
        """Of a connectivity check, or of a report and its echo."""
        self._path = round_trip

    def reordered(self, delay: float) -> None:
        """A packet taken for missing came by itself, `delay` late."""
        self.guard = max(self.guard, min(1.25 * delay, GUARD_MOST))

    def calm(self) -> None:
        """Another second: let the guard sink slowly."""
        self.guard = max(GUARD_LEAST, 0.98 * self.guard)


class _Hole:
    """A missing packet."""

    __slots__ = ("answers", "asked", "last_asked", "noticed")

    def __init__(self, noticed: float) -> None:
        self.noticed = noticed
        self.asked = self.answers = 0
        self.last_asked = 0.0


class JitterBuffer(Generic[T]):
    """`push` gives the packets that are in order now, with None in each place where packets are missing for ever."""

    __slots__ = (
        "_held",
        "_highest",
        "_holes",
        "_next",
        "_past",
        "_patience",
        "_repair",
        "_rtx",
        "_timing",
        "repaired",
    )

    def __init__(
        self, timing: RepairTiming, *, repair: bool = False, rtx: bool = False, patience: float | None = None
    ) -> None:
        """`repair`: the sender answers NACKs; `rtx`: on a stream of their own, so that a retransmission is known as
        one. `patience`: a fixed wait in seconds in place of the measured one."""
        self._timing = timing
        self._repair = repair
        self._rtx = rtx
        self._patience = patience
        self._held: dict[int, T] = {}
        self._holes: dict[int, _Hole] = {}  # in rising order
        self._past: dict[int, _Hole] = {}  # asked for more often than answered, until now
        self._next = self._highest = -1
        self.repaired = 0
        """Missing packets that came after they were asked for."""

    @property
    def waiting(self) -> bool:
        """Whether packets are missing: then `deadline` says when to call `nacks` and `give_up`."""
        return bool(self._holes)

    def push(self, sequence: int, packet: T, now: float, retransmitted: bool = False) -> Sequence[T | None]:
        """Take a packet by its unwrapped sequence number; duplicates and packets that were given up are dropped."""
        if sequence == self._next and not self._holes:
            self._next = sequence + 1
            self._highest = sequence
            return (packet,)
        if self._next < 0:
            self._next = sequence
            self._highest = sequence - 1
        if sequence < self._next or sequence in self._held:
            if retransmitted and sequence in self._past:
                self._answered(sequence, self._past[sequence], now)
            return ()
        if sequence > self._highest:
            if sequence - self._highest + len(self._holes) > MAX_HOLES:
                return self._restart(sequence, packet)
            for missing in range(self._highest + 1, sequence):
                self._holes[missing] = _Hole(now)
            self._highest = sequence
        else:
            self._fill(sequence, now, retransmitted)
        self._held[sequence] = packet
        return self._release()

    def passed(self, count: int) -> None:
        """So many packets came in order and went past the buffer. Only while not `waiting`, after the first `push`."""
        self._next += count
        self._highest += count

    def give_up(self, now: float) -> list[T | None]:
        """Pass over the packets whose time is up."""
        patience = self._wait()
        released: list[T | None] = []
        while self._holes:
            hole = next(iter(self._holes.values()))
            if now < hole.noticed + patience:
                break
            released.append(None)
            released.extend(self._jump(min(self._held)))
        return released

    def skip_to(self, wanted: Callable[[T], bool]) -> list[T | None]:
        """Pass over everything before the first packet, behind a hole, that is `wanted`; nothing if none is."""
        for sequence in sorted(self._held):
            if wanted(self._held[sequence]):
                for passed in [s for s in self._held if s < sequence]:
                    del self._held[passed]
                return [None, *self._jump(sequence)]
        return []

    def nacks(self, now: float) -> list[int]:
        """Unwrapped sequence numbers to ask for now, in rising order; they count as asked for."""
        if not self._repair:
            return []
        guard, retry = self._timing.guard, self._timing.retry
        due = []
        for sequence, hole in self._holes.items():
            if now >= (hole.last_asked + retry if hole.asked else hole.noticed + guard):
                hole.asked += 1
                hole.last_asked = now
                due.append(sequence)
        return due

    def deadline(self) -> float:
        """When the next NACK or giving up is due. Only while `waiting`."""
        given_up = next(iter(self._holes.values())).noticed + self._wait()
        if not self._repair:
            return given_up
        guard, retry = self._timing.guard, self._timing.retry
        asked = min(h.last_asked + retry if h.asked else h.noticed + guard for h in self._holes.values())
        return min(asked, given_up)

    def _wait(self) -> float:
        if self._patience is not None:
            return self._patience
        return self._timing.patience if self._repair else max(0.04, 2 * self._timing.guard)

    def _fill(self, sequence: int, now: float, retransmitted: bool) -> None:
        hole = self._holes.pop(sequence)
        if not hole.asked or (not retransmitted and self._came_by_itself(hole, now)):
            if not retransmitted:
                self._timing.reordered(now - hole.noticed)
            return
        self.repaired += 1
        if retransmitted:
            self._answered(sequence, hole, now)

    def _answered(self, sequence: int, hole: _Hole, now: float) -> None:
        """Learn the round trip once every request is answered: then the last answer is to the last request."""
        hole.answers += 1
        if hole.answers == hole.asked:
            self._timing.measured(now - hole.last_asked)
            self._past.pop(sequence, None)
        else:
            self._remember(sequence, hole)

    def _remember(self, sequence: int, hole: _Hole) -> None:
        self._past[sequence] = hole
        if len(self._past) > MAX_HOLES:
            del self._past[next(iter(self._past))]

    def _came_by_itself(self, hole: _Hole, now: float) -> bool:
        """Whether a packet that was asked for is the late original, not the answer."""
        soonest = 0.5 * (self._timing.round_trip or ROUND_TRIP_UNKNOWN)
        return self._rtx or (hole.asked == 1 and now - hole.last_asked < soonest)

    def _release(self) -> Sequence[T | None]:
        released: list[T | None] = []
        held, position = self._held, self._next
        while position in held:
            released.append(held.pop(position))
            position += 1
        self._next = position
        return released

    def _jump(self, sequence: int) -> Sequence[T | None]:
        for passed in [s for s in self._holes if s < sequence]:
            self._remember(passed, self._holes.pop(passed))
        self._next = sequence
        return self._release()

    def _restart(self, sequence: int, packet: T) -> Sequence[T | None]:
        released: list[T | None] = [None]
        if self._held:
            released += [*self._jump(min(self._held)), None]
        self._held.clear()
        self._holes.clear()
        self._next = sequence + 1
        self._highest = sequence
        released.append(packet)
        return released
