"""The publisher of a relay's stream: from being desired, over its offer, to its end."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Protocol

from transponder_crd import control
from transponder_crd.control import PublisherState
from transponder_crd.offer import InvalidOffer
from transponder_relay.ingest.session import IngestSettings, PublisherSession
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, ParameterSets, SoundPacket, VideoConfig
from transponder_relay.playback.offer import Playable
from transponder_relay.settings import RelaySettings
from transponder_relay.transcode.transcoder import Transcoder

logger = logging.getLogger(__name__)

NO_OFFER = "Session not ready"
"""WCS `info` of a publisher that was announced and never came."""


class PublisherOwner(Protocol):
    """Where the media and the transitions of a publisher go."""

    def on_publisher_connected(self, video_codec: str | None, audio_codec: str | None) -> None: ...
    def on_publisher_changed(self) -> None: ...
    def on_publisher_ended(self) -> None: ...
    def on_video(self, unit: AccessUnit, time_ms: int) -> None: ...
    def on_coded_picture(self, picture: CodedPicture, time_ms: int) -> VideoConfig | None: ...
    def on_sound(self, packet: SoundPacket, position: int) -> None: ...


class Publisher:
    """One publisher, known by the uid of its Stream. It takes one offer, and once ended it stays ended."""

    def __init__(self, publisher_id: str, settings: RelaySettings, timeline: Timeline, owner: PublisherOwner) -> None:
        self.id = publisher_id
        self.state = PublisherState.WAITING
        self._settings = settings
        self._timeline = timeline
        self._owner = owner
        self._session: PublisherSession | None = None
        self._transcoder: Transcoder | None = None
        """Of a picture that is not H.264."""
        self._is_transcoded, self._is_passed = True, False
        self._left_out = False
        """Pictures were not transcoded: the next one must be a keyframe."""
        self._keyframe_interval = 2.0
        self._reason: str | None = None
        self._codecs: tuple[str | None, str | None] = (None, None)
        self._parameter_sets: ParameterSets | None = None
        self._size = (0, 0)
        self._started_at: datetime | None = None
        self._patience = asyncio.get_running_loop().call_later(settings.offer_timeout, self.on_ended, NO_OFFER)

    async def answer(self, sdp: str, passed: bool = False) -> str:
        """Take the offer; `passed`: all outputs take enhanced RTMP. Raises InvalidOffer, OSError when no media port is
        free; it may then be offered again."""
        if self.state != PublisherState.WAITING or self._session is not None:
            raise InvalidOffer("sdp", "this publisher has made its offer already")
        session = PublisherSession(self._ingest_settings(passed), self._timeline, self)
        self._session = session
        try:
            answer = await session.answer(sdp)
        except BaseException:
            self._session = None
            await session.close()
            raise
        self._patience.cancel()
        if self.state == PublisherState.WAITING:
            self.state = PublisherState.CONNECTING
            self._owner.on_publisher_changed()
        return answer

    def _ingest_settings(self, passed: bool) -> IngestSettings:
        return IngestSettings(
            addresses=tuple(self._settings.media_addresses),
            nat=self._settings.media_nat,
            port_range=self._settings.media_port_range,
            keyframe_interval=self._keyframe_interval,
            max_bitrate=self._settings.max_bitrate,
            passed=passed,
        )

    def set_keyframe_interval(self, seconds: float) -> None:
        self._keyframe_interval = seconds
        if self._session:
            self._session.set_keyframe_interval(seconds)
        if self._transcoder:
            self._transcoder.set_keyframe_interval(seconds)

    def request_keyframe(self) -> None:
        """For an output: of the encoder if the picture is transcoded, of the publisher if it is passed on."""
        if self._transcoder:
            self._transcoder.request_keyframe()
        if self._session and (self._is_passed or not self._transcoder):
            self._session.request_keyframe()

    def serve(self, *, transcoded: bool, passed: bool) -> None:
        """How pictures that are not H.264 are wanted."""
        self._is_transcoded, self._is_passed = transcoded, passed
        if self._session and self._transcoder:
            self._session.set_passed_on(passed, self._keyframe_interval)

    def playable(self) -> Playable | None:
        """What players can be sent; None while it is not connected."""
        if self.state is not PublisherState.CONNECTED:
            return None
        video, audio = self._codecs
        sets = self._parameter_sets
        return Playable(video is not None, audio, sets.sps[0] if sets else None)

    def report(self) -> control.PublisherReport:
        return control.PublisherReport(
            id=self.id,
            state=self.state,
            reason=self._reason,
            video_codec=self._codecs[0],
            audio_codec=self._codecs[1],
            width=self._size[0],
            height=self._size[1],
            started_at=self._started_at,
        )

    def statistics(self) -> control.IngestStatistics:
        statistics = self._session.statistics() if self._session else control.IngestStatistics()
        if self._transcoder:
            transcoder = self._transcoder
            update = {"frames_transcoded": transcoder.encoded, "frames_not_transcoded": transcoder.dropped}
            statistics = statistics.model_copy(update=update)
        if self.state is PublisherState.ENDED:
            return statistics.followed_by(control.IngestStatistics())  # counters alone
        return statistics

    # ------------------------------------------------------------------------------------------ session's events

    def on_connected(self, video_codec: str | None, audio_codec: str | None) -> None:
        self.state = PublisherState.CONNECTED
        self._codecs = (video_codec, audio_codec)
        self._started_at = datetime.now(UTC)
        if video_codec not in (None, "H264"):
            self._transcoder = Transcoder(video_codec, self._settings.max_bitrate, self)
            self._transcoder.set_keyframe_interval(self._keyframe_interval)
        self._owner.on_publisher_connected(video_codec, audio_codec)

    def on_video(self, picture: AccessUnit | CodedPicture, time_ms: int) -> None:
        if self.state is not PublisherState.CONNECTED:
            return  # what was under way when the session was closed
        if isinstance(picture, AccessUnit):
            self._pass_on(picture, time_ms)
            return
        if self._is_passed:
            config = self._owner.on_coded_picture(picture, time_ms)
            if config:
                self._see(config.width, config.height)
        if self._transcoder:
            self._transcode(self._transcoder, picture, time_ms)

    def _transcode(self, transcoder: Transcoder, picture: CodedPicture, time_ms: int) -> None:
        if not self._is_transcoded:
            self._left_out = True
        elif self._left_out and not picture.keyframe:
            self.on_source_keyframe_needed()
        else:
            self._left_out = False
            transcoder.push(picture, time_ms)

    def on_transcoded(self, unit: AccessUnit, time_ms: int) -> None:
        self._pass_on(unit, time_ms)

    def on_source_keyframe_needed(self) -> None:
        if self._session:
            self._session.request_keyframe()

    def _pass_on(self, unit: AccessUnit, time_ms: int) -> None:
        sets = unit.parameter_sets
        if sets is not self._parameter_sets:
            self._parameter_sets = sets
            self._see(sets.width, sets.height)
        self._owner.on_video(unit, time_ms)

    def _see(self, width: int, height: int) -> None:
        if (width, height) != self._size:
            self._size = (width, height)
            self._owner.on_publisher_changed()

    def on_sound(self, packet: SoundPacket, position: int) -> None:
        if self.state is PublisherState.CONNECTED:
            self._owner.on_sound(packet, position)

    def on_ended(self, reason: str) -> None:
        if self.state == PublisherState.ENDED:
            return
        self.stop()
        self._reason = reason
        self._owner.on_publisher_ended()

    def stop(self) -> None:
        """Nothing more is told to the owner. `close` it then."""
        self._patience.cancel()
        self.state = PublisherState.ENDED
        if self._transcoder:
            self._transcoder.stop()

    async def close(self) -> None:
        self.stop()
        if self._transcoder:
            await self._transcoder.close()
        if self._session:
            await self._session.close()
