"""What Prometheus reads of the operator. Labels are of closed sets: no name of a stream or an object, no URL."""

from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from transponder_crd.resource import StreamPhase, TransponderPhase
from transponder_crd.store import Conflict, StoreError, Unavailable
from transponder_operator.relays import RelayError

RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

NO_PHASE = "None"
"""Of an object that nobody has looked at yet."""

RESOURCES = frozenset({"rtmptransponders", "streams", "pods", "secrets", "leases", "events", "configmaps"})


class Gauges(NamedTuple):
    """The state at one moment."""

    leading: bool
    queue_length: int
    longest_work: float
    """Seconds."""
    transponders: Iterable[TransponderPhase | None]
    streams: Iterable[StreamPhase | None]
    relays: Iterable[str]
    """The state of each relay."""
    watch_silence: Mapping[str, float]
    """By kind: seconds since the watch told anything."""
    watch_missed: Mapping[str, float]
    """By kind: seconds for which a change that a listing found was not told by the watch."""
    watch_restarts: int
    events_dropped: int


RELAY_STATES = ("starting", "idle", "serving", "draining", "dead")


class Metrics:
    """One set for each program."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        """`gauges` is asked at each scrape."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(_GaugeCollector(gauges))
        self._seconds = Histogram(
            "transponder_operator_reconcile_seconds",
            "Time of one reconciliation of one stream",
            registry=self.registry,
            buckets=RECONCILE_BUCKETS,
        )
        self._failures = Counter(
            "transponder_operator_reconcile_failures",
            "Reconciliations that failed and are tried again",
            ["reason"],
            registry=self.registry,
        )
        self._requests = Histogram(
            "transponder_operator_api_request_seconds",
            "Requests to the Kubernetes API server, but for watches",
            ["method", "resource", "outcome"],
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self._sweeps = Counter(
            "transponder_operator_sweeps", "Listings of all objects", ["outcome"], registry=self.registry
        )
        self._lost = Counter(
            "transponder_operator_relays_lost",
            "Relays that ended although nobody had ended them",
            ["reason"],
            registry=self.registry,
        )
        self._claims = Counter(
            "transponder_operator_relays_claimed",
            "Relays that were given to a stream: warm ones were ready",
            ["start"],
            registry=self.registry,
        )
        for reason in FAILURE_REASONS:
            self._failures.labels(reason)

    def reconciled(self, seconds: float, error: Exception | None) -> None:
        self._seconds.observe(seconds)
        if error:
            self._failures.labels(failure_reason(error)).inc()

    def requested(self, method: str, path: str, seconds: float, error: StoreError | None) -> None:
        outcome = "success" if error is None else type(error).__name__
        self._requests.labels(method, resource_of(path), outcome).observe(seconds)

    def swept(self, error: StoreError | None) -> None:
        self._sweeps.labels("failure" if error else "success").inc()

    def claimed(self, warm: bool) -> None:
        self._claims.labels("warm" if warm else "cold").inc()

    def lost(self, reason: str) -> None:
        """`reason`: of a closed set of words (`pods.trouble`, and kubelet's)."""
        self._lost.labels(reason).inc()


FAILURE_REASONS = ("relay", "conflict", "unavailable", "store", "fault")


def failure_reason(error: Exception) -> str:
    """Pure: one of FAILURE_REASONS."""
    for kind, reason in ((RelayError, "relay"), (Conflict, "conflict"), (Unavailable, "unavailable")):
        if isinstance(error, kind):
            return reason
    return "store" if isinstance(error, StoreError) else "fault"


def resource_of(path: str) -> str:
    """Pure: the plural of a path of the API, with its subresource."""
    parts = path.split("/")
    if "namespaces" in parts:
        parts = parts[parts.index("namespaces") + 2 :]
        resource = "/".join([parts[0], *parts[2:]])
    else:
        resource = parts[-1]
    return resource if resource.partition("/")[0] in RESOURCES else "other"


class _GaugeCollector(Collector):
    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        return []  # the state is not asked for when this is registered

    def collect(self) -> Iterator[Metric]:
        now = self._gauges()
        prefix = "transponder_operator"
        yield GaugeMetricFamily(f"{prefix}_leading", "1 while it holds the Lease", value=float(now.leading))
        yield GaugeMetricFamily(
            f"{prefix}_queue_length", "Streams that are being reconciled or wait for it", value=now.queue_length
        )
        yield GaugeMetricFamily(
            f"{prefix}_longest_reconcile_seconds",
            "Age of the oldest reconciliation under way",
            value=now.longest_work,
        )
        yield _by(f"{prefix}_transponders", "Transponders", "phase", _phases(TransponderPhase, now.transponders))
        yield _by(f"{prefix}_streams", "Published streams", "phase", _phases(StreamPhase, now.streams))
        yield _by(f"{prefix}_relays", "Relay pods", "state", {**dict.fromkeys(RELAY_STATES, 0), **Count(now.relays)})
        yield _by(f"{prefix}_watch_silence_seconds", "Since the watch told anything", "resource", now.watch_silence)
        yield _by(
            f"{prefix}_watch_missed_seconds",
            "For how long the watch has not told what a listing found; above 0 for longer it is dead",
            "resource",
            now.watch_missed,
        )
        yield CounterMetricFamily(
            f"{prefix}_watch_restarts", "How often kopf ended by itself", value=now.watch_restarts
        )
        yield CounterMetricFamily(
            f"{prefix}_events_dropped", "Kubernetes Events that were not written", value=now.events_dropped
        )


def _phases(kind: type[TransponderPhase] | type[StreamPhase], phases: Iterable[str | None]) -> dict[str, int]:
    counted = Count(phase or NO_PHASE for phase in phases)
    return {str(phase): counted[phase] for phase in (*kind, NO_PHASE)}


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
