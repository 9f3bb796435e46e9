"""The pipeline in a thread of its own, with a bounded queue before it, so that it can never stall the ingest.

    push ─► queue ─► thread: decode, encode (the GIL is free meanwhile) ─► event loop ─► on_transcoded

It falls behind in two steps: of pictures that waited long three in four are decoded but not encoded, so that the
picture rate sinks; with the queue full, all up to the next keyframe is dropped, and a keyframe is asked for.
"""

import asyncio
import logging
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol

from transponder_crd.tasks import happens
from transponder_relay.media import AccessUnit, CodedPicture
from transponder_relay.transcode.pipeline import DamagedPicture, Pipeline

logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds that a picture may wait before its encoding is left out: a burst after a stall of the network takes less."""
MOST_LEFT_OUT = 3
"""Pictures in a row that are not encoded: so that the picture does not freeze."""
FULL = 60
"""Pictures that may wait."""
CLOSE_SECONDS = 1.0


class TranscoderEvents(Protocol):
    """Called in the event loop."""

    def on_transcoded(self, unit: AccessUnit, time_ms: int) -> None:
        """In order; `time_ms` is that of the coded picture."""
        ...

    def on_source_keyframe_needed(self) -> None:
        """The decoder cannot go on without one."""
        ...


class _Job:
    __slots__ = ("number", "picture", "pushed", "time_ms")

    def __init__(self, number: int, picture: CodedPicture, time_ms: int) -> None:
        self.number = number
        self.picture = picture
        self.time_ms = time_ms
        self.pushed = time.monotonic()


class Transcoder:
    """Made, and called, in the event loop; `close` it in the end."""

    def __init__(self, codec: str, max_bitrate: int, events: TranscoderEvents, patience: float = PATIENCE) -> None:
        """`codec`: VP8, VP9, AV1 or H265. `max_bitrate`: bit/s. `patience`: seconds, as PATIENCE."""
        self.encoded = 0
        """Pictures."""
        self._events = events
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._pushed = self._done = self._overflowed = 0
        self._awaiting_keyframe = True
        self._closed = False
        self._ended = asyncio.Event()
        self._pipeline = Pipeline(codec, max_bitrate)
        self._oldest = 0  # number of the first job that is still of use
        self._left_out = 0  # counted by the thread
        self._in_a_row = 0  # the thread's own
        threading.Thread(target=self._run, name="transcoder", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Pictures that were not encoded: damaged, or there was no time for them."""
        return self._overflowed + self._left_out

    def push(self, picture: CodedPicture, time_ms: int) -> None:
        """Never blocks. `time_ms`: stream clock."""
        if self._closed:
            return
        if picture.keyframe:
            self._awaiting_keyframe = False
        if self._pushed - max(self._done, self._oldest) >= FULL:
            if picture.keyframe:
                self._oldest = self._pushed  # what waits is of no use any more
            else:
                self._awaiting_keyframe = True
                self._events.on_source_keyframe_needed()
        if self._awaiting_keyframe:
            self._overflowed += 1
            return
        self._queue.put(_Job(self._pushed, picture, time_ms))
        self._pushed += 1

    def request_keyframe(self) -> None:
        """Of the encoder, with the next picture if the last one is not too near."""
        self._pipeline.keyframe_wanted = True

    def set_keyframe_interval(self, seconds: float) -> None:
        self._pipeline.keyframe_interval = seconds

    def stop(self) -> None:
        """Nothing more comes out of it."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)

    async def close(self) -> None:
        """Stop, and wait for the thread; idempotent and bounded."""
        self.stop()
        await happens(self._ended, within=CLOSE_SECONDS)

    # ------------------------------------------------------------------------------------------ in the event loop

    def _on_done(self, unit: AccessUnit | None, time_ms: int) -> None:
        self._done += 1
        if unit is not None and not self._closed:
            self.encoded += 1
            self._events.on_transcoded(unit, time_ms)

    def _on_damage(self) -> None:
        if not self._closed:
            self._events.on_source_keyframe_needed()

    # ------------------------------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        damaged = False
        with suppress(RuntimeError):  # the loop was closed
            while (job := self._queue.get()) is not None and not self._closed:
                unit = None
                if job.number < self._oldest or (damaged and not job.picture.keyframe):
                    self._left_out += 1
                else:
                    unit, damaged = self._transcode(job)
                self._loop.call_soon_threadsafe(self._on_done, unit, job.time_ms)
            self._loop.call_soon_threadsafe(self._ended.set)

    def _transcode(self, job: _Job) -> tuple[AccessUnit | None, bool]:
        """The access unit if there is one, and whether a keyframe is needed to go on."""
        in_time = time.monotonic() - job.pushed <= self._patience or self._in_a_row >= MOST_LEFT_OUT
        self._in_a_row = 0 if in_time else self._in_a_row + 1
        try:
            unit = self._pipeline.transcode(job.picture, in_time)
        except DamagedPicture as error:
            logger.warning("a picture could not be transcoded: %s", error)
        except Exception:
            logger.exception("transcoding failed")
        else:
            self._left_out += not in_time
            return unit, False
        self._left_out += 1
        self._loop.call_soon_threadsafe(self._on_damage)
        return None, True
