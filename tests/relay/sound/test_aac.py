"""The AAC side: the shared silent frame, sequence header, timing."""

import numpy as np
import pytest
from support.sounds import decode

from transponder_relay.media import AudioTag
from transponder_relay.sound.aac import AacEncoder, aac_format
from transponder_relay.sound.pcm import BLOCK, BLOCK_BYTES, milliseconds


@pytest.mark.parametrize("bitrate", [32_000, 96_000, 128_000, 320_000])
def test_silence_is_one_frame_that_decodes_to_zeros(bitrate: int) -> None:
    aac = aac_format(bitrate)
    assert aac_format(bitrate) is aac
    assert aac.silence[:2] == b"\xaf\x01"
    assert not decode(AudioTag(0, aac.silence, aac.config) for _ in range(5)).any()


def test_the_sequence_header_says_aac_lc_48_khz_stereo() -> None:
    header = aac_format(128_000).config.sequence_header
    assert header[:2] == b"\xaf\x00"
    bits = int.from_bytes(header[2:4])  # object type 5 bits, frequency index 4, channels 4
    assert (bits >> 11, bits >> 7 & 15, bits >> 3 & 15) == (2, 3, 2)


def test_the_frame_that_comes_out_is_for_two_blocks_back() -> None:
    encoder = AacEncoder(128_000)
    noise = (np.random.default_rng(1).standard_normal(2 * BLOCK) * 3000).astype("<i2").tobytes()
    bodies = [encoder.encode(noise if block == 5 else bytes(BLOCK_BYTES)) for block in range(10)]
    assert bodies[0] is None
    config = aac_format(128_000).config
    heard = decode(AudioTag(0, b"\xaf\x01" + body, config) for body in bodies[2:] if body)  # from block 0 on
    loud = np.abs(heard).reshape(-1, BLOCK).max(axis=1) > 0.05
    assert loud.tolist() == [False] * 5 + [True] + [False] * 2


def test_times_do_not_drift() -> None:
    assert [milliseconds(block) for block in range(4)] == [0, 21, 43, 64]
    hours = 10**7
    assert abs(milliseconds(hours) - hours * 1024 / 48) < 0.5
