"""RTCP that a session sends: reports each second, requests at once."""

import secrets
from collections.abc import Sequence
from typing import Protocol

from transponder_relay.webrtc import rtcp

LONGEST_ROUND_TRIP = 5.0
"""Seconds: more is no measurement."""


class RtcpSender(Protocol):
    """A transport, as far as it is needed here."""

    def send_rtcp(self, data: bytes) -> None: ...


class Feedback:
    """Writes for one receiver. Its SSRC is made up: a receiver sends no media that would have one."""

    def __init__(self, transport: RtcpSender, reduced_size: bool) -> None:
        """`reduced_size`: feedback may go without a report before it (RFC 5506)."""
        self._transport = transport
        self._reduced_size = reduced_size
        self._ssrc = secrets.randbits(32)
        self._name = rtcp.source_description(self._ssrc, secrets.token_urlsafe(12).encode())

    def report(self, now: float, blocks: Sequence[rtcp.ReportBlock], max_bitrate: int, media_ssrc: int | None) -> None:
        """A receiver report with the time, to be echoed (`now`: `time.monotonic()`); and with the bitrate cap (bit/s)
        of the picture, if it has an SSRC yet."""
        data = self._head(blocks) + rtcp.receiver_time(self._ssrc, now)
        if media_ssrc is not None:
            data += rtcp.receiver_estimated_max_bitrate(self._ssrc, max_bitrate, [media_ssrc])
        self._transport.send_rtcp(data)

    def round_trip(self, echo: rtcp.ReceiverTimeEcho, arrival: float) -> float | None:
        """Seconds from a report to the echo of its time, less what the sender kept it; None if it echoes no report of
        ours or makes no sense."""
        seconds = (int(arrival * 65536) - echo.time - echo.delay & 0xFFFFFFFF) / 65536
        return seconds if echo.ssrc == self._ssrc and echo.time and seconds < LONGEST_ROUND_TRIP else None

    def ask_for_keyframe(self, media_ssrc: int) -> None:
        self._send(rtcp.picture_loss_indication(self._ssrc, media_ssrc))

    def ask_for_packets(self, media_ssrc: int, sequences: Sequence[int]) -> None:
        """`sequences`: unwrapped, in rising order."""
        self._send(rtcp.nack(self._ssrc, media_ssrc, sequences))

    def _send(self, request: bytes) -> None:
        self._transport.send_rtcp(request if self._reduced_size else self._head(()) + request)

    def _head(self, blocks: Sequence[rtcp.ReportBlock]) -> bytes:
        return rtcp.receiver_report(self._ssrc, blocks) + self._name
