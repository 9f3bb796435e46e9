"""The client against a scripted server: errors, tries again, credentials, watches."""

import asyncio
import ssl
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trustme
from kubernetes.config import incluster_config
from support.scripted_api import ScriptedApi, answer, refusal, reset, scripted_api, stream, write_kubeconfig

from transponder_crd.kubernetes import connection
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.connection import NoCluster
from transponder_crd.kubernetes.errors import Denied
from transponder_crd.kubernetes.paths import leases, objects, pods, secrets
from transponder_crd.resource import RtmpTransponder, Secret, Stream
from transponder_crd.store import AlreadyExists, Conflict, Gone, Invalid, NotFound, StoreError, Unavailable

PATH = objects(RtmpTransponder, "here", "demo")
LIST = objects(RtmpTransponder, "here")
OBJECT = {"kind": "RtmpTransponder", "metadata": {"name": "demo", "uid": "u", "resourceVersion": "5"}}
SECRET = "rtmp://h/live/very-secret"


def test_paths() -> None:
    assert objects(Stream, "ns", "a", "status") == "/apis/transponder.dev/v1alpha1/namespaces/ns/streams/a/status"
    assert objects(Secret, "ns", "a") == secrets("ns", "a") == "/api/v1/namespaces/ns/secrets/a"
    assert pods("") == "/api/v1/pods"
    assert leases("ns", "a/b") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/a%2Fb"
    for bad in (("", "a"), ("ns", "")):
        with pytest.raises(ValueError, match="name"):
            pods(*bad)


async def test_the_calls(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [answer(OBJECT)] * 6
    await kube.get(PATH)
    await kube.create(LIST, OBJECT)
    await kube.replace(PATH, OBJECT)
    await kube.patch(PATH, {"a": None}, field_manager="me")
    await kube.patch(PATH, OBJECT, "apply", force=True)
    await kube.delete(PATH, uid="u", resource_version="5", grace_seconds=0)
    assert api.requests == [
        ("GET", PATH),
        ("POST", f"{LIST}?fieldManager=rtmp-transponder"),
        ("PUT", f"{PATH}?fieldManager=rtmp-transponder"),
        ("PATCH", f"{PATH}?fieldManager=me"),
        ("PATCH", f"{PATH}?fieldManager=rtmp-transponder&force=true"),
        ("DELETE", PATH),
    ]
    assert api.bodies[-1]["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert api.bodies[-1]["gracePeriodSeconds"] == 0
    assert kube.namespace == "here"


async def test_a_listing_says_what_its_items_are(api: ScriptedApi, kube: Kube) -> None:
    items = [{"metadata": {"name": "a"}}]
    api.answers.append(
        answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items})
    )
    listing = await kube.list(pods("here"), label_selector="a=b,c=d")
    assert listing == ([{"apiVersion": "v1", "kind": "Pod", **items[0]}], "7")
    assert api.requests == [("GET", "/api/v1/namespaces/here/pods?labelSelector=a%3Db%2Cc%3Dd")]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Denied),
        (418, "Teapot", StoreError),
    ],
)
async def test_refusals(api: ScriptedApi, kube: Kube, code: int, reason: str, error: type[StoreError]) -> None:
    api.answers.append(refusal(code, reason))
    with pytest.raises(StoreError, match="rtmptransponders demo") as caught:
        await kube.get(PATH)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "message",
    [
        "Precondition failed: UID in precondition: a, UID in object meta: b",
        "the UID in the precondition (a) does not match the UID in record (b).",
    ],
)
async def test_another_uid_is_another_object(api: ScriptedApi, kube: Kube, message: str) -> None:
    api.answers.append(refusal(409, "Conflict", message))
    with pytest.raises(NotFound, match="another one"):
        await kube.delete(PATH, uid="a")


