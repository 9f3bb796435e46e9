"""What the chart puts into the programs' environments is what the programs read, name by name and value by value."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import trustme
import yaml
from pydantic_settings import BaseSettings
from support.chart import CHART, CI_VALUES, NAMESPACE, Object, environment, of_kind, one, pods, relay_pod, render

from transponder_api.pod_settings import PodSettings
from transponder_crd.defaults import Defaults
from transponder_operator.operator_settings import OperatorSettings
from transponder_operator.pods.manifest import Claim, check_template
from transponder_operator.pods.manifest import relay_pod as pod_of_operator
from transponder_operator.pods.ports import RelayPorts
from transponder_relay.environment import RelayEnvironment

PREFIX = "TRANSPONDER_"
RELAY = RelayPorts(control=20007, media=(40000, 40003))

all_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda file: file.stem.removesuffix("-values"))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without settings of ours."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pods find mounted."""
    root = tmp_path_factory.mktemp("root")
    etc, run = root / "etc/transponder", root / "run/transponder"
    for folder in ("token", "turn", "tls", "ca"):
        (etc / folder).mkdir(parents=True)
    run.mkdir(parents=True)
    (root / "sounds").mkdir()
    for secret in (etc / "token/token", etc / "turn/secret", run / "token"):
        secret.write_text("t" * 43)
    authority = trustme.CA()
    certificate = authority.issue_cert("live.example.com")
    authority.cert_pem.write_to_path(str(etc / "ca/ca.crt"))
    certificate.cert_chain_pems[0].write_to_path(str(etc / "tls/tls.crt"))
    certificate.private_key_pem.write_to_path(str(etc / "tls/tls.key"))
    return root


@all_values
def test_api(helm: Path, values: Path, bare: pytest.MonkeyPatch, files: Path) -> None:
    settings = _read(PodSettings, _program(render(helm, values), "api"), bare, files)
    assert settings.namespace in (NAMESPACE, "relays", "studio")
    assert settings.control_key_namespace == NAMESPACE
    assert settings.sounds_folder == files / "sounds"


@all_values
def test_operator(helm: Path, values: Path, bare: pytest.MonkeyPatch, files: Path) -> None:
    objects = render(helm, values)
    settings = _read(OperatorSettings, _program(objects, "operator"), bare, files)
    assert one(objects, "ConfigMap", settings.pool_owner)["data"].keys() == {settings.relay_template.name}
    assert settings.control_key_secret == environment(_program(objects, "api"))[f"{PREFIX}CONTROL_KEY_SECRET"]


