"""H.264 pictures as payloads, read back by two other depacketisers."""

from aiortc.codecs.h264 import H264PayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st
from support.clip import avcc_nals, clip

from transponder_relay.ingest.h264 import Depacketiser
from transponder_relay.media import AccessUnit, ParameterSets
from transponder_relay.playback.packetiser import MAX_PAYLOAD, packetise

SETS = ParameterSets((b"\x67\x42\xc0\x1f\x95",), (b"\x68\xce\x38\x80", b"\x68\x4e\x38\x80"), 640, 360)


def unit(nals: list[bytes], keyframe: bool, sets: ParameterSets = SETS) -> AccessUnit:
    avcc = b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)
    return AccessUnit(0, 0.0, keyframe, avcc, sets)


def read(payloads: list[bytes]) -> list[bytes]:
    """The NAL units, by aiortc's reading of payloads."""
    nals: list[bytes] = []
    for payload in payloads:
        descriptor, annex_b = H264PayloadDescriptor.parse(payload)
        if descriptor.first_fragment:
            nals += [nal for nal in annex_b.split(b"\0\0\0\1") if nal]
        else:
            nals[-1] += annex_b
    return nals


slices = st.tuples(st.sampled_from([0x41, 0x65, 0x01, 0x06]), st.binary(min_size=1, max_size=5000)).map(
    lambda parts: bytes((parts[0],)) + parts[1].replace(b"\0", b"\1")
)


@given(st.lists(slices, min_size=1, max_size=6), st.booleans(), st.integers(20, 1400))
def test_what_goes_in_comes_out(nals: list[bytes], keyframe: bool, limit: int) -> None:
    payloads = packetise(unit(nals, keyframe), limit)
    assert all(0 < len(payload) <= limit for payload in payloads)
    sets = [*SETS.sps, *SETS.pps] if keyframe else []
    assert read(payloads) == sets + nals


def test_parameter_sets_go_in_one_packet_before_a_keyframe() -> None:
    payloads = packetise(unit([b"\x65" + b"\x88" * 3000], True))
    assert payloads[0][0] == 0x78, "STAP-A, with the highest importance of what is in it"
    assert [payload[0] & 31 for payload in payloads[1:]] == [28, 28, 28]
    assert [payload[1] for payload in payloads[1:]] == [0x85, 0x05, 0x45], "start, middle, end"
    assert max(map(len, payloads)) - min(map(len, payloads[1:])) < 10, "of nearly one size"
    assert [p[0] & 31 for p in packetise(unit([b"\x41\x9a"], False))] == [1]


def test_parameter_sets_beyond_a_packet() -> None:
    sets = ParameterSets((b"\x67" + b"\x42" * 700, b"\x67" + b"\x43" * 700), (b"\x68" + b"\x44" * 3000,), 16, 16)
    payloads = packetise(unit([b"\x65\x88"], True, sets))
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    assert read(payloads) == [*sets.sps, *sets.pps, b"\x65\x88"]


def test_our_own_receiver_takes_it_back() -> None:
    receiver = Depacketiser()
    for number, picture in enumerate(clip().pictures[:70]):
        nals = [nal for nal in picture.nals if nal[0] & 31 not in (7, 8)]
        sets = ParameterSets(*(tuple(n for n in clip().pictures[0].nals if n[0] & 31 == k) for k in (7, 8)), 640, 360)
        payloads = packetise(unit(nals, picture.keyframe, sets))
        units = [
            u for i, p in enumerate(payloads) for u in receiver.push(p, number * 3000, i == len(payloads) - 1, 0.0)
        ]
        (received,) = units
        assert avcc_nals(received.avcc) == nals
        assert (received.keyframe, received.parameter_sets.sps) == (picture.keyframe, sets.sps)
