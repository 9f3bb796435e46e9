"""Opus passed on as it came, for servers of enhanced RTMP (version 2): no decoder, no encoder.

What is not live sound is Opus as well, since a change of codec within a stream is more than most players take: silence
is a constant packet, and a sound file is encoded, for each output that plays one.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from struct import pack
from typing import Final

import av
from av import AudioFrame

from transponder_relay.media import AudioConfig, AudioTag
from transponder_relay.sound.clip import ClipReader
from transponder_relay.sound.decoders import opus_duration
from transponder_relay.sound.live import FILL_LIMIT
from transponder_relay.sound.pcm import BLOCK, RATE, SAMPLE_BYTES
from transponder_relay.sound.programmes import Inserted, Insertion, Live, Programme

_FOUR_CC: Final = b"Opus"
# RFC 7845, 5.1: version 1, stereo, no pre-skip (what came is sent from its first sample on), no gain, mapping 0
_HEAD: Final = b"OpusHead" + pack("<BBHIhB", 1, 2, 0, RATE, 0, 0)
# ExAudioTagHeader: SoundFormat 9, AudioPacketType
_SEQUENCE_START, _CODED_FRAMES = b"\x90" + _FOUR_CC, b"\x91" + _FOUR_CC
OPUS_CONFIG: Final = AudioConfig(RATE, 2, 0, _SEQUENCE_START + _HEAD, int.from_bytes(_FOUR_CC))

FRAME: Final = 960
"""Samples of a packet that is made here."""
SILENCES: Final = {960: b"\xfc\xff\xfe", 480: b"\xf4\xff\xfe", 240: b"\xec\xff\xfe", 120: b"\xe4\xff\xfe"}
"""By duration in samples: stereo CELT packets that decode to silence (RFC 6716, 3.1 and 4.3)."""
_SHORTEST: Final = 120
_TOLERANCE: Final = 60
"""Samples by which a packet may lie beside the end of the one before: rounding."""


class OpusVoice:
    """A sound file as Opus packets of 20 ms."""

    def __init__(self, insertion: Insertion, position: int, bitrate: int) -> None:
        """From where the file is at `position`."""
        context = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = RATE, "stereo", "s16"
        context.bit_rate, context.time_base = bitrate, Fraction(1, RATE)
        context.options = {"frame_duration": "20", "application": "audio"}
        context.open()
        self.insertion = insertion
        self._context = context
        self._reader = ClipReader(insertion.clip, insertion.loop, max(0, position - insertion.start * BLOCK))
        self._pcm = bytearray()
        self._samples = 0

    def read(self) -> bytes:
        """The next packet."""
        size = FRAME * SAMPLE_BYTES
        while len(self._pcm) < size:
            self._pcm += self._reader.read()
        frame = AudioFrame("s16", "stereo", FRAME)
        frame.sample_rate, frame.pts = RATE, self._samples
        frame.planes[0].update(bytes(self._pcm[:size]))
        del self._pcm[:size]
        self._samples += FRAME
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


@dataclass(slots=True)
class _Line:
    """What one output has got."""

    position: int
    """After its last packet."""
    voice: OpusVoice | None = None


class OpusTrack:
    """The sound of the outputs that take Opus. Positions are 48 kHz samples on the stream clock."""

    def __init__(self, send: Callable[[Collection[str], AudioTag], None]) -> None:
        self._send = send
        self._end = 0
        self._lines: dict[str, _Line] = {}

    def restart(self, position: int) -> None:
        """Nothing is sent for the time up to here."""
        self._end = max(self._end, position)
        self._lines.clear()

    def packet(self, wanted: Mapping[str, Programme], payload: bytes, position: int) -> None:
        """A packet of the publisher, and what each output is to hear. One that is late or malformed is dropped."""
        samples = opus_duration(payload)
        if samples is None or position < self._end - _TOLERANCE:
            return
        self._fill(wanted, position)
        if position - self._end > _TOLERANCE:
            return
        live = [output_id for output_id, programme in wanted.items() if isinstance(programme, Live)]
        for output_id in live:
            self._lines[output_id] = _Line(position + samples)
        if live:
            self._send(live, _tag(position, payload))
        self._fill(wanted, position + samples)

    def advance(self, wanted: Mapping[str, Programme], position: int) -> None:
        """The wall clock: up to here go on without the publisher, in whole packets."""
        if position > self._end:
            self._fill(wanted, position - (position - self._end) % FRAME)

    def _fill(self, wanted: Mapping[str, Programme], position: int) -> None:
        """Up to here, or less than `_SHORTEST` before it; `FILL_LIMIT` in one call."""
        position = min(position, self._end + FILL_LIMIT)
        for output_id in self._lines.keys() - wanted.keys():
            del self._lines[output_id]
        for output_id, programme in wanted.items():
            line = self._lines.setdefault(output_id, _Line(self._end))
            if isinstance(programme, Inserted):
                self._play(output_id, line, programme, position)
            else:
                line.voice = None
                self._be_silent(output_id, line, position)
        self._end = max(self._end, position)

    def _play(self, output_id: str, line: _Line, programme: Inserted, position: int) -> None:
        if line.voice is None or line.voice.insertion is not programme.insertion:
            line.voice = OpusVoice(programme.insertion, line.position, programme.coding.bitrate)
        while line.position + FRAME <= position:
            self._send([output_id], _tag(line.position, line.voice.read()))
            line.position += FRAME

    def _be_silent(self, output_id: str, line: _Line, position: int) -> None:
        while (missing := position - line.position) >= _SHORTEST:
            samples = next(length for length in SILENCES if length <= missing)
            self._send([output_id], _tag(line.position, SILENCES[samples]))
            line.position += samples


def _tag(position: int, payload: bytes) -> AudioTag:
    return AudioTag((position * 2 + 48) // 96, _CODED_FRAMES + payload, OPUS_CONFIG)
