"""The Helm chart, rendered by a real Helm, and what its objects say."""

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "rtmp-transponder"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE, RELEASE = "media", "live"

Object = dict[str, Any]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def run_helm(helm: Path, *arguments: str | Path) -> str:
    """Helm without any configuration of the person who runs the tests. Raises HelmError."""
    done = subprocess.run(
        [helm, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env={"HOME": "/nonexistent", "HELM_CACHE_HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        raise HelmError(f"{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def _rendered(helm: Path, values: Path | None, more: str) -> str:
    """All objects as JSON, which is read much faster than YAML. `more`: an object of values over those of the file."""
    files = ["--values", values] if values else []
    over = [item for key, value in json.loads(more).items() for item in ("--set-json", f"{key}={json.dumps(value)}")]
    text = run_helm(helm, "template", RELEASE, CHART, "--namespace", NAMESPACE, *files, *over)
    return json.dumps([obj for obj in yaml.safe_load_all(text) if obj is not None])


def render(helm: Path, values: Path | None = None, more: Mapping[str, Any] | None = None) -> list[Object]:
    """All objects. `more` has whole values by their dotted names. Raises HelmError."""
    objects: list[Object] = json.loads(_rendered(helm, values, json.dumps(more or {})))
    return objects


def of_kind(objects: list[Object], kind: str, name: str | None = None) -> list[Object]:
    return [o for o in objects if o["kind"] == kind and (name is None or o["metadata"]["name"] == name)]


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    (found,) = of_kind(objects, kind, name)
    return found


def relay_pod(objects: list[Object]) -> Object:
    """The pod that the operator makes relays from, with the name that it would give to one."""
    (template,) = [o for o in of_kind(objects, "ConfigMap") if "relay-pod.yaml" in o.get("data", {})]
    pod: Object = yaml.safe_load(template["data"]["relay-pod.yaml"])
    assert set(pod) == {"metadata", "spec"}
    metadata = {"name": "relay-01234567", "namespace": NAMESPACE} | pod["metadata"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


def pods(objects: list[Object]) -> Iterator[Object]:
    """Every pod that comes of the objects, as one: the programs', the relays', the test's."""
    yield relay_pod(objects)
    yield from of_kind(objects, "Pod")
    for owner in (*of_kind(objects, "Deployment"), *of_kind(objects, "Job")):
        template = owner["spec"]["template"]
        metadata = template["metadata"] | {"name": owner["metadata"]["name"], "namespace": NAMESPACE}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def environment(pod: Object) -> dict[str, Any]:
    """Of its only container: the value, or where it comes from."""
    (container,) = pod["spec"]["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container.get("env", [])}


def component(obj: Object) -> str:
    label: str = obj["metadata"]["labels"]["app.kubernetes.io/component"]
    return label
