"""Metrics: their labels are of closed sets."""

import pytest
from prometheus_client import generate_latest

from transponder_crd.kubernetes.errors import Busy, Denied
from transponder_crd.resource import StreamPhase, TransponderPhase
from transponder_crd.store import Conflict, NotFound
from transponder_operator.metrics import Gauges, Metrics, failure_reason, resource_of
from transponder_operator.relays import RelayError

GAUGES = Gauges(
    leading=True,
    queue_length=3,
    longest_work=1.5,
    transponders=[TransponderPhase.LIVE, TransponderPhase.LIVE, None],
    streams=[StreamPhase.PUBLISHING],
    relays=["idle", "serving", "serving"],
    watch_silence={"pods": 2.0},
    watch_missed={"pods": 0.0},
    watch_restarts=1,
    events_dropped=4,
)


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0].removeprefix("transponder_operator_"): float(line.split()[-1]) for line in lines}


def test_the_state_is_read_at_each_scrape() -> None:
    gauges = [GAUGES]
    metrics = Metrics(lambda: gauges[0])
    found = samples(metrics)
    assert (found["leading"], found["queue_length"], found["longest_reconcile_seconds"]) == (1, 3, 1.5)
    assert found['transponders{phase="Live"}'] == 2
    assert found['transponders{phase="None"}'] == 1
    assert found['transponders{phase="Failed"}'] == 0
    assert found['streams{phase="Publishing"}'] == 1
    assert [found[f'relays{{state="{state}"}}'] for state in ("idle", "serving", "dead")] == [1, 2, 0]
    assert (found["watch_restarts_total"], found["events_dropped_total"]) == (1, 4)
    gauges[0] = GAUGES._replace(leading=False)
    assert samples(metrics)["leading"] == 0


def test_what_happens_is_counted() -> None:
    metrics = Metrics(lambda: GAUGES)
    metrics.reconciled(0.02, None)
    metrics.reconciled(0.02, RelayError("no"))
    metrics.requested("PUT", "/apis/transponder.dev/v1alpha1/namespaces/media/streams/demo/status", 0.1, None)
    metrics.requested("GET", "/api/v1/namespaces/media/secrets/s3cr3t", 0.1, Denied("no"))
    metrics.swept(None)
    metrics.swept(Busy("no"))
    metrics.claimed(warm=True)
    metrics.lost("OutOfMemory")
    found = samples(metrics)
    assert found["reconcile_seconds_count"] == 2
    assert found['reconcile_failures_total{reason="relay"}'] == 1
    assert found['reconcile_failures_total{reason="fault"}'] == 0
    put = 'method="PUT",outcome="success",resource="streams/status"'
    assert found[f"api_request_seconds_count{{{put}}}"] == 1
    assert found['api_request_seconds_count{method="GET",outcome="Denied",resource="secrets"}'] == 1
    assert found['sweeps_total{outcome="success"}'] == found['sweeps_total{outcome="failure"}'] == 1
    assert found['relays_claimed_total{start="warm"}'] == 1
    assert found['relays_lost_total{reason="OutOfMemory"}'] == 1
    text = generate_latest(metrics.registry).decode()
    assert "s3cr3t" not in text
    assert "media" not in text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RelayError("x"), "relay"),
        (Conflict("x"), "conflict"),
        (Busy("x"), "unavailable"),
        (NotFound("x"), "store"),
        (ValueError("x"), "fault"),
    ],
)
def test_failures_have_one_of_few_reasons(error: Exception, reason: str) -> None:
    assert failure_reason(error) == reason


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/namespaces/media/pods", "pods"),
        ("/api/v1/namespaces/media/pods/relay-1/status", "pods/status"),
        ("/apis/transponder.dev/v1alpha1/rtmptransponders", "rtmptransponders"),
        ("/apis/example.org/v1/namespaces/media/things/name", "other"),
    ],
)
def test_the_resource_of_a_path(path: str, resource: str) -> None:
    assert resource_of(path) == resource
