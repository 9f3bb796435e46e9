"""One stream: joins the publisher's session, the soundtrack and the outputs, as the desired state says."""

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Sequence

from transponder_crd import control
from transponder_crd.names import loggable
from transponder_crd.offer import InvalidOffer
from transponder_crd.tasks import happens
from transponder_relay.clock import StreamClock
from transponder_relay.destinations import Destinations
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, AudioTag, CodedPicture, SoundPacket, VideoConfig
from transponder_relay.outputs.output import OutputSettings
from transponder_relay.pictures import Pictures
from transponder_relay.playback.players import NothingPublished, Players
from transponder_relay.publisher import Publisher
from transponder_relay.settings import RelaySettings
from transponder_relay.sound.batch import SoundBatch
from transponder_relay.sound.soundtrack import Soundtrack
from transponder_relay.stream_statistics import Statistics
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.sockets import player_ports

logger = logging.getLogger(__name__)


class OtherStream(Exception):
    """This relay serves another stream."""


class Draining(Exception):
    """This relay takes no publisher any more."""


PUBLISHER_STOPPED = "Stopped by publisher stop"
"""WCS `info` of players whose publisher is gone."""

FALLBACK_DELAY_MS = 150
"""How long sound may be overdue before silence takes its place."""


class Relay:
    """The events of ingest, sound and outputs meet here; all of it runs in one event loop."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._stream_name = settings.stream_name
        self.draining = False
        self._timeline = Timeline()
        self._soundtrack = Soundtrack(settings.sounds_folder, self)
        self._pictures = Pictures(self._timeline)
        self.players = Players(_player_transport(settings), self._timeline.now, self.want_keyframe, self._serve)
        self._publisher: Publisher | None = None
        self._statistics = Statistics()
        self._keyframe_interval = 2.0
        output_settings = OutputSettings(ca_file=settings.rtmps_ca_file)
        self._outputs = Destinations(output_settings, self._soundtrack, self._statistics, self)
        self._batch = SoundBatch(self._soundtrack.live, self._outputs.together)
        self._endings: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._clock = StreamClock(self._on_tick)
        """Runs while anything is streamed."""

    # ------------------------------------------------------------------------------------------ desired state

    def apply(self, desired: control.DesiredRelay) -> None:
        """Become what `desired` says. Returns at once; reports tell when it is so. Raises OtherStream."""
        if not self._stream_name:
            logger.info("serves stream %s", loggable(desired.stream_name))
            self._stream_name = desired.stream_name
        if desired.stream_name != self._stream_name:
            raise OtherStream
        self._keyframe_interval = desired.keyframe_interval
        self._become(desired.publisher, desired.outputs)

    def _become(self, publisher: control.DesiredPublisher | None, outputs: Sequence[control.DesiredOutput]) -> None:
        self._take_sound()  # what came before a wish is heard as it was wished before
        self._apply_publisher(publisher)
        self._outputs.apply(outputs, published=self._is_published, running=self._clock.running)
        self._touch()

    def _apply_publisher(self, desired: control.DesiredPublisher | None) -> None:
        present = self._publisher
        if present and (desired is None or present.id != desired.id):
            self._publisher = None
            present.stop()  # its end must not be taken for that of the next one
            self._statistics.publisher_replaced(present.statistics())
            self._publisher_gone()
            self._end(present.close())
        if desired and self._publisher is None and not self.draining:
            self._publisher = Publisher(desired.id, self._settings, self._timeline, self)
        if self._publisher:
            self._publisher.set_keyframe_interval(self._keyframe_interval)

    def on_outputs_arranged(self) -> None:
        """Which output gets which pictures, and what the publisher is to give for that."""
        self._pictures.set_outputs(self._outputs.with_enhanced())
        self._serve()

    def _serve(self) -> None:
        if self._publisher:
            wants_h264 = self._pictures.wants_h264 or bool(self.players.connected)
            self._publisher.serve(transcoded=wants_h264, passed=self._pictures.wants_passed)

    async def answer(self, offer: control.Offer) -> str:
        """The SDP answer for the desired publisher. Raises InvalidOffer, Draining, OSError when no media port is
        free."""
        if self.draining:
            raise Draining
        if self._publisher is None or self._publisher.id != offer.publisher_id:
            raise InvalidOffer("publisherId", "must be the publisher that this relay waits for")
        return await self._publisher.answer(offer.sdp, self._pictures.all_enhanced)

    async def play(self, offer: control.PlayOffer) -> str:
        """The SDP answer to a player. Raises NothingPublished, InvalidOffer, TooManyPlayers; OSError when no media
        port is free."""
        media = self._publisher.playable() if self._publisher else None
        if media is None:
            raise NothingPublished
        return await self.players.answer(offer, media)

    # ------------------------------------------------------------------------------------------ reports

    def report(self) -> control.RelayReport:
        return control.RelayReport(
            instance=self._settings.instance,
            draining=self.draining,
            publisher=self._publisher.report() if self._publisher else None,
            outputs=self._outputs.reports(running=self._clock.running),
            ingest=self._statistics.ingest(self._present, self._soundtrack.statistics),
        )

    @property
    def _present(self) -> control.IngestStatistics | None:
        """Of the present publisher."""
        return self._publisher.statistics() if self._publisher else None

    def next_change(self) -> asyncio.Event:
        """Set by the next transition."""
        return self._changed

    async def wait_for(self, change: asyncio.Event, timeout: float) -> None:
        """Return on that transition, or after `timeout` seconds."""
        await happens(change, within=timeout)

    def _touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # ------------------------------------------------------------------------------------------ publisher's events

    def on_publisher_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        self._batch.begin()
        self._pictures.set_codec(video_codec)
        self.on_outputs_arranged()
        self._soundtrack.set_codec(audio_codec)
        if not self._clock.running:  # else sound has gone on for the sessions that were held
            self._soundtrack.restart(self._position(time.monotonic()))
            self._clock.start()
        for output in self._outputs:
            output.publisher_connected()
        self._touch()

    def on_publisher_changed(self) -> None:
        self._touch()

    def on_publisher_ended(self) -> None:
        self._publisher_gone()
        if self._publisher:
            self._end(self._publisher.close())
        self._touch()

    def on_video(self, unit: AccessUnit, time_ms: int) -> None:
        self._pictures.send_h264(unit, time_ms)
        if self.players.connected:
            self.players.video(unit, time_ms)
        self._batch.picture()

    def on_coded_picture(self, picture: CodedPicture, time_ms: int) -> VideoConfig | None:
        config = self._pictures.send_as_it_came(picture, time_ms)
        self._batch.picture()
        return config

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        self._batch.add(packet, position)
        if self.players.connected:
            self.players.sound(packet, position)

    def _take_sound(self) -> None:
        """All that waits. A fault in it stops nothing."""
        try:
            self._batch.flush()
        except Exception:
            logger.exception("sound that had come was lost")

    def _publisher_gone(self) -> None:
        self._take_sound()
        for output in self._outputs:
            output.publisher_gone()
        self._pictures.hold()
        self.players.end_all(PUBLISHER_STOPPED)
        self._soundtrack.set_codec(None)
        self._timeline.new_publisher()
        self._stop_idle_clock()

    def _stop_idle_clock(self) -> None:
        """Without a publisher nothing is streamed but to sessions that are held."""
        if not self._is_published and not any(output.holding for output in self._outputs):
            self._clock.stop()
            self._pictures.drop_stills()
            self._statistics.stopped()

    @property
    def _is_published(self) -> bool:
        return self._publisher is not None and self._publisher.state == control.PublisherState.CONNECTED

    def _on_tick(self, now: float) -> None:
        self._stop_idle_clock()
        if not self._clock.running:
            return
        self._pictures.show_still(now)
        if self._statistics.due(now):
            self._statistics.look(now, self._present, self._outputs.counted())
        silence_to = self._position(now) - FALLBACK_DELAY_MS * 48
        self._batch.clock(now, self._soundtrack.end, silence_to)
        self._soundtrack.advance(silence_to)

    def _position(self, now: float) -> int:
        return int(self._timeline.now(now) * 48)

    # ------------------------------------------------------------------------------------------ sound's events

    def on_audio(self, output_ids: Collection[str], tag: AudioTag) -> None:
        self._outputs.audio(output_ids, tag)

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

    @property
    def has_publisher(self) -> bool:
        """Whether one is connected, or about to be."""
        states = (control.PublisherState.CONNECTING, control.PublisherState.CONNECTED)
        return self._publisher is not None and self._publisher.state in states

    def drain(self) -> None:
        """Take no other publisher from now on. One that has not made its offer is not waited for."""
        self.draining = True
        if not self.has_publisher:
            self._apply_publisher(self._ended_publisher())
        self._touch()

    def _ended_publisher(self) -> control.DesiredPublisher | None:
        """Reports go on telling why it ended."""
        publisher = self._publisher
        ended = publisher is not None and publisher.state is control.PublisherState.ENDED
        return control.DesiredPublisher(id=publisher.id) if publisher and ended else None

    async def close(self) -> None:
        """End all in order: the RTMP sessions, the players, the publisher's. Bounded by the parts' own limits."""
        self._become(self._ended_publisher(), ())
        self.players.end_all(PUBLISHER_STOPPED)
        await asyncio.gather(*self._endings, *self._outputs.endings, self.players.close(), return_exceptions=True)


def _player_transport(settings: RelaySettings) -> TransportSettings:
    ports = player_ports(settings.media_port_range)
    return TransportSettings(addresses=tuple(settings.media_addresses), nat=settings.media_nat, port_range=ports)
