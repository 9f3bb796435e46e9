"""Automatic transponders: every published stream goes to one URL of the installation, once for each publication.

The transponder is like one of REST, but owned by the Stream, with which it goes. An annotation of the Stream says that
it was made: one that somebody terminates does not come back until the stream is published anew.
"""

import logging
from collections.abc import Iterable

from pydantic import SecretStr

from transponder_crd.control import RtmpTarget
from transponder_crd.defaults import Defaults
from transponder_crd.destination import Destination
from transponder_crd.names import ANNOTATION_AUTO_STARTED
from transponder_crd.resource import RtmpTransponder, Stream, StreamPhase
from transponder_crd.secret_url import keep_url, new_transponder
from transponder_crd.store import AlreadyExists, NotFound, Store, edit
from transponder_operator.desired import Problem, ResolvedTransponder, resolve_destination

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 0.2
"""The place of the new transponder is being given up by an old one."""


class AutoStart:
    """`start` is idempotent: it may be called at any time and any number of times."""

    def __init__(self, store: Store, destination: Destination, defaults: Defaults) -> None:
        self._store = store
        self._destination = destination
        self._defaults = defaults

    async def start(self, stream: Stream | None, transponders: Iterable[ResolvedTransponder]) -> float | None:
        """Make the transponder of a stream that has just been published; `transponders` are all of that stream.

        Seconds after which to call again, or None.
        """
        if stream is None or not is_due(stream):
            return None
        wish = new_transponder(stream.spec.name, self._destination, self._defaults, [stream.owner_reference()])
        there = already_there(wish, self._destination.url, transponders, self._defaults)
        if there is None:
            try:
                there = await self._store.create(wish)
            except AlreadyExists:  # made since we looked
                return 0.0
        if there.deleting or _leaves(there, stream):
            return AGAIN_SECONDS
        if there.name == wish.name:
            await keep_url(self._store, there, SecretStr(self._destination.url))
        await self._remember(stream)
        return 0.0  # its relay is to know of it

    async def _remember(self, stream: Stream) -> None:
        def started(now: Stream) -> Stream:
            if now.uid != stream.uid:
                raise NotFound(f"Stream {now.name} is another one by now")
            annotations = {**now.metadata.annotations, ANNOTATION_AUTO_STARTED: "true"}
            return now.model_copy(update={"metadata": now.metadata.model_copy(update={"annotations": annotations})})

        try:
            await edit(self._store, Stream, stream.name, started)
        except NotFound:
            logger.debug("stream %s: ended while its transponder was made", stream.name)


def is_due(stream: Stream) -> bool:
    """Pure: is it published, and its automatic transponder not made yet?"""
    return (
        stream.status.phase == StreamPhase.PUBLISHING
        and not stream.deleting
        and ANNOTATION_AUTO_STARTED not in stream.metadata.annotations
    )


def _leaves(transponder: RtmpTransponder, stream: Stream) -> bool:
    """Is it owned by an earlier publication of the stream, and about to be collected?"""
    owners = [owner.uid for owner in transponder.metadata.owner_references if owner.kind == stream.kind]
    return bool(owners) and stream.uid not in owners


def already_there(
    wish: RtmpTransponder, rtmp_url: str, transponders: Iterable[ResolvedTransponder], defaults: Defaults
) -> RtmpTransponder | None:
    """Pure: the transponder in whose stead `wish` would be: one of its name, even if it is being ended, or one that
    sends to the same place."""
    wished = resolve_destination(wish.spec, rtmp_url, defaults)
    place = None if isinstance(wished, Problem) else _place(wished.target)
    for transponder, destination in transponders:
        if transponder.name == wish.name:
            return transponder
        if not transponder.deleting and not isinstance(destination, Problem) and _place(destination.target) == place:
            return transponder
    return None


def _place(target: RtmpTarget) -> tuple[object, ...]:
    return target.tls, target.host.lower(), target.port, target.app, target.stream_name
