import pytest
from support.clip import clip

from transponder_relay.ingest.audio import g711_samples, opus_samples


@pytest.mark.parametrize(
    ("payload", "samples"),
    [
        (b"\x78", 960),  # config 15: hybrid, 20 ms
        (b"\xf8", 960),  # config 31: CELT, 20 ms
        (b"\xe0", 120),  # config 28: CELT, 2.5 ms
        (b"\x18", 2880),  # config 3: SILK, 60 ms
        (b"\xf9", 1920),  # code 1: two frames
        (b"\xfa", 1920),  # code 2
        (b"\xfb\x03", 2880),  # code 3: count in the next byte
        (b"\xfb\xc6", 5760),
        (b"\xfb\x07", 0),  # 140 ms: too long (R5)
        (b"\xfb", 0),
        (b"\xfb\x00", 0),
        (b"", 0),
    ],
)
def test_opus_duration(payload: bytes, samples: int) -> None:
    assert opus_samples(payload) == samples


def test_real_packets() -> None:
    assert {opus_samples(p) for p in clip().sound} == {960}


def test_g711_duration() -> None:
    assert g711_samples(bytes(160)) == 960
