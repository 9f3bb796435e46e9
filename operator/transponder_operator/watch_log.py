"""Pure: what a watch has told, held against what listings find. A watch may die in silence."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

JsonObject = Mapping[str, Any]


class _Told(NamedTuple):
    version: str
    number: int
    """Which of all events it was."""


class _Missed(NamedTuple):
    number: int
    """How many events there were before a listing found it."""
    at: float


class WatchLog:
    """Of one kind of objects. resourceVersions are only compared for equality."""

    def __init__(self) -> None:
        self.events = 0
        """How many the watch has told so far."""
        self._told: dict[str, _Told] = {}
        self._missed: dict[str, _Missed] = {}

    def tell(self, obj: JsonObject) -> None:
        """The watch told of `obj`: that it is there, has changed or is gone."""
        self.events += 1
        metadata = obj["metadata"]
        self._told[metadata["uid"]] = _Told(metadata["resourceVersion"], self.events)

    def listed(self, objects: Collection[JsonObject], before: int, now: float) -> None:
        """A listing found these. `before` is what `events` was when it was asked for; `now` is in seconds."""
        present = {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for obj in objects}
        self._told = {uid: told for uid, told in self._told.items() if uid in present or told.number > before}
        found = {uid for uid, version in present.items() if self._is_untold(uid, version, before)}
        self._missed = {uid: self._since(uid) or _Missed(before, now) for uid in found}

    def longest_missed(self, now: float) -> float:
        """Seconds for which the watch has not told what the last listing found; 0 when it told all."""
        return max((now - missed.at for uid, missed in self._missed.items() if self._since(uid)), default=0.0)

    def _is_untold(self, uid: str, version: str, before: int) -> bool:
        """What was told of after the listing was asked for may be newer than the listing."""
        told = self._told.get(uid)
        return told is None or (told.version != version and told.number <= before)

    def _since(self, uid: str) -> _Missed | None:
        """Since when the watch has been silent about this object; None: it told something of it since."""
        missed, told = self._missed.get(uid), self._told.get(uid)
        return missed if missed and (told is None or told.number <= missed.number) else None
