"""From RTP packets to whole pictures: the hot path of a session."""

from collections.abc import Callable, Sequence
from struct import Struct

from transponder_relay.ingest import av1, h264, hevc, vp8, vp9
from transponder_relay.ingest.jitter import JitterBuffer, RepairTiming
from transponder_relay.ingest.offer import VideoChoice
from transponder_relay.ingest.pictures import Depacketiser
from transponder_relay.ingest.receiver import Arrived, Counters, Receiver, Stream
from transponder_relay.ingest.timeline import PICTURE_CLOCK
from transponder_relay.media import AccessUnit, CodedPicture
from transponder_relay.webrtc.rtp import RtpPacket, original_of, unwrap16

RUN_LIMIT = 64
"""Packets of a picture that are kept before they are looked at."""

_TIME_AND_SSRC = Struct("!II").pack


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


class VideoReceiver(Receiver):
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

    def _push(self, stream: Stream, sequence: int, packet: RtpPacket, arrival: float, again: bool) -> bool:
        buffer = stream.buffer
        released = buffer.push(sequence, (packet, arrival), arrival, again)
        if released:
            self._consume(stream, released)
        if buffer.waiting and self._depacketiser.awaiting_keyframe:
            # nothing before the next keyframe is of use: do not wait for it
            self._consume(stream, buffer.skip_to(self._resumes))
        return buffer.waiting

    def _resumes(self, arrived: Arrived) -> bool:
        return self._depacketiser.resumes(arrived[0].payload)

    def _consume(self, stream: Stream, released: Sequence[Arrived | None]) -> None:
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

    def _new_buffer(self) -> JitterBuffer[Arrived]:
        if self._stream is not None:
            self._depacketiser.gap()
            self._repaired_before += self._stream.buffer.repaired
        return JitterBuffer(self._timing, repair=self._choice.nack, rtx=self._choice.rtx_payload_type is not None)
