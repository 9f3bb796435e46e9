"""The service that publishes: a Stream object, its relay, and the relay's answer to the publisher's offer."""

import asyncio
import logging
from collections.abc import Mapping

from transponder_api.errors import ApiError, Conflict, NotFound, Unavailable, Unprocessable
from transponder_api.metrics import Metrics
from transponder_api.relay_client import OfferRefused, RelayClient, RelayUnreachable
from transponder_api.settings import ApiSettings
from transponder_crd import store as crd
from transponder_crd.control import Offer
from transponder_crd.meta import ObjectMeta
from transponder_crd.names import ANNOTATION_END_REASON, loggable, stream_object_name
from transponder_crd.relay_host import RelayAddress, RelayDirectory
from transponder_crd.resource import Stream, StreamPhase, StreamSource, StreamSpec
from transponder_crd.secret_url import labels
from transponder_crd.waiting import wait_for

log = logging.getLogger(__name__)

IN_USE = "a stream of this name is being published"
NO_SESSION = "there is no such session"

DIRECTORY_WAITS = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Seconds before each look: the directory may hear of a relay a moment later than the store of the Stream's status."""


class Streams:
    """All calls raise the errors of `transponder_api.errors`."""

    def __init__(
        self, store: crd.Store, relays: RelayDirectory, client: RelayClient, settings: ApiSettings, metrics: Metrics
    ) -> None:
        self.store = store
        self.settings = settings
        self._metrics = metrics
        self._relays = relays
        self._client = client

    async def publish(
        self, name: str, source: StreamSource, sdp: str, annotations: Mapping[str, str] | None = None
    ) -> tuple[Stream, str]:
        """The Stream and the SDP answer. If anything fails, the Stream is gone again. Raises Conflict,
        Unprocessable, Unavailable."""
        with self._metrics.offer("publish"):
            return await self._publish(name, source, sdp, annotations or {})

    async def _publish(
        self, name: str, source: StreamSource, sdp: str, annotations: Mapping[str, str]
    ) -> tuple[Stream, str]:
        stream = await self._create(name, source, annotations)
        try:
            answer = await self._answer(stream, sdp)
        except BaseException as error:
            await asyncio.shield(self.delete(stream))  # also when the caller is gone or the server ends
            reason = error.message if isinstance(error, ApiError) else type(error).__name__
            log.info("stream %s: not published: %s", loggable(name), reason)
            raise
        log.info("stream %s: offer of its publisher answered", loggable(name))
        return stream, answer

    async def end(self, uid: str, source: StreamSource) -> None:
        """End the stream of that uid. Raises NotFound."""
        stream = await self.find(uid, source)
        if not await self.delete(stream):
            raise NotFound("session", NO_SESSION)
        log.info("stream %s: ended by its publisher", loggable(stream.spec.name))

    async def find(self, uid: str, source: StreamSource) -> Stream:
        """The stream of that uid. Raises NotFound."""
        try:
            stream = await self.store.by_uid(Stream, uid)
        except crd.NotFound:
            raise NotFound("session", NO_SESSION) from None
        if stream.spec.source != source:
            raise NotFound("session", NO_SESSION)
        return stream

    async def terminate(self, stream: Stream, reason: str) -> bool:
        """End it as someone else than its publisher, who is told `reason` (a WCS `info`). False if it is gone."""

        def with_reason(now: Stream) -> Stream:
            if now.uid != stream.uid:
                raise crd.NotFound(f"Stream {now.name} is another one by now")
            annotations = {**now.metadata.annotations, ANNOTATION_END_REASON: reason}
            return now.model_copy(update={"metadata": now.metadata.model_copy(update={"annotations": annotations})})

        try:
            await crd.edit(self.store, Stream, stream.name, with_reason)
        except crd.NotFound:
            return False
        log.info("stream %s: ended, %s", loggable(stream.spec.name), reason)
        return await self.delete(stream)

    async def delete(self, stream: Stream) -> bool:
        """False if it is gone."""
        try:
            await self.store.delete(Stream, stream.name, stream.uid)
        except crd.NotFound:
            return False
        return True

    # ------------------------------------------------------------------------------------------ parts

    async def _create(self, name: str, source: StreamSource, annotations: Mapping[str, str]) -> Stream:
        """The stored object: the name is ours from now on. An ended one of that name is waited for."""
        metadata = ObjectMeta(name=stream_object_name(name), labels=labels(name), annotations=dict(annotations))
        wish = Stream(metadata=metadata, spec=StreamSpec(name=name, source=source))
        try:
            async with asyncio.timeout(self.settings.close_timeout):
                while True:
                    try:
                        return await self.store.create(wish)
                    except crd.AlreadyExists:
                        await self._make_way(wish.name)
        except TimeoutError:
            raise Conflict("streamName", IN_USE) from None

    async def _make_way(self, object_name: str) -> None:
        try:
            old = await self.store.get(Stream, object_name)
        except crd.NotFound:
            return
        if not _over(old):
            raise Conflict("streamName", IN_USE)
        timeout = self.settings.close_timeout
        await wait_for(self.store, Stream, object_name, lambda now: now is None or now.uid != old.uid, timeout)

    async def _answer(self, stream: Stream, sdp: str) -> str:
        address = await self._relay_of(stream)
        try:
            offer = Offer(publisher_id=stream.uid, sdp=sdp)
            return (await self._client.offer(address, offer, self.settings.offer_timeout)).sdp
        except OfferRefused as refusal:
            if refusal.field == "publisherId":  # a relay that has not heard of this stream yet, or no longer
                raise Unavailable("the relay of this stream is not ready") from None
            raise Unprocessable(refusal.field, refusal.rule) from None
        except RelayUnreachable as error:
            raise Unavailable(str(error)) from None

    async def _relay_of(self, stream: Stream) -> RelayAddress:
        def settled(now: Stream | None) -> bool:
            return now is None or now.uid != stream.uid or _over(now) or _ready(now)

        try:
            now = await wait_for(self.store, Stream, stream.name, settled, self.settings.relay_timeout)
        except TimeoutError:
            raise Unavailable("no relay was ready in time") from None
        if now is None or now.uid != stream.uid or _over(now):
            raise Unavailable("the stream was ended before its relay was ready")
        for seconds in DIRECTORY_WAITS:
            await asyncio.sleep(seconds)
            address = await self._relays.address(stream.spec.name)
            if address is not None and address.instance == now.status.relay_pod:
                return address
        raise Unavailable("the relay of this stream was lost")


def _ready(stream: Stream) -> bool:
    return stream.status.phase == StreamPhase.READY and stream.status.relay_pod is not None


def _over(stream: Stream) -> bool:
    return stream.deleting or stream.status.phase == StreamPhase.ENDED
