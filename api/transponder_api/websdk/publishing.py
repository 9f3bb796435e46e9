"""One publishStream: offer, answer, PUBLISHING, and exactly one last status."""

import asyncio
import logging
from contextlib import AsyncExitStack

from transponder_api.errors import ApiError, Conflict
from transponder_api.views import loggable
from transponder_api.watching import Following
from transponder_api.websdk import messages
from transponder_api.websdk.messages import Info, PublishStream, SendStreamEvent, Status
from transponder_api.websdk.outbox import Outbox
from transponder_api.websdk.republishing import republish
from transponder_api.websdk.services import Ending, Services, alongside, unless
from transponder_crd.control import StreamEvent
from transponder_crd.names import ANNOTATION_END_REASON, ANNOTATION_MEDIA_SESSION_ID
from transponder_crd.offer import InvalidOffer, NoUsableMedia, check_offer
from transponder_crd.resource import Stream, StreamPhase, StreamSource
from transponder_crd.store import StoreError

log = logging.getLogger(__name__)

STOPPED = Ending(Status.UNPUBLISHED, Info.STOPPED_BY_USER)
WAITING_EVENTS = 64
"""Stream events of one publisher that may wait for its relay; the next ones are dropped."""


class Publication:
    """Run it once. It needs nothing of the page but its connection's outbox."""

    def __init__(self, wish: PublishStream, services: Services, outbox: Outbox) -> None:
        self.id = wish.media_session_id
        self._wish, self._services, self._outbox = wish, services, outbox
        self._stopped = asyncio.Event()
        self._stream: Stream | None = None
        self._events: asyncio.Queue[StreamEvent] = asyncio.Queue(WAITING_EVENTS)

    def stop(self) -> None:
        """unPublishStream. It may come at any time, and again."""
        self._stopped.set()

    def send_event(self, event: SendStreamEvent) -> None:
        """sendStreamEvent: for those who play the stream."""
        if not self._events.full():
            self._events.put_nowait(StreamEvent(type=event.type, payload=event.payload))

    async def run(self) -> None:
        """Until the last status is sent. Cancelled, it ends the stream and sends nothing."""
        try:
            ending = await unless(self._stopped, self._publish(), STOPPED)
        finally:
            await self._end_stream()
        self._tell(ending)

    def _tell(self, ending: Ending) -> None:
        self._outbox.put(messages.stream_status(self.id, ending.status, ending.info, self._wish.name))

    async def _end_stream(self) -> None:
        """The name is free before the page hears of the end: it may publish again at once."""
        if self._stream is None:
            return
        try:
            async with asyncio.timeout(self._services.limits.cleanup):
                await self._services.streams.delete(self._stream)
        except (TimeoutError, StoreError) as error:
            log.warning("stream %s: not ended: %s", loggable(self._wish.name), error or type(error).__name__)

    # ------------------------------------------------------------------------------------------ its course

    async def _publish(self) -> Ending:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._services.limits.start):
                    stream = await self._answer()
                    following = await stack.enter_async_context(self._services.watched_streams.follow(stream))
                    await following.until(lambda now: _publishing(now) or _over(now))
            except TimeoutError:
                return Ending(Status.FAILED, Info.ICE_TIMEOUT if self._stream else Info.PROXY_ERROR)
            except (InvalidOffer, ApiError) as error:
                return _refused(self._wish.name, error)
            except StoreError:
                log.exception("stream %s: the store failed", loggable(self._wish.name))
                return Ending(Status.FAILED, Info.ERROR)
            if _over(following):
                return _ending(following.latest)
            self._tell(Ending(Status.PUBLISHING, ""))
            return await self._until_over(following)

    async def _answer(self) -> Stream:
        """Have a Stream, and the page its answer. Raises InvalidOffer, ApiError."""
        name, sdp = self._wish.name, self._wish.sdp
        check_offer(sdp)
        annotations = {ANNOTATION_MEDIA_SESSION_ID: self.id}
        stream, answer = await self._services.streams.publish(name, StreamSource.WEBSDK, sdp, annotations)
        self._stream = stream
        self._outbox.put(messages.remote_sdp(self.id, answer))
        return stream

    async def _until_over(self, following: Following[Stream]) -> Ending:
        async with alongside(self._forward_events()):
            failed = asyncio.Event()
            republishing = republish(self._wish, following.latest, self._services, self._outbox, failed)
            async with alongside(republishing):
                return await unless(failed, self._lost(following), Ending(Status.FAILED, Info.RTMP_ERROR))

    async def _lost(self, following: Following[Stream]) -> Ending:
        """How it was ended by someone else than the page."""
        await following.until(_over)
        if ANNOTATION_END_REASON not in following.latest.metadata.annotations:
            # the page closes its peer connection in the moment in which it sends unPublishStream
            await asyncio.sleep(self._services.limits.grace)
        return _ending(following.latest)

    async def _forward_events(self) -> None:
        while True:
            event = await self._events.get()
            try:
                await self._services.players.send_event(self._wish.name, event)
            except (ApiError, StoreError) as error:
                log.debug("stream %s: an event was not sent: %s", loggable(self._wish.name), error)


def _publishing(now: Following[Stream]) -> bool:
    return now.latest.status.phase == StreamPhase.PUBLISHING


def _over(now: Following[Stream]) -> bool:
    return now.gone or now.latest.deleting or now.latest.status.phase == StreamPhase.ENDED


def _refused(name: str, error: InvalidOffer | ApiError) -> Ending:
    log.info("stream %s: not published: %s", loggable(name), error)
    if isinstance(error, Conflict):
        return Ending(Status.FAILED, Info.NAME_IN_USE)
    return Ending(Status.FAILED, Info.NO_COMMON_CODECS if isinstance(error, NoUsableMedia) else Info.PROXY_ERROR)


def _ending(stream: Stream) -> Ending:
    """What an ended Stream says: whoever ended it by its annotation, else the relay by its status."""
    reason = stream.metadata.annotations.get(ANNOTATION_END_REASON)
    if reason is None and stream.status.phase == StreamPhase.ENDED:
        reason = stream.status.reason if stream.status.reason in set(Info) else Info.ERROR
    if reason is None:  # someone deleted the object
        reason = Info.SHUTDOWN
    ordered = reason.startswith("Stopped") or reason == Info.SHUTDOWN
    return Ending(Status.UNPUBLISHED if ordered else Status.FAILED, reason)
