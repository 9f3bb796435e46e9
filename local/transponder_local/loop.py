"""Wakes the work queue for every change of a transponder or a Stream in the store."""

import asyncio
import logging
from collections.abc import Callable

from transponder_crd.names import stream_name_of
from transponder_crd.resource import RtmpTransponder, Stream
from transponder_crd.store import Gone, Store, StoreError
from transponder_operator.work_queue import retry_delay

logger = logging.getLogger(__name__)

Kind = type[RtmpTransponder] | type[Stream]
KINDS: tuple[Kind, ...] = (RtmpTransponder, Stream)


async def watch_all(store: Store, wake: Callable[[str], None]) -> None:
    """Wake the stream of every object now, and of every object that changes. Runs until cancelled."""
    async with asyncio.TaskGroup() as group:
        for kind in KINDS:
            group.create_task(_watch(store, kind, wake), name=f"watch {kind.PLURAL}")


async def _watch(store: Store, kind: Kind, wake: Callable[[str], None]) -> None:
    known: dict[str, str] = {}
    failures = 0
    while True:
        try:
            version = await _list(store, kind, known, wake)
            failures = 0
            async for event in store.watch(kind, version):
                name = known[event.object.uid] = stream_name_of(event.object)
                wake(name)
                if event.type == "DELETED":
                    del known[event.object.uid]
        except Gone:
            logger.debug("watch of %s fell behind: listing again", kind.PLURAL)
        except StoreError as error:
            failures += 1
            logger.log(logging.WARNING if failures == 1 else logging.DEBUG, "watch of %s: %s", kind.PLURAL, error)
            await asyncio.sleep(retry_delay(failures))


async def _list(store: Store, kind: Kind, known: dict[str, str], wake: Callable[[str], None]) -> str:
    """Wake all that is there, and what was there when last seen. The version to watch from."""
    items, version = await store.list(kind)
    present = {obj.uid: stream_name_of(obj) for obj in items}
    for name in {*known.values(), *present.values()}:
        wake(name)
    known.clear()
    known.update(present)
    return version