def test_the_end_of_a_release_knows_what_its_operator_knows(helm: Path) -> None:
    """Also whose account it has; and nobody else has to reach it."""
    objects = render(helm, CHART / "ci" / "namespaces-values.yaml")
    operator, end = _program(objects, "operator"), _program(objects, "uninstall")
    assert environment(end) == environment(operator)
    assert end["spec"]["serviceAccountName"] == operator["spec"]["serviceAccountName"]
    assert end["spec"]["containers"][0]["args"] == ["--uninstall"]
    (job,) = of_kind(objects, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert not of_kind(render(helm, more={"operator.uninstallHook": False}), "Job")


@all_values
def test_relay_as_the_operator_makes_it(
    helm: Path, values: Path, monkeypatch: pytest.MonkeyPatch, bare: pytest.MonkeyPatch, files: Path
) -> None:
    objects = render(helm, values)
    with monkeypatch.context() as patch:
        settings = _read(OperatorSettings, _program(objects, "operator"), patch, files)
    template = check_template({key: relay_pod(objects)[key] for key in ("metadata", "spec")})
    ports = RELAY if settings.media_mode == "hostPort" else RELAY._replace(media=None)
    pod = pod_of_operator(template, settings, "relay-01234567", ports, key_mark="cafe")
    kubernetes_validate.validate(pod, "1.36", strict=True)

    relay = _read(RelayEnvironment, pod, bare, files).relay_settings()
    assert relay.instance == "relay-01234567"
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert (relay.sounds_folder is not None) == ("sounds" in volumes)
    assert (relay.rtmps_ca_file is not None) == ("rtmps-ca" in volumes)
    if settings.media_mode == "hostPort":
        assert relay.media_port_range == RELAY.media
        assert relay.media_nat


def test_an_idle_relay_has_an_owner_that_goes_with_the_release(helm: Path) -> None:
    objects = render(helm)
    name = environment(_program(objects, "operator"))[f"{PREFIX}POOL_OWNER"]
    assert one(objects, "ConfigMap", name)["metadata"]["namespace"] == NAMESPACE


def test_the_relays_own_selector_finds_what_the_operator_makes(helm: Path) -> None:
    objects = render(helm, CHART / "ci" / "namespaces-values.yaml")
    template = {key: relay_pod(objects)[key] for key in ("metadata", "spec")}
    settings = OperatorSettings(media_mode="podNetwork")
    claim = Claim("shop", [], datetime.now(UTC))
    idle, busy = (
        pod_of_operator(template, settings, "relay-1", RelayPorts(9090, None), key_mark="cafe", claim=of)["metadata"][
            "labels"
        ]
        for of in (None, claim)
    )
    budgets = of_kind(objects, "PodDisruptionBudget")
    for budget in budgets:
        if "-relay-" in budget["metadata"]["name"]:
            of_idle = budget["metadata"]["name"].endswith("idle")
            assert _selects(budget["spec"]["selector"], idle) is of_idle
            assert _selects(budget["spec"]["selector"], busy) is not of_idle
    policies = [p for p in of_kind(objects, "NetworkPolicy") if p["metadata"]["name"].endswith("-relay")]
    assert {p["metadata"]["namespace"] for p in policies} == {"studio", "stage"}
    assert all(_selects(p["spec"]["podSelector"], labels) for p in policies for labels in (idle, busy))


def test_defaults_of_the_chart_are_those_of_the_product() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["defaults"]
    ours = Defaults().model_dump(by_alias=True, mode="json") | {"flashVersion": ""}
    assert values == {key: value for key, value in ours.items() if key in values}
    assert {_camel(name) for name in Defaults.model_fields} == set(values)


@pytest.mark.parametrize("key", ["token", "bearer"])
def test_the_token_comes_from_a_file_of_the_secret(helm: Path, key: str) -> None:
    more: dict[str, Any] = {"api.auth": {"existingSecret": "mine", "existingSecretKey": key}}
    if key == "token":
        more = {"api.auth.token": "given"}
    pod = _program(render(helm, more=more), "api")
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "token"]
    assert volume["secret"]["items"] == [{"key": key, "path": "token"}]
    (mount,) = [m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] == "token"]
    assert environment(pod)[f"{PREFIX}TOKEN_FILE"] == f"{mount['mountPath']}/token"


def _program(objects: list[Object], component: str) -> Object:
    (pod,) = [p for p in pods(objects) if p["metadata"]["labels"]["app.kubernetes.io/component"] == component]
    return pod


def _read(kind: type[BaseSettings], pod: Object, patch: pytest.MonkeyPatch, files: Path) -> Any:
    """The settings that the program would have; each variable of ours must be one of them."""
    from_elsewhere = {
        "NAMESPACE": NAMESPACE,
        "POD_NAME": "a-pod",
        "INSTANCE": pod["metadata"]["name"],
        "MEDIA_ADDRESSES": "192.0.2.7",
        "AUTO_START_URL": "rtmp://rtmp.example.com/live",
    }
    for variable, value in environment(pod).items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX)
        assert name.partition("__")[0].lower() in kind.model_fields, f"{variable} means nothing to {kind.__name__}"
        if not isinstance(value, str):
            value = from_elsewhere[name]
        patch.setenv(variable, re.sub(r"/(etc/transponder|run/transponder|sounds)\b", rf"{files}/\1", value))
    return kind()


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(e["operator"] == "Exists" and e["key"] in labels for e in selector.get("matchExpressions", []))


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)
