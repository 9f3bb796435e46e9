"""What flowed since a relay started, over all publishers of its stream, and how much flows now."""

from collections.abc import Mapping

from transponder_crd.control import IngestStatistics, OutputStatistics
from transponder_relay.rates import Counted, Rates
from transponder_relay.sound.live import SoundStatistics

INGEST = ""
"""The publisher among the names of rates; outputs go by their ids."""


class Statistics:
    """Of one stream. Counters are read where they are counted, when somebody asks, and once a second for the rates."""

    def __init__(self) -> None:
        self._former = IngestStatistics()
        """Of the publishers before this one."""
        self._rates = Rates()

    def publisher_replaced(self, last: IngestStatistics) -> None:
        """Another one is to come; `last`: all of the one before."""
        self._former = self._former.followed_by(last)

    def output_removed(self, output_id: str) -> None:
        """Another one may come by that id, and count from 0."""
        self._rates.forget(output_id)

    def stopped(self) -> None:
        """Nothing flows any more."""
        self._rates.clear()

    def due(self, now: float) -> bool:
        """Whether to `look`."""
        return self._rates.due(now)

    def look(self, now: float, present: IngestStatistics | None, outputs: Mapping[str, Counted]) -> None:
        """While something flows, for the rates. `now`: of `time.monotonic()`."""
        ingest = self._former.followed_by(present) if present else self._former
        self._rates.look(now, {INGEST: Counted(ingest.bytes_received, ingest.video_frames), **outputs})

    def ingest(self, present: IngestStatistics | None, sound: SoundStatistics) -> IngestStatistics:
        """`present`: of the present publisher."""
        total = self._former.followed_by(present) if present else self._former
        return total.model_copy(
            update={
                "audio_packets_corrupt": sound.corrupt,
                "audio_packets_late": sound.late,
                "audio_concealed_ms": sound.concealed // 48,
                **self._rates.of(INGEST)._asdict(),
            }
        )

    def output(self, output_id: str, counted: OutputStatistics) -> OutputStatistics:
        """With the rates of that output."""
        return counted.model_copy(update=self._rates.of(output_id)._asdict())
