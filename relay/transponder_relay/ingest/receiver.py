"""From RTP packets to access units and sound packets: the hot path of a session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct

from transponder_relay.ingest import av1, h264, hevc, vp8, vp9
from transponder_relay.ingest.audio import SOUND_CLOCK, g711_samples, opus_samples
from transponder_relay.ingest.jitter import JitterBuffer, RepairTiming
from transponder_relay.ingest.offer import VideoChoice
from transponder_relay.ingest.pictures import Depacketiser
from transponder_relay.ingest.reception import Reception
from transponder_relay.ingest.timeline import PICTURE_CLOCK
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.webrtc.rtcp import ReportBlock, SenderReport
from transponder_relay.webrtc.rtp import RtpPacket, original_of, unwrap16, unwrap32
from transponder_relay.webrtc.sdp import AudioChoice

REORDER_WAIT = 0.04
"""Seconds that sound waits for a missing packet: it is not asked for again."""
RUN_LIMIT = 64
"""Packets of a picture that are kept before they are looked at."""
SILENCE_OF_OLD = 1.0
"""Seconds without a packet after which another SSRC may take over."""

_TIME_AND_SSRC = Struct("!II").pack

_Arrived = tuple[RtpPacket, float]
"""A packet, and when it came itself, however long it then waited for one before it."""


@dataclass(slots=True)
class Counters:
    """As control.IngestStatistics, counted up in place."""

    bytes_received: int = 0
    packets_received: int = 0
    packets_repaired: int = 0
    video_frames: int = 0
    video_frames_dropped: int = 0
    keyframes: int = 0
    keyframe_interval: float | None = None
    """Seconds between the last two, on the stream clock."""
    audio_packets: int = 0


class _Stream:
    """One SSRC: unwrapped numbers, reception counts and order."""

    __slots__ = ("_arrived_time", "_released_time", "buffer", "last_arrival", "reception", "sequence", "ssrc", "time")

    def __init__(self, first: RtpPacket, clock: int, buffer: JitterBuffer[_Arrived]) -> None:
        self.ssrc = first.ssrc
        self.sequence = first.sequence + 0x10000  # so that a reordered start stays positive
        self.time = first.time + 0x100000000
        self._arrived_time = self._released_time = -1  # on the wire
        self.last_arrival = 0.0
        self.reception = Reception(self.sequence, clock)
        self.buffer = buffer

    def take(self, packet: RtpPacket, arrival: float) -> int:
        """Count an original packet; its unwrapped sequence number."""
        sequence = unwrap16(packet.sequence, self.sequence)
        self.last_arrival = arrival
        reception = self.reception
        reception.received += 1
        if sequence > self.sequence:
            self.sequence = reception.highest = sequence
        if packet.time != self._arrived_time:  # once a picture, as for jitter the rest of its packets say nothing
            self._arrived_time = packet.time
            reception.arrived(unwrap32(packet.time, self.time), arrival)
        return sequence

    def take_run(self, count: int, arrival: float) -> None:
        """Count original packets that came in order, the last of them at `arrival`."""
        self.last_arrival = arrival
        self.sequence += count
        self.reception.received += count
        self.reception.highest = self.sequence
        self.buffer.passed(count)

    def unwrapped_time(self, packet: RtpPacket) -> int:
        """Of packets in order."""
        if packet.time != self._released_time:
            self._released_time = packet.time
            self.time = unwrap32(packet.time, self.time)
        return self.time


class _Receiver:
    """What sound and picture have in common."""

    __slots__ = ("_clock", "_counters", "_lost", "_lost_before", "_stream", "_timing")

    def __init__(self, clock: int, timing: RepairTiming, counters: Counters) -> None:
        self._clock = clock
        self._timing = timing
        self._counters = counters
        self._stream: _Stream | None = None
        self._lost = self._lost_before = 0

    @property
    def ssrc(self) -> int | None:
        """Of the stream being received."""
        return self._stream.ssrc if self._stream else None

    @property
    def lost(self) -> int:
        """Packets that did not come by themselves, of all streams so far. What is merely late may count for a while,
        but the number never sinks."""
        if self._stream:
            self._lost = max(self._lost, self._lost_before + self._stream.reception.lost)
        return self._lost

    def report_block(self, now: float) -> ReportBlock | None:
        return self._stream.reception.block(self._stream.ssrc, now) if self._stream else None

    @property
    def last_reported(self) -> tuple[int, int]:
        """Packets expected, and those of them that did not come, between the last two report blocks."""
        return self._stream.reception.last_reported if self._stream else (0, 0)

    def sender_report(self, report: SenderReport, arrival: float) -> int | None:
        """The report's RTP time unwrapped, None if it is of another stream."""
        if self._stream is None or report.ssrc != self._stream.ssrc:
            return None
        self._stream.reception.sender_report(report, arrival)
        return unwrap32(report.rtp_time, self._stream.time)

    def deadline(self) -> float | None:
        """When `on_timer` is due; None if no packet is missing."""
        stream = self._stream
        return stream.buffer.deadline() if stream and stream.buffer.waiting else None

    def _stream_of(self, packet: RtpPacket, arrival: float) -> _Stream | None:
        """The stream that the packet belongs to: a new one for the first, None for a second one beside the first."""
        stream = self._stream
        if stream is not None and stream.ssrc == packet.ssrc:
            return stream
        if stream is not None and arrival - stream.last_arrival < SILENCE_OF_OLD:
            return None
        self._lost_before = self.lost
        self._stream = _Stream(packet, self._clock, self._new_buffer())
        return self._stream

    def _new_buffer(self) -> JitterBuffer[_Arrived]:
        raise NotImplementedError


