"""Pure: failures in a row, and how long to wait after them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from transponder_crd.relay_host import Absence

FIRST_DELAY_SECONDS = 1.0
LAST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""What went well for so long was well: the next failure is as the first."""


@dataclass(slots=True)
class Failures:
    """Of the relays of one stream, or of all that start."""

    count: int = 0
    retry_at: datetime | None = None
    why: Absence | None = None
    """The latest one."""

    def add(self, why: Absence, now: datetime, since: datetime | None = None) -> None:
        """`since`: from when on it went well; None: it never did. Those that come while one waits for the next attempt
        are one with the last."""
        self.why = why
        if self.wait(now):
            return
        steady = since is not None and (now - since).total_seconds() >= STEADY_SECONDS
        self.count = 1 if steady else self.count + 1
        self.retry_at = now + timedelta(seconds=delay_after(self.count))

    def clear(self) -> None:
        self.count, self.retry_at, self.why = 0, None, None

    def wait(self, now: datetime) -> float:
        """Seconds until the next attempt; 0: now."""
        return max(0.0, (self.retry_at - now).total_seconds()) if self.retry_at else 0.0


def delay_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: none after one, then doubled from FIRST_DELAY_SECONDS on."""
    if failures < 2:
        return 0.0
    return float(min(LAST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(failures - 2, 10)))
