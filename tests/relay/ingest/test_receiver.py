"""What the receivers say of when media came, whatever it waited for."""

import pytest
from support.clip import Clip, clip
from support.rtp_sender import packetise

from transponder_relay.ingest.jitter import RepairTiming
from transponder_relay.ingest.offer import VideoChoice
from transponder_relay.ingest.picture_receiver import VideoReceiver
from transponder_relay.ingest.receiver import Counters
from transponder_relay.ingest.sound_receiver import AudioReceiver
from transponder_relay.ingest.timeline import Timeline
from transponder_relay.media import AccessUnit, CodedPicture, SoundPacket
from transponder_relay.webrtc.rtp import RtpPacket
from transponder_relay.webrtc.sdp import AudioChoice

H264 = VideoChoice(
    section=0,
    payload_type=102,
    codec="H264",
    rtx_payload_type=None,
    nack=True,
    pli=True,
    fir=False,
    remb=True,
    packetization_mode=1,
    profile_level_id=None,
    parameter_sets=(),
)
OPUS = AudioChoice(section=0, payload_type=111, codec="opus", clock=48_000, stereo=True)


@pytest.fixture(scope="module")
def media() -> Clip:
    return clip()


def picture_packets(media: Clip, count: int) -> list[tuple[RtpPacket, float]]:
    """Each with the moment when it is sent: all of a picture at once, 30 pictures a second."""
    payloads = [
        (n, p, p is ps[-1]) for n in range(count) for ps in [packetise(media.pictures[n].nals, 1150)] for p in ps
    ]
    return [
        (RtpPacket(102, last, sequence, number * 3000, 7, payload), number / 30)
        for sequence, (number, payload, last) in enumerate(payloads)
    ]


def test_pictures_that_waited_for_a_repair_keep_the_time_of_their_own_arrival(media: Clip) -> None:
    """So the clock that is guessed at the start of a stream is right also if its first picture is repaired late."""
    units: list[AccessUnit | CodedPicture] = []
    damages: list[None] = []
    receiver = VideoReceiver(H264, RepairTiming(), Counters(), units.append, lambda: damages.append(None))
    packets = picture_packets(media, 6)
    assert len([p for p, _ in packets if p.time == 0]) > 2
    for packet, sent in (packets[0], *packets[2:]):
        receiver.on_packet(packet, sent)
    assert units == []
    receiver.on_packet(packets[1][0], 0.19)
    assert len(units) == 6
    assert damages == []
    assert [unit.arrival for unit in units] == pytest.approx([n / 30 for n in range(6)])
    timeline = Timeline()
    assert [timeline.video(unit.rtp_time, unit.arrival) for unit in units] == [0, 33, 67, 100, 133, 167]


def test_sound_that_waited_keeps_the_time_of_its_own_arrival() -> None:
    heard: list[tuple[SoundPacket, int]] = []
    receiver = AudioReceiver(OPUS, RepairTiming(), Counters(), lambda packet, samples: heard.append((packet, samples)))
    for number in (0, 1, 3, 4):
        receiver.on_packet(RtpPacket(111, False, number, number * 960, 7, b"\xfc\xff\xfe"), number * 0.02)
    receiver.on_timer(0.09)
    assert len(heard) == 2, "still waiting"
    receiver.on_timer(0.11)
    assert [packet.arrival for packet, _ in heard] == pytest.approx([0.0, 0.02, 0.06, 0.08])
    assert [samples for _, samples in heard] == [960] * 4
