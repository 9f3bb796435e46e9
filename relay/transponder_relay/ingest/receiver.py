"""What the receivers of sound and picture have in common: one RTP stream, its numbers, its counts and its order."""

from dataclasses import dataclass

from transponder_relay.ingest.jitter import JitterBuffer, RepairTiming
from transponder_relay.ingest.reception import Reception
from transponder_relay.webrtc.rtcp import ReportBlock, SenderReport
from transponder_relay.webrtc.rtp import RtpPacket, unwrap16, unwrap32

SILENCE_OF_OLD = 1.0
"""Seconds without a packet after which another SSRC may take over."""

Arrived = tuple[RtpPacket, float]
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


class Stream:
    """One SSRC: unwrapped numbers, reception counts and order."""

    __slots__ = ("_arrived_time", "_released_time", "buffer", "last_arrival", "reception", "sequence", "ssrc", "time")

    def __init__(self, first: RtpPacket, clock: int, buffer: JitterBuffer[Arrived]) -> None:
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


class Receiver:
    """What sound and picture have in common."""

    __slots__ = ("_clock", "_counters", "_lost", "_lost_before", "_stream", "_timing")

    def __init__(self, clock: int, timing: RepairTiming, counters: Counters) -> None:
        self._clock = clock
        self._timing = timing
        self._counters = counters
        self._stream: Stream | None = None
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

    def _stream_of(self, packet: RtpPacket, arrival: float) -> Stream | None:
        """The stream that the packet belongs to: a new one for the first, None for a second one beside the first."""
        stream = self._stream
        if stream is not None and stream.ssrc == packet.ssrc:
            return stream
        if stream is not None and arrival - stream.last_arrival < SILENCE_OF_OLD:
            return None
        self._lost_before = self.lost
        self._stream = Stream(packet, self._clock, self._new_buffer())
        return self._stream

    def _new_buffer(self) -> JitterBuffer[Arrived]:
        raise NotImplementedError
