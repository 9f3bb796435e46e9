"""What only a real API server shows: its own validation, its versions, two writers, rights, its size."""

import asyncio
import base64
import time
from typing import Any

import pytest
from cluster.control_plane import ControlPlane
from pydantic import SecretStr, ValidationError
from support.objects import make_stream, make_transponder, muted, with_meta

from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ensure_control_key, read_control_key
from transponder_crd.kubernetes.errors import Denied
from transponder_crd.kubernetes.paths import objects, secrets
from transponder_crd.kubernetes.store import KubernetesStore, Mirrors
from transponder_crd.resource import RtmpTransponder, Secret, Stream, StreamSpec, TransponderPhase
from transponder_crd.secret_url import keep_url, new_transponder
from transponder_crd.store import AlreadyExists, Conflict, Invalid, NotFound, edit
from transponder_crd.waiting import wait_for

from .conftest import CRDS, Replica, replica

pytestmark = pytest.mark.cluster

GROUP = "transponder.dev/v1alpha1"


def raw_transponder(name: str = "raw", **spec: Any) -> dict[str, Any]:
    spec = {"streamName": "demo", "rtmpUrl": "rtmp://h/live", **spec}
    spec = {key: value for key, value in spec.items() if value is not None}
    return {"apiVersion": GROUP, "kind": "RtmpTransponder", "metadata": {"name": name}, "spec": spec}


def raw_stream(name: str, stream_name: str) -> dict[str, Any]:
    spec = {"name": stream_name, "source": "whip"}
    return {"apiVersion": GROUP, "kind": "Stream", "metadata": {"name": name}, "spec": spec}


# ---------------------------------------------------------------------------------------------- the CRD


REFERENCE = {"secretKeyRef": {"name": "s"}}


@pytest.mark.parametrize(
    ("before", "patch", "rule"),
    [
        ({}, {"streamName": "other"}, "streamName is immutable"),
        ({}, {"rtmpUrl": "rtmp://other/live"}, "rtmpUrl is immutable"),
        ({}, {"rtmpUrl": None, "rtmpUrlFrom": REFERENCE}, "rtmpUrl is immutable"),
        ({}, {"rtmpUrlFrom": REFERENCE}, "exactly one of rtmpUrl and rtmpUrlFrom"),
        ({}, {"rtmpUrl": None}, "exactly one of rtmpUrl and rtmpUrlFrom"),
        (
            {"rtmpUrl": None, "rtmpUrlFrom": REFERENCE},
            {"rtmpUrlFrom": {"secretKeyRef": {"name": "other"}}},
            "rtmpUrlFrom is immutable",
        ),
    ],
)
async def test_immutable_for_everybody(
    kube: Kube, namespace: str, before: dict[str, Any], patch: dict[str, Any], rule: str
) -> None:
    await kube.create(objects(RtmpTransponder, namespace), raw_transponder(**before))
    with pytest.raises(Invalid, match=rule) as caught:
        await kube.patch(objects(RtmpTransponder, namespace, "raw"), {"spec": patch})
    assert "rtmp://" not in str(caught.value)


async def test_a_stream_is_immutable(kube: Kube, namespace: str) -> None:
    await kube.create(objects(Stream, namespace), raw_stream("s", "a"))
    for change in ({"name": "b"}, {"source": "websdk"}):
        with pytest.raises(Invalid, match="is immutable"):
            await kube.patch(objects(Stream, namespace, "s"), {"spec": change})


async def test_no_rule_quotes_a_url(kube: Kube, namespace: str) -> None:
    for url in ("http://h/very-secret", "rtmp://h/very secret", 'rtmp://h/very-secret "quoted" ', "r" * 3000):
        with pytest.raises(Invalid, match=r"spec\.rtmpUrl") as caught:
            await kube.create(objects(RtmpTransponder, namespace), raw_transponder(rtmpUrl=url))
        assert "secret" not in str(caught.value)
        assert "rrr" not in str(caught.value)


WHITE_SPACE = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000 and chr(code).isspace()]


