"""Our finalizer, taken from objects as the API server has them: also from those that we cannot read."""

import asyncio
import logging
from collections.abc import Iterable

from transponder_crd.kubernetes.client import Kube
from transponder_crd.kubernetes.errors import JsonObject
from transponder_crd.kubernetes.paths import objects
from transponder_crd.names import FINALIZER
from transponder_crd.resource import RtmpTransponder
from transponder_crd.store import Conflict, NotFound, StoreError

logger = logging.getLogger(__name__)


def is_held(transponder: JsonObject) -> bool:
    """Does it have our finalizer?"""
    return FINALIZER in (transponder["metadata"].get("finalizers") or [])


async def let_go(kube: Kube, transponder: JsonObject) -> None:
    """Take the finalizer from it, unless it has changed since it was read, or is gone. Raises StoreError."""
    metadata = transponder["metadata"]
    others = [finalizer for finalizer in metadata["finalizers"] if finalizer != FINALIZER]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": others}}
    try:
        await kube.patch(objects(RtmpTransponder, metadata["namespace"], metadata["name"]), patch)
    except (Conflict, NotFound) as error:
        logger.debug("the finalizer stays for now: %s", error)


class Unreadable:
    """Transponders that cannot be read are relayed by nobody: those that are to be deleted are let go at once."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def look(self, transponders: Iterable[JsonObject]) -> None:
        """At some of them. Called again for the same ones: no harm."""
        for transponder in transponders:
            metadata = transponder["metadata"]
            if "deletionTimestamp" in metadata and is_held(transponder) and metadata["uid"] not in self._tasks:
                self._tasks[metadata["uid"]] = asyncio.create_task(self._let_go(transponder))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _let_go(self, transponder: JsonObject) -> None:
        name, uid = transponder["metadata"]["name"], transponder["metadata"]["uid"]
        try:
            await let_go(self._kube, transponder)
            logger.info("transponder object %s, which cannot be read: ended", name)
        except StoreError as error:  # the next sweep tries again
            logger.warning("transponder object %s, which cannot be read, is kept by its finalizer: %s", name, error)
        finally:
            del self._tasks[uid]
