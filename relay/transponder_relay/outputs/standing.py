"""How an output is doing: its state, why, and since when it is live."""

from datetime import UTC, datetime

from transponder_crd.control import OutputState
from transponder_relay.outputs.failure import Failure


class Standing:
    """As reports tell it. While an output retries it stays retrying until it is live: attempts are not shown."""

    def __init__(self) -> None:
        self.state = OutputState.WAITING
        self.failure: Failure | None = None
        self.live_since: datetime | None = None

    def become(self, state: OutputState, failure: Failure | None = None) -> bool:
        """Whether that is another than before."""
        before = (self.state, _told(self.failure))
        self.state, self.failure = state, failure
        if state not in (OutputState.LIVE, OutputState.HOLDING):
            self.live_since = None
        if (state, _told(failure)) == before:
            return False
        if state is OutputState.LIVE and self.live_since is None:
            self.live_since = datetime.now(UTC)
        return True


def _told(failure: Failure | None) -> tuple[object, str] | None:
    """Two of the same kind are alike."""
    return (failure.reason, failure.message) if failure else None
