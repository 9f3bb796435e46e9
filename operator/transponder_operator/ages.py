"""How long transponders have been there, or have been marked for deletion, whatever the API server's clock says."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from transponder_crd.resource import RtmpTransponder


class Ages:
    """Remembers when each was first seen. An age counts from that, or from the object's own time if that is longer
    ago: so a clock that is behind the API server's delays nothing for ever."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[tuple[str, bool], datetime]] = {}

    def look(self, stream_name: str, transponders: Iterable[RtmpTransponder], now: datetime) -> Mapping[str, float]:
        """Seconds by uid, of all transponders of the stream; the others of that stream are forgotten."""
        known = self._seen.pop(stream_name, {})
        seen: dict[tuple[str, bool], datetime] = {}
        ages: dict[str, float] = {}
        for transponder in transponders:
            key = (transponder.uid, transponder.deleting)
            first = seen[key] = known.get(key, now)
            metadata = transponder.metadata
            since = metadata.deletion_timestamp or metadata.creation_timestamp or first
            ages[transponder.uid] = (now - min(first, since)).total_seconds()
        if seen:
            self._seen[stream_name] = seen
        return ages
