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
        try:
            obj = await store.get(kind, name)
            if accept(obj):
                return obj
            return await _first_accepted(store.watch(kind, obj.metadata.resource_version), name, accept)
        except (NotFound, Gone):  # an object that has not changed for long has a version too old to watch from
            pass
        while True:
            listing = await store.list(kind)
            found = next((item for item in listing.items if item.name == name), None)
            if accept(found):
                return found
            try:
                return await _first_accepted(store.watch(kind, listing.resource_version), name, accept)
            except Gone:
                continue


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
