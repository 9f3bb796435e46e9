"""When a lost destination is tried again."""

import random
from collections.abc import Callable

from transponder_crd.control import ReconnectPolicy

PROGRESS_BYTES = 4096
PROGRESS_SECONDS = 5.0
SETTLED_SECONDS = 30.0


def made_progress(acknowledged: int, live_seconds: float) -> bool:
    """Whether a connection was of real use, so that the next loss starts the backoff anew.

    `acknowledged` counts bytes that the peer's TCP took after publish was accepted. A kernel takes them also for a
    server that is about to hang up on a bad key, so they count only after some seconds: otherwise such a server
    would be tried each second for ever.
    """
    return live_seconds >= SETTLED_SECONDS or (acknowledged > PROGRESS_BYTES and live_seconds >= PROGRESS_SECONDS)


class Backoff:
    """Exponential, with a fifth of jitter to either side so that outputs lost together do not come back together."""

    def __init__(self, policy: ReconnectPolicy, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.policy = policy
        self._uniform = uniform
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def failed(self) -> float | None:
        """Seconds to wait before the next attempt; None when it is time to give up."""
        self._failures += 1
        if self.policy.max_attempts and self._failures >= self.policy.max_attempts:
            return None
        doublings = min(self._failures - 1, 32)  # beyond any cap, and no overflow after a year of failures
        delay = self.policy.initial_seconds * 2.0**doublings * self._uniform(0.8, 1.2)
        return min(self.policy.max_seconds, delay)
