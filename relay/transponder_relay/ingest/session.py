"""One publisher: its SDP offer answered, its media received, its feedback sent, its end told."""

import asyncio
import math
import secrets
import time

from transponder_crd.control import IngestStatistics
from transponder_relay.ingest.answer import write_answer
from transponder_relay.ingest.bitrate import BitratePolicy
from transponder_relay.ingest.events import PublisherEvents as PublisherEvents
from transponder_relay.ingest.feedback import Feedback
from transponder_relay.ingest.jitter import RepairTiming
from transponder_relay.ingest.keyframes import KeyframePolicy
from transponder_relay.ingest.offer import Offer, parse_offer
from transponder_relay.ingest.picture_receiver import VideoReceiver
from transponder_relay.ingest.receiver import Counters
from transponder_relay.ingest.settings import IngestSettings as IngestSettings
from transponder_relay.ingest.sound_receiver import AudioReceiver
from transponder_relay.ingest.timeline import Kind, Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.webrtc import rtcp
from transponder_relay.webrtc.connecting import ICE_KEEP_ALIVE, STOPPED_BY_USER, connect
from transponder_relay.webrtc.rtp import InvalidPacket, parse_rtp
from transponder_relay.webrtc.transport import MediaTransport

RTP_ACTIVITY = "Failed by RTP activity"
"""WCS `info` string, as those of `connecting`."""

REPORT_INTERVAL = 1.0
"""Seconds between two receiver reports, each with a REMB."""

REPAIR_STEP = 0.01
"""Seconds between two looks at what is missing, at most."""


