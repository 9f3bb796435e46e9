"""`transponder_crd.store.Store` on the Kubernetes API: one namespace, reads from mirrors.

Somebody else feeds the mirrors (`informer.Informer`, or kopf); the store adds what it wrote itself, so that a caller
reads its own writes. Secrets are in no mirror and cannot be watched.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.errors import JsonObject
from transponder_crd.kubernetes.mirror import Mirror
from transponder_crd.kubernetes.paths import objects
from transponder_crd.kubernetes.wire import merge_patch, new_object, read_object
from transponder_crd.names import stream_name_of
from transponder_crd.records import merge, title
from transponder_crd.resource import Resource, RtmpTransponder, Stream
from transponder_crd.store import Conflict, Event, Invalid, Listing, NotFound, StoreError, Unavailable

logger = logging.getLogger(__name__)

FIRST_LISTING_SECONDS = 30.0
REFRESH_SECONDS = 1.0
"""What is asked for and is not there costs a listing no more often than this."""

R = TypeVar("R", bound=Resource)


def resource_mirror(kind: type[R]) -> Mirror[R]:
    """With the indexes `uid` and `stream` (the stream's name). Invalid objects are logged once."""
    told: set[str] = set()

    def read(raw: JsonObject) -> R | None:
        try:
            obj = read_object(kind, raw)
        except Invalid as error:
            if raw["metadata"]["uid"] not in told:
                told.add(raw["metadata"]["uid"])
                logger.warning("ignored: %s", error)
            return None
        told.discard(obj.uid)
        return obj

    return Mirror(read, {"uid": lambda obj: obj.uid, "stream": stream_name_of})


class Mirrors(NamedTuple):
    """Of the two kinds in one namespace."""

    transponders: Mirror[RtmpTransponder]
    streams: Mirror[Stream]

    @classmethod
    def empty(cls) -> "Mirrors":
        return cls(resource_mirror(RtmpTransponder), resource_mirror(Stream))


class KubernetesStore:
    """Use it from one event loop. All calls raise `transponder_crd.store`'s errors."""

    def __init__(self, kube: Kube, namespace: str, mirrors: Mirrors) -> None:
        self._kube = kube
        self._namespace = namespace
        self._mirrors: dict[type[Resource], Mirror[Any]] = {
            RtmpTransponder: mirrors.transponders,
            Stream: mirrors.streams,
        }
        self._refreshed: dict[type[Resource], float] = dict.fromkeys(self._mirrors, float("-inf"))
        self._refreshing = {kind: asyncio.Lock() for kind in self._mirrors}

    # ------------------------------------------------------------------------------------------ reading

    async def get(self, kind: type[R], name: str) -> R:
        mirror = self._mirrors.get(kind)
        seen = mirror.get(name) if mirror is not None else None
        return cast(R, seen) if seen is not None else read_object(kind, await self._fetch(kind, name))

    async def list(self, kind: type[R]) -> Listing[R]:
        if kind not in self._mirrors:
            raws, version = await self._kube.list(objects(kind, self._namespace))
            return Listing([read_object(kind, raw) for raw in raws], version)
        mirror = await self._filled(kind)
        return Listing(mirror.items(), mirror.position)

    async def of_stream(self, kind: type[R], stream_name: str) -> Sequence[R]:
        return (await self._filled(kind)).of("stream", stream_name)

    async def by_uid(self, kind: type[R], uid: str) -> R:
        mirror = await self._filled(kind)
        if not (found := mirror.of("uid", uid)):
            await self.refresh(kind)  # another replica may have made it a moment ago
            found = mirror.of("uid", uid)
        if not found:
            raise NotFound(f"no {kind.__name__} has this uid")
        return found[0]

    async def refresh(self, kind: type[Resource]) -> None:
        """List anew; callers share a listing that begins after they asked, at most one in REFRESH_SECONDS."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self._refreshing[kind]:
            if self._refreshed[kind] < asked:
                await asyncio.sleep(max(0.0, self._refreshed[kind] + REFRESH_SECONDS - clock()))
                began = clock()
                self._mirrors[kind].replace(*await self._kube.list(objects(kind, self._namespace)))
                self._refreshed[kind] = began

    async def watch(self, kind: type[R], resource_version: str) -> AsyncIterator[Event[R]]:
        if kind not in self._mirrors:
            raise StoreError(f"{kind.PLURAL} cannot be watched")
        with (await self._filled(kind)).reader(resource_version) as changes:
            while True:
                change = await changes.next()
                yield Event(change.type, change.object)

    # ------------------------------------------------------------------------------------------ writing

    async def create(self, obj: R) -> R:
        if obj.metadata.resource_version:
            raise Invalid(f"{title(obj)}: metadata.resourceVersion must be empty on creation")
        kind = type(obj)
        raw = await self._kube.create(objects(kind, self._namespace), new_object(obj, self._namespace))
        return self._learnt(kind, raw)

    async def update(self, obj: R) -> R:
        old = await self._read_for_update(obj)
        return await self._write(old, merge(old, obj))

    async def update_status(self, obj: R) -> R:
        if "status" not in type(obj).model_fields:
            raise Invalid(f"{title(obj)} has no status")
        old = await self._read_for_update(obj)
        new = old.model_copy(update={"status": getattr(obj, "status")})  # noqa: B009 (not every kind has it)
        return await self._write(old, new, "status")

    async def delete(self, kind: type[Resource], name: str, uid: str | None = None) -> None:
        answer = await self._kube.delete(objects(kind, self._namespace, name), uid=uid)
        mirror = self._mirrors.get(kind)
        if mirror is None:
            return
        if answer.get("kind") == kind.__name__:
            self._learnt(kind, answer)
        elif gone := uid or (answer.get("details") or {}).get("uid"):
            mirror.forget(name, gone)

    # ------------------------------------------------------------------------------------------ parts

    async def _filled(self, kind: type[R]) -> Mirror[R]:
        """Raises Unavailable when there is no first listing in time."""
        mirror: Mirror[R] = self._mirrors[kind]
        if not mirror.filled:
            try:
                async with asyncio.timeout(FIRST_LISTING_SECONDS):
                    await mirror.wait_filled()
            except TimeoutError:
                raise Unavailable(f"{kind.PLURAL} were not listed yet") from None
        return mirror

    async def _fetch(self, kind: type[Resource], name: str) -> JsonObject:
        raw = await self._kube.get(objects(kind, self._namespace, name))
        if kind in self._mirrors:
            self._mirrors[kind].apply("MODIFIED", raw)
        return raw

    async def _read_for_update(self, obj: R) -> R:
        """The stored object. Raises Conflict unless it is the version that `obj` has."""
        kind, version = type(obj), obj.metadata.resource_version
        old = self._mirrors[kind].get(obj.name) if kind in self._mirrors else None
        if old is None or old.metadata.resource_version != version:
            old = read_object(kind, await self._fetch(kind, obj.name))
        if (old.uid, old.metadata.resource_version) != (obj.uid, version):
            raise Conflict(f"{title(obj)} has changed")
        return cast(R, old)

    async def _write(self, old: R, new: R, subresource: str | None = None) -> R:
        if new == old:
            return old
        path = objects(type(new), self._namespace, new.name, subresource)
        try:
            raw = await self._kube.patch(path, merge_patch(old, new))
        except (Conflict, NotFound):
            await self._look(old)
            raise
        return self._learnt(type(new), raw)

    async def _look(self, old: Resource) -> None:
        """The mirror was behind: whoever decides anew must not see the same again, however late its watch is."""
        kind = type(old)
        if kind not in self._mirrors:
            return
        try:
            await self._fetch(kind, old.name)
        except NotFound:
            self._mirrors[kind].forget(old.name, old.uid)
        except StoreError as error:  # what the caller learns is that it must look again
            logger.debug("%s was not read again: %s", title(old), error)

    def _learnt(self, kind: type[R], raw: JsonObject) -> R:
        """The API server's answer to a write."""
        obj = read_object(kind, raw)
        if kind not in self._mirrors:
            return obj
        if obj.deleting and not obj.metadata.finalizers:  # this write was its last
            self._mirrors[kind].forget(obj.name, obj.uid)
        else:
            self._mirrors[kind].apply("MODIFIED", raw)
        return obj
