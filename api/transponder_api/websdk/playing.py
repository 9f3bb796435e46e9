"""One playStream: offer, answer, PLAYING, the publisher's events, and exactly one last status."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from transponder_api.errors import ApiError, NotFound
from transponder_api.views import loggable
from transponder_api.websdk import messages
from transponder_api.websdk.messages import Info, StartStream, Status
from transponder_api.websdk.outbox import Outbox
from transponder_api.websdk.services import Ending, Services, unless
from transponder_crd.control import PlayerEvent, PlayerState
from transponder_crd.offer import InvalidOffer, NoUsableMedia, check_play_offer
from transponder_crd.store import StoreError

log = logging.getLogger(__name__)

STOPPED = Ending(Status.STOPPED, Info.STOPPED_BY_USER)


class Playback:
    """Run it once."""

    def __init__(self, wish: StartStream, services: Services, outbox: Outbox) -> None:
        self.id = wish.media_session_id
        self._wish, self._services, self._outbox = wish, services, outbox
        self._stopped = asyncio.Event()
        self._player: str | None = None

    def stop(self) -> None:
        """stopStream. It may come at any time, and again."""
        self._stopped.set()

    async def run(self) -> None:
        """Until the last status is sent. Cancelled, it ends the player and sends nothing."""
        try:
            ending = await unless(self._stopped, self._play(), STOPPED)
        finally:
            await self._end_player()
        self._tell(ending)

    def _tell(self, ending: Ending) -> None:
        text = messages.stream_status(self.id, ending.status, ending.info, self._wish.name, published=False)
        self._outbox.put(text)

    async def _end_player(self) -> None:
        if self._player is None:
            return
        try:
            async with asyncio.timeout(self._services.limits.cleanup):
                await self._services.players.stop(self._wish.name, self._player)
        except NotFound:
            pass  # it has ended by itself
        except (TimeoutError, ApiError, StoreError) as error:
            log.info("a player of stream %s: not ended: %s", loggable(self._wish.name), error or type(error).__name__)

    # ------------------------------------------------------------------------------------------ its course

    async def _play(self) -> Ending:
        players, name = self._services.players, self._wish.name
        try:
            async with asyncio.timeout(self._services.limits.start) as bound:
                check_play_offer(self._wish.sdp)
                self._player, answer = await players.play(name, self._wish.sdp)
                self._outbox.put(messages.remote_sdp(self.id, answer))
                async with aclosing(players.events(name, self._player)) as events:
                    return await self._follow(events, bound)
        except TimeoutError:
            return Ending(Status.FAILED, Info.ICE_TIMEOUT if self._player else Info.PROXY_ERROR)
        except NotFound:
            return Ending(Status.FAILED, Info.STOPPED_BY_PUBLISHER if self._player else Info.NOT_FOUND)
        except NoUsableMedia:
            return Ending(Status.FAILED, Info.NO_COMMON_CODECS)
        except (InvalidOffer, ApiError, StoreError) as error:
            log.info("stream %s: not played: %s", loggable(name), error)
            return Ending(Status.FAILED, Info.ERROR if self._player else Info.PROXY_ERROR)

    async def _follow(self, events: AsyncIterator[PlayerEvent], bound: asyncio.Timeout) -> Ending:
        playing = False
        async for event in events:
            if event.stream_event is not None:
                sent = event.stream_event
                self._outbox.put(messages.stream_event(self.id, sent.type, sent.payload))
            elif event.state is PlayerState.ENDED:
                return Ending(Status.FAILED, event.reason or Info.ERROR)
            elif event.state is PlayerState.CONNECTED and not playing:
                playing = True
                bound.reschedule(None)
                self._tell(Ending(Status.PLAYING, ""))
        return Ending(Status.FAILED, Info.ERROR)
