"""What a receiver report says of one stream (RFC 3550 sections 6.4.1 and A.3, A.8). Pure."""

from transponder_relay.webrtc.rtcp import ReportBlock, SenderReport


class Reception:
    """Counts of one stream; `received` and `highest` are kept up by the receiver itself, packet by packet."""

    __slots__ = (
        "_clock",
        "_expected_before",
        "_first",
        "_jitter",
        "_received_before",
        "_report",
        "_report_arrival",
        "_transit",
        "highest",
        "last_reported",
        "received",
    )

    def __init__(self, first_sequence: int, clock: int) -> None:
        """`first_sequence`: unwrapped. `clock`: RTP clock in Hz."""
        self._first = first_sequence
        self._clock = clock
        self._expected_before = self._received_before = 0
        self._report: SenderReport | None = None
        self._report_arrival = 0.0
        self._transit: float | None = None
        self._jitter = 0.0
        self.highest = first_sequence
        """Unwrapped."""
        self.last_reported = (0, 0)
        """Packets expected, and those of them that did not come, between the last two blocks."""
        self.received = 0
        """Packets, without retransmissions."""

    @property
    def lost(self) -> int:
        """Expected less received: packets that a repair brought count as lost here."""
        return self.highest - self._first + 1 - self.received

    def arrived(self, rtp_time: int, arrival: float) -> None:
        """Take one packet for the interarrival jitter."""
        transit = arrival * self._clock - rtp_time
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def sender_report(self, report: SenderReport, arrival: float) -> None:
        self._report = report
        self._report_arrival = arrival

    def block(self, ssrc: int, now: float) -> ReportBlock:
        """The report block since the last one made."""
        expected = self.highest - self._first + 1
        new = expected - self._expected_before
        lost = new - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        self.last_reported = new, lost
        report = self._report
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=min(255, (lost << 8) // new) if new > 0 and lost > 0 else 0,
            packets_lost=self.lost,
            highest_sequence=self.highest,
            jitter=int(self._jitter),
            last_sender_report=report.compact if report else 0,
            delay_since_sender_report=int((now - self._report_arrival) * 65536) if report else 0,
        )