async def test_rules_are_told_without_the_values(api: ScriptedApi, kube: Kube) -> None:
    causes = [
        {"field": "spec.rtmpUrl", "message": f'Invalid value: "{SECRET}\\"": spec.rtmpUrl in body should match \'^r\''},
        {"field": "spec.muted", "message": "Invalid value: 7: must be of type boolean", "reason": "x"},
        {"field": "spec", "message": f'Invalid value: {{"rtmpUrl":"{SECRET}"}}: no', "reason": "FieldValueInvalid"},
        {"field": "spec", "message": f'Invalid value: {{rtmpUrl: "{SECRET}"}}: no', "reason": "FieldValueInvalid"},
        {"field": "spec", "message": "Invalid value: streamName is immutable"},
        {"field": "spec.x", "message": 'Unsupported value: "mp3": supported values: "aac"'},
        {"field": "metadata.name", "message": "Required value", "reason": "FieldValueRequired"},
        {"field": "<nil>", "message": "Invalid value: null: some validation rules were not checked"},
    ]
    body = {"kind": "Status", "reason": "Invalid", "message": SECRET, "details": {"causes": causes}}
    api.answers.append(answer(body, 422))
    with pytest.raises(Invalid) as caught:
        await kube.create(LIST, OBJECT)
    assert str(caught.value) == (
        "rtmptransponders demo: spec.rtmpUrl: spec.rtmpUrl in body should match '^r'; "
        "spec.muted: must be of type boolean; spec: no; spec: FieldValueInvalid; spec: streamName is immutable; "
        'spec.x: supported values: "aac"; metadata.name: Required value'
    )


@pytest.mark.parametrize("trouble", [refusal(500, "InternalError"), refusal(503, "ServiceUnavailable"), reset()])
async def test_what_may_be_repeated_is(api: ScriptedApi, kube: Kube, trouble: Any) -> None:
    api.answers += [trouble, trouble, answer(OBJECT), trouble, answer(OBJECT), trouble, answer(OBJECT)]
    assert await kube.get(PATH) == OBJECT
    assert await kube.replace(PATH, OBJECT) == OBJECT
    assert await kube.patch(PATH, {}) == OBJECT
    assert len(api.requests) == 7


@pytest.mark.parametrize("trouble", [refusal(500, "InternalError"), refusal(503, "ServiceUnavailable"), reset()])
async def test_a_creation_is_not_repeated_when_it_may_have_been_done(
    api: ScriptedApi, kube: Kube, trouble: Any
) -> None:
    api.answers += [trouble, trouble]
    with pytest.raises(Unavailable):
        await kube.create(LIST, OBJECT)
    with pytest.raises(Unavailable):
        await kube.patch(PATH, [{"op": "add", "path": "/metadata/finalizers/-", "value": "x"}], "json")
    assert len(api.requests) == 2


