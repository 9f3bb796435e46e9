"""The store interface: list, watch, create, update, delete with optimistic concurrency, as Kubernetes words it.

Adapters: `transponder_crd.sqlite_store` (one file, embedded default) and the Kubernetes API.

Errors
    StoreError
        NotFound        no such object (or another uid than asked for)
        AlreadyExists   an object of that kind and name exists
        Conflict        the object changed since it was read: read it again and decide anew
        Invalid         the object breaks a rule of its kind; the text names the field and the rule
        Gone            a watch asked for a version that is no longer kept: list again
        Unavailable     the store cannot be reached, or is too busy: try again later
"""

from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from typing import Generic, NamedTuple, Protocol, TypeVar

from transponder_crd.resource import Resource

R = TypeVar("R", bound=Resource)


class StoreError(Exception):
    """Base of all store errors; the text names kind and object, never a secret."""


class NotFound(StoreError):
    pass


class AlreadyExists(StoreError):
    pass


class Conflict(StoreError):
    pass


class Invalid(StoreError):
    pass


class Gone(StoreError):
    pass


class Unavailable(StoreError):
    pass


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(NamedTuple, Generic[R]):
    """One change. `object` is the state after it (for DELETED: the last state), its resourceVersion resumes a watch."""

    type: EventType
    object: R


class Listing(NamedTuple, Generic[R]):
    items: list[R]
    resource_version: str
    """Give this to `watch` to miss nothing."""


class Store(Protocol):
    """Objects of one namespace."""

    async def get(self, kind: type[R], name: str) -> R:
        """Raises NotFound."""
        ...

    async def list(self, kind: type[R]) -> Listing[R]: ...

    async def of_stream(self, kind: type[R], stream_name: str) -> Sequence[R]:
        """The transponders of a stream, or its Stream (one at most), by name. It may be a moment old where others
        write too, as `list`."""
        ...

    async def by_uid(self, kind: type[R], uid: str) -> R:
        """Raises NotFound."""
        ...

    async def refresh(self, kind: type[Resource]) -> None:
        """Return when all that anyone has written before this call is seen by reads. For a miss that should be none:
        it may cost a listing."""
        ...

    async def create(self, obj: R) -> R:
        """The object as stored, with uid, generation 1 and times. Its status is dropped. Raises AlreadyExists."""
        ...

    async def update(self, obj: R) -> R:
        """Replace metadata and spec, not status; generation grows when the spec differs. An empty finalizer list
        on an object marked for deletion removes it. Raises Conflict when resourceVersion is not the stored one,
        NotFound."""
        ...

    async def update_status(self, obj: R) -> R:
        """Replace the status alone. Raises Conflict, NotFound."""
        ...

    async def delete(self, kind: type[Resource], name: str, uid: str | None = None) -> None:
        """Remove it, or mark it (deletionTimestamp) while finalizers hold it; objects whose owners are all gone go
        with it. Raises NotFound, also when `uid` is given and another object has the name now."""
        ...

    def watch(self, kind: type[R], resource_version: str) -> AsyncIterator[Event[R]]:
        """Every change after `resource_version`, in order, without end. Raises Gone."""
        ...


async def edit(store: Store, kind: type[R], name: str, change: Callable[[R], R]) -> R:
    """Read, change and update, again on Conflict. `change` is pure and may run several times.

    Raises NotFound. Returns the stored object (unchanged objects are not written).
    """
    while True:
        old = await store.get(kind, name)
        new = change(old)
        if new == old:
            return old
        try:
            return await store.update(new)
        except Conflict:
            continue