def _depacketiser(choice: VideoChoice) -> Depacketiser[AccessUnit | CodedPicture]:
    match choice.codec:
        case "VP8":
            return vp8.Depacketiser()
        case "VP9":
            return vp9.Depacketiser()
        case "AV1":
            return av1.Depacketiser()
        case "H265":
            return hevc.Depacketiser(choice.parameter_sets)
        case _:
            return h264.Depacketiser(choice.parameter_sets)


class VideoReceiver(_Receiver):
    """Pictures: orders, repairs, joins. Whole pictures go to `deliver`, or `damaged` is called.

    Most packets go on with a picture, in order, and do not end it: nothing need be known of them before its last one
    comes. `keep` tells them by their headers' bytes, and they are looked at together.
    """

    __slots__ = (
        "_choice",
        "_damaged",
        "_deliver",
        "_depacketiser",
        "_repaired_before",
        "_run",
        "_run_arrival",
        "_run_head",
        "_run_next",
        "_run_picture",
    )

    def __init__(
        self,
        choice: VideoChoice,
        timing: RepairTiming,
        counters: Counters,
        deliver: Callable[[AccessUnit | CodedPicture], None],
        damaged: Callable[[], None],
    ) -> None:
        super().__init__(PICTURE_CLOCK, timing, counters)
        self._choice = choice
        self._deliver = deliver
        self._damaged = damaged
        self._depacketiser = _depacketiser(choice)
        self._repaired_before = 0  # of the streams before
        self._run: list[bytes] = []
        self._run_arrival = 0.0
        self._run_head = bytes((0x80, choice.payload_type))  # no padding, extension, contributing source, marker
        self._run_next = 0  # sequence number on the wire
        self._run_picture = b""  # RTP time and SSRC on the wire; empty while packets are missing, or between pictures

    def keep(self, data: bytes, arrival: float) -> bool:
        """Keep the RTP packet if it goes on with the picture under way; else it must go to `on_packet`."""
        if (
            data[4:12] != self._run_picture
            or data[:2] != self._run_head
            or (data[2] << 8 | data[3]) != self._run_next
            or len(self._run) == RUN_LIMIT
        ):
            return False
        self._run.append(data)
        self._run_next = self._run_next + 1 & 0xFFFF
        self._run_arrival = arrival
        return True

    def on_packet(self, packet: RtpPacket, arrival: float) -> bool:
        """A packet of the picture itself. Whether packets are missing now: see `deadline`."""
        self._end_run()
        stream = self._stream_of(packet, arrival)
        if stream is None:
            return False
        waiting = self._push(stream, stream.take(packet, arrival), packet, arrival, False)
        if not packet.marker and not waiting:
            self._run_picture = _TIME_AND_SSRC(packet.time, packet.ssrc)
            self._run_next = stream.sequence + 1 & 0xFFFF
        return waiting

    def on_retransmission(self, packet: RtpPacket, arrival: float) -> bool:
        """A packet of the RTX stream (RFC 4588)."""
        self._end_run()
        stream = self._stream
        original = original_of(packet, self._choice.payload_type, stream.ssrc) if stream else None
        if stream is None or original is None:
            return False
        return self._push(stream, unwrap16(original.sequence, stream.sequence), original, arrival, True)

    def on_timer(self, now: float) -> list[int]:
        """Give up what is overdue; the unwrapped sequence numbers to send a NACK for."""
        stream = self._stream
        if stream is None:
            return []
        self._consume(stream, stream.buffer.give_up(now))
        return stream.buffer.nacks(now)

    def _end_run(self) -> None:
        """What was kept goes on; what comes next is no more of it until `on_packet` says so."""
        self._run_picture = b""
        run, stream = self._run, self._stream
        if not run or stream is None:
            return
        self._run = []
        self._counters.packets_received += len(run)
        self._counters.bytes_received += sum(map(len, run))
        stream.take_run(len(run), self._run_arrival)
        push, time, arrival = self._depacketiser.push, stream.time, self._run_arrival
        for data in run:
            push(data[12:], time, False, arrival)

    def _push(self, stream: _Stream, sequence: int, packet: RtpPacket, arrival: float, again: bool) -> bool:
        buffer = stream.buffer
        released = buffer.push(sequence, (packet, arrival), arrival, again)
        if released:
            self._consume(stream, released)
        if buffer.waiting and self._depacketiser.awaiting_keyframe:
            # nothing before the next keyframe is of use: do not wait for it
            self._consume(stream, buffer.skip_to(self._resumes))
        return buffer.waiting

    def _resumes(self, arrived: _Arrived) -> bool:
        return self._depacketiser.resumes(arrived[0].payload)

    def _consume(self, stream: _Stream, released: Sequence[_Arrived | None]) -> None:
        depacketiser = self._depacketiser
        for arrived in released:
            if arrived is None:
                depacketiser.gap()
                self._damaged()
                continue
            packet, arrival = arrived
            marker = packet.marker
            for unit in depacketiser.push(packet.payload, stream.unwrapped_time(packet), marker, arrival):
                self._deliver(unit)
            if marker and depacketiser.awaiting_keyframe:
                self._damaged()
        self._counters.video_frames_dropped = depacketiser.dropped
        self._counters.packets_repaired = self._repaired_before + stream.buffer.repaired

    def _new_buffer(self) -> JitterBuffer[_Arrived]:
        if self._stream is not None:
            self._depacketiser.gap()
            self._repaired_before += self._stream.buffer.repaired
        return JitterBuffer(self._timing, repair=self._choice.nack, rtx=self._choice.rtx_payload_type is not None)


