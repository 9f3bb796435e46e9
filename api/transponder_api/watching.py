"""One watch of a kind of objects for all who follow one of them: a watch each would cost a connection each."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

from transponder_crd.resource import Resource
from transponder_crd.store import Event, EventType, Gone, NotFound, Store, StoreError
from transponder_crd.tasks import happens

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Resource)

FIRST_RETRY = 0.2
LAST_RETRY = 10.0
"""Seconds between two attempts when the store cannot be read."""
START_SECONDS = 5.0
"""How long the first listing is waited for."""


class Following(Generic[R]):
    """One object, followed. States may be skipped, but never the last one."""

    def __init__(self, obj: R) -> None:
        self.latest = obj
        """As last seen; after its end, as it was then."""
        self.gone = False
        self._changed = asyncio.Event()

    async def until(self, accept: Callable[["Following[R]"], bool]) -> None:
        """Return as soon as `accept` takes its state, which may be at once."""
        while not accept(self):
            await self.change()

    async def change(self) -> None:
        """Return on the next change, or at once when there was one since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def see(self, obj: R | None) -> None:
        """Take the object's new state; None: it is gone."""
        if obj is not None and not self.gone:
            self.latest = obj
        self.gone = self.gone or obj is None
        self._changed.set()


class Watched(Generic[R]):
    """The objects of one kind. Use it as a context manager; it watches for the length of the block."""

    def __init__(self, store: Store, kind: type[R]) -> None:
        self._store, self._kind = store, kind
        self._objects: dict[str, R] = {}
        self._listed = asyncio.Event()
        self._followers: defaultdict[str, set[Following[R]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"watch {self._kind.PLURAL} for all")
        await happens(self._listed, within=START_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def objects(self) -> Collection[R]:
        """All, as last seen: one made by another process a moment ago may be missing."""
        return self._objects.values()

    def get(self, name: str) -> R | None:
        """The object of that name, as last seen."""
        return self._objects.get(name)

    @asynccontextmanager
    async def follow(self, obj: R) -> AsyncIterator[Following[R]]:
        """From its state now. Raises StoreError."""
        following = Following(obj)
        followers = self._followers[obj.uid]
        followers.add(following)
        try:
            # followed first and read then, so that no change is missed in between
            following.see(await self._read(obj))
            yield following
        finally:
            followers.discard(following)
            if not followers:
                self._followers.pop(obj.uid, None)

    async def _read(self, obj: R) -> R | None:
        try:
            now = await self._store.get(self._kind, obj.name)
        except NotFound:
            return None
        return now if now.uid == obj.uid else None

    # ------------------------------------------------------------------------------------------ the watch

    async def _run(self) -> None:
        delay = FIRST_RETRY
        while True:
            try:
                version = await self._list()
                delay = FIRST_RETRY
                async for event in self._store.watch(self._kind, version):
                    self._on_event(event)
            except Gone:
                log.debug("watch of %s fell behind: listing again", self._kind.PLURAL)
            except StoreError as error:
                log.log(logging.WARNING if delay == FIRST_RETRY else logging.DEBUG, "%s: %s", self._kind.PLURAL, error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY)

    async def _list(self) -> str:
        items, version = await self._store.list(self._kind)
        self._objects = {item.name: item for item in items}
        self._listed.set()
        by_uid = {item.uid: item for item in items}
        for following in [one for followers in self._followers.values() for one in followers]:
            # what is not in the listing may have been made since
            following.see(by_uid.get(following.latest.uid) or await self._read(following.latest))
        return version

    def _on_event(self, event: Event[R]) -> None:
        if event.type is EventType.DELETED:
            self._objects.pop(event.object.name, None)
        else:
            self._objects[event.object.name] = event.object
        for following in self._followers.get(event.object.uid, ()):
            following.see(event.object)
            if event.type is EventType.DELETED:
                following.see(None)
