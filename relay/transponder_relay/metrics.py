"""A relay's report as Prometheus metrics. Labels hold ids and states, never a URL or a name that may be a key."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from transponder_crd.control import IngestStatistics, OutputReport, OutputState, OutputStatistics

if TYPE_CHECKING:
    from transponder_relay.relay import Relay

GAUGES = frozenset({"queued_bytes", "rtt_ms", "skew_ms"})


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
    for name in IngestStatistics.model_fields:
        value = getattr(statistics, name)
        if value is not None:
            family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            yield family(f"transponder_ingest_{name}", f"Ingest: {name.replace('_', ' ')}", value=value)


def _outputs(outputs: list[OutputReport]) -> Iterator[Metric]:
    for name in OutputStatistics.model_fields:
        family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
        metric = family(f"transponder_output_{name}", f"Output: {name.replace('_', ' ')}", labels=["output"])
        for output in outputs:
            metric.add_metric([output.id], getattr(output.statistics, name))
        yield metric
    live = GaugeMetricFamily("transponder_output_live", "1 while media flows", labels=["output"])
    reconnects = CounterMetricFamily("transponder_output_reconnects", "Connections made again", labels=["output"])
    for output in outputs:
        live.add_metric([output.id], float(output.state == OutputState.LIVE))
        reconnects.add_metric([output.id], output.reconnects)
    yield live
    yield reconnects
