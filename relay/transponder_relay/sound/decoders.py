"""Decoders of the sound that browsers send. Both give PCM as `pcm` describes it."""

from array import array
from typing import Final, Literal, Protocol

import av
from av import AudioFrame, Packet

from transponder_relay.ingest.audio import opus_frame, opus_samples
from transponder_relay.sound.concealment import HISTORY, concealed
from transponder_relay.sound.pcm import RATE, Resampler, faded, packed

G711_LONGEST: Final = 1600
"""Bytes of a packet: 200 ms, as receivers should take (RFC 3551 section 4.2)."""

CONCEALED_LONGEST: Final = 4800
"""Samples of a gap that are made up from the past (100 ms); longer is heard as a drone."""


class Decoder(Protocol):
    """One codec. `decode` raises av.FFmpegError on a packet that cannot be decoded, and can go on after it."""

    @property
    def held(self) -> int:
        """Samples taken in but not yet given out: the next PCM begins that much before the next packet."""
        ...

    def duration(self, payload: bytes) -> int | None:
        """48 kHz samples in a packet, without decoding it; None if it is malformed."""
        ...

    def decode(self, payload: bytes) -> bytes: ...

    def conceal(self, samples: int) -> bytes:
        """PCM for the beginning of a gap of so many samples: `samples` of them at most, maybe none."""
        ...

    def reset(self) -> None:
        """Forget the past: what comes next does not continue it."""
        ...


def opus_duration(payload: bytes) -> int | None:
    """48 kHz samples in an Opus packet by its TOC; None if it is malformed."""
    return opus_samples(payload) or None


class OpusDecoder:
    """libopus: sample-exact whatever comes (FFmpeg's own decoder may give 24 samples more or less, or a bang, after
    damage), with no delay, and it conceals loss. Mono packets come out on both channels."""

    held: Final = 0

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "r")
        context.sample_rate = RATE
        context.layout = "stereo"
        context.open()
        self._context = context
        self._toc: int | None = None

    def duration(self, payload: bytes) -> int | None:
        return opus_duration(payload)

    def decode(self, payload: bytes) -> bytes:
        pcm = b"".join(packed(frame) for frame in self._context.decode(Packet(payload)))
        self._toc = payload[0]
        return pcm

    def conceal(self, samples: int) -> bytes:
        """A packet that is its TOC alone holds one empty frame, for which libopus extrapolates (RFC 6716, 4.4)."""
        if self._toc is None:
            return b""
        duration = opus_frame(self._toc)
        count = min(samples, CONCEALED_LONGEST) // duration
        empty = bytes([self._toc & 0xFC])
        frames = [packed(frame) for _ in range(count) for frame in self._context.decode(Packet(empty))]
        if frames and count * duration < samples:
            frames[-1] = faded(frames[-1])  # silence follows
        return b"".join(frames)

    def reset(self) -> None:
        self._context.flush_buffers()
        self._toc = None


class G711Decoder:
    """PCMU or PCMA (8 kHz, mono, one byte a sample)."""

    def __init__(self, codec: Literal["pcm_mulaw", "pcm_alaw"]) -> None:
        context = av.CodecContext.create(codec, "r")
        context.sample_rate = 8000
        context.layout = "mono"
        context.open()
        self._context = context
        self._resampler = Resampler(8000)
        self._past = array("h")

    @property
    def held(self) -> int:
        return self._resampler.held

    def duration(self, payload: bytes) -> int | None:
        return len(payload) * 6 if 0 < len(payload) <= G711_LONGEST else None

    def decode(self, payload: bytes) -> bytes:
        return b"".join(map(self._heard, self._context.decode(Packet(payload))))

    def _heard(self, frame: AudioFrame) -> bytes:
        self._past = (self._past + array("h", packed(frame)))[-HISTORY:]
        return self._resampler.convert(frame)

    def conceal(self, samples: int) -> bytes:
        made_up = concealed(self._past, samples // 6)
        pcm = self._heard(_frame(made_up)) if made_up else b""
        if 6 * len(made_up) < samples - 6:  # silence follows: the filter must not join what it parts
            self.reset()
        return pcm

    def reset(self) -> None:
        self._resampler = Resampler(8000)
        self._past = array("h")


def _frame(samples: "array[int]") -> AudioFrame:
    frame = AudioFrame("s16", "mono", len(samples))
    frame.sample_rate = 8000
    frame.planes[0].update(samples.tobytes())
    return frame


def decoder_of(codec: str) -> Decoder:
    """The decoder of an RTP encoding name as SDP writes it: opus, PCMU or PCMA.

    Raises ValueError for any other.
    """
    match codec:
        case "opus":
            return OpusDecoder()
        case "PCMU":
            return G711Decoder("pcm_mulaw")
        case "PCMA":
            return G711Decoder("pcm_alaw")
        case _:
            raise ValueError(f"codec: must be opus, PCMU or PCMA, not {codec!r}")
