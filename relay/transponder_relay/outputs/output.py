"""One destination's life: waiting → connecting → live → holding → waiting, or retrying → failed, and closing.

Media comes by `video` and `audio` at any time and is never waited for. A connection is opened as soon as a publisher
is there, so that it is mostly ready before the first picture; what comes meanwhile is kept from the last keyframe on.
"""

import asyncio
import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol

from transponder_crd import control
from transponder_crd.control import OutputReason, OutputState
from transponder_relay.media import AudioTag, VideoTag
from transponder_relay.outputs.backlog import Backlog
from transponder_relay.outputs.backoff import Backoff, made_progress
from transponder_relay.outputs.catch_up import CatchUp
from transponder_relay.outputs.connection import Connection
from transponder_relay.outputs.failure import Failure
from transponder_relay.outputs.feed import Epoch, Feed
from transponder_relay.outputs.liveness import Liveness
from transponder_relay.outputs.opening import open_connection
from transponder_relay.outputs.sender import Counters, Sender
from transponder_relay.outputs.settings import OutputSettings
from transponder_relay.outputs.standing import Standing
from transponder_relay.rates import Counted
from transponder_relay.sound.coding import Coding, missing_library

__all__ = ["Output", "OutputEvents", "OutputSettings"]

_log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between two looks at the liveness of a connection."""


class OutputEvents(Protocol):
    """Called in the event loop; must not raise."""

    def on_change(self) -> None:
        """The report changed in more than counters."""

    def want_keyframe(self) -> None:
        """Ask the publisher for one."""


class Output:
    """One RTMP destination. Everything about it runs in the event loop that feeds it."""

    def __init__(
        self,
        desired: control.DesiredOutput,
        settings: OutputSettings,
        events: OutputEvents,
        former: "Output | None" = None,
    ) -> None:
        """Starts nothing. Another target needs another Output. `former`: one in whose place this comes; being closed,
        its session ends before one begins here."""
        self._desired = desired
        self._settings = settings
        self._events = events
        self._backoff = Backoff(desired.reconnect)
        self._counters = Counters()
        self._epoch = Epoch()
        self._pending = CatchUp(self._new_backlog(), settings.catch_up * 1000)
        self._sender: Sender | None = None
        self._task: asyncio.Task[None] | None = None
        """Connects and keeps the connection."""
        self._tasks: set[asyncio.Task[None]] = set(former._tasks) if former else set()
        """That one, and those that still end an earlier session."""
        for task in self._tasks:
            task.add_done_callback(self._tasks.discard)
        self._hold: asyncio.TimerHandle | None = None
        """Ends a session that has no publisher."""
        self._takes_stills = False
        """The session began with a publisher that is gone, and no picture of another one has come."""
        self._closed = False
        self._standing = Standing()
        self._reconnects = 0
        self._was_lost = False

    # -------------------------------------------------------------------------------------------- media

    def video(self, tag: VideoTag) -> None:
        """Send it now or, while there is no connection, keep it. Never blocks, never raises."""
        self._takes_stills = False
        if self._sender is not None:
            self._sender.send(tag)
        else:
            self._pending.video(tag)

    def audio(self, tag: AudioTag) -> None:
        """As `video`."""
        if self._sender is not None:
            self._sender.send(tag)
        else:
            self._pending.audio(tag)

    def together(self) -> AbstractContextManager[None]:
        """What is sent inside goes out together."""
        return self._sender.together() if self._sender is not None else nullcontext()

    def still(self, tag: VideoTag) -> None:
        """The last picture again. Taken by a session that was live when the publisher went, until another's picture."""
        if self._takes_stills and self._sender is not None:
            self._sender.send(tag)

    # -------------------------------------------------------------------------------------------- the publisher

    @property
    def holding(self) -> bool:
        """The publisher is gone, and the session is kept up."""
        return self._standing.state is OutputState.HOLDING

    def publisher_connected(self) -> None:
        """Media is coming: connect now, before the first picture. A session that is held goes on."""
        if self.holding and not self._closed:
            self._cancel_hold()
            self._become(OutputState.LIVE)
            return
        if self._closed or self._standing.state is not OutputState.WAITING:
            return
        self._epoch = Epoch()
        self._pending.clear()
        self._pending.midstream = self._was_lost = False
        self._backoff.reset()
        self._become(OutputState.CONNECTING)
        task = asyncio.create_task(self._run(frozenset(self._tasks)), name=f"output {self._desired.id}")
        self._task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def publisher_gone(self) -> None:
        """Hold a live session for `hold_seconds`; then, or at once, end it in order and wait for the next publisher."""
        if self._closed or self._standing.state in (OutputState.WAITING, OutputState.HOLDING):
            return
        if self._standing.state is not OutputState.LIVE or not self._desired.hold_seconds:
            self._wait()
            return
        self._hold = asyncio.get_running_loop().call_later(self._desired.hold_seconds, self._wait)
        self._takes_stills = self._sender is not None and self._sender.has_picture
        self._become(OutputState.HOLDING)

    def _wait(self) -> None:
        """Without a session, for a publisher."""
        self._stop()
        self._become(OutputState.WAITING)

    def _cancel_hold(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    async def close(self) -> None:
        """End in order within `close_timeout`, else by force. May be called again."""
        if not self._closed:
            self._closed = True
            self._stop()
            self._become(OutputState.CLOSING)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.close_timeout + 0.5)
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _stop(self) -> None:
        """Have the session end in order. To cancel its task once more ends it by force."""
        self._cancel_hold()
        self._takes_stills = False
        self._sender = None
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def update(self, desired: control.DesiredOutput) -> None:
        """The wish changed, but not its target. The next report tells its generation."""
        self._backoff.policy = desired.reconnect
        self._desired = desired

    # -------------------------------------------------------------------------------------------- connections

    async def _run(self, earlier: frozenset[asyncio.Task[None]]) -> None:
        """Connect, and connect again. Ends by being cancelled, or when it gives up."""
        if earlier:  # a server refuses a name that it takes for published still
            await asyncio.wait(earlier)
        if library := missing_library(self._desired.audio_codec):
            self._become(OutputState.FAILED, Failure(OutputReason.CODEC_MISSING, library))
            return
        while True:
            try:
                connection = await open_connection(self._desired.target, self._settings)
                failure = await self._live(connection)
                self._was_lost = self._pending.midstream = True
            except Failure as refusal:
                failure = refusal
                self._reconnects += 1
            except Exception:  # a fault of ours must not leave the destination without a retry
                _log.exception("output %s failed unexpectedly", self._desired.id)
                failure = Failure(OutputReason.PROTOCOL_ERROR, "an unexpected error, see the log of the relay")
                self._reconnects += 1
            self._sender = None
            self._takes_stills = False
            if self.holding:  # there is nothing to hold any more, and nobody to connect for
                self._cancel_hold()
                self._become(OutputState.WAITING, failure)
                return
            delay = self._backoff.failed()
            self._become(OutputState.FAILED if delay is None else OutputState.RETRYING, failure)
            if delay is None:
                return
            await asyncio.sleep(delay)

    async def _live(self, connection: Connection) -> Failure:
        """Feed the connection until it is lost, and say why. Ends it in order when cancelled."""
        began, acknowledged_before = time.monotonic(), connection.acknowledged()
        acknowledged = acknowledged_before
        liveness = Liveness(began, self._settings.hung_after)
        try:
            self._enter_connection(connection)
            while not connection.lost.done():
                await asyncio.wait({connection.lost}, timeout=_TICK)
                acknowledged = max(acknowledged, connection.acknowledged())
                now = time.monotonic()
                if liveness.hung(now, acknowledged, connection.outstanding()):
                    text = f"the server took no data for {self._settings.hung_after:g} s"
                    return Failure(OutputReason.TIMEOUT, text)
                if made_progress(acknowledged - acknowledged_before, now - began):
                    self._backoff.reset()
            return connection.lost.result()
        except asyncio.CancelledError:
            await connection.finish(self._settings.close_timeout)
            raise
        finally:
            connection.abort()

    def _enter_connection(self, connection: Connection) -> None:
        """Live: send what was kept if that is fresh, else ask for a keyframe."""
        settings = self._settings
        if self._was_lost:
            self._reconnects += 1
            self._was_lost = False
        sound_alone_ms = settings.sound_alone_after * 1000
        coding = Coding.of(self._desired.audio_codec, self._desired.audio_bitrate)
        audio = replace(coding.config, sequence_header=b"")
        feed = Feed(connection.stream_id, self._epoch, audio, sound_alone_ms, settings.encoder)
        self._sender = Sender(connection, feed, self._new_backlog(), self._counters, self._events.want_keyframe)
        self._become(OutputState.LIVE)
        if self._pending.midstream and not self._pending:
            self._sender.ask_for_keyframe()
        while self._pending:
            self._sender.send(self._pending.pop())

    def _new_backlog(self) -> Backlog:
        return Backlog(self._settings.backlog_bytes, self._settings.backlog_seconds * 1000)

    # -------------------------------------------------------------------------------------------- report

    @property
    def counted(self) -> Counted:
        """What was sent since the relay started."""
        return Counted(self._counters.bytes_sent, self._counters.video_frames)

    def report(self) -> control.OutputReport:
        """`muted`, `sound_enabled` and the rates are left to the caller."""
        standing, counters = self._standing, self._counters
        round_trip = self._sender.round_trip if self._sender else None
        return control.OutputReport(
            id=self._desired.id,
            generation=self._desired.generation,
            state=standing.state,
            reason=standing.failure.reason if standing.failure else None,
            message=standing.failure.message if standing.failure else None,
            reconnects=self._reconnects,
            live_since=standing.live_since,
            statistics=control.OutputStatistics(
                bytes_sent=counters.bytes_sent,
                video_frames=counters.video_frames,
                audio_frames=counters.audio_frames,
                dropped_frames=counters.dropped_frames,
                queued_bytes=self._sender.queued_bytes if self._sender else self._pending.bytes,
                keyframe_interval=counters.keyframe_interval if self._sender else None,
                rtt_ms=None if round_trip is None else round_trip * 1000,
            ),
        )

    def _become(self, state: OutputState, failure: Failure | None = None) -> None:
        if self._closed:
            state, failure = OutputState.CLOSING, None
        if self._standing.become(state, failure):
            self._events.on_change()
