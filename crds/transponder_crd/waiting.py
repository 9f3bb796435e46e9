"""Wait until an object is as wanted, by watching the store instead of asking again and again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from transponder_crd.resource import Resource
from transponder_crd.store import Event, EventType, Gone, NotFound, Store

R = TypeVar("R", bound=Resource)


async def wait_for(
    store: Store, kind: type[R], name: str, accept: Callable[[R | None], bool], timeout: float
) -> R | None:
    """The object of that name as soon as `accept` takes it; `accept` is given None while there is no such object.

    `timeout` is in seconds. Raises TimeoutError.
    """
    async with asyncio.timeout(timeout):
        while True:
            obj, version = await _read(store, kind, name)
            if accept(obj):
                return obj
            try:
                return await _first_accepted(store.watch(kind, version), name, accept)
            except Gone:  # the version is too old to watch from: read again
                continue


async def _read(store: Store, kind: type[R], name: str) -> tuple[R | None, str]:
    """The object, if there is one, and the version from which a watch misses nothing."""
    try:
        obj = await store.get(kind, name)
    except NotFound:
        listing = await store.list(kind)
        return next((item for item in listing.items if item.name == name), None), listing.resource_version
    return obj, obj.metadata.resource_version


async def _first_accepted(events: AsyncIterator[Event[R]], name: str, accept: Callable[[R | None], bool]) -> R | None:
    try:
        async for event in events:
            obj = None if event.type is EventType.DELETED else event.object
            if event.object.name == name and accept(obj):
                return obj
        raise Gone("the watch ended")
    finally:
        close = getattr(events, "aclose", None)  # an adapter's watch may hold a connection
        if close is not None:
            await close()
