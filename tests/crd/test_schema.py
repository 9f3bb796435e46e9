"""The generated CRDs: the files in `crds/` are up to date, structural, and agree with the models."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, ValidationError

from transponder_crd.__main__ import files, main
from transponder_crd.conditions import Condition, ConditionType
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import (
    RTMP_URL_RULE,
    STREAM_NAME_RULE,
    Audio,
    AudioCodec,
    Reconnect,
    Resource,
    RtmpTransponder,
    RtmpUrlSource,
    SecretKeyRef,
    Sound,
    Stream,
    StreamPhase,
    StreamSource,
    StreamSpec,
    StreamStatus,
    TransponderPhase,
    TransponderSpec,
    TransponderStatus,
    Video,
)
from transponder_crd.schema import KINDS, custom_resource_definition, structural

CRDS = Path(__file__).parents[2] / "crds"
META = ObjectMeta(name="demo")
KIND_IDS = [kind.__name__ for kind in KINDS]


def root(kind: type[Resource]) -> dict[str, Any]:
    schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert isinstance(schema, dict)
    return schema


def test_the_files_are_up_to_date() -> None:
    assert {file.name for file in CRDS.glob("*.yaml")} == set(files())
    for name, text in files().items():
        assert (CRDS / name).read_text(encoding="utf-8") == text, "run: python -m transponder_crd --out crds"


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_yaml_says_what_python_says(kind: type[Resource]) -> None:
    assert yaml.safe_load(files()[f"{kind.PLURAL}.yaml"]) == custom_resource_definition(kind)


# ---------------------------------------------------------------------------------------------- structural rules


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path or "root", schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


ALLOWED = {"type", "format", "description", "default", "enum", "pattern", "required", "properties", "items"}
ALLOWED |= {"additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
ALLOWED |= {"x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
ALLOWED |= {"x-kubernetes-preserve-unknown-fields"}


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_structural_rules(kind: type[Resource]) -> None:
    for path, node in nodes(root(kind)):
        assert set(node) <= ALLOWED, path
        assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", [])) <= set(node.get("properties", {})), path
        if node["type"] == "array":
            assert "items" in node, path
        if node["type"] == "object" and path != ".metadata":
            assert "properties" in node or node["x-kubernetes-preserve-unknown-fields"], path
        if "default" in node:
            Draft202012Validator({**node, "default": None}).validate(node["default"])


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_the_root_leaves_metadata_to_the_api_server(kind: type[Resource]) -> None:
    properties = root(kind)["properties"]
    assert properties["metadata"] == {"type": "object"}
    assert set(properties) == {"apiVersion", "kind", "metadata", "spec", "status"}


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_strings_that_cel_compares_are_bounded(kind: type[Resource]) -> None:
    """Without bounds the API server refuses a rule as too expensive."""
    spec = root(kind)["properties"]["spec"]["properties"]
    compared = [spec[name] for name in spec if any(f"self.{name} ==" in rule["rule"] for rule in rules(kind))]
    assert compared
    for schema in compared:
        for path, node in nodes(schema):
            assert node["type"] != "string" or "maxLength" in node or "enum" in node, path


def rules(kind: type[Resource]) -> list[dict[str, str]]:
    validations = root(kind)["properties"]["spec"]["x-kubernetes-validations"]
    assert isinstance(validations, list)
    return validations


def test_cel_rules() -> None:
    messages = {rule["message"]: rule["rule"] for rule in rules(RtmpTransponder)}
    assert (
        messages["exactly one of rtmpUrl and rtmpUrlFrom must be given"] == "has(self.rtmpUrl) != has(self.rtmpUrlFrom)"
    )
    assert messages["streamName is immutable"] == "self.streamName == oldSelf.streamName"
    for field in ("rtmpUrl", "rtmpUrlFrom"):
        rule = messages[f"{field} is immutable"]
        assert rule.startswith(f"has(self.{field}) == has(oldSelf.{field}) &&")
    assert {rule["message"] for rule in rules(Stream)} == {"name is immutable", "source is immutable"}


def test_conditions_are_a_map_by_type() -> None:
    conditions = root(RtmpTransponder)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert "type" in conditions["items"]["required"]


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_columns_show_fields_that_exist(kind: type[Resource]) -> None:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    for column in version["additionalPrinterColumns"]:
        node = root(kind)
        first, *parts = column["jsonPath"].removeprefix(".").split(".")
        if first == "metadata":
            continue
        for part in (first, *parts):
            node = node["properties"][part]
        assert node["type"] == column["type"]


def test_names() -> None:
    names = custom_resource_definition(RtmpTransponder)["spec"]["names"]
    assert (names["plural"], names["shortNames"], names["categories"]) == ("rtmptransponders", ["rtmpt"], ["media"])


# ---------------------------------------------------------------------------------------------- against objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
URL_FROM = RtmpUrlSource(secret_key_ref=SecretKeyRef(name="key"))
OBJECTS: dict[str, Resource] = {
    "least": RtmpTransponder(metadata=META, spec=TransponderSpec(stream_name="demo", rtmp_url="rtmp://h/live")),
    "all": RtmpTransponder(
        metadata=META,
        spec=TransponderSpec(
            stream_name="demo?x=1",
            rtmp_url_from=URL_FROM,
            muted=True,
            sound=Sound(file="a.wav", loop=True, trigger="1"),
            stream_name_prefix="",
            full_url=True,
            flash_version="FMLE/3.0",
            audio=Audio(codec=AudioCodec.AAC, bitrate=128_000),
            video=Video(keyframe_interval=2.5),
            reconnect=Reconnect(initial_seconds=0.5, max_seconds=30, max_attempts=3),
            options={"action": "mute", "nested": {"list": [1, None, "x"]}},
        ),
        status=TransponderStatus(
            phase=TransponderPhase.LIVE,
            conditions=[Condition(type=ConditionType.READY, status="True", reason="Live", last_transition_time=NOW)],
            media_session_id="x",
            width=640,
            started_at=NOW,
        ),
    ),
    "stream": Stream(
        metadata=META,
        spec=StreamSpec(name="demo", source=StreamSource.WHIP),
        status=StreamStatus(phase=StreamPhase.PUBLISHING, video_codec="H264", started_at=NOW),
    ),
}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with unknown fields refused, as the API server's strict validation does."""
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: strict(child) for name, child in schema["properties"].items()}
        schema["additionalProperties"] = False
    if "items" in schema:
        schema["items"] = strict(schema["items"])
    return schema


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_fit_their_schema(name: str) -> None:
    obj = OBJECTS[name]
    # the API server drops nulls before it validates
    record = obj.model_dump(mode="json", exclude_none=True)
    schema = strict(root(type(obj)))
    schema["properties"]["metadata"] = {"type": "object"}
    Draft202012Validator(schema).validate(record)


