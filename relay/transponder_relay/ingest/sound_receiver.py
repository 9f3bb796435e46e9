"""From RTP packets to packets of sound in order."""

from collections.abc import Callable, Sequence

from transponder_relay.ingest.audio import SOUND_CLOCK, g711_samples, opus_samples
from transponder_relay.ingest.jitter import JitterBuffer, RepairTiming
from transponder_relay.ingest.receiver import Arrived, Counters, Receiver, Stream
from transponder_relay.media import SoundPacket
from transponder_relay.webrtc.rtcp import SenderReport
from transponder_relay.webrtc.rtp import RtpPacket
from transponder_relay.webrtc.sdp import AudioChoice

REORDER_WAIT = 0.04
"""Seconds that sound waits for a missing packet: it is not asked for again."""


class AudioReceiver(Receiver):
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

    def _consume(self, stream: Stream, released: Sequence[Arrived | None]) -> None:
        for arrived in released:
            if arrived is None:
                continue
            packet, arrival = arrived
            time = stream.unwrapped_time(packet)
            samples = self._samples(packet.payload)
            if samples:
                self._counters.audio_packets += 1
                self._deliver(SoundPacket(time * self._scale, arrival, packet.payload), samples)

    def _new_buffer(self) -> JitterBuffer[Arrived]:
        return JitterBuffer(self._timing, patience=REORDER_WAIT)
