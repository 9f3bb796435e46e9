"""Who may talk to whom: NetworkPolicies, and the ways in by Service, Ingress and HTTPRoute."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from support.chart import CHART, NAMESPACE, Object, of_kind, one, render

API, OPERATOR, RELAY = (f"live-rtmp-transponder-{name}" for name in ("api", "operator", "relay"))


def policy(helm: Path, name: str, more: dict[str, Any] | None = None, values: str = "default") -> Object:
    found: Object = one(render(helm, CHART / "ci" / f"{values}-values.yaml", more), "NetworkPolicy", name)["spec"]
    return found


def reachable(policy: Object, address: str, port: int) -> bool:
    """By TCP, as Kubernetes reads the egress rules that name addresses."""
    host = ipaddress.ip_address(address)
    for rule in policy["egress"]:
        if not any(p["protocol"] == "TCP" and p["port"] <= port <= p.get("endPort", p["port"]) for p in rule["ports"]):
            continue
        if "to" not in rule:
            return True
        for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
            excepted = any(host in ipaddress.ip_network(n) for n in block.get("except", []) if _same(host, n))
            if _same(host, block["cidr"]) and host in ipaddress.ip_network(block["cidr"]) and not excepted:
                return True
    return False


def _same(host: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    return ipaddress.ip_network(network).version == host.version


@pytest.mark.parametrize(
    ("address", "port", "may"),
    [
        ("203.0.113.7", 1935, True),
        ("203.0.113.7", 443, True),
        ("2001:db8::7", 443, True),
        ("203.0.113.7", 80, False),
        ("169.254.169.254", 443, False),
        ("10.96.0.1", 443, False),
        ("172.20.0.1", 1935, False),
        ("192.168.1.1", 1935, False),
        ("100.64.1.1", 443, False),
        ("fd00::1", 443, False),
        ("fe80::1", 443, False),
    ],
)
def test_where_relays_may_send(helm: Path, address: str, port: int, may: bool) -> None:
    assert reachable(policy(helm, RELAY), address, port) is may


def test_metadata_addresses_stay_closed_whatever_the_cluster_ranges(helm: Path) -> None:
    relay = policy(helm, RELAY, {"networkPolicy.clusterRanges": [], "networkPolicy.rtmpPorts": [80, 1935]})
    assert not reachable(relay, "169.254.169.254", 80)
    assert reachable(relay, "10.1.2.3", 1935)


def test_what_relays_take(helm: Path) -> None:
    media, control = policy(helm, RELAY)["ingress"]
    assert media == {"ports": [{"protocol": "UDP", "port": 1024, "endPort": 65535}]}
    assert control["ports"] == [{"protocol": "TCP", "port": 9090}]
    peers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in control["from"]]
    assert peers == ["api", "operator", "uninstall"]
    assert all(
        p["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMESPACE} for p in control["from"]
    )


def test_only_a_turn_server_sends_media_where_it_is_so(helm: Path) -> None:
    media = policy(helm, RELAY, values="turn")["ingress"][0]
    assert media["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "turn"}}}]


def test_monitors_reach_relays_only_when_there_are_some(helm: Path) -> None:
    assert len(policy(helm, RELAY)["ingress"]) == 2
    assert policy(helm, RELAY, values="monitoring")["ingress"][2]["ports"] == [{"protocol": "TCP", "port": 9090}]


@pytest.mark.parametrize("name", [API, OPERATOR])
def test_programs_reach_the_api_server_names_and_relays(helm: Path, name: str) -> None:
    dns, server, relays = policy(helm, name)["egress"]
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    assert server == {"ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]}
    assert relays["ports"] == [{"protocol": "TCP", "port": 9090}]
    hosts = policy(helm, name, values="host-network")["egress"][2]
    assert hosts == {"ports": [{"protocol": "TCP", "port": 21000, "endPort": 21999}]}


def test_nobody_calls_the_operator_but_monitors(helm: Path) -> None:
    assert [rule["ports"][0]["port"] for rule in policy(helm, OPERATOR)["ingress"]] == [8080]
    closed = policy(helm, OPERATOR, {"networkPolicy.metricsFrom": []})
    assert closed["ingress"] == []
    assert closed["policyTypes"] == ["Ingress", "Egress"]


def test_the_test_pod_reaches_a_closed_api(helm: Path) -> None:
    peers = policy(helm, API, values="pod-tls")["ingress"][0]["from"]
    assert peers[0] == {"ipBlock": {"cidr": "198.51.100.0/24"}}
    assert peers[1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"


def test_policies_may_be_left_out(helm: Path) -> None:
    assert not of_kind(render(helm, more={"networkPolicy.enabled": False}), "NetworkPolicy")


def test_one_host_for_websocket_and_http(helm: Path) -> None:
    objects = render(helm, CHART / "ci" / "ingress-tls-values.yaml")
    service = {port["name"]: port for port in one(objects, "Service", API)["spec"]["ports"]}
    for rule in one(objects, "Ingress")["spec"]["rules"]:
        ports = {p["path"]: p["backend"]["service"]["port"]["name"] for p in rule["http"]["paths"]}
        assert ports == {"/websocket": "ws", "/": "http"}
        assert set(ports.values()) <= set(service)
    objects = render(helm, CHART / "ci" / "gateway-values.yaml")
    rules = one(objects, "HTTPRoute")["spec"]["rules"]
    paths = {rule["matches"][0]["path"]["value"]: rule["backendRefs"][0]["port"] for rule in rules}
    numbers = {port["name"]: port["port"] for port in one(objects, "Service", API)["spec"]["ports"]}
    assert paths == {"/websocket": numbers["ws"], "/": numbers["http"]}


def test_ports_of_services_are_those_of_pods(helm: Path) -> None:
    for values in ("default", "pod-tls", "kind"):
        objects = render(helm, CHART / "ci" / f"{values}-values.yaml")
        (container,) = one(objects, "Deployment", API)["spec"]["template"]["spec"]["containers"]
        names = {port["name"] for port in container["ports"]}
        for service in of_kind(objects, "Service"):
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_a_number_of_pods_or_an_autoscaler(helm: Path) -> None:
    assert one(render(helm), "Deployment", API)["spec"]["replicas"] == 2
    scaled = render(helm, CHART / "ci" / "gateway-values.yaml")
    assert "replicas" not in one(scaled, "Deployment", API)["spec"]
    target = one(scaled, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", API)


def test_no_disruption_budget_that_no_drain_could_keep(helm: Path) -> None:
    budgets = of_kind(render(helm, more={"api.replicas": 1, "relay.poolSize": 1}), "PodDisruptionBudget")
    assert budgets == []
    idle = one(render(helm, more={"relay.poolSize": 5}), "PodDisruptionBudget", f"{RELAY}-idle")["spec"]
    assert idle["minAvailable"] == 4
