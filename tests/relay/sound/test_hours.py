"""Sound over hours: the stream clock of ingest and the soundtrack together, with wrapping and drifting senders."""

from itertools import pairwise

import pytest
from support.sounds import RATE, Recorder

from transponder_crd.resource import AudioCodec
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import SoundPacket
from transponder_relay.sound.soundtrack import Soundtrack
from transponder_relay.webrtc.rtp import unwrap32

LENGTH = 5760
"""Samples of a packet: 120 ms, the longest there is, so that hours are soon over."""
OPUS = bytes([0xFF, 0x06]) + bytes(6)  # CELT, 20 ms, stereo; six empty frames
FALLBACK = 0.15
START = 5000.0


class Studio:
    """A sender whose clock is `ppm` fast, the clock of the relay, and a soundtrack that passes on or is muted."""

    def __init__(self, ppm: float = 0.0, rtp_start: int = 0, codec: AudioCodec = AudioCodec.AAC) -> None:
        self.events = Recorder()
        self.timeline = Timeline()
        self.track = Soundtrack(None, self.events)
        self.track.set_codec("opus")
        self.track.subscribe("o", True, None, 128_000, codec=codec)
        self.length = LENGTH / RATE / (1 + ppm / 1e6)
        self.rtp = self.unwrapped = rtp_start
        self.now = START

    def run(self, seconds: float, sending: bool = True) -> None:
        """The wall clock is told every 100 ms or so, as the relay does it."""
        for _ in range(round(seconds / self.length)):
            self.now += self.length
            self.rtp = (self.rtp + LENGTH) & 0xFFFFFFFF
            if sending:
                self.unwrapped = unwrap32(self.rtp, self.unwrapped)
                position = self.timeline.audio(self.unwrapped, self.now, LENGTH)
                self.track.live(SoundPacket(self.unwrapped, self.now, OPUS), position)
            self.track.advance(round((self.timeline.now(self.now) / 1000 - FALLBACK) * RATE))

    @property
    def times(self) -> list[int]:
        return [tag.time for tag in self.events.tags["o"]]

    def check(self, length: float) -> None:
        """No gap, no packet taken for late, and as long as it took (s)."""
        assert {after - before for before, after in pairwise(self.times)} == {21, 22}
        assert self.track.statistics.late == 0
        assert self.track.statistics.corrupt == 0
        assert self.times[-1] / 1000 == pytest.approx(length, abs=0.3)


def test_four_hours_over_a_wrap_of_rtp_time() -> None:
    studio = Studio(rtp_start=2**32 - 2 * 3600 * RATE)
    studio.run(4 * 3600)
    assert studio.unwrapped > 2**32
    studio.check(4 * 3600)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_clock_that_drifts_paces_the_stream(ppm: int) -> None:
    """The publisher's samples are the time, so none is dropped or made up; the stream clock follows them."""
    studio = Studio(ppm)
    studio.run(1800)
    samples = round(1800 / studio.length) * LENGTH / RATE
    studio.check(samples)
    assert samples - 1800 == pytest.approx(1800 * ppm / 1e6, abs=0.1)
    assert studio.timeline.now(studio.now) / 1000 == pytest.approx(samples, abs=0.02)


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_sound_that_stops_and_resumes_is_in_its_place(ppm: int) -> None:
    """Ten minutes, two of them without sound, in which silence is paced by the wall clock."""
    studio = Studio(ppm)
    studio.run(240)
    studio.run(120, sending=False)
    studio.run(240)
    times = studio.times
    assert {after - before for before, after in pairwise(times)} == {21, 22}
    assert studio.track.statistics.late <= 2
    assert times[-1] / 1000 == pytest.approx(600 * (1 + ppm / 1e6), abs=0.3)


def test_passing_on_for_ten_minutes() -> None:
    """G.711, cut anew into the relay's frames: not a byte more or less."""
    studio = Studio(200, codec=AudioCodec.PCMU)
    studio.track.set_codec("PCMU")
    studio.track.subscribe("o", False, None, 128_000, codec=AudioCodec.PCMU)
    sent = bytearray()
    for number in range(600 * 100 // 12):
        studio.now += studio.length
        position = studio.timeline.audio(number * LENGTH, studio.now, LENGTH)
        payload = number.to_bytes(4) * 240
        studio.track.live(SoundPacket(number, studio.now, payload), position)
        sent += payload
    received = b"".join(tag.body[1:] for tag in studio.events.tags["o"])
    assert sent[960 : len(received)] == received[960:]
    assert len(sent) - len(received) < 1000
