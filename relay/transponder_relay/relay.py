"""One stream: joins the publisher's session, the soundtrack and the outputs, as the desired state says."""

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine

from transponder_crd import control
from transponder_crd.offer import InvalidOffer
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, AudioTag, SoundPacket
from transponder_relay.outputs.flv import VideoTagger
from transponder_relay.outputs.output import Output, OutputSettings
from transponder_relay.publisher import Publisher
from transponder_relay.settings import RelaySettings
from transponder_relay.sound.batch import SoundBatch
from transponder_relay.sound.soundtrack import Soundtrack

logger = logging.getLogger(__name__)

FALLBACK_DELAY_MS = 150
"""How long sound may be overdue before silence takes its place."""

FALLBACK_TICK = 0.1
"""Seconds between two looks at whether sound is overdue."""


class Relay:
    """The events of ingest, sound and outputs meet here; all of it runs in one event loop."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._timeline = Timeline()
        self._soundtrack = Soundtrack(settings.sounds_folder, self)
        self._batch = SoundBatch(self._soundtrack.live)
        self._tagger = VideoTagger()
        self._publisher: Publisher | None = None
        self._former = control.IngestStatistics()
        """Of the publishers before this one."""
        self._keyframe_interval = 2.0
        self._outputs: dict[str, Output] = {}
        self._closing: dict[str, Output] = {}
        """Reported until their RTMP sessions are closed, so that nobody takes them for gone before."""
        self._desired: dict[str, control.DesiredOutput] = {}
        self._targets: tuple[Output, ...] = ()
        """The outputs as the hot path walks them."""
        self._endings: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._fallback: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------ desired state

    def apply(self, desired: control.DesiredRelay) -> None:
        """Become what `desired` says. Returns at once; reports tell when it is so."""
        self._keyframe_interval = desired.keyframe_interval
        self._apply_publisher(desired.publisher)
        wanted = {output.id: output for output in desired.outputs}
        for output_id in [i for i in self._outputs if not self._keeps(i, wanted.get(i))]:
            self._remove_output(output_id)
        for output in wanted.values():
            self._apply_output(output)
        self._touch()

    def _keeps(self, output_id: str, wanted: control.DesiredOutput | None) -> bool:
        return wanted is not None and wanted.target == self._desired[output_id].target

    def _apply_publisher(self, desired: control.DesiredPublisher | None) -> None:
        present = self._publisher
        if present and (desired is None or present.id != desired.id):
            self._publisher = None
            self._former = self._former.followed_by(present.statistics())
            self._publisher_gone()
            self._end(present.close())
        if desired and self._publisher is None:
            self._publisher = Publisher(desired.id, self._settings, self._timeline, self)
        if self._publisher:
            self._publisher.set_keyframe_interval(self._keyframe_interval)

    def _apply_output(self, desired: control.DesiredOutput) -> None:
        output = self._outputs.get(desired.id)
        self._desired[desired.id] = desired
        self._soundtrack.subscribe(desired.id, desired.muted, desired.sound, desired.audio_bitrate)
        if output is not None:
            output.update(desired)
            return
        output = Output(desired, OutputSettings(), self)
        self._outputs[desired.id] = output
        self._targets = tuple(self._outputs.values())
        if self._publisher and self._publisher.state == control.PublisherState.CONNECTED:
            output.publisher_connected()

    def _remove_output(self, output_id: str) -> None:
        self._soundtrack.unsubscribe(output_id)
        del self._desired[output_id]
        output = self._closing[output_id] = self._outputs.pop(output_id)
        self._targets = tuple(self._outputs.values())
        self._end(self._close_output(output_id, output))

    async def _close_output(self, output_id: str, output: Output) -> None:
        await output.close()
        if self._closing.get(output_id) is output:
            del self._closing[output_id]
        self._touch()

    async def answer(self, offer: control.Offer) -> str:
        """The SDP answer for the desired publisher. Raises InvalidOffer, OSError when no media port is free."""
        if self._publisher is None or self._publisher.id != offer.publisher_id:
            raise InvalidOffer("publisherId", "must be the publisher that this relay waits for")
        return await self._publisher.answer(offer.sdp)

    # ------------------------------------------------------------------------------------------ reports

    def report(self) -> control.RelayReport:
        return control.RelayReport(
            instance=self._settings.instance,
            publisher=self._publisher.report() if self._publisher else None,
            outputs=[self._output_report(i) for i in self._outputs]
            + [output.report() for i, output in self._closing.items() if i not in self._outputs],
            ingest=self._former.followed_by(self._publisher.statistics()) if self._publisher else self._former,
        )

    def _output_report(self, output_id: str) -> control.OutputReport:
        muted = self._desired[output_id].muted
        sounding = self._soundtrack.sound_enabled(output_id)
        return self._outputs[output_id].report().model_copy(update={"muted": muted, "sound_enabled": sounding})

    def next_change(self) -> asyncio.Event:
        """Set by the next transition."""
        return self._changed

    async def wait_for(self, change: asyncio.Event, timeout: float) -> None:
        """Return on that transition, or after `timeout` seconds."""
        try:
            await asyncio.wait_for(change.wait(), timeout)
        except TimeoutError:
            return

    def _touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ------------------------------------------------------------------------------------------ publisher's events

    def on_publisher_connected(self, audio_codec: str | None) -> None:
        self._soundtrack.set_codec(audio_codec)
        self._soundtrack.restart(self._position(time.monotonic()))
        for output in self._targets:
            output.publisher_connected()
        self._fallback = asyncio.create_task(self._fill_silence())
        self._touch()

    def on_publisher_changed(self) -> None:
        self._touch()

    def on_publisher_ended(self) -> None:
        self._publisher_gone()
        if self._publisher:
            self._end(self._publisher.close())
        self._touch()

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        tag = self._tagger.tag(unit, time_ms)
        for output in self._targets:
            output.video(tag)
        self._batch.picture()

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        self._batch.add(packet, position)

    def _publisher_gone(self) -> None:
        if self._fallback:
            self._fallback.cancel()
            self._fallback = None
        for output in self._targets:
            output.publisher_gone()
        self._batch.flush()
        self._soundtrack.set_codec(None)
        self._timeline.new_publisher()

    async def _fill_silence(self) -> None:
        while True:
            await asyncio.sleep(FALLBACK_TICK)
            now = time.monotonic()
            silence_to = self._position(now) - FALLBACK_DELAY_MS * 48
            self._batch.clock(now, silence_to)
            self._soundtrack.advance(silence_to)

    def _position(self, now: float) -> int:
        return int(self._timeline.now(now) * 48)

    # ------------------------------------------------------------------------------------------ sound's events

    def on_audio(self, output_ids: Collection[str], tag: AudioTag) -> None:
        for output_id in output_ids:
            self._outputs[output_id].audio(tag)

    def on_sound_change(self, output_id: str) -> None:  # noqa: ARG002 - a report tells of all outputs
        self._touch()

    # ------------------------------------------------------------------------------------------ outputs' events

    def on_change(self) -> None:
        self._touch()

    def want_keyframe(self) -> None:
        if self._publisher:
            self._publisher.request_keyframe()

    # ------------------------------------------------------------------------------------------ end

    def _end(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        """End all in order: the RTMP sessions, then the publisher's. Bounded by the parts' own limits."""
        self.apply(control.DesiredRelay(stream_name=self._settings.stream_name))
        await asyncio.gather(*self._endings, return_exceptions=True)
