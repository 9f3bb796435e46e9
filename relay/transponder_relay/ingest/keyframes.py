"""When to ask the sender for a keyframe (PLI). Pure.

Two kinds of sources: those with keyframes of their own (OBS, hardware), which must not be asked for what comes anyway,
and browsers, which make one only when asked. A source is watched for its first interval to tell which it is.
"""

MIN_GAP = 0.5
"""Seconds between two requests."""
GRACE = 0.25
"""How far past the interval the first keyframe of a source's own is awaited."""
PERIOD_SLACK = 1.25


class KeyframePolicy:
    """`due` is to be asked at each picture; it then counts the request as sent. Times are seconds."""

    __slots__ = (
        "_asked",
        "_browser",
        "_interval",
        "_last",
        "_last_asked",
        "_period",
        "_response",
        "_wanted",
        "requests",
    )

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._wanted = False
        self._last: float | None = None
        self._last_asked = float("-inf")
        self._asked: float | None = None  # the first request since the last keyframe
        self._period: float | None = None  # of a source with keyframes of its own
        self._browser = False
        self._response = 0.2
        self.requests = 0

    def set_interval(self, seconds: float) -> None:
        self._interval = seconds

    def want(self) -> None:
        """A keyframe is needed at once: damage, or an output that joined."""
        self._wanted = True

    def keyframe(self, now: float) -> None:
        """A whole keyframe came."""
        if self._asked is not None:
            response = min(now - self._asked, 0.5 * self._interval)
            self._response += (response - self._response) / 4
        elif self._last is not None:
            self._period = now - self._last
            self._browser = False
        self._last = now
        self._asked = None
        self._wanted = False

    def due(self, now: float) -> bool:
        """Whether to send a request now."""
        if now < self._last_asked + MIN_GAP or not (self._wanted or self._overdue(now)):
            return False
        self._last_asked = now
        if self._asked is None:
            self._asked = now
        self.requests += 1
        return True

    def _overdue(self, now: float) -> bool:
        if self._last is None:
            return False  # the receiver wants the first one, if it is not there by itself
        if now < self._last + self._allowed():
            return False
        if not self._wanted:
            self._browser = True  # it let its interval pass
            self._period = None
        return True

    def _allowed(self) -> float:
        """Seconds after a keyframe when the next is asked for."""
        if self._browser:
            return max(self._interval - 1.25 * self._response - 0.05, 0.5 * self._interval)
        if self._period is None:
            return self._interval + GRACE
        if self._period > PERIOD_SLACK * self._interval:  # its own are too rare to wait for
            return max(self._interval - 1.25 * self._response - 0.05, 0.5 * self._interval)
        return max(self._interval + GRACE, PERIOD_SLACK * self._period)
