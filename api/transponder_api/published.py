"""The service behind `/rest-api/stream/*`: what is being published, and the end of it by someone else."""

from collections.abc import Callable

from transponder_api.errors import NotFound
from transponder_api.stream_shapes import FindStreams, PublishedStream, TerminateStreams
from transponder_api.streams import Streams
from transponder_crd.names import stream_session_id
from transponder_crd.resource import Stream, StreamPhase

TERMINATED = "Stopped by rest /terminate"
"""`info` of the WebSDK."""

NONE = "no stream is like this"


class Published:
    """All calls raise NotFound where no stream is like the filter. `streams` ends them."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def find(self, wish: FindStreams) -> list[PublishedStream]:
        found = await self._matching(lambda stream: _found(stream, wish), unfiltered=wish == FindStreams())
        return [stream_view(stream) for stream in found]

    async def terminate(self, wish: TerminateStreams) -> None:
        """Ends all that are like `wish`, and tells their publishers why."""
        ended = 0
        for stream in await self._matching(lambda stream: _to_end(stream, wish)):
            ended += await self._streams.terminate(stream, TERMINATED)
        if not ended:
            raise NotFound("stream", NONE)

    async def _matching(self, like: Callable[[PublishedStream], bool], *, unfiltered: bool = False) -> list[Stream]:
        """Raises NotFound."""
        found = [stream for stream in await self._present() if like(stream_view(stream))]
        if not found and not unfiltered:
            await self._streams.store.refresh(Stream)  # another replica may have made it a moment ago
            found = [stream for stream in await self._present() if like(stream_view(stream))]
        if not found:
            raise NotFound("stream", NONE)
        return found

    async def _present(self) -> list[Stream]:
        streams = (await self._streams.store.list(Stream)).items
        present = [one for one in streams if not one.deleting and one.status.phase != StreamPhase.ENDED]
        return sorted(present, key=lambda one: (str(one.metadata.creation_timestamp), one.name))


def stream_view(stream: Stream) -> PublishedStream:
    """Pure: a Stream as REST shows it."""
    status, created = stream.status, stream.metadata.creation_timestamp
    return PublishedStream(
        media_session_id=stream_session_id(stream),
        name=stream.spec.name,
        status="PUBLISHING" if status.phase == StreamPhase.PUBLISHING else "PENDING",
        has_video=status.video_codec is not None,
        has_audio=status.audio_codec is not None,
        video_codec=status.video_codec,
        audio_codec=status.audio_codec,
        width=status.width,
        height=status.height,
        create_date=int(created.timestamp() * 1000) if created else 0,
        source=stream.spec.source,
    )


def _found(stream: PublishedStream, wish: FindStreams) -> bool:
    return (
        wish.media_session_id in (None, stream.media_session_id)
        and wish.name in (None, stream.name)
        and wish.published in (None, stream.published)
        and wish.status in (None, stream.status)
    )


def _to_end(stream: PublishedStream, wish: TerminateStreams) -> bool:
    return (
        wish.media_session_id in (None, stream.media_session_id)
        and (wish.media_session_ids is None or stream.media_session_id in wish.media_session_ids)
        and wish.name in (None, stream.name)
        and wish.status in (None, stream.status)
    )
