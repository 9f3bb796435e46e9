"""Times and bounds of a session, and the throttle that holds a client to them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are in seconds."""

    connection: float = 10.0
    """From the upgrade to the client's `connection`."""
    start: float = 13.0
    """From publishStream or playStream to PUBLISHING or PLAYING; with `cleanup` less than 15 in all."""
    cleanup: float = 1.5
    """How long the end of a stream may take before its last status is sent all the same."""
    grace: float = 1.5
    """How long a lost peer connection waits for the unPublishStream that explains it."""
    send: float = 2.0
    """How long the last message and the close may take."""
    streams: int = 32
    """Streams of one session at a time, published and played."""
    message_rate: float = 200.0
    """Messages a second that are read in the long run; each 4 KiB counts as one more."""
    message_burst: float = 2000.0
    """Messages that may come at once: pages flush their log that way."""


class Throttle:
    """A token bucket. A client that sends too much is read later, so that TCP slows it down: nothing is lost."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def delay(self, size: int, now: float) -> float:
        """Seconds to wait before the message of `size` characters is handled."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1 + size / 4096
        return max(0.0, -self._tokens / self._rate)