class PublisherSession:
    """Takes one offer; `close` it in the end, whatever happened."""

    def __init__(self, settings: IngestSettings, timeline: Timeline, events: PublisherEvents) -> None:
        self._settings = settings
        self._timeline = timeline
        self._events = events
        self._counters = Counters()
        self._timing = RepairTiming()
        self._keyframes = KeyframePolicy(settings.keyframe_interval)
        self._passed_on = True
        """The picture reaches the outputs as it is; else it is transcoded, and only loss needs a keyframe of it."""
        self._bitrate = BitratePolicy(settings.max_bitrate)
        self._octets_reported = 0
        self._feedback: Feedback | None = None
        self._transport: MediaTransport | None = None
        self._video: VideoReceiver | None = None
        self._audio: AudioReceiver | None = None
        self._video_type = self._rtx_type = self._audio_type = -1
        self._connecting: asyncio.Task[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._repair: asyncio.TimerHandle | None = None
        self._last_rtp = 0.0
        self._keyframe_time: int | None = None
        self._ended = False

    # ------------------------------------------------------------------------------------------ for the owner

    async def answer(self, offer_sdp: str) -> str:
        """The SDP answer with all candidates. Raises InvalidOffer; OSError if no socket can be opened."""
        offer = parse_offer(offer_sdp, self._settings.passed)
        self._transport = MediaTransport(self._settings, self)
        local = await self._transport.gather()
        self._feedback = Feedback(self._transport, offer.transport.reduced_size)
        self._prepare_receivers(offer)
        self._transport.prepare(offer.transport)
        self._connecting = asyncio.create_task(self._connect(offer, self._transport))
        return write_answer(offer, local, self._settings, secrets.randbits(62))

    def request_keyframe(self) -> None:
        """Ask the publisher for a keyframe, at most each 0.5 s."""
        self._keyframes.want()
        self._ask_for_keyframe(time.monotonic())

    def set_keyframe_interval(self, seconds: float) -> None:
        """Of a picture that is transcoded the interval is the encoder's matter: nothing happens."""
        if self._passed_on:
            self._keyframes.set_interval(seconds)

    def set_passed_on(self, passed: bool, keyframe_interval: float) -> None:
        """Whether the picture reaches an output as it is; then keyframes are asked for at that interval (seconds)."""
        self._passed_on = passed
        self._keyframes.set_interval(keyframe_interval if passed else math.inf)

    def statistics(self) -> IngestStatistics:
        counters, round_trip = self._counters, self._timing.round_trip
        return IngestStatistics(
            bytes_received=counters.bytes_received,
            packets_received=counters.packets_received,
            packets_lost=sum(r.lost for r in (self._video, self._audio) if r),
            packets_repaired=counters.packets_repaired,
            video_frames=counters.video_frames,
            video_frames_dropped=counters.video_frames_dropped,
            keyframes=counters.keyframes,
            keyframe_requests=self._keyframes.requests,
            audio_packets=counters.audio_packets,
            keyframe_interval=counters.keyframe_interval,
            allowed_bitrate=self._bitrate.limit if self._video else None,
            rtt_ms=None if round_trip is None else round_trip * 1000,
            skew_ms=self._timeline.skew,
        )

    async def close(self) -> None:
        """Tell the peer by DTLS, close the sockets; idempotent and bounded."""
        self._ended = True
        for timer in (self._tick, self._repair):
            if timer is not None:
                timer.cancel()
        self._tick = self._repair = None
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})  # raises nothing of what it raised
        if self._transport is not None:
            await self._transport.close()

    # ------------------------------------------------------------------------------------------ connecting

    def _prepare_receivers(self, offer: Offer) -> None:
        if offer.video:
            self._passed_on = offer.video.codec == "H264"
            if not self._passed_on:
                self._keyframes.set_interval(math.inf)
            self._video = VideoReceiver(offer.video, self._timing, self._counters, self._on_picture, self._on_damage)
            self._video_type = offer.video.payload_type
            self._rtx_type = -1 if offer.video.rtx_payload_type is None else offer.video.rtx_payload_type
        if offer.audio:
            self._audio = AudioReceiver(offer.audio, self._timing, self._counters, self._on_sound)
            self._audio_type = offer.audio.payload_type

    async def _connect(self, offer: Offer, transport: MediaTransport) -> None:
        failure = await connect(transport, offer.transport, self._settings.connect_timeout)
        if failure is not None:
            self._end(failure)
            return
        self._last_rtp = time.monotonic()
        self._timeline.new_publisher()
        self._on_tick()
        self._events.on_connected(
            offer.video.codec if offer.video else None,
            offer.audio.codec if offer.audio else None,
        )

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._events.on_ended(reason)

    # ------------------------------------------------------------------------------------------ transport's events

    def on_rtp(self, data: bytes, arrival: float) -> None:
        if self._ended:
            return
        self._last_rtp = arrival
        if self._video is not None and self._video.keep(data, arrival):
            return
        try:
            packet = parse_rtp(data)
        except InvalidPacket:
            return
        counters = self._counters
        counters.packets_received += 1
        counters.bytes_received += len(data)
        payload_type = packet.payload_type
        if payload_type == self._video_type and self._video:
            waiting = self._video.on_packet(packet, arrival)
        elif payload_type == self._audio_type and self._audio:
            waiting = self._audio.on_packet(packet, arrival)
        elif payload_type == self._rtx_type and self._video:
            waiting = self._video.on_retransmission(packet, arrival)
        else:
            return
        if waiting and self._repair is None:
            self._schedule_repair()

    def on_rtcp(self, data: bytes, arrival: float) -> None:
        if self._ended:
            return
        try:
            items = rtcp.parse_rtcp(data)
        except InvalidPacket:
            return
        for item in items:
            if isinstance(item, rtcp.SenderReport):
                self._on_sender_report(item, arrival)
            elif isinstance(item, rtcp.Goodbye):
                self._on_goodbye(item)
            elif isinstance(item, rtcp.ReceiverTimeEcho) and self._feedback:
                round_trip = self._feedback.round_trip(item, arrival)
                if round_trip is not None:
                    self._timing.measured_path(round_trip)

    def on_round_trip(self, seconds: float) -> None:
        self._timing.measured_path(seconds)

    def on_transport_closed(self, by_peer: bool) -> None:
        self._end(STOPPED_BY_USER if by_peer else ICE_KEEP_ALIVE)

    def _on_sender_report(self, report: rtcp.SenderReport, arrival: float) -> None:
        for kind, receiver in ((Kind.PICTURE, self._video), (Kind.SOUND, self._audio)):
            rtp_time = receiver.sender_report(report, arrival) if receiver else None
            if rtp_time is not None:
                self._timeline.sender_report(kind, report.seconds, rtp_time)

    def _on_goodbye(self, goodbye: rtcp.Goodbye) -> None:
        """The publisher is gone when every stream that it sent is."""
        live = {r.ssrc for r in (self._video, self._audio) if r and r.ssrc is not None}
        if live and live <= set(goodbye.ssrcs):
            self._end(STOPPED_BY_USER)

    # ------------------------------------------------------------------------------------------ receivers' events

    def _on_picture(self, picture: AccessUnit | CodedPicture) -> None:
        counters, now = self._counters, time.monotonic()  # it may have come before, and waited for packets
        time_ms = self._timeline.video(picture.rtp_time, picture.arrival)
        counters.video_frames += 1
        if picture.keyframe:
            self._on_keyframe(now, time_ms)
        self._events.on_video(picture, time_ms)
        self._ask_for_keyframe(now)

    def _on_keyframe(self, now: float, time_ms: int) -> None:
        counters = self._counters
        counters.keyframes += 1
        if self._keyframe_time is not None:
            counters.keyframe_interval = (time_ms - self._keyframe_time) / 1000
        self._keyframe_time = time_ms
        self._keyframes.keyframe(now)

    def _on_damage(self) -> None:
        self._keyframes.want()
        self._ask_for_keyframe(time.monotonic())

    def _on_sound(self, packet: SoundPacket, samples: int) -> None:
        self._events.on_sound(packet, self._timeline.audio(packet.rtp_time, packet.arrival, samples))

    # ------------------------------------------------------------------------------------------ feedback

    def _ask_for_keyframe(self, now: float) -> None:
        video = self._video
        if video and video.ssrc is not None and self._feedback and not self._ended and self._keyframes.due(now):
            self._feedback.ask_for_keyframe(video.ssrc)

    def _on_tick(self) -> None:
        """Each second: report, look for the silence of a dead peer and for an overdue keyframe."""
        now = time.monotonic()
        if not self._ended and now - self._last_rtp >= self._settings.inactivity_timeout:
            self._end(RTP_ACTIVITY)
        if self._ended:
            return
        # first: whatever fails below, a dead peer is noticed
        self._tick = asyncio.get_running_loop().call_later(REPORT_INTERVAL, self._on_tick)
        self._timing.calm()
        blocks = [b for b in (r.report_block(now) for r in (self._video, self._audio) if r) if b]
        if self._video:
            self._limit_bitrate(self._video)
        if self._feedback:
            self._feedback.report(now, blocks, self._bitrate.limit, self._video.ssrc if self._video else None)
        self._ask_for_keyframe(now)

    def _limit_bitrate(self, video: VideoReceiver) -> None:
        octets = self._counters.bytes_received
        self._bitrate.report(*video.last_reported, octets - self._octets_reported)
        self._octets_reported = octets

    def _schedule_repair(self) -> None:
        """Wake up when the next missing packet is to be asked for or given up."""
        due = [d for d in (r.deadline() for r in (self._video, self._audio) if r) if d is not None]
        if due:
            # another packet may be found missing meanwhile, and be due sooner
            delay = max(0.001, min(min(due) - time.monotonic(), REPAIR_STEP))
            self._repair = asyncio.get_running_loop().call_later(delay, self._on_repair)

    def _on_repair(self) -> None:
        self._repair = None
        if self._ended:
            return
        now = time.monotonic()
        if self._audio:
            self._audio.on_timer(now)
        if self._video:
            missing = self._video.on_timer(now)
            if missing and self._video.ssrc is not None and self._feedback:
                self._feedback.ask_for_packets(self._video.ssrc, missing)
        self._schedule_repair()
