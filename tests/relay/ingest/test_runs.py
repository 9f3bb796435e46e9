"""Packets kept by their headers' bytes and looked at together give what they give one by one."""

from collections.abc import Iterator
from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st

from transponder_relay.ingest.jitter import RepairTiming
from transponder_relay.ingest.offer import VideoChoice
from transponder_relay.ingest.picture_receiver import RUN_LIMIT, VideoReceiver
from transponder_relay.ingest.receiver import Counters
from transponder_relay.media import AccessUnit
from transponder_relay.webrtc.rtp import parse_rtp

TYPE, RTX = 102, 103
SPS = bytes.fromhex("6742c01fda014016ec0440000003004000000c83c60ca8")
PPS = bytes.fromhex("68ce3c80")
CHOICE = VideoChoice(
    section=0,
    codec="H264",
    payload_type=TYPE,
    rtx_payload_type=RTX,
    nack=True,
    pli=True,
    fir=False,
    remb=True,
    packetization_mode=1,
    profile_level_id=None,
    parameter_sets=(SPS, PPS),
)


class Taken:
    """A receiver and what came out of it; `keeps`: as a session does, or every packet by itself."""

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.kept = 0
        self.units: list[AccessUnit] = []
        self.damaged = 0
        self.counters = Counters()
        self.receiver = VideoReceiver(CHOICE, RepairTiming(), self.counters, self.units.append, self._on_damage)

    def _on_damage(self) -> None:
        self.damaged += 1

    def take(self, data: bytes, now: float) -> None:
        if self.keeps and self.receiver.keep(data, now):
            self.kept += 1
            return
        self.counters.packets_received += 1
        self.counters.bytes_received += len(data)
        packet = parse_rtp(data)
        if packet.payload_type == RTX:
            self.receiver.on_retransmission(packet, now)
        else:
            self.receiver.on_packet(packet, now)

    def result(self) -> object:
        block = self.receiver.report_block(100.0)
        return [(u.rtp_time, u.keyframe, u.avcc) for u in self.units], self.damaged, self.counters, block


def rtp(sequence: int, time: int, payload: bytes, marker: bool = False) -> bytes:
    return pack("!BBHII", 0x80, TYPE | marker << 7, sequence & 0xFFFF, time & 0xFFFFFFFF, 1) + payload


def retransmitted(data: bytes, number: int) -> bytes:
    return pack("!BBH", 0x80, RTX | data[1] & 0x80, number) + data[4:8] + pack("!I", 2) + data[2:4] + data[12:]


def pictures(first: int, sizes: list[int]) -> Iterator[bytes]:
    """Pictures of so many FU-A packets each: an IDR picture, then others."""
    sequence = first
    for number, size in enumerate(sizes):
        kind = 1 if number else 5
        for part in range(size):
            flags = (0x80 if part == 0 else 0) | (0x40 if part == size - 1 else 0)
            body = bytes((0x7C, flags | kind)) + (b"\xb8" if part == 0 else b"\x11") + bytes([number, part]) * 20
            yield rtp(sequence, 0xFFFFF000 + number * 3000, body, marker=part == size - 1)
            sequence += 1


def test_most_packets_of_a_picture_are_kept_up_to_its_last() -> None:
    taken = Taken(keeps=True)
    for data in pictures(65_530, [20, 10]):
        taken.take(data, 1.0)
    assert taken.kept == 18 + 8
    assert len(taken.units) == 2
    assert taken.counters.packets_received == 30


def test_a_picture_without_end_is_not_kept_for_ever() -> None:
    taken = Taken(keeps=True)
    packets = list(pictures(0, [RUN_LIMIT * 3]))
    for data in packets[:-1]:
        taken.take(data, 1.0)
    assert taken.counters.packets_received >= len(packets) - 1 - RUN_LIMIT
    taken.take(packets[-1], 1.0)
    assert len(taken.units) == 1


@settings(deadline=None)  # other work on the machine is no fault
@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=8),
    first=st.sampled_from([0, 65_530]),
    faults=st.lists(st.tuples(st.integers(0, 70), st.sampled_from(["lost", "late", "twice", "repaired"])), max_size=6),
)
def test_kept_or_not_the_result_is_the_same(sizes: list[int], first: int, faults: list[tuple[int, str]]) -> None:
    sent = list(pictures(first, sizes))
    order = [(float(n), data) for n, data in enumerate(sent)]
    for number, (at, fault) in enumerate(faults):
        at = at % len(sent)
        data = sent[at]
        if fault == "twice":
            order.append((at + 1.5, data))
            continue
        order = [(when, other) for when, other in order if other != data]
        if fault == "late":
            order.append((at + 2.5, data))
        elif fault == "repaired":
            order.append((at + 3.5, retransmitted(data, number)))
    kept, single = Taken(keeps=True), Taken(keeps=False)
    for when, data in sorted(order):
        for taken in (kept, single):
            taken.take(data, when / 1000)
            taken.receiver.on_timer(when / 1000)
    for taken in (kept, single):
        taken.receiver.on_timer(50.0)
        taken.take(rtp(first + len(sent) + 1, 0, b"\x41\xe0", marker=True), 50.1)
    assert kept.result() == single.result()
