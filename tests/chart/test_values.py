"""The values: each is known to the schema, has a comment and a line in the README; anything else is refused by name."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from support.chart import CHART, CI_VALUES, ROOT, HelmError, render

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES_TEXT = (CHART / "values.yaml").read_text()

_spec = importlib.util.spec_from_file_location("chart_generate", ROOT / "charts/generate.py")
assert _spec is not None
assert _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    return found


def groups(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The objects of the schema that name their members."""
    node = resolved(node)
    if "properties" not in node:
        return []
    inner = [group for key, child in node["properties"].items() for group in groups(child, (*path, key))]
    return [path, *inner] if node.get("additionalProperties") is False else inner


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(yaml.safe_load(VALUES_TEXT))


@pytest.mark.parametrize("group", groups(SCHEMA), ids=lambda path: ".".join(path) or "top")
def test_an_unknown_value_is_refused_by_its_name(helm: Path, group: tuple[str, ...]) -> None:
    name = ".".join((*group, "misspelt"))
    with pytest.raises(HelmError, match="misspelt"):
        render(helm, more={name: 1})


def test_helm_3_refuses_too(any_helm: Path) -> None:
    with pytest.raises(HelmError, match="misspelt"):
        render(any_helm, more={"api.ingress.misspelt": True})


def test_schema_and_values_name_the_same() -> None:
    def compare(node: dict[str, Any], values: dict[str, Any], path: str) -> None:
        node = resolved(node)
        if node.get("additionalProperties") is False and path not in ("relay.resources", "api.resources"):
            optional = {"global", "claims"}
            assert set(node["properties"]) - optional == set(values) - optional, path
        for key, child in node.get("properties", {}).items():
            if isinstance(values.get(key), dict):
                compare(child, values[key], f"{path}.{key}".lstrip("."))

    compare(SCHEMA, yaml.safe_load(VALUES_TEXT), "")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"image.tag": "latest"}, "tag"),
        ({"api.image.digest": "sha256:abc"}, "digest"),
        ({"media.mode": "nodePort"}, "mode"),
        ({"media.portRange": "40000"}, "portRange"),
        ({"relay.poolSize": -1}, "poolSize"),
        ({"relay.poolSize": "2"}, "poolSize"),
        ({"operator.replicas": 3}, "replicas"),
        ({"defaults.audioCodec": "opus"}, "audioCodec"),
        ({"defaults.streamNamePrefix": "a b"}, "streamNamePrefix"),
        ({"networkPolicy.clusterRanges": ["10.0.0.0"]}, "clusterRanges"),
        ({"commonLabels": {"a": 1}}, "commonLabels"),
        ({"media.turn.urls": ["http://turn.example.com"]}, "urls"),
        ({"watchNamespaces": ["Media"]}, "watchNamespaces"),
        ({"api.websocketPath": "/"}, "websocketPath"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_name(any_helm: Path, more: dict[str, Any], name: str) -> None:
    with pytest.raises(HelmError, match=name):
        render(any_helm, more=more)


def test_each_value_is_used_by_a_template() -> None:
    """One that is not would be a promise that nobody keeps."""
    templates = "\n".join(f.read_text() for f in (CHART / "templates").rglob("*") if f.is_file())
    for name, _, _ in generate.rows(VALUES_TEXT):
        assert f".{name.rpartition('.')[2]}" in templates, name


def test_what_is_generated_is_current() -> None:
    stale = [str(f.relative_to(ROOT)) for f, text in generate.generated().items() if f.read_text() != text]
    assert stale == [], "run charts/generate.py"


def test_each_value_has_a_comment() -> None:
    for name, _, comment in generate.rows(VALUES_TEXT):
        assert comment.endswith((".", "`")), name
    with pytest.raises(ValueError, match=r"a\.c: has no comment"):
        generate.rows("a:\n  # One.\n  b: 1\n  c: 2\n")


def test_a_table_of_values() -> None:
    text = "# Said\n# twice.\na: 1\n\n# A group.\nb:\n  # With | in it.\n  c: {d: [1]}\n"
    assert generate.table(text).splitlines()[2:] == [
        "| `a` | `1` | Said twice. |",
        "| `b` |  | A group. |",
        '| `b.c` | `{"d": [1]}` | With \\| in it. |',
    ]


def test_crds_are_those_of_the_models(helm: Path) -> None:
    ours = {
        crd["metadata"]["name"]: crd for f in (ROOT / "crds").glob("*.yaml") for crd in [yaml.safe_load(f.read_text())]
    }
    rendered = {o["metadata"]["name"]: o for o in render(helm) if o["kind"] == "CustomResourceDefinition"}
    assert {name: crd["spec"] for name, crd in rendered.items()} == {name: crd["spec"] for name, crd in ours.items()}
    keep = {"helm.sh/resource-policy": "keep"}
    assert all(crd["metadata"]["annotations"] == keep for crd in rendered.values())
    dropped = render(helm, more={"crds.keep": False})
    assert not any("annotations" in o["metadata"] for o in dropped if o["kind"] == "CustomResourceDefinition")
    without = render(helm, more={"crds.enabled": False})
    assert not [o for o in without if o["kind"] == "CustomResourceDefinition"]


def test_the_chart_has_the_version_of_the_product() -> None:
    from importlib.metadata import version

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version("rtmp-transponder")


def test_each_values_file_says_what_it_is_for() -> None:
    assert all(file.read_text().startswith("# ") for file in CI_VALUES)
