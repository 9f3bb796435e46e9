"""A namespace on a real API server where an operator's `PodRelays` are at work, and a kubelet that the test plays."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from support import relay_pods
from support.control_port import until

from transponder_crd.control import RelayReport
from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.control_key import ControlKey
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.paths import pods, secrets
from transponder_crd.kubernetes.relay_pods import pod_mirror
from transponder_crd.meta import OwnerReference
from transponder_crd.names import LABEL_STREAM, stream_object_name
from transponder_crd.relay_host import Absence
from transponder_crd.store import AlreadyExists, NotFound
from transponder_operator.pods.host import PodRelays
from transponder_operator.pods.settings import PodSettings

JsonObject = dict[str, Any]

KEY = ControlKey(b"k" * 32)
NODE = "node-1"
TEMPLATE: JsonObject = {
    "metadata": {"labels": {"app.kubernetes.io/instance": "test"}},
    "spec": {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 3630,
        "containers": [{"name": "relay", "image": relay_pods.IMAGE}],
    },
}

_TIMES = ("lastTransitionTime", "startedAt", "finishedAt")
_numbers = itertools.count(1)


class WatchedKube(Kube):
    """Counts its calls by method; a call may be made to fail before or after it was carried out."""

    calls: Counter[str]
    before: Callable[[str, str], Awaitable[None]] | None = None
    after: Callable[[str, str], Awaitable[None]] | None = None

    @classmethod
    def to(cls, kubeconfig: Path) -> Self:
        kube = cls.connect(kubeconfig)
        assert isinstance(kube, cls)
        kube.calls = Counter()
        return kube

    async def _call(self, method: str, path: str, *rest: Any, **options: Any) -> JsonObject:
        self.calls[method] += 1
        if self.before:
            await self.before(method, path)
        answer = await super()._call(method, path, *rest, **options)
        if self.after:
            await self.after(method, path)
        return answer

    def fail_once(self, method: str, part: str, error: BaseException, *, after: bool = False) -> None:
        """The next call of that method to a path with `part` in it fails: instead of, or after, being carried out."""

        async def fail(called: str, path: str) -> None:
            if called == method and part in path:
                setattr(self, "after" if after else "before", None)
                raise error

        setattr(self, "after" if after else "before", fail)


class Operator:
    """One operator's part of it. `feeding` may be stopped: it then sees nothing of what others do."""

    def __init__(
        self, kube: WatchedKube, namespace: str, settings: PodSettings, template: JsonObject, **more: Any
    ) -> None:
        self.kube = kube
        self.namespace = namespace
        self.woken: Counter[str] = Counter()
        self.claimed: list[tuple[str, str, bool]] = []
        self.lost: list[tuple[str | None, str, Absence]] = []
        self.reports: dict[str, RelayReport] = {}
        self.mirror: Mirror[JsonObject] = pod_mirror()
        self.relays = PodRelays(
            kube,
            namespace,
            template,
            self.mirror,
            KEY,
            self._wake,
            settings,
            report=self.reports.get,
            observer=self,
            **more,
        )
        self._wakes: dict[str, asyncio.Event] = {}
        self._feeding: asyncio.Task[None] | None = None

    def _wake(self, stream_name: str) -> None:
        self.woken[stream_name] += 1
        self._wakes.setdefault(stream_name, asyncio.Event()).set()

    def on_claimed(self, stream_name: str, pod_name: str, *, warm: bool) -> None:
        self.claimed.append((stream_name, pod_name, warm))

    def on_lost(self, stream_name: str | None, pod_name: str, why: Absence) -> None:
        self.lost.append((stream_name, pod_name, why))

    async def see(self) -> None:
        """A listing, as at the start and at each sweep."""
        items, version = await self.kube.list(pods(self.namespace))
        self.relays.changed(self.mirror.replace(items, version))
        self._version = version

    async def begin(self, *, keep: bool = True) -> None:
        """List, watch and (with `keep`) keep the pool."""
        await self.see()
        self._feeding = asyncio.create_task(self._feed())
        if keep:
            await self.relays.start()

    async def _feed(self) -> None:
        async with contextlib.aclosing(self.kube.watch(pods(self.namespace), self._version)) as events:
            async for kind, obj in events:
                self.relays.changed(self.mirror.apply(kind, obj))

    async def stop_watching(self) -> None:
        if self._feeding:
            self._feeding.cancel()
            await asyncio.wait({self._feeding})

    async def end(self) -> None:
        await self.relays.close()
        await self.stop_watching()

    async def reconcile(self, stream_name: str, owners: Sequence[OwnerReference], seconds: float = 10.0) -> Any:
        """As the work queue does: ensure when woken until there is an address."""
        async with asyncio.timeout(seconds):
            while True:
                event = self._wakes[stream_name] = asyncio.Event()
                if address := await self.relays.ensure(stream_name, owners):
                    return address
                await event.wait()


