"""`rtmpUrl` of a publishStream: a transponder that comes after PUBLISHING and goes with the stream.

The SDK knows no event about the RTMP side. It hands events of any type to the page, though: `rtmpStatus` says how the
transponder does, first once it is made and then with each change.
"""

import asyncio
import logging
from typing import Any

from pydantic import ValidationError

from transponder_api import shapes
from transponder_api.errors import ApiError, BadRequest, Conflict
from transponder_api.validation import describe
from transponder_api.views import loggable, transponder_view
from transponder_api.websdk import messages
from transponder_api.websdk.messages import PublishStream
from transponder_api.websdk.outbox import Outbox
from transponder_api.websdk.services import Services
from transponder_crd.resource import RtmpTransponder, Stream, TransponderPhase
from transponder_crd.store import StoreError

log = logging.getLogger(__name__)

EVENT = "rtmpStatus"


async def republish(
    wish: PublishStream, stream: Stream, services: Services, outbox: Outbox, failed: asyncio.Event
) -> None:
    """Runs as long as the publication does. `failed` is set when the page is to be told that the stream has failed."""
    if wish.rtmp_url is None or wish.rtmp_url == "":
        return

    def tell(payload: dict[str, Any]) -> None:
        outbox.put(messages.stream_event(wish.media_session_id, EVENT, payload))

    try:
        transponder = await _start(wish, stream, services)
        async with services.watched_transponders.follow(transponder) as following:
            shown = None
            while not following.gone:
                view = _shown(following.latest, services)
                if view != shown:
                    tell(view)
                    shown = view
                if view["state"] == TransponderPhase.FAILED and services.settings.fail_stream_on_rtmp_error:
                    return failed.set()
                await following.change()
    except ApiError as error:
        log.warning("stream %s: not sent on to its rtmpUrl: %s", loggable(wish.name), error.message)
        tell({"state": TransponderPhase.FAILED, "lastError": error.message})
        if services.settings.fail_stream_on_rtmp_error:
            failed.set()
    except StoreError:
        log.exception("stream %s: not sent on to its rtmpUrl: the store failed", loggable(wish.name))


async def _start(wish: PublishStream, stream: Stream, services: Services) -> RtmpTransponder:
    """The transponder, or the one that goes there already and then stays when the stream is over. Raises ApiError."""
    try:
        request = shapes.Startup.model_validate({"streamName": wish.name, "rtmpUrl": wish.rtmp_url})
    except ValidationError as error:
        raise BadRequest(*describe(error.errors(include_url=False, include_input=False)[0])) from None
    try:
        return await services.transponders.start(request, [stream.owner_reference()])
    except Conflict:
        return (await services.transponders.find(wish.name, request.rtmp_url.get_secret_value()))[0]


def _shown(transponder: RtmpTransponder, services: Services) -> dict[str, Any]:
    view = transponder_view(transponder, services.settings.defaults).model_dump(mode="json")
    return {key: view[key] for key in ("mediaSessionId", "streamName", "rtmpUrl", "state", "lastError", "reconnects")}