async def test_a_name_is_good_for_both_or_for_neither(kube: Kube, namespace: str) -> None:
    """Kubernetes' patterns are Go's, ours are pydantic's."""
    characters = [*WHITE_SPACE, *(chr(code) for code in range(0x21)), "\x7f", "\x80", "\x9f", *"a?é日/#\u200b\ufeff🎥"]

    async def accepted(number: int, character: str) -> bool:
        try:
            await kube.create(objects(Stream, namespace), raw_stream(f"s{number}", f"a{character}b"))
        except Invalid:
            return False
        return True

    theirs = await asyncio.gather(*(accepted(number, one) for number, one in enumerate(characters)))
    for character, good in zip(characters, theirs, strict=True):
        try:
            StreamSpec(name=f"a{character}b", source="whip")
        except ValidationError:
            assert not good, ascii(character)
        else:
            assert good, ascii(character)
    assert sum(theirs) == 9


# ---------------------------------------------------------------------------------------------- versions of the CRD


async def test_fields_of_a_newer_version_survive_our_writes(kube: Kube, here: Replica) -> None:
    path = objects(RtmpTransponder, here.namespace, "raw")
    async with _loose(kube):
        await kube.create(objects(RtmpTransponder, here.namespace), raw_transponder(newer=1))
        obj = await here.store.get(RtmpTransponder, "raw")
        obj = await here.store.update(muted(with_meta(obj, labels={"a": "b"})))
        status = obj.status.model_copy(update={"phase": TransponderPhase.LIVE})
        await here.store.update_status(obj.model_copy(update={"status": status}))
        stored = await kube.get(path)
    assert stored["spec"] == {**raw_transponder(newer=1, muted=True, options={})["spec"]}
    assert stored["status"]["phase"] == "Live"
    assert stored["metadata"]["managedFields"]


async def test_an_invalid_object_is_skipped(kube: Kube, here: Replica, caplog: pytest.LogCaptureFixture) -> None:
    async with _loose(kube):
        await kube.create(objects(RtmpTransponder, here.namespace), raw_transponder("bad", streamName="a b"))
    good = await here.store.create(make_transponder())
    assert (await here.store.list(RtmpTransponder)).items == [good]
    with pytest.raises(Invalid, match=r"bad: spec\.streamName"):
        await here.store.get(RtmpTransponder, "bad")
    (line,) = [record.message for record in caplog.records if "bad" in record.message]
    assert line.startswith("ignored: RtmpTransponder bad: spec.streamName: ")
    await here.store.delete(RtmpTransponder, "bad")
    with pytest.raises(NotFound):
        await here.store.get(RtmpTransponder, "bad")
    assert [raw["metadata"]["name"] for raw in here.mirrors.transponders.invalid()] == []


class _loose:
    """For a while the CRD takes any field and any stream name."""

    PATH = f"{CRDS}/rtmptransponders.transponder.dev"
    SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"

    def __init__(self, kube: Kube) -> None:
        self.kube = kube

    async def __aenter__(self) -> None:
        pattern = f"{self.SPEC}/properties/streamName/pattern"
        self.pattern = (await self.kube.get(self.PATH))["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
            "properties"
        ]["spec"]["properties"]["streamName"]["pattern"]
        await self._patch(
            [
                {"op": "replace", "path": pattern, "value": "."},
                {"op": "add", "path": f"{self.SPEC}/x-kubernetes-preserve-unknown-fields", "value": True},
            ],
            raw_transponder("probe", streamName="a b", newer=1),
        )

    async def __aexit__(self, *_: object) -> None:
        pattern = f"{self.SPEC}/properties/streamName/pattern"
        await self._patch(
            [
                {"op": "replace", "path": pattern, "value": self.pattern},
                {"op": "remove", "path": f"{self.SPEC}/x-kubernetes-preserve-unknown-fields"},
            ],
            None,
        )

    async def _patch(self, patch: list[dict[str, Any]], until_taken: dict[str, Any] | None) -> None:
        await self.kube.patch(self.PATH, patch, "json")
        path = objects(RtmpTransponder, "default")
        async with asyncio.timeout(20):
            while not await self._in_effect(path, until_taken):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _in_effect(self, path: str, wanted: dict[str, Any] | None) -> bool:
        """The API server serves a changed CRD some time later."""
        try:
            made = await self.kube.create(path, wanted or raw_transponder("probe", streamName="a b"))
        except Invalid:
            return wanted is None
        await self.kube.delete(f"{path}/probe")
        return wanted is not None and "newer" in made["spec"]


