"""All players of a relay: made by offers, fed with the stream, followed by those who asked for them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from transponder_crd.control import PlayerEvent, PlayerState, PlayOffer, StreamEvent
from transponder_crd.offer import InvalidOffer
from transponder_relay.media import AccessUnit, SoundPacket
from transponder_relay.playback.offer import Playable
from transponder_relay.playback.packetiser import packetise
from transponder_relay.playback.player import Clock, Player
from transponder_relay.webrtc.connecting import STOPPED_BY_USER
from transponder_relay.webrtc.settings import TransportSettings

MAX_PLAYERS = 50
"""A relay is made for its publisher; an audience belongs to what it sends to."""
LINGER = 10.0
"""Seconds for which an ended player can still be asked why."""
KEYFRAME_GAP = 1.0
"""Seconds between two keyframes that players may ask for, all together: each costs the picture some quality."""
QUEUE = 256
"""Events that wait for one who follows slowly; stream events beyond are lost to it."""

Queue = asyncio.Queue[PlayerEvent]


class NothingPublished(Exception):
    """There is nothing to play, or no longer."""


class TooManyPlayers(Exception):
    """There are `MAX_PLAYERS`."""


@dataclass(slots=True)
class _Entry:
    player: Player
    followers: list[Queue] = field(default_factory=list)

    def state(self) -> PlayerEvent:
        return PlayerEvent(state=self.player.state, reason=self.player.reason)


class Players:
    """`connected` are those that media goes to: while it is empty, a picture costs the look at it."""

    def __init__(
        self,
        settings: TransportSettings,
        clock: Clock,
        want_keyframe: Callable[[], None],
        on_connected_change: Callable[[], None],
    ) -> None:
        self.connected: tuple[Player, ...] = ()
        self._settings = settings
        self._clock = clock
        self._want_keyframe = want_keyframe
        self._on_connected_change = on_connected_change
        self._entries: dict[str, _Entry] = {}
        self._answering: set[str] = set()
        self._endings = 0
        """How often all players were ended."""
        self._last_wanted = float("-inf")
        self._wanted: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------------ players

    async def answer(self, offer: PlayOffer, media: Playable) -> str:
        """The SDP answer. Raises InvalidOffer, TooManyPlayers; NothingPublished when the publisher ends meanwhile;
        OSError when no media port is free."""
        if offer.player_id in self._entries or offer.player_id in self._answering:
            raise InvalidOffer("playerId", "must be new")
        living = sum(e.player.state is not PlayerState.ENDED for e in self._entries.values())
        if living + len(self._answering) >= MAX_PLAYERS:
            raise TooManyPlayers
        self._answering.add(offer.player_id)
        try:
            return await self._answer(offer, media)
        finally:
            self._answering.discard(offer.player_id)

    async def _answer(self, offer: PlayOffer, media: Playable) -> str:
        endings = self._endings
        player = Player(offer.player_id, self._settings, self._clock, self)
        try:
            answer = await player.answer(offer.sdp, media)
            if self._endings != endings:
                raise NothingPublished
        except BaseException:
            await player.close()
            raise
        self._entries[player.id] = _Entry(player)
        return answer

    def stop(self, player_id: str) -> bool:
        """End a player; False if there is none."""
        entry = self._entries.get(player_id)
        if entry is None or entry.player.state is PlayerState.ENDED:
            return False
        entry.player.end(STOPPED_BY_USER)
        return True

    def end_all(self, reason: str) -> None:
        self._endings += 1
        for entry in list(self._entries.values()):
            entry.player.end(reason)

    async def close(self) -> None:
        """Wait until all players, which have been ended, are closed; bounded."""
        if self._wanted:
            self._wanted.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ media

    def video(self, unit: AccessUnit, time_ms: int) -> None:
        payloads = packetise(unit)
        for player in self.connected:
            player.video(payloads, unit.keyframe, time_ms)

    def sound(self, packet: SoundPacket, position: int) -> None:
        for player in self.connected:
            player.sound(packet.payload, position)

    # ------------------------------------------------------------------------------------------ followers

    def follow(self, player_id: str) -> Queue | None:
        """The player's events from now on, its state first; None if there is no such player. `unfollow` it."""
        entry = self._entries.get(player_id)
        if entry is None:
            return None
        queue: Queue = asyncio.Queue(QUEUE)
        queue.put_nowait(entry.state())
        entry.followers.append(queue)
        return queue

    def unfollow(self, player_id: str, queue: Queue) -> None:
        entry = self._entries.get(player_id)
        if entry is not None and queue in entry.followers:
            entry.followers.remove(queue)

    def send_event(self, event: StreamEvent) -> None:
        """Hand it to all who follow a player."""
        for entry in self._entries.values():
            for queue in entry.followers:
                if not queue.full():
                    queue.put_nowait(PlayerEvent(stream_event=event))

    # ------------------------------------------------------------------------------------------ players' events

    def on_player_state(self, player: Player) -> None:
        ended = player.state is PlayerState.ENDED
        entry = self._entries.get(player.id)
        if entry is None:
            return
        if player.state is PlayerState.CONNECTED:
            self.connected = (*self.connected, player)
            self._on_connected_change()
        elif ended:
            self.connected = tuple(p for p in self.connected if p is not player)
            self._on_connected_change()
            task = asyncio.create_task(player.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            asyncio.get_running_loop().call_later(LINGER, self._entries.pop, player.id, None)
        for queue in entry.followers:
            if queue.full():
                queue.get_nowait()  # a state is never lost
            queue.put_nowait(entry.state())

    def on_keyframe_wanted(self) -> None:
        """At once, or when the gap is over."""
        if self._wanted is not None:
            return
        wait = self._last_wanted + KEYFRAME_GAP - time.monotonic()
        if wait <= 0:
            self._ask()
        else:
            self._wanted = asyncio.get_running_loop().call_later(wait, self._ask)

    def _ask(self) -> None:
        self._wanted = None
        self._last_wanted = time.monotonic()
        self._want_keyframe()
