"""What a session says to its publisher."""

import struct

import pytest

from transponder_relay.ingest.feedback import Feedback
from transponder_relay.webrtc import rtcp


class Sent:
    """A transport's sending side."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []

    def send_rtcp(self, data: bytes) -> None:
        self.datagrams.append(data)


def echo_of(datagram: bytes, delay: float) -> rtcp.ReceiverTimeEcho:
    """As a sender makes it that kept the report's time for `delay` seconds."""
    at = datagram.index(struct.pack("!BBH", 4, 0, 2))
    ssrc, _, high, low = struct.unpack_from("!IIII", datagram, at - 4)
    return rtcp.ReceiverTimeEcho(ssrc, (high & 0xFFFF) << 16 | low >> 16, int(delay * 65536))


@pytest.mark.parametrize("now", [12.25, 65535.99, 3_000_000.5])
def test_the_round_trip_comes_from_the_echo_of_a_report(now: float) -> None:
    sent = Sent()
    feedback = Feedback(sent, reduced_size=True)
    feedback.report(now, (), 1_000_000, None)
    echo = echo_of(sent.datagrams[0], 0.7)
    assert feedback.round_trip(echo, now + 0.75) == pytest.approx(0.05, abs=0.0001)
    assert feedback.round_trip(echo._replace(time=0), now + 0.75) is None, "it has seen no report"
    assert feedback.round_trip(echo._replace(ssrc=echo.ssrc ^ 1), now + 0.75) is None, "another receiver's"
    assert feedback.round_trip(echo._replace(delay=60 << 16), now + 0.75) is None, "kept longer than it was away"
