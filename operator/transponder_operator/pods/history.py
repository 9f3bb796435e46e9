"""What happened to the pods of a namespace: who must be woken, and what fails in a row."""

import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from transponder_crd.names import loggable
from transponder_crd.relay_host import Absence
from transponder_operator.pods.choose import is_dead
from transponder_operator.pods.failures import Failures
from transponder_operator.pods.state import PodState, RelayPod

logger = logging.getLogger(__name__)

DELETED = Absence("RelayEnded", "the pod of the relay was deleted")


class PodObserver(Protocol):
    """Is told what events and metrics are about."""

    def on_claimed(self, stream_name: str, pod_name: str, *, warm: bool) -> None:
        """`warm`: the pod was ready; else it starts, or is made, for the stream."""
        ...

    def on_lost(self, stream_name: str | None, pod_name: str, why: Absence) -> None:
        """A relay ended that nobody had ended; None: it was idle."""
        ...


class History:
    """A memory that may be lost: it slows down what fails again and again, and wakes nobody twice."""

    def __init__(
        self,
        wake: Callable[[str], None],
        heard: Callable[[RelayPod], bool],
        observer: PodObserver | None,
    ) -> None:
        self._wake = wake
        self._heard = heard
        self._observer = observer
        self.starts = Failures()
        """Of pods that ended before they were ready, and of those that the API server did not take."""
        self._of_streams: dict[str, Failures] = {}
        self._was_ready: set[str] = set()
        self._known_dead: set[str] = set()
        self._seen: dict[str, tuple[object, ...]] = {}

    def of_stream(self, stream_name: str) -> Failures:
        """Failures of its relays."""
        return self._of_streams.setdefault(stream_name, Failures())

    def forget_stream(self, stream_name: str) -> None:
        self._of_streams.pop(stream_name, None)

    def note(self, pod: RelayPod, now: datetime, *, gone: bool = False, ended: bool = False) -> None:
        """The pod as it is. `gone`: as it was. `ended`: by us. Wakes its stream when that is news for it."""
        if gone or is_dead(pod, self._heard):
            self._note_death(pod, now, ended=ended)
        if pod.state in (PodState.IDLE, PodState.SERVING) and pod.uid not in self._was_ready:
            self._was_ready.add(pod.uid)
            self.starts.clear()
        if pod.stream_name and self._seen.get(pod.uid) != _news(pod, gone):
            self._wake(pod.stream_name)
        self.saw(pod, gone=gone)

    def saw(self, pod: RelayPod, *, gone: bool = False) -> None:
        """Whom it concerns knows of the pod as it is."""
        self._seen[pod.uid] = _news(pod, gone)

    def prune(self, uids: Iterable[str]) -> None:
        """`uids`: of all pods that there are; forget the others."""
        present = set(uids)
        self._was_ready &= present
        self._known_dead &= present
        self._seen = {uid: news for uid, news in self._seen.items() if uid in present}

    def _note_death(self, pod: RelayPod, now: datetime, *, ended: bool) -> None:
        if ended or pod.uid in self._known_dead:
            return
        self._known_dead.add(pod.uid)
        why = pod.trouble or pod.doubt or DELETED
        subject = f"stream {loggable(pod.stream_name)}" if pod.stream_name else "idle relay"
        logger.warning("%s: %s (%s, %s)", subject, why.message, pod.name, why.reason)
        if not pod.deleting:  # else somebody wanted it
            if pod.uid not in self._was_ready:
                self.starts.add(why, now)
            if pod.stream_name:
                self.of_stream(pod.stream_name).add(why, now, _claimed_at(pod))
        if self._observer:
            self._observer.on_lost(pod.stream_name, pod.name, why)


def _news(pod: RelayPod, gone: bool) -> tuple[object, ...]:
    return pod.state, pod.trouble, pod.doubt, pod.stream, gone


def _claimed_at(pod: RelayPod) -> datetime | None:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(pod.claimed_at)
    return None