async def test_too_many_requests_waits_as_long_as_asked(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [refusal(429, "TooManyRequests", Retry_After="1"), answer(OBJECT)]
    began = time.monotonic()
    assert await kube.create(LIST, OBJECT) == OBJECT
    assert time.monotonic() - began >= 1


async def test_a_limit_holds_with_all_tries(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [refusal(429, "TooManyRequests", Retry_After="60")]
    began = time.monotonic()
    with pytest.raises(Unavailable, match="TooManyRequests"):
        await kube.get(PATH, timeout=5)
    api.answers += [refusal(500, "InternalError")] * 20
    with pytest.raises(Unavailable):
        await kube.get(PATH, timeout=0.5)
    assert time.monotonic() - began < 5
    api.answers.clear()


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_told(api: ScriptedApi, kube: Kube) -> None:
    api.answers.append(stream(then="silent"))
    with pytest.raises(Unavailable):
        await kube.create(LIST, OBJECT, timeout=0.2)


async def test_a_deletion_whose_answer_was_lost(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [reset(), refusal(404, "NotFound"), refusal(404, "NotFound")]
    assert (await kube.delete(PATH))["status"] == "Success"
    with pytest.raises(NotFound):
        await kube.delete(PATH)


async def test_no_server_at_all(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:9")
    kube = Kube.connect(tmp_path / "config")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await kube.create(LIST, OBJECT, timeout=0.3)
    await kube.close()


def test_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(NoCluster):
        Kube.connect(tmp_path / "missing")
    (tmp_path / "empty").write_text("{}", encoding="utf-8")
    with pytest.raises(NoCluster):
        Kube.connect(tmp_path / "empty")


async def test_an_expired_token_is_read_anew(api: ScriptedApi, kube: Kube) -> None:
    server = kube.login().server
    write_kubeconfig(api.kubeconfig, server, "second")
    api.answers += [refusal(401, "Unauthorized"), answer(OBJECT), answer(OBJECT)]
    assert await kube.get(PATH) == OBJECT
    assert await kube.get(PATH) == OBJECT
    assert api.tokens == ["Bearer first", "Bearer second", "Bearer second"]


async def test_a_token_that_stays_bad(api: ScriptedApi, kube: Kube) -> None:
    api.answers.append(refusal(401, "Unauthorized", "Unauthorized"))
    with pytest.raises(Denied, match="Unauthorized"):
        await kube.get(PATH)
    assert "first" not in repr(kube.login())


async def test_as_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By TLS and the token of the service account, which kubelet exchanges every hour or so."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    (tmp_path / "token").write_text("first", encoding="ascii")
    (tmp_path / "namespace").write_text("mine", encoding="ascii")
    monkeypatch.setattr(connection, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    async with scripted_api(tmp_path, tls) as api:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
        kube = Kube.connect()
        assert kube.namespace == "mine"
        api.answers += [answer(OBJECT), refusal(401, "Unauthorized"), answer(OBJECT), stream(event("ADDED", 5))]
        await kube.get(PATH)
        (tmp_path / "token").write_text("second", encoding="ascii")
        await kube.get(PATH)
        assert await collect(kube) == ["ADDED5"]
        await kube.close()
    assert [str(token).lower() for token in api.tokens] == [
        f"bearer {n}" for n in ("first", "first", "second", "second")
    ]


# ---------------------------------------------------------------------------------------------- watching


def event(type_: str, version: int) -> tuple[str, dict[str, Any]]:
    return type_, {"metadata": {"name": "demo", "uid": "u", "resourceVersion": str(version)}}


async def collect(kube: Kube, **limits: Any) -> list[str]:
    seen = []
    async with aclosing(kube.watch(LIST, "4", **limits)) as events:
        async for type_, obj in events:
            seen.append(type_ + obj["metadata"]["resourceVersion"])
    return seen


async def test_a_watch_until_the_server_ends_it(api: ScriptedApi, kube: Kube) -> None:
    api.answers.append(stream(event("ADDED", 5), event("BOOKMARK", 9), event("DELETED", 10)))
    assert await collect(kube) == ["ADDED5", "BOOKMARK9", "DELETED10"]
    (method, target) = api.requests[0]
    assert method == "GET"
    for parameter in ("watch=true", "allowWatchBookmarks=true", "resourceVersion=4", "timeoutSeconds=300"):
        assert parameter in target


@pytest.mark.parametrize(
    "gone",
    [refusal(410, "Expired"), stream(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))],
)
async def test_a_version_too_old(api: ScriptedApi, kube: Kube, gone: Any) -> None:
    api.answers.append(gone)
    with pytest.raises(Gone):
        await collect(kube)


async def test_a_watch_that_is_refused_or_breaks(api: ScriptedApi, kube: Kube) -> None:
    for trouble, error in (
        (refusal(403, "Forbidden"), Denied),
        (refusal(429, "TooManyRequests"), Unavailable),
        (stream(event("ADDED", 5), then="break"), Unavailable),
        (stream(("ERROR", {"kind": "Status", "code": 500, "reason": "InternalError"})), Unavailable),
    ):
        api.answers.append(trouble)
        with pytest.raises(error):
            await collect(kube)


async def test_a_watch_that_goes_silent(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [stream(event("ADDED", 5), then="silent")] * 2
    with pytest.raises(Unavailable, match="silent"):
        await collect(kube, silence_seconds=0.2)
    with pytest.raises(Unavailable, match="silent"):
        await collect(kube, client_seconds=0.2)


async def test_a_watch_is_ended_at_once(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [stream(event("ADDED", 5), then="silent")] * 2
    async with aclosing(kube.watch(LIST, "4")) as events:
        await anext(events)
    reader = asyncio.create_task(collect(kube))
    await api.asked(2)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    began = time.monotonic()
    await kube.close()
    assert time.monotonic() - began < 2


async def test_every_try_is_told(api: ScriptedApi, kube: Kube) -> None:
    told: list[tuple[str, str, bool]] = []
    kube.observe = lambda method, path, seconds, error: told.append((method, path, error is None))
    api.answers += [refusal(503, "ServiceUnavailable"), answer(OBJECT)]
    await kube.get(PATH)
    assert told == [("GET", PATH, False), ("GET", PATH, True)]
