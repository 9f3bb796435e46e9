"""The Kubernetes API for asyncio: plain JSON, time limits, tries again, `transponder_crd.store`'s errors.

Requests run in threads of its own, at most 16 at once; each watch has a thread.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from transponder_crd.kubernetes.connection import JSON, Connection, Login, Query
from transponder_crd.kubernetes.errors import Busy, JsonObject, parse_status, store_error
from transponder_crd.kubernetes.paths import config_maps, events, leases, objects, pods, secrets
from transponder_crd.kubernetes.watch_thread import WatchThread
from transponder_crd.names import FIELD_MANAGER
from transponder_crd.store import NotFound, StoreError

__all__ = ["Kube", "RawListing", "config_maps", "events", "leases", "objects", "pods", "secrets"]

THREADS = 16
CALL_SECONDS = 30.0
"""Limit of a call with all its tries."""
READ_SECONDS = 15.0
FIRST_WAIT, LAST_WAIT = 0.1, 4.0

SERVER_SECONDS = 300
"""The API server ends a watch by itself after this."""
CLIENT_SECONDS = 310.0
SILENCE_SECONDS = 150.0
"""A watch that says nothing for so long is taken for dead; the API server sends a bookmark about every minute."""

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


Observe = Callable[[str, str, float, StoreError | None], None]
"""Told of every try: method, path, seconds, error."""


class RawListing(NamedTuple):
    items: list[JsonObject]
    resource_version: str


class Kube:
    """Use it from one event loop; `await close()` at the end.

    All calls raise `transponder_crd.store` errors: NotFound, AlreadyExists, Conflict, Invalid, Gone, Unavailable (429,
    5xx, no answer: calls that may be repeated were tried again for CALL_SECONDS), `errors.Denied` (401, 403).
    """

    def __init__(self, connection: Connection) -> None:
        self.observe: Observe = lambda _method, _path, _seconds, _error: None
        self._connection = connection
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="kube")
        self._watches: set[WatchThread] = set()

    @classmethod
    def connect(cls, kubeconfig: Path | str | None = None) -> "Kube":
        """By that kubeconfig, else as a pod, else by `$KUBECONFIG` or `~/.kube/config`. Sends nothing yet. Raises
        connection.NoCluster."""
        return cls(Connection.open(kubeconfig))

    @property
    def namespace(self) -> str:
        """Of the service account, or of the kubeconfig's context."""
        return self._connection.namespace

    def login(self) -> Login:
        """How another library may talk to the same API server. Ask for it anew from time to time: tokens change."""
        return self._connection.login()

    async def close(self) -> None:
        """Watches end; requests under way are waited for (READ_SECONDS at most)."""
        watches = list(self._watches)
        for watch in watches:
            watch.stop()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for watch in watches:
            await asyncio.to_thread(watch.join, 1.0)
        self._connection.close()

    # ------------------------------------------------------------------------------------------ calls

    async def get(self, path: str, *, timeout: float = CALL_SECONDS) -> JsonObject:
        return await self._call("GET", path, timeout=timeout)

    async def list(
        self,
        path: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout: float = CALL_SECONDS,
    ) -> RawListing:
        """All objects as they are now (a consistent read). Give the resourceVersion to `watch`."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        body = await self._call("GET", path, query, timeout=timeout)
        kind = str(body.get("kind", "")).removesuffix("List")
        about = {"apiVersion": body.get("apiVersion"), "kind": kind}  # lists of built-in kinds leave it out
        return RawListing([about | item for item in body.get("items") or []], body["metadata"]["resourceVersion"])

    async def create(
        self, path: str, obj: JsonObject, *, field_manager: str = FIELD_MANAGER, timeout: float = CALL_SECONDS
    ) -> JsonObject:
        """Tried again only where the server certainly did nothing: after Unavailable it may exist or not."""
        query = _query(fieldManager=field_manager)
        return await self._call("POST", path, query, obj, repeatable=False, timeout=timeout)

    async def replace(
        self, path: str, obj: JsonObject, *, field_manager: str = FIELD_MANAGER, timeout: float = CALL_SECONDS
    ) -> JsonObject:
        """PUT. With metadata.resourceVersion in it: Conflict unless that is the stored one (also when an earlier try,
        whose answer was lost, did the work)."""
        return await self._call("PUT", path, _query(fieldManager=field_manager), obj, timeout=timeout)

    async def patch(
        self,
        path: str,
        patch: Any,
        kind: Literal["merge", "json", "apply"] = "merge",
        *,
        field_manager: str = FIELD_MANAGER,
        force: bool = False,
        timeout: float = CALL_SECONDS,
    ) -> JsonObject:
        """`apply` is server-side apply (`force` takes fields over); metadata.resourceVersion in it is compared."""
        query = _query(fieldManager=field_manager, force="true" if force and kind == "apply" else None)
        content_type = PATCH_TYPES[kind]
        # a JSON patch may append to a list: twice is not once
        repeatable = kind != "json"
        return await self._call("PATCH", path, query, patch, content_type, repeatable=repeatable, timeout=timeout)

    async def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
        timeout: float = CALL_SECONDS,
    ) -> JsonObject:
        """What the server answered: the object as marked (finalizers or a grace period hold it), or a Status.

        Raises NotFound, also when `uid` is another one's; Conflict when `resource_version` is not the stored one.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        options["preconditions"] = {key: value for key, value in preconditions.items() if value is not None}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self._call("DELETE", path, (), options, timeout=timeout)

    async def watch(
        self,
        path: str,
        resource_version: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        server_seconds: int = SERVER_SECONDS,
        client_seconds: float = CLIENT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> AsyncGenerator[tuple[str, JsonObject], None]:
        """(`ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`; the object), all after `resource_version`, until the server
        ends the watch: then watch again from the last resourceVersion seen. Close it (`contextlib.aclosing`).

        Raises Gone (list again), Unavailable (also when it is silent for too long), Denied.
        """
        query = _query(
            watch="true", allowWatchBookmarks="true", resourceVersion=resource_version,
            timeoutSeconds=str(server_seconds), labelSelector=label_selector, fieldSelector=field_selector,
        )  # fmt: skip
        what = _title(path)
        thread = WatchThread(lambda: self._connection.stream(path, query, timeout=READ_SECONDS), what, silence_seconds)
        self._watches.add(thread)
        deadline = asyncio.get_running_loop().time() + client_seconds
        try:
            while True:
                remaining = deadline - asyncio.get_running_loop().time()
                line = await thread.next(min(remaining, silence_seconds))
                if line is None:
                    return
                yield _event(line, what)
        except TimeoutError:
            raise Busy(f"{what}: the watch is silent", nothing_done=True) from None
        finally:
            thread.stop()
            self._watches.discard(thread)

    # ------------------------------------------------------------------------------------------ parts

    async def _call(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: Any = None,
        content_type: str = JSON,
        *,
        repeatable: bool = True,
        timeout: float,
    ) -> JsonObject:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        lost_answer = False
        for wait in _waits():
            try:
                return await self._try(method, path, query, body, content_type, deadline)
            except Busy as busy:
                wait = max(wait, busy.retry_after or 0.0)
                if not (repeatable or busy.nothing_done) or loop.time() + wait >= deadline:
                    raise
                lost_answer = lost_answer or not busy.nothing_done
            except NotFound:
                if method == "DELETE" and lost_answer:
                    return {"kind": "Status", "status": "Success"}  # an earlier try did it
                raise
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _try(
        self, method: str, path: str, query: Query, body: Any, content_type: str, deadline: float
    ) -> JsonObject:
        loop = asyncio.get_running_loop()
        began, failed = loop.time(), None
        seconds = min(READ_SECONDS, max(0.1, deadline - began))
        try:
            return await loop.run_in_executor(
                self._threads, self._once, method, path, query, body, content_type, seconds
            )
        except StoreError as error:
            failed = error
            raise
        finally:
            self.observe(method, path, loop.time() - began, failed)

    def _once(self, method: str, path: str, query: Query, body: Any, content_type: str, timeout: float) -> JsonObject:
        """In a thread: JSON of large lists is parsed there too."""
        reply = self._connection.request(method, path, query, body, content_type, timeout=timeout)
        if not 200 <= reply.code < 300:
            name = (body.get("metadata") or {}).get("name") if method == "POST" else None
            raise store_error(reply.code, reply.headers, parse_status(reply.body), _title(path, name))
        try:
            answer = json.loads(reply.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise StoreError(f"{_title(path)}: the answer is not a JSON object")
        return answer


def _waits() -> Iterator[float]:
    """Seconds before the next try: exponential with jitter, without end."""
    wait = FIRST_WAIT
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311 (spreads tries)
        wait = min(2 * wait, LAST_WAIT)


def _query(**values: str | None) -> Query:
    return [(name, value) for name, value in values.items() if value is not None]


def _title(path: str, name: str | None = None) -> str:
    """`rtmptransponders demo`, from a path."""
    parts = path.split("/")
    tail = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
    return " ".join([*tail, name] if name else tail)


def _event(line: JsonObject | StoreError, what: str) -> tuple[str, JsonObject]:
    if isinstance(line, StoreError):
        raise line
    obj = line.get("object") or {}
    if line.get("type") == "ERROR":
        raise store_error(int(obj.get("code") or 500), {}, obj, what)
    return str(line.get("type")), obj
