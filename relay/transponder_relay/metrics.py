"""A relay's report as Prometheus metrics. Labels hold ids, never a URL or a name that may be a key.

Bitrate, pictures a second and loss are rates of counters: `rate(transponder_ingest_received_bytes_total[1m]) * 8`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from transponder_crd.control import IngestStatistics, OutputReport, OutputState

if TYPE_CHECKING:
    from transponder_relay.relay import Relay

SHORT_ID: Final = 8
"""Characters of an output's id in labels: the logs of the API show as many."""


class Told(NamedTuple):
    """One field of the statistics as a metric."""

    field: str
    name: str
    """Without prefix; a counter gets `_total` at its end."""
    help: str
    scale: float = 1.0
    """From the field's unit to the metric's."""


INGEST_COUNTERS = (
    Told("bytes_received", "received_bytes", "RTP of the publisher, retransmissions included"),
    Told("packets_received", "received_packets", "RTP packets of the publisher, retransmissions included"),
    Told("packets_lost", "lost_packets", "RTP packets that did not come by themselves"),
    Told("packets_repaired", "repaired_packets", "Lost packets that came when they were asked for"),
    Told("video_frames", "frames", "Whole pictures"),
    Told("video_frames_dropped", "dropped_frames", "Pictures that were damaged, or came after a damaged one"),
    Told("keyframes", "keyframes", "Whole keyframes"),
    Told("keyframe_requests", "keyframe_requests", "Keyframes that the publisher was asked for"),
    Told("frames_transcoded", "transcoded_frames", "Pictures that were encoded anew"),
    Told("frames_not_transcoded", "untranscoded_frames", "Pictures to transcode that were damaged or too many"),
    Told("audio_packets", "audio_packets", "Packets of sound"),
    Told("audio_packets_corrupt", "corrupt_audio_packets", "Packets of sound that were malformed or not decodable"),
    Told("audio_packets_late", "late_audio_packets", "Packets of sound whose place silence had taken"),
    Told("audio_concealed_ms", "concealed_audio_seconds", "Sound of gaps, made up from what came before", 1e-3),
)
INGEST_GAUGES = (
    Told("keyframe_interval", "keyframe_interval_seconds", "Between the last two keyframes"),
    Told("allowed_bitrate", "allowed_bytes_per_second", "What the publisher was last told to keep below", 1 / 8),
    Told("rtt_ms", "round_trip_seconds", "To the publisher and back", 1e-3),
    Told("skew_ms", "skew_seconds", "Picture against sound, as sent; positive if the picture is late", 1e-3),
)
OUTPUT_COUNTERS = (
    Told("bytes_sent", "sent_bytes", "RTMP of sound and picture"),
    Told("video_frames", "frames", "Pictures sent"),
    Told("audio_frames", "audio_frames", "Frames of sound sent"),
    Told("dropped_frames", "dropped_frames", "Pictures and frames of sound that the server was too slow for"),
)
OUTPUT_GAUGES = (
    Told("queued_bytes", "queued_bytes", "Waiting for the server"),
    Told("keyframe_interval", "keyframe_interval_seconds", "Between the last two keyframes sent"),
    Told("rtt_ms", "round_trip_seconds", "To the server and back, by TCP", 1e-3),
)


class RelayCollector(Collector):
    """Reads the report when Prometheus asks; nothing is counted twice."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay

    def collect(self) -> Iterable[Metric]:
        report = self._relay.report()
        yield from _ingest(report.ingest)
        yield from _outputs(report.outputs)
        players = len(self._relay.players.connected)
        yield GaugeMetricFamily("transponder_players", "Browsers that the stream is played to", value=players)


def _ingest(statistics: IngestStatistics) -> Iterator[Metric]:
    for family, all_told in ((CounterMetricFamily, INGEST_COUNTERS), (GaugeMetricFamily, INGEST_GAUGES)):
        for told in all_told:
            value = getattr(statistics, told.field)
            if value is not None:
                yield family(f"transponder_ingest_{told.name}", told.help, value=value * told.scale)


def _outputs(outputs: list[OutputReport]) -> Iterator[Metric]:
    for family, all_told in ((CounterMetricFamily, OUTPUT_COUNTERS), (GaugeMetricFamily, OUTPUT_GAUGES)):
        for told in all_told:
            metric = family(f"transponder_output_{told.name}", told.help, labels=["output"])
            for output in outputs:
                value = getattr(output.statistics, told.field)
                if value is not None:
                    metric.add_metric([output.id[:SHORT_ID]], value * told.scale)
            yield metric
    live = GaugeMetricFamily("transponder_output_live", "1 while media flows", labels=["output"])
    reconnects = CounterMetricFamily(
        "transponder_output_reconnects", "Connections made again, and attempts that failed", labels=["output"]
    )
    for output in outputs:
        live.add_metric([output.id[:SHORT_ID]], float(output.state == OutputState.LIVE))
        reconnects.add_metric([output.id[:SHORT_ID]], output.reconnects)
    yield live
    yield reconnects
