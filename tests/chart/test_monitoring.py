"""Alerts and dashboard ask for metrics that the programs really have, and monitors find the pods."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from support.chart import CHART, ROOT, Object, of_kind, one, pods, render

from transponder_api.metrics import KINDS
from transponder_api.metrics import Metrics as ApiMetrics
from transponder_crd.resource import StreamPhase, TransponderPhase
from transponder_operator.metrics import FAILURE_REASONS, RELAY_STATES, Gauges
from transponder_operator.metrics import Metrics as OperatorMetrics
from transponder_relay.metrics import INGEST_GAUGES, RelayCollector
from transponder_relay.relay import Relay
from transponder_relay.settings import RelaySettings

MONITORING = CHART / "ci" / "monitoring-values.yaml"
METRIC = re.compile(r"\b((?:transponder|process|python)_[a-z_]+)\b")
LABELS = re.compile(r"\b((?:transponder|process)_[a-z_]+)\{([^}]*)\}")
FROM_PROMETHEUS = {"namespace", "pod", "job", "instance", "container", "le"}


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Each sample's name that one of the programs has, with the names of its labels."""
    names: dict[str, set[str]] = {}
    for registry in (_relay(), ApiMetrics().registry, _operator()):
        for family in registry.collect():
            names |= dict.fromkeys(_samples(family.name, family.type), _label_names(registry, family.name))
            for sample in family.samples:
                names[sample.name] = names.get(sample.name, set()) | set(sample.labels)
    return names


def _samples(name: str, kind: str) -> list[str]:
    """Also of those that have no samples before something happens."""
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(kind, [""])
    return [name + end for end in ends]


def _label_names(registry: CollectorRegistry, name: str) -> set[str]:
    collector = registry._names_to_collectors.get(name)
    return set(getattr(collector, "_labelnames", ()))


def _relay() -> CollectorRegistry:
    relay = Relay(RelaySettings.model_validate({"instance": "relay-1", "stream_name": "", "token": "t" * 43}))
    registry = CollectorRegistry()
    registry.register(RelayCollector(relay))
    return registry


def _operator() -> CollectorRegistry:
    nothing: dict[str, Any] = dict.fromkeys(Gauges._fields, 0)
    empty = {name: {} for name in ("watch_silence", "watch_missed")} | dict.fromkeys(
        ("transponders", "streams", "relays"), ()
    )
    return OperatorMetrics(lambda: Gauges(**(nothing | empty))).registry


def alerts() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text())
    return found


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    variables = [v["definition"] for v in dashboard()["templating"]["list"] if "definition" in v]
    return [*panels, *variables, *(alert["expr"] for alert in alerts())]


def test_metrics_of_alerts_and_dashboard_exist(metrics: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(asked) > 25
    maybe = {f"transponder_ingest_{told.name}" for told in INGEST_GAUGES}
    assert asked - set(metrics) - maybe == set()


def test_labels_of_alerts_and_dashboard_exist(metrics: dict[str, set[str]]) -> None:
    for expression in expressions():
        for name, selectors in LABELS.findall(expression):
            for label in re.findall(r'(\w+)\s*[=!]~?"', selectors):
                assert label in metrics.get(name, set()) | FROM_PROMETHEUS | _families(name), (name, label)


def known_values(label: str) -> set[str]:
    """Of labels whose values are a closed set."""
    offers = {status.name.lower() for status in HTTPStatus} | {"answered", "error"}
    return {
        "phase": {*TransponderPhase, *StreamPhase},
        "state": set(RELAY_STATES),
        "reason": set(FAILURE_REASONS),
        "start": {"warm", "cold"},
        "kind": set(KINDS),
        "outcome": offers | {"success", "failure"},
        "status": {f"{n}xx" for n in range(1, 6)},
    }[label]


def test_values_of_labels_exist() -> None:
    asked = 0
    for expression in expressions():
        for _, selectors in LABELS.findall(expression):
            for label, value in re.findall(r'(\w+)\s*[=!]~?"([^"]*)"', selectors):
                if label not in FROM_PROMETHEUS:
                    asked += 1
                    assert set(value.split("|")) <= known_values(label), (expression, label)
    assert asked >= 10


def _families(name: str) -> set[str]:
    """Labels of gauges that have no samples here, from their families' own words."""
    return {"resource"} if "_watch_" in name else {"output"} if "_output_" in name else set()


def test_parentheses_and_quotes_of_expressions_are_closed() -> None:
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', "", expression)
        assert '"' not in bare
        for opening, closing in ("()", "[]", "{}"):
            assert bare.count(opening) == bare.count(closing), expression


def test_each_alert_has_a_runbook() -> None:
    text = (ROOT / "docs/kubernetes.md").read_text()
    named = [alert["alert"] for alert in alerts()]
    assert len(named) == len(set(named))
    assert [name for name in named if f"\n#### {name}\n" not in text] == []
    assert set(re.findall(r"\n#### (Transponder\w+)\n", text)) == set(named)
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert set(alert["annotations"]) == {"summary", "description"}


def test_alerts_are_rendered_with_their_runbooks(helm: Path) -> None:
    rule = one(render(helm, MONITORING), "PrometheusRule")
    rendered = [r for group in rule["spec"]["groups"] for r in group["rules"]]
    assert [(r["alert"], r["expr"], r.get("for")) for r in rendered] == [
        (a["alert"], a["expr"], a.get("for")) for a in alerts()
    ]
    for alert in rendered:
        assert alert["annotations"]["runbook_url"] == (
            f"https://wiki.example.com/kubernetes.md#{alert['alert'].lower()}"
        )
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_may_be_left_out(helm: Path) -> None:
    more = {"prometheusRule.disabled": ["TransponderFailed", "TransponderSlowStart"]}
    rule = one(render(helm, MONITORING, more), "PrometheusRule")
    names = {r["alert"] for group in rule["spec"]["groups"] for r in group["rules"]}
    assert names == {alert["alert"] for alert in alerts()} - set(more["prometheusRule.disabled"])


def test_the_dashboard_is_rendered_as_it_is(helm: Path) -> None:
    (config_map,) = [o for o in of_kind(render(helm, MONITORING), "ConfigMap") if "rtmp-transponder.json" in o["data"]]
    assert json.loads(config_map["data"]["rtmp-transponder.json"]) == dashboard()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_panels_do_not_overlap() -> None:
    cells = set()
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        cells |= own


def test_monitors_find_what_they_are_for(helm: Path) -> None:
    objects = render(helm, MONITORING)
    by_component = {p["metadata"]["labels"]["app.kubernetes.io/component"]: p for p in pods(objects)}
    for monitor in of_kind(objects, "PodMonitor"):
        program = monitor["metadata"]["labels"]["app.kubernetes.io/component"]
        _finds(monitor["spec"]["selector"], by_component.pop(program), monitor["spec"]["podMetricsEndpoints"])
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = [s for s in of_kind(objects, "Service") if _selects(monitor["spec"]["selector"], s)]
    (port,) = service["spec"]["ports"]
    assert port["name"] == monitor["spec"]["endpoints"][0]["port"]
    _finds({"matchLabels": service["spec"]["selector"]}, by_component["api"], [{"port": port["targetPort"]}])


def _finds(selector: dict[str, Any], pod: Object, endpoints: list[dict[str, Any]]) -> None:
    assert _selects(selector, pod)
    names = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in endpoints} <= names


def _selects(selector: dict[str, Any], obj: Object) -> bool:
    return bool(selector["matchLabels"].items() <= obj["metadata"]["labels"].items())
