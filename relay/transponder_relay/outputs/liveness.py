"""Whether a connection hangs: judged by what the peer's TCP acknowledges, since writing to a wedged peer succeeds."""


class Liveness:
    """Hung = bytes were waiting for `patience` seconds and not one of them was acknowledged."""

    def __init__(self, now: float, patience: float) -> None:
        self._patience = patience
        self._since = now
        self._acknowledged = 0

    def hung(self, now: float, acknowledged: int, outstanding: int) -> bool:
        """`acknowledged`: bytes in all; `outstanding`: bytes handed over and not acknowledged. Call once a second."""
        if outstanding == 0 or acknowledged > self._acknowledged:
            self._since = now
        self._acknowledged = acknowledged
        return now - self._since >= self._patience
