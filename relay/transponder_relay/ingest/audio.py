"""How long a packet of sound lasts, told by its bytes. Pure."""

SOUND_CLOCK = 48_000
"""The clock of the stream's sound, whatever the codec."""

# samples of one frame by the TOC's config number (RFC 6716 section 3.1)
_OPUS_FRAME = (
    *(480, 960, 1920, 2880) * 3,  # SILK
    *(480, 960) * 2,  # hybrid
    *(120, 240, 480, 960) * 4,  # CELT
)
OPUS_LONGEST = 5760
"""Samples: no packet lasts longer than 120 ms (RFC 6716 section 3.2.5)."""


def opus_frame(toc: int) -> int:
    """48 kHz samples of one frame, by the configuration in a TOC byte."""
    return _OPUS_FRAME[toc >> 3]


def opus_samples(payload: bytes) -> int:
    """48 kHz samples in an Opus packet, 0 if it is malformed (RFC 6716 section 3)."""
    if not payload:
        return 0
    code = payload[0] & 3
    if code == 0:
        frames = 1
    elif code < 3:
        frames = 2
    else:
        frames = payload[1] & 63 if len(payload) > 1 else 0
    samples = opus_frame(payload[0]) * frames
    return samples if samples <= OPUS_LONGEST else 0


def g711_samples(payload: bytes) -> int:
    """48 kHz samples in a PCMU or PCMA packet (8 kHz, one byte a sample)."""
    return 6 * len(payload)
