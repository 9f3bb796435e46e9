"""List and watch against a scripted server: nothing missed, what vanished is told, troubles are waited out."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.scripted_api import Answer, ScriptedApi, answer, refusal, reset, stream

from transponder_crd.kubernetes import informer as module
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.informer import Informer
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.paths import pods


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "SHORT_WATCH_SECONDS", 0.0)


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def listing(version: int, *items: dict[str, Any]) -> Answer:
    return answer({"kind": "PodList", "metadata": {"resourceVersion": str(version)}, "items": list(items)})


@asynccontextmanager
async def running(api: ScriptedApi) -> AsyncIterator[tuple[Informer[Any], Mirror[Any]]]:
    kube = Kube.connect(api.kubeconfig)
    mirror: Mirror[Any] = Mirror(lambda raw: raw)
    informer = Informer(kube, pods("here"), mirror, label_selector="a=b")
    task = asyncio.create_task(informer.run())
    yield informer, mirror
    task.cancel()
    await asyncio.wait({task})
    await kube.close()


async def changes(mirror: Mirror[Any], count: int) -> list[str]:
    async with asyncio.timeout(10):
        with mirror.reader("0") as reader:
            return [f"{change.type} {change.name}" for change in [await reader.next() for _ in range(count)]]


def versions(api: ScriptedApi) -> list[str]:
    """Where each watch began; `list` for a listing."""
    targets = [target for _, target in api.requests]
    assert all("labelSelector=a%3Db" in target for target in targets)
    return [t.split("resourceVersion=")[1].split("&")[0] if "watch=true" in t else "list" for t in targets]


async def test_lists_and_goes_on_where_a_watch_ended(api: ScriptedApi) -> None:
    api.answers += [
        listing(5, pod("a", 3)),
        stream(("ADDED", pod("b", 6)), ("BOOKMARK", pod("", 8))),
        stream(("MODIFIED", pod("a", 9)), then="break"),
        stream(("DELETED", pod("b", 12)), then="silent"),
    ]
    async with running(api) as (_, mirror):
        assert await changes(mirror, 4) == ["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]
    assert versions(api) == ["list", "5", "8", "9"]


@pytest.mark.parametrize(
    "gone", [refusal(410, "Expired"), stream(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))]
)
async def test_lists_again_when_the_version_is_gone(api: ScriptedApi, gone: Answer) -> None:
    api.answers += [
        listing(5, pod("vanishes", 3), pod("stays", 4)),
        gone,
        listing(20, pod("stays", 4), pod("comes", 15)),
        stream(then="silent"),
    ]
    async with running(api) as (_, mirror):
        told = await changes(mirror, 4)
        await api.asked(4)
    assert told == ["ADDED vanishes", "ADDED stays", "ADDED comes", "DELETED vanishes"]
    assert versions(api) == ["list", "5", "list", "20"]


async def test_troubles_are_told_once_and_waited_out(api: ScriptedApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    api.answers += [
        refusal(403, "Forbidden", "pods is forbidden"),
        refusal(404, "NotFound"),
        listing(5),
        refusal(429, "TooManyRequests"),
        reset(),
        stream(("ADDED", pod("a", 6)), then="silent"),
    ]
    async with running(api) as (_, mirror):
        assert await changes(mirror, 1) == ["ADDED a"]
    assert versions(api) == ["list", "list", "list", "5", "5", "5"]
    assert [record.message for record in caplog.records] == [
        "pods: Forbidden: pods is forbidden",
        "pods: TooManyRequests (429)",
    ]


async def test_watches_that_end_at_once_are_not_asked_for_without_a_pause(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORT_WATCH_SECONDS", 5.0)
    monkeypatch.setattr(module, "FIRST_WAIT", 0.2)
    api.answers += [listing(5), stream(), stream(then="silent")]
    began = time.monotonic()
    async with running(api):
        await api.asked(3)
    assert time.monotonic() - began >= 0.1


async def test_contact_is_what_the_server_says(api: ScriptedApi) -> None:
    go_on = asyncio.Event()

    async def later(request: Any) -> Any:
        await go_on.wait()
        return await stream(("BOOKMARK", pod("", 6)), then="silent")(request)

    api.answers += [listing(5), later]
    async with running(api) as (informer, _):
        await api.asked(2)
        before = informer.last_contact
        go_on.set()
        async with asyncio.timeout(5):
            while informer.last_contact == before:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.01)