class AudioReceiver(_Receiver):
    """Sound: orders, and lets the timeline place what is missing. RTP times come out in 48 kHz units."""

    __slots__ = ("_deliver", "_samples", "_scale")

    def __init__(
        self,
        choice: AudioChoice,
        timing: RepairTiming,
        counters: Counters,
        deliver: Callable[[SoundPacket, int], None],
    ) -> None:
        """`deliver`: the packet, and its length in 48 kHz samples; the packet's time is in 48 kHz units as well."""
        super().__init__(choice.clock, timing, counters)
        self._deliver = deliver
        self._scale = SOUND_CLOCK // choice.clock
        self._samples = opus_samples if choice.codec == "opus" else g711_samples

    def on_packet(self, packet: RtpPacket, arrival: float) -> bool:
        """Whether packets are missing now: see `deadline`."""
        stream = self._stream_of(packet, arrival)
        if stream is None:
            return False
        self._consume(stream, stream.buffer.push(stream.take(packet, arrival), (packet, arrival), arrival))
        return stream.buffer.waiting

    def on_timer(self, now: float) -> None:
        """Give up what is overdue."""
        if self._stream is not None:
            self._consume(self._stream, self._stream.buffer.give_up(now))

    def sender_report(self, report: SenderReport, arrival: float) -> int | None:
        time = super().sender_report(report, arrival)
        return None if time is None else time * self._scale

    def _consume(self, stream: _Stream, released: Sequence[_Arrived | None]) -> None:
        for arrived in released:
            if arrived is None:
                continue
            packet, arrival = arrived
            time = stream.unwrapped_time(packet)
            samples = self._samples(packet.payload)
            if samples:
                self._counters.audio_packets += 1
                self._deliver(SoundPacket(time * self._scale, arrival, packet.payload), samples)

    def _new_buffer(self) -> JitterBuffer[_Arrived]:
        return JitterBuffer(self._timing, patience=REORDER_WAIT)