SPEC: dict[str, Any] = {"streamName": "demo", "rtmpUrl": "rtmp://h/live"}
BAD_SPECS: list[dict[str, Any]] = [
    {"rtmpUrl": "rtmp://h/live"},
    {**SPEC, "streamName": ""},
    {**SPEC, "streamName": "white space"},
    {**SPEC, "streamName": "x" * 256},
    {**SPEC, "streamName": 1},
    {**SPEC, "rtmpUrl": "http://h/live"},
    {**SPEC, "rtmpUrl": "rtmp://h/" + "x" * 2048},
    {**SPEC, "muted": "yes please"},
    {**SPEC, "sound": {}},
    {**SPEC, "sound": {"file": "../secret.wav"}},
    {**SPEC, "sound": {"file": ".hidden"}},
    {**SPEC, "streamNamePrefix": "a b"},
    {**SPEC, "audio": {"codec": "mp3"}},
    {**SPEC, "audio": {"bitrate": 31_999}},
    {**SPEC, "video": {"keyframeInterval": 20.5}},
    {**SPEC, "reconnect": {"initialSeconds": 0}},
    {**SPEC, "reconnect": {"maxAttempts": -1}},
    {**SPEC, "options": []},
    {**SPEC, "unknown": 1},
    {"streamName": "demo", "rtmpUrlFrom": {}},
    {"streamName": "demo", "rtmpUrlFrom": {"secretKeyRef": {"key": "x"}}},
]


@pytest.mark.parametrize("spec", BAD_SPECS, ids=str)
def test_schema_and_model_refuse_alike(spec: dict[str, Any]) -> None:
    assert not Draft202012Validator(strict(root(RtmpTransponder)["properties"]["spec"])).is_valid(spec)
    with pytest.raises(ValidationError):
        TransponderSpec.model_validate(spec)


@pytest.mark.parametrize("spec", [{"streamName": "demo"}, {**SPEC, "rtmpUrlFrom": {"secretKeyRef": {"name": "x"}}}])
def test_exactly_one_destination(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of rtmpUrl and rtmpUrlFrom"):
        TransponderSpec.model_validate(spec)


# ---------------------------------------------------------------------------------------------- what cannot be said


class Union(BaseModel):
    field: int | str


class Open(BaseModel):
    field: int = Field(gt=0)


class Nested(BaseModel):
    field: dict[str, Audio] | None = None


@pytest.mark.parametrize(("model", "word"), [(Union, "union"), (Open, "exclusiveMinimum")])
def test_what_a_crd_cannot_say_is_an_error(model: type[BaseModel], word: str) -> None:
    with pytest.raises(TypeError, match=word):
        structural(model.model_json_schema())


def test_maps_keep_the_schema_of_their_values() -> None:
    field = structural(Nested.model_json_schema())["properties"]["field"]
    assert field["additionalProperties"]["properties"]["bitrate"]["minimum"] == 32_000
    assert "default" not in field


# ---------------------------------------------------------------------------------------------- command line


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents == [custom_resource_definition(kind) for kind in KINDS]


def test_write(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()} == files()


def test_a_folder_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--out", str(tmp_path / "missing")])
    assert caught.value.code == 2
    assert "missing: No such file or directory" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- white space

WHITE_SPACE = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000 and chr(code).isspace()]


@pytest.mark.parametrize("pattern", [STREAM_NAME_RULE, RTMP_URL_RULE], ids=["name", "url"])
def test_patterns_mean_the_same_everywhere(pattern: str) -> None:
    """`\\s`, `\\w` and the like are ASCII in Go (which the API server is written in) and Unicode elsewhere."""
    assert not re.search(r"\\[a-wyzA-Z]", pattern), "only \\xHH"
    for character in [*WHITE_SPACE, "\x00", "\x7f", "\x9f"]:
        assert not re.search(pattern, f"rtmp://a{character}b"), repr(character)
    for character in "a?é日\u200b\ufeff\U0001f3a5":
        assert re.search(pattern, f"rtmp://a{character}b"), repr(character)


@pytest.mark.parametrize("character", WHITE_SPACE, ids=ascii)
def test_no_white_space_in_names(character: str) -> None:
    for text in (character, f"a{character}", f"{character}a"):
        with pytest.raises(ValidationError):
            StreamSpec(name=text, source=StreamSource.WHIP)
