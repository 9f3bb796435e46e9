"""One RTP stream to a player: numbers, history, retransmissions, reports (RFC 3550, RFC 4588). Pure."""

import secrets
from struct import Struct
from typing import NamedTuple

from transponder_relay.webrtc import rtcp

HISTORY = 1024
"""Packets kept for retransmission: some 4 s of 2.5 Mbit/s. Their payloads are shared by all players."""
RESEND_GAP = 0.02
"""Seconds in which one packet is sent again once at most, whatever is asked."""

_HEADER = Struct("!BBHII").pack
_SHORT = Struct("!H").pack


class _Sent(NamedTuple):
    sequence: int
    time: int
    """On the wire."""
    marker: bool
    payload: bytes


class OutgoingStream:
    """One SSRC, and the one of its retransmissions. Times are in units of the codec's clock."""

    __slots__ = (
        "_base",
        "_history",
        "_octets",
        "_packets",
        "_resent",
        "_rtx_sequence",
        "_rtx_type",
        "_sequence",
        "_type",
        "clock",
        "rtx_ssrc",
        "ssrc",
    )

    def __init__(self, payload_type: int, clock: int, *, rtx_type: int | None = None, history: bool = False) -> None:
        """`history`: packets can be sent again; as RTX if `rtx_type` is given, else as they were."""
        self.clock = clock
        self.ssrc = secrets.randbits(32)
        self.rtx_ssrc = secrets.randbits(32)
        self._type, self._rtx_type = payload_type, rtx_type
        self._sequence = secrets.randbits(15)  # far from its end, so that early losses cross no wrap (RFC 3711)
        self._rtx_sequence = secrets.randbits(15)
        self._base = secrets.randbits(32)
        self._packets = self._octets = 0
        self._history: list[_Sent | None] = [None] * (HISTORY if history else 0)
        self._resent: dict[int, float] = {}

    @property
    def started(self) -> bool:
        return self._packets > 0

    def packet(self, time: int, marker: bool, payload: bytes) -> bytes:
        """The next packet."""
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        time = self._base + time & 0xFFFFFFFF
        if self._history:
            self._history[sequence % HISTORY] = _Sent(sequence, time, marker, payload)
        self._packets += 1
        self._octets += len(payload)
        return _HEADER(0x80, marker << 7 | self._type, sequence, time, self.ssrc) + payload

    def again(self, sequence: int, now: float) -> bytes | None:
        """A packet sent before; None if it is kept no more, or was sent again a moment ago."""
        sent = self._history[sequence % HISTORY] if self._history else None
        if sent is None or sent.sequence != sequence or now - self._resent.get(sequence, float("-inf")) < RESEND_GAP:
            return None
        if len(self._resent) >= HISTORY:
            self._resent.clear()
        self._resent[sequence] = now
        if self._rtx_type is None:
            return _HEADER(0x80, sent.marker << 7 | self._type, sequence, sent.time, self.ssrc) + sent.payload
        number = self._rtx_sequence
        self._rtx_sequence = number + 1 & 0xFFFF
        header = _HEADER(0x80, sent.marker << 7 | self._rtx_type, number, sent.time, self.rtx_ssrc)
        return header + _SHORT(sequence) + sent.payload

    def report(self, ntp_seconds: float, time: int) -> bytes:
        """A sender report: `time` is what a packet would have that is taken at that moment."""
        time = self._base + time & 0xFFFFFFFF
        return rtcp.sender_report(self.ssrc, ntp_seconds, time, self._packets, self._octets)
