"""The service that plays: a browser's offer to receive goes to the relay of the stream, which answers and sends."""

import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

from transponder_api.errors import NotFound, Unavailable, Unprocessable
from transponder_api.ice import ice_tag
from transponder_api.metrics import Metrics
from transponder_api.relay_client import (
    NoSuchPlayer,
    NothingToPlay,
    OfferRefused,
    RelayBusy,
    RelayClient,
    RelayUnreachable,
)
from transponder_api.settings import ApiSettings
from transponder_crd.control import PlayerEvent, PlayerState, PlayOffer, StreamEvent
from transponder_crd.names import loggable
from transponder_crd.relay_host import RelayAddress, RelayDirectory

log = logging.getLogger(__name__)

NOT_PUBLISHED = "no stream of this name is being published"
NO_PLAYER = "there is no such player"
PUBLISHER_STOPPED = "Stopped by publisher stop"
"""WCS `info` of a player whose publisher is gone; also when the whole relay is."""


class Players:
    """Nothing is kept here: a player is known by its stream's name and its own id, to any replica. All calls raise the
    errors of `transponder_api.errors`."""

    def __init__(self, relays: RelayDirectory, client: RelayClient, settings: ApiSettings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._relays = relays
        self._client = client
        self._timeout = settings.offer_timeout

    async def play(self, stream_name: str, sdp: str) -> tuple[str, str]:
        """The player's id and the SDP answer; `sdp` has passed `check_offer`. Raises NotFound while the stream is not
        being published, Unprocessable, Unavailable."""
        with self._metrics.offer("play"):
            return await self._play(stream_name, sdp)

    async def _play(self, stream_name: str, sdp: str) -> tuple[str, str]:
        address = await self._relay_of(stream_name)
        # guessed by nobody; it ends with the mark of the ICE session, so that no one need remember that one
        player_id = secrets.token_hex(16) + ice_tag(sdp)
        try:
            answer = await self._client.play(address, PlayOffer(player_id=player_id, sdp=sdp), self._timeout)
        except NothingToPlay:
            raise NotFound("streamName", NOT_PUBLISHED) from None
        except OfferRefused as refusal:
            raise Unprocessable(refusal.field, refusal.rule) from None
        except RelayBusy:
            raise Unavailable("this stream has as many players as it can have") from None
        except RelayUnreachable as error:
            raise Unavailable(str(error)) from None
        log.info("stream %s: offer of a player answered", loggable(stream_name))
        return player_id, answer.sdp

    async def events(self, stream_name: str, player_id: str) -> AsyncGenerator[PlayerEvent, None]:
        """The player's state at once, then what happens to it and what its stream's publisher says. The last event,
        and one there always is, has the state `ended`."""
        try:
            address = await self._relay_of(stream_name)
            async with aclosing(self._client.player_events(address, player_id)) as events:
                async for event in events:
                    yield event
                    if event.state == PlayerState.ENDED:
                        return
        except (NotFound, NoSuchPlayer, RelayUnreachable):
            pass
        yield PlayerEvent(state=PlayerState.ENDED, reason=PUBLISHER_STOPPED)

    async def find(self, stream_name: str, player_id: str) -> None:
        """Return if there is that player. Raises NotFound."""
        async with aclosing(self.events(stream_name, player_id)) as events:
            async for event in events:
                if event.state == PlayerState.ENDED:
                    break
                return
        raise NotFound("session", NO_PLAYER)

    async def stop(self, stream_name: str, player_id: str) -> None:
        """End the player. Raises NotFound, Unavailable."""
        try:
            await self._client.stop_player(await self._relay_of(stream_name), player_id, self._timeout)
        except NoSuchPlayer:
            raise NotFound("session", NO_PLAYER) from None
        except RelayUnreachable as error:
            raise Unavailable(str(error)) from None

    async def send_event(self, stream_name: str, event: StreamEvent) -> None:
        """Hand the event to all players of the stream. Raises NotFound, Unavailable."""
        try:
            await self._client.send_event(await self._relay_of(stream_name), event, self._timeout)
        except RelayUnreachable as error:
            raise Unavailable(str(error)) from None

    async def _relay_of(self, stream_name: str) -> RelayAddress:
        address = await self._relays.address(stream_name)
        if address is None:
            raise NotFound("streamName", NOT_PUBLISHED)
        return address
