"""Relay pods for the API, and the control key with its tokens."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from support.scripted_api import ScriptedApi, answer, refusal

from transponder_crd.kubernetes import control_key as module
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ControlKey, ensure_control_key, read_control_key
from transponder_crd.kubernetes.relay_pods import PodDirectory, control_address, pod_mirror, relay_address
from transponder_crd.names import stream_object_name
from transponder_crd.store import Invalid, StoreError, Unavailable

KEY = ControlKey(b"k" * 32)


def pod(name: str = "relay-1", version: int = 1, **changes: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "uid": name,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"transponder.dev/stream": stream_object_name("demo")},
        "annotations": {"transponder.dev/control-port": "9191", **changes.pop("annotations", {})},
    }
    metadata |= changes.pop("metadata", {})
    status = {"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": metadata, "status": {**status, **changes}}


def test_the_address_of_a_ready_pod() -> None:
    address = relay_address(pod(), KEY)
    assert address == ("relay-1", "http://10.0.0.7:9191", KEY.token("relay-1"))
    assert KEY.token("relay-1") not in repr(address)


def test_an_ipv6_address_and_the_usual_port() -> None:
    address = relay_address(pod(podIP="fd00::7", metadata={"annotations": None}), KEY)
    assert address is not None
    assert address.url == "http://[fd00::7]:9090"


@pytest.mark.parametrize(
    ("changes", "reachable"),
    [
        ({"conditions": [{"type": "Ready", "status": "False"}]}, True),
        ({"conditions": None}, True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
        ({"podIP": None}, False),
        ({"phase": "Failed"}, False),
        ({"phase": "Pending"}, False),
    ],
)
def test_pods_that_take_no_publisher(changes: dict[str, Any], reachable: bool) -> None:
    assert relay_address(pod(**changes), KEY) is None
    assert (control_address(pod(**changes), KEY) is not None) == reachable


async def test_the_directory_learns_of_another_key_by_a_pod_that_has_its_token_from_it() -> None:
    mirror, other = pod_mirror(), ControlKey(b"another key of 32 bytes or more.")
    keys: list[ControlKey | StoreError] = [Unavailable("away"), other]

    async def read_key() -> ControlKey:
        key = keys.pop(0)
        if isinstance(key, StoreError):
            raise key
        return key

    directory = PodDirectory(mirror, KEY, read_key)
    mirror.apply("ADDED", pod("relay-a", annotations={"transponder.dev/key-mark": KEY.mark}))
    address = await directory.address("demo")
    assert address is not None
    assert address.token == KEY.token("relay-a")
    mirror.apply("ADDED", pod("relay-b", annotations={"transponder.dev/key-mark": other.mark}))
    assert (await directory.address("demo")) == address, "the API server is away"
    assert (await directory.address("demo")) == address
    assert len(keys) == 1, "it is not asked again at once"
    directory._read_at = float("-inf")
    address = await directory.address("demo")
    assert address is not None
    assert (address.instance, address.token) == ("relay-b", other.token("relay-b"))


async def test_the_directory_gives_the_first_claimed_ready_pod() -> None:
    mirror = pod_mirror()
    directory = PodDirectory(mirror, KEY)
    assert await directory.address("demo") is None
    claimed = {"transponder.dev/claimed-at": "2026-01-02T00:00:00Z"}
    earlier = {"transponder.dev/claimed-at": "2026-01-01T12:00:00Z"}
    mirror.apply("ADDED", pod("relay-a", annotations=claimed))
    mirror.apply("ADDED", pod("relay-b", annotations=earlier))
    mirror.apply("ADDED", pod("relay-c", metadata={"labels": {"transponder.dev/pool": "idle"}}))
    assert await directory.address("other") is None
    address = await directory.address("demo")
    assert address is not None
    assert address.instance == "relay-b"
    mirror.apply("MODIFIED", pod("relay-b", 2, annotations=earlier, phase="Failed"))
    address = await directory.address("demo")
    assert address is not None
    assert address.instance == "relay-a"
    assert [raw["metadata"]["name"] for raw in mirror.of("pool", "idle")] == ["relay-c"]


# ---------------------------------------------------------------------------------------------- control key


def test_tokens() -> None:
    digest = hmac.new(b"k" * 32, b"relay-control\0relay-1", hashlib.sha256).digest()
    assert KEY.token("relay-1") == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert len(KEY.token("x")) == 43
    assert KEY.token("relay-1") != KEY.token("relay-2")
    assert KEY.mark == ControlKey(KEY._key).mark != ControlKey(b"another key of 32 bytes or more.").mark
    assert "k" * 32 not in repr(KEY)
    with pytest.raises(Invalid, match="32 bytes"):
        ControlKey(b"short")


def secret(key: bytes) -> dict[str, Any]:
    return {"kind": "Secret", "data": {"key": base64.b64encode(key).decode()}}


async def test_the_key_is_made_once(api: ScriptedApi, kube: Kube) -> None:
    async def echo(request: Any) -> Any:
        return await answer(api.bodies[-1])(request)

    api.answers += [refusal(404, "NotFound"), echo]
    made = await ensure_control_key(kube, "here", "name")
    text = base64.b64decode(api.bodies[-1]["data"]["key"])
    assert len(base64.b64decode(text)) == 32
    assert made.token("x") == ControlKey(text).token("x")
    api.answers += [answer(api.bodies[-1])]
    assert (await ensure_control_key(kube, "here", "name")).token("x") == made.token("x")
    assert [method for method, _ in api.requests] == ["GET", "POST", "GET"]


async def test_two_makers_have_one_key(api: ScriptedApi, kube: Kube) -> None:
    api.answers += [refusal(404, "NotFound"), refusal(409, "AlreadyExists"), answer(secret(b"k" * 32))]
    assert (await ensure_control_key(kube, "here", "name")).token("x") == KEY.token("x")


async def test_readers_wait_for_the_key(api: ScriptedApi, kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    api.answers += [refusal(404, "NotFound")] * 2 + [answer(secret(b"k" * 32))]
    assert (await read_control_key(kube, "here")).token("x") == KEY.token("x")
    assert api.requests[0] == ("GET", "/api/v1/namespaces/here/secrets/rtmp-transponder-control-key")
    api.answers += [refusal(404, "NotFound")] * 99
    with pytest.raises(Unavailable, match="operator"):
        await read_control_key(kube, "here", timeout=0.1)
    api.answers.clear()


@pytest.mark.parametrize("bad", [{}, {"data": {"other": ""}}, {"data": {"key": "%"}}, secret(b"short")])
async def test_a_bad_key_is_named(api: ScriptedApi, kube: Kube, bad: dict[str, Any]) -> None:
    api.answers += [answer(bad)]
    with pytest.raises(Invalid, match="key"):
        await ensure_control_key(kube, "here")