class Site:
    """The namespace and the kubelet."""

    def __init__(self, kubeconfig: Path, kube: WatchedKube, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.kube = kube
        self.namespace = namespace
        self._stack = contextlib.AsyncExitStack()
        self._starting: set[str] = set()

    async def operator(
        self,
        template: JsonObject = TEMPLATE,
        *,
        keep: bool = True,
        pool_owner: OwnerReference | None = None,
        pool_size_now: Callable[[], int] | None = None,
        **settings: Any,
    ) -> Operator:
        """A new one, with a client of its own."""
        kube = WatchedKube.to(self.kubeconfig)
        self._stack.push_async_callback(kube.close)
        values = {"pool_size": 0, **settings}
        more = {"pool_owner": pool_owner, "pool_size": pool_size_now}
        operator = Operator(kube, self.namespace, PodSettings(**values), template, **more)
        await operator.begin(keep=keep)
        self._stack.push_async_callback(operator.end)
        return operator

    async def close(self) -> None:
        await self._stack.aclose()

    async def pods(self, stream_name: str | None = None) -> list[JsonObject]:
        selector = f"{LABEL_STREAM}={stream_object_name(stream_name)}" if stream_name else None
        return (await self.kube.list(pods(self.namespace), label_selector=selector)).items

    async def names(self, stream_name: str | None = None) -> set[str]:
        return {pod["metadata"]["name"] for pod in await self.pods(stream_name)}

    async def secrets(self) -> set[str]:
        return {secret["metadata"]["name"] for secret in (await self.kube.list(secrets(self.namespace))).items}

    async def owner(self, name: str) -> OwnerReference:
        """A real object, for owner references."""
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        made = await self.kube.create(f"/api/v1/namespaces/{self.namespace}/configmaps", obj)
        return OwnerReference(api_version="v1", kind="ConfigMap", name=name, uid=made["metadata"]["uid"])

    # ------------------------------------------------------------------------------------------ kubelet

    async def bind(self, name: str) -> None:
        """As the scheduler."""
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        await self.kube.create(pods(self.namespace, name, "binding"), binding)

    async def status(self, name: str, status: JsonObject) -> None:
        """`status`: of `relay_pods`, whose present is `relay_pods.NOW`."""
        patch = {"status": _in_our_time(status)}
        await self.kube.patch(pods(self.namespace, name, "status"), patch, "merge")

    async def run(self, name: str) -> None:
        """It has a node, runs and is ready."""
        await self.bind(name)
        await self.status(name, relay_pods.ready(ip="127.0.0.1"))

    async def finish(self, name: str) -> None:
        """The containers of a pod that is marked for deletion have ended."""
        await self.kube.delete(pods(self.namespace, name), grace_seconds=0)

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncIterator[None]:
        """Runs every pod that comes, and ends every one that is marked."""
        task = asyncio.create_task(self._run_all())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _run_all(self) -> None:
        items, version = await self.kube.list(pods(self.namespace))
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(self._handle(item))
            async with contextlib.aclosing(self.kube.watch(pods(self.namespace), version)) as events:
                async for kind, obj in events:
                    if kind in ("ADDED", "MODIFIED"):
                        group.create_task(self._handle(obj))

    async def _handle(self, pod: JsonObject) -> None:
        name = pod["metadata"]["name"]
        with contextlib.suppress(NotFound):
            if "deletionTimestamp" in pod["metadata"]:
                await self.finish(name)
            elif not pod["spec"].get("nodeName") and name not in self._starting:
                self._starting.add(name)
                await until(lambda: self._can_mount(name), seconds=30)
                await self.run(name)

    async def _can_mount(self, name: str) -> bool:
        return name in await self.secrets()


async def warm(site: Site, operator: Operator, count: int = 1, but: Set[str] = frozenset()) -> list[str]:
    """So many pods are there, besides those of `but`; they are made ready, and the operator knows."""
    await until(lambda: len({one["metadata"]["name"] for one in operator.mirror.items()} - but) == count)
    names = sorted(await site.names() - but)
    for name in names:
        await site.run(name)
    await until(lambda: all(is_ready(operator.mirror.raw(name)) for name in names))
    return names


def is_ready(pod: JsonObject | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _in_our_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _moved(one) if key in _TIMES else _in_our_time(one) for key, one in value.items()}
    return [_in_our_time(one) for one in value] if isinstance(value, list) else value


def _moved(time: str) -> str:
    return relay_pods.timestamp(now=datetime.now(UTC) + (datetime.fromisoformat(time) - relay_pods.NOW))


@contextlib.asynccontextmanager
async def pod_site(kubeconfig: Path, **labels: str) -> AsyncIterator[Site]:
    """`labels`: of the namespace, with `_` for `/`."""
    kube, namespace = WatchedKube.to(kubeconfig), f"site-{next(_numbers)}"
    site = Site(kubeconfig, kube, namespace)
    try:
        await kube.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})
        with contextlib.suppress(AlreadyExists):  # a controller manager makes it too
            account = {"metadata": {"name": "default"}}
            await kube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        yield site
    finally:
        await site.close()
        await kube.close()


__all__ = ["KEY", "TEMPLATE", "Operator", "Site", "is_ready", "pod_site", "until", "warm"]
