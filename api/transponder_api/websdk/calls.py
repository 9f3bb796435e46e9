"""What a client may call, and the streams of its session."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from transponder_api.metrics import Kind
from transponder_api.websdk import messages
from transponder_api.websdk.messages import (
    AvailableStream,
    Call,
    Info,
    InvalidCall,
    PublishStream,
    SendData,
    SendStreamEvent,
    StartStream,
    Status,
    media_session_id,
    parse_argument,
)
from transponder_api.websdk.outbox import Outbox
from transponder_api.websdk.playing import Playback
from transponder_api.websdk.publishing import Publication
from transponder_api.websdk.services import Services, cancelled
from transponder_crd.names import ANNOTATION_MEDIA_SESSION_ID, stream_object_name
from transponder_crd.resource import StreamPhase

log = logging.getLogger(__name__)

NO_DATA_HANDLER = "no application takes data here"
TOO_MANY_STREAMS = "this session has as many streams as it may have"

W = TypeVar("W", bound=StartStream)
S = TypeVar("S", Publication, Playback)


class Calls:
    """The calls of one session. No call waits; what takes time runs as a task of its stream."""

    def __init__(self, services: Services, outbox: Outbox) -> None:
        self.ready = False
        """The client has been greeted."""
        self._services, self._outbox = services, outbox
        self._publications: dict[str, Publication] = {}
        self._playbacks: dict[str, Playback] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[Any], None]] = {
            "publishStream": self._on_publish,
            "unPublishStream": self._on_unpublish,
            "playStream": self._on_play,
            "stopStream": self._on_stop,
            "availableStream": self._on_available,
            "sendStreamEvent": self._on_stream_event,
            "sendData": self._on_data,
        }

    def handle(self, call: Call) -> None:
        """All other calls (pushLogs, sessionDebug, snapshot, those of SIP, ...) are nothing to this server."""
        handler = self._handlers.get(call.name)
        if handler is None:
            return
        try:
            handler(call.argument)
        except InvalidCall as error:
            log.debug("%s was ignored: %s", call.name, error)

    async def end(self) -> None:
        """The session is over, and so are its streams."""
        await cancelled(*self._tasks)

    # ------------------------------------------------------------------------------------------ streams

    def _on_publish(self, argument: Any) -> None:
        wish = self._wish(PublishStream, argument, published=True)
        if wish is not None:
            self._start(Publication(wish, self._services, self._outbox), self._publications, "publish")

    def _on_play(self, argument: Any) -> None:
        wish = self._wish(StartStream, argument, published=False)
        if wish is not None:
            self._start(Playback(wish, self._services, self._outbox), self._playbacks, "play")

    def _wish(self, kind: type[W], argument: Any, *, published: bool) -> W | None:
        """None if it was refused: whoever wants a stream always hears of it."""
        media_session = media_session_id(argument)
        try:
            self._check(media_session)
            return parse_argument(kind, argument)
        except InvalidCall as error:
            self._outbox.put(messages.stream_status(media_session, Status.FAILED, str(error), published=published))
            return None

    def _check(self, media_session: str | None) -> None:
        """Raises InvalidCall."""
        if media_session is None:
            raise InvalidCall(Info.ID_IS_NULL)
        if not self.ready:
            raise InvalidCall(Info.SESSION_NOT_READY)
        if self._in_use(media_session):
            raise InvalidCall(Info.ID_IN_USE)
        if len(self._publications) + len(self._playbacks) >= self._services.limits.streams:
            raise InvalidCall(TOO_MANY_STREAMS)

    def _in_use(self, media_session: str) -> bool:
        if media_session in self._publications or media_session in self._playbacks:
            return True
        streams = self._services.watched_streams.objects()
        return any(s.metadata.annotations.get(ANNOTATION_MEDIA_SESSION_ID) == media_session for s in streams)

    def _start(self, stream: S, all_of_them: dict[str, S], kind: Kind) -> None:
        async def run() -> None:
            try:
                with self._services.metrics.websdk_streams.labels(kind).track_inprogress():
                    await stream.run()
            except Exception:
                log.exception("a stream of a session failed")
            finally:
                del all_of_them[stream.id]

        all_of_them[stream.id] = stream
        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_unpublish(self, argument: Any) -> None:
        self._stop(argument, self._publications, Status.UNPUBLISHED)

    def _on_stop(self, argument: Any) -> None:
        self._stop(argument, self._playbacks, Status.STOPPED)

    def _stop(self, argument: Any, streams: dict[str, S], status: Status) -> None:
        media_session = media_session_id(argument)
        stream = streams.get(media_session or "")
        if stream is not None:
            stream.stop()
        elif media_session is not None:  # the page's button waits for an answer, whatever became of the stream
            published = status is Status.UNPUBLISHED
            self._outbox.put(messages.stream_status(media_session, status, Info.STOPPED_BY_USER, published=published))

    # ------------------------------------------------------------------------------------------ all else

    def _on_available(self, argument: Any) -> None:
        media_session = media_session_id(argument)
        if media_session is None:
            return
        try:
            name = parse_argument(AvailableStream, argument).name
            stream = self._services.watched_streams.get(stream_object_name(name))
        except InvalidCall:
            stream = None
        yes = stream is not None and stream.status.phase == StreamPhase.PUBLISHING and not stream.deleting
        self._outbox.put(messages.available(media_session, yes=yes))

    def _on_stream_event(self, argument: Any) -> None:
        event = parse_argument(SendStreamEvent, argument)
        publication = self._publications.get(event.media_session_id)
        if publication is not None:
            publication.send_event(event)

    def _on_data(self, argument: Any) -> None:
        """There is no application behind this server that would take the data, and the page is told so."""
        operation = parse_argument(SendData, argument).operation_id
        self._outbox.put(messages.data_status(operation, accepted=False, info=NO_DATA_HANDLER))