# ---------------------------------------------------------------------------------------------- versions


async def test_the_mark_of_deletion_and_the_status_count_differently(here: Replica) -> None:
    made = await here.store.create(make_transponder(finalizers=["a.b/c"]))
    status = made.status.model_copy(update={"width": 1})
    assert (await here.store.update_status(made.model_copy(update={"status": status}))).metadata.generation == 1
    await here.store.delete(RtmpTransponder, "demo")
    held = await here.store.get(RtmpTransponder, "demo")
    assert held.metadata.generation == 2, "unlike in the embedded store"
    await here.store.update(with_meta(held, finalizers=[]))


# ---------------------------------------------------------------------------------------------- several writers


async def test_two_replicas_lose_no_write(kube: Kube, here: Replica) -> None:
    async with replica(kube, here.namespace) as there:
        await here.store.create(make_transponder(annotations={"count": "0"}))
        await wait_for(there.store, RtmpTransponder, "demo", lambda now: now is not None, 10)

        def counted(obj: RtmpTransponder) -> RtmpTransponder:
            return with_meta(obj, annotations={"count": str(int(obj.metadata.annotations["count"]) + 1)})

        async def count(store: KubernetesStore) -> None:
            for _ in range(10):
                await edit(store, RtmpTransponder, "demo", counted)

        async with asyncio.timeout(30):
            await asyncio.gather(count(here.store), count(there.store))
        stored = await kube.get(objects(RtmpTransponder, here.namespace, "demo"))
        assert stored["metadata"]["annotations"]["count"] == "20"


async def test_one_of_many_makers_wins(kube: Kube, here: Replica) -> None:
    async with replica(kube, here.namespace) as there:
        calls = [store.create(make_stream()) for store in (here.store, there.store) for _ in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Stream) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 9


async def test_what_another_replica_made_a_moment_ago_is_found(kube: Kube, here: Replica) -> None:
    deaf = Mirrors.empty()  # its watch tells nothing
    for kind, mirror in ((RtmpTransponder, deaf.transponders), (Stream, deaf.streams)):
        mirror.replace(*await kube.list(objects(kind, here.namespace)))
    there = KubernetesStore(kube, here.namespace, deaf)
    made = await here.store.create(make_transponder())
    assert await there.get(RtmpTransponder, "demo") == made
    stream = await here.store.create(make_stream())
    assert await there.by_uid(Stream, stream.uid) == stream
    began = time.monotonic()
    await asyncio.gather(*(there.by_uid(Stream, "none") for _ in range(20)), return_exceptions=True)
    assert time.monotonic() - began < 3, "they share one listing"
    stale = await there.get(RtmpTransponder, "demo")
    await here.store.update(muted(made))
    with pytest.raises(Conflict):
        await there.update(with_meta(stale, labels={"a": "b"}))


async def test_whoever_is_behind_learns_from_a_conflict(here: Replica) -> None:
    """Its watch may be late for as long as it likes: what it reads after the conflict is the object as it is."""
    made = await here.store.create(make_transponder())
    behind = KubernetesStore(here.kube, here.namespace, mirrors := Mirrors.empty())  # nobody feeds it
    assert await behind.get(RtmpTransponder, "demo") == made
    written = await here.store.update(muted(made))
    assert mirrors.transponders.get("demo") == made
    with pytest.raises(Conflict):
        await behind.update(with_meta(made, labels={"a": "b"}))
    assert await behind.get(RtmpTransponder, "demo") == written
    async with asyncio.timeout(10):
        edited = await edit(behind, RtmpTransponder, "demo", lambda old: with_meta(old, labels={"a": "b"}))
    assert edited.spec.muted
    await here.store.delete(RtmpTransponder, "demo")
    with pytest.raises(NotFound):
        await behind.update(muted(with_meta(edited, labels={})))
    assert mirrors.transponders.get("demo") is None


