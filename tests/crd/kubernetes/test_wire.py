"""Objects as JSON: what we do not know is ignored on reading and kept on writing."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from support.objects import make_transponder, with_meta

from transponder_crd.kubernetes.store import resource_mirror
from transponder_crd.kubernetes.wire import merge_patch, new_object, read_object
from transponder_crd.meta import ObjectMeta
from transponder_crd.resource import RtmpTransponder, Secret, Sound, Stream, TransponderStatus
from transponder_crd.store import Invalid

NEWER: dict[str, Any] = {
    "apiVersion": "transponder.dev/v1alpha1",
    "kind": "RtmpTransponder",
    "metadata": {"name": "demo", "uid": "u", "resourceVersion": "7", "generation": 2, "labels": {"a": "b"}, "new": 1},
    "spec": {
        "streamName": "demo",
        "rtmpUrl": "rtmp://h/live",
        "sound": {"file": "a.wav", "volume": 3},
        "options": {"keep": 1, "drop": 2},
        "newer": {"x": [1]},
    },
    "status": {"phase": "Live", "newer": True, "conditions": []},
    "newer": "x",
}


def spec(obj: RtmpTransponder, **changes: object) -> RtmpTransponder:
    return obj.model_copy(update={"spec": obj.spec.model_copy(update=changes)})


def test_unknown_fields_are_ignored() -> None:
    obj = read_object(RtmpTransponder, NEWER)
    assert obj.spec.sound == Sound(file="a.wav")
    assert obj.metadata.generation == 2
    assert obj.status.phase == "Live"


def test_patches_say_what_changes() -> None:
    old = read_object(RtmpTransponder, NEWER)
    new = spec(with_meta(old, labels={}), muted=True, options={"keep": 1, "more": {}}, sound=Sound(file="b.wav"))
    assert merge_patch(old, new) == {
        "metadata": {"labels": {"a": None}, "resourceVersion": "7"},
        "spec": {"muted": True, "options": {"drop": None, "more": {}}, "sound": {"file": "b.wav"}},
    }
    assert merge_patch(old, spec(old, sound=None))["spec"] == {"sound": None}
    assert merge_patch(old, old) == {"metadata": {"resourceVersion": "7"}}
    lists = merge_patch(with_meta(old, finalizers=["a/b", "c/d"]), with_meta(old, finalizers=["c/d"]))
    assert lists["metadata"]["finalizers"] == ["c/d"]
    with pytest.raises(ValueError, match="two objects"):
        merge_patch(old, with_meta(old, name="other"))


def test_a_status_of_a_newer_version_is_empty() -> None:
    assert read_object(RtmpTransponder, {**NEWER, "status": {"phase": "Dreaming"}}).status == TransponderStatus()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"streamName": "a b"}, r"spec\.streamName"),
        ({"muted": "x"}, r"spec\.muted"),
        ({"rtmpUrl": None}, "spec: "),
        ({"rtmpUrl": "http://key"}, r"spec\.rtmpUrl"),
    ],
)
def test_invalid_objects_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=f"RtmpTransponder demo: {field}") as caught:
        read_object(RtmpTransponder, {**NEWER, "spec": {**NEWER["spec"], **change}})
    assert "key" not in str(caught.value)


def test_new_objects_have_no_fields_of_the_server() -> None:
    obj = with_meta(make_transponder(labels={"a": "b"}), uid="u", generation=3, creation_timestamp=datetime.now(UTC))
    raw = new_object(obj, "ns")
    assert raw["metadata"] == {"name": "demo", "namespace": "ns", "labels": {"a": "b"}}
    assert "status" not in raw
    assert raw["spec"] == {"streamName": "demo", "rtmpUrl": "rtmp://h/live", "muted": False, "options": {}}


@given(st.dictionaries(st.text("abc", min_size=1), st.text(st.characters(exclude_categories=["Cs"]))))
def test_secrets_travel_as_base64(values: dict[str, str]) -> None:
    wish = Secret(metadata=ObjectMeta(name="s"), string_data={key: SecretStr(values[key]) for key in values})
    raw = new_object(wish, "ns")
    assert "stringData" not in raw
    back = read_object(Secret, raw)
    assert {key: value.get_secret_value() for key, value in back.string_data.items()} == values


def test_values_that_are_no_text_are_left_out() -> None:
    data = {"text": base64.b64encode(b"x").decode(), "bytes": base64.b64encode(b"\xff").decode(), "bad": "%"}
    assert list(read_object(Secret, {"metadata": {"name": "s"}, "data": data}).string_data) == ["text"]


def test_invalid_objects_are_skipped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    mirror = resource_mirror(RtmpTransponder)
    for version in ("8", "9"):
        bad = {**NEWER, "metadata": {**NEWER["metadata"], "resourceVersion": version}, "spec": {"streamName": "x"}}
        mirror.apply("MODIFIED", bad)
    assert mirror.items() == []
    assert [record.message[:32] for record in caplog.records] == ["ignored: RtmpTransponder demo: s"]
    mirror.apply("MODIFIED", {**NEWER, "metadata": {**NEWER["metadata"], "resourceVersion": "10"}})
    assert [obj.name for obj in mirror.of("stream", "demo")] == ["demo"]
    assert [obj.name for obj in mirror.of("uid", "u")] == ["demo"]
    assert resource_mirror(Stream).items() == []