async def test_writes_are_read_back_at_once(kube: Kube, namespace: str) -> None:
    """Also without any word from the watch."""
    mirrors = Mirrors.empty()
    for mirror in mirrors:
        mirror.replace([], "0")
    store = KubernetesStore(kube, namespace, mirrors)
    made = await store.create(make_transponder(finalizers=["a.b/c"]))
    assert (await store.list(RtmpTransponder)).items == [made]
    changed = await store.update(muted(made))
    assert (await store.list(RtmpTransponder)).items == [changed]
    await store.delete(RtmpTransponder, "demo")
    (held,) = (await store.list(RtmpTransponder)).items
    assert held.deleting
    await store.update(with_meta(held, finalizers=[]))
    assert (await store.list(RtmpTransponder)).items == []


# ---------------------------------------------------------------------------------------------- rights


async def test_the_api_makes_secrets_and_reads_one(plane: ControlPlane, kube: Kube, namespace: str) -> None:
    rules = [
        {"apiGroups": ["transponder.dev"], "resources": ["rtmptransponders", "streams"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["control-key"], "verbs": ["get"]},
    ]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    about = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "api"}}
    await kube.create(f"{rbac}/roles", {**about, "kind": "Role", "rules": rules})
    subjects = [{"kind": "User", "name": "api", "apiGroup": "rbac.authorization.k8s.io"}]
    reference = {"kind": "Role", "name": "api", "apiGroup": "rbac.authorization.k8s.io"}
    await kube.create(
        f"{rbac}/rolebindings", {**about, "kind": "RoleBinding", "subjects": subjects, "roleRef": reference}
    )
    keys = await asyncio.gather(*(ensure_control_key(kube, namespace, "control-key") for _ in range(3)))
    api = Kube.connect(plane.kubeconfig_for("api", namespace=namespace))
    assert api.namespace == namespace
    assert {key.token("p") for key in keys} == {(await read_control_key(api, namespace, "control-key")).token("p")}
    url = "rtmp://h/live/key"
    async with replica(api, namespace) as here:
        owner = await here.store.create(new_transponder("demo", Destination.parse(url), Defaults()))
        for _ in range(2):
            await keep_url(here.store, owner, SecretStr(url))
        assert owner.spec.rtmp_url_from is not None
        name = owner.spec.rtmp_url_from.secret_key_ref.name
        with pytest.raises(Denied, match="secrets"):
            await here.store.get(Secret, name)
    await api.close()
    stored = await kube.get(secrets(namespace, name))
    assert base64.b64decode(stored["data"]["rtmpUrl"]).decode() == url
    assert stored["metadata"]["ownerReferences"][0]["uid"] == owner.uid


# ---------------------------------------------------------------------------------------------- size


@pytest.mark.timeout(180)
async def test_a_thousand_objects(kube: Kube, here: Replica, record_property: Any) -> None:
    path = objects(RtmpTransponder, here.namespace)
    number = 1000
    began = time.monotonic()
    await asyncio.gather(
        *(kube.create(path, raw_transponder(f"t{i}", streamName=f"stream-{i % 500}")) for i in range(number))
    )
    made = time.monotonic() - began
    async with asyncio.timeout(30):
        while len(here.mirrors.transponders) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    began = time.monotonic()
    listing = await kube.list(path)
    listed = time.monotonic() - began
    began = time.monotonic()
    mirrors = Mirrors.empty()
    mirrors.transponders.replace(*listing)
    parsed = time.monotonic() - began
    began = time.monotonic()
    assert mirrors.transponders.replace(*listing) == []
    compared = time.monotonic() - began
    began = time.monotonic()
    for i in range(500):
        assert len(await here.store.of_stream(RtmpTransponder, f"stream-{i}")) == 2
    looked_up = time.monotonic() - began
    figures = {"create": made, "list": listed, "parse": parsed, "compare": compared, "500 lookups": looked_up}
    record_property("seconds", figures)
    print({name: round(seconds, 3) for name, seconds in figures.items()})
    assert listed < 5
    assert compared < parsed < 5
    assert looked_up < 0.5
