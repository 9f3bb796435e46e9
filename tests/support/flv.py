"""Reads a recorded FLV and measures it: what came, when, bit for bit, and how far sound and picture are apart.

    flv = Flv.read(path)
    flv.check_monotone()
    [picture.crc for picture in flv.pictures]        # against what the sender sent
    skews(flv)                                       # ms, beep after flash

Times are seconds of the FLV's own timeline unless a name ends in `_ms`.
"""

import json
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from transponder_relay.outputs import amf

Sound = npt.NDArray[np.float32]
"""Mono samples; index 0 is time 0 of the FLV."""

AUDIO, VIDEO, SCRIPT = 8, 9, 18
SAMPLE_RATE = 48_000
_SLICES = (1, 5)


@dataclass(frozen=True)
class Tag:
    type: int
    time_ms: int
    body: bytes


@dataclass(frozen=True)
class Picture:
    time_ms: int
    keyframe: bool
    crc: int
    """`crc_of_slices`."""
    sequence_header: bytes
    """AVCDecoderConfigurationRecord in force."""
    avcc: bytes


@dataclass(frozen=True)
class Frame:
    """One AAC frame."""

    time_ms: int
    raw: bytes
    sequence_header: bytes
    """AudioSpecificConfig in force."""


@dataclass(frozen=True)
class Interval:
    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


class Flv:
    def __init__(self, tags: list[Tag]) -> None:
        self.tags = tags

    @classmethod
    def read(cls, path: Path) -> "Flv":
        """Raises ValueError for a file that is not well-formed. A last tag that is cut off is left out."""
        return cls(list(_parse(path.read_bytes())))

    def _of(self, tag_type: int) -> Iterator[Tag]:
        return (tag for tag in self.tags if tag.type == tag_type)

    @cached_property
    def metadata(self) -> list[dict[str, Any]]:
        """The objects of all onMetaData, in order. nginx-rtmp records none: ask `rtmp_server` for those."""
        values = [amf.decode(tag.body) for tag in self._of(SCRIPT)]
        return [dict(v[-1]) for v in values if isinstance(v[-1], dict)]

    @cached_property
    def video_headers(self) -> list[Tag]:
        """Tags with an AVCDecoderConfigurationRecord."""
        return [tag for tag in self._of(VIDEO) if tag.body[1] == 0]

    @cached_property
    def audio_headers(self) -> list[Tag]:
        """Tags with an AudioSpecificConfig."""
        return [tag for tag in self._of(AUDIO) if tag.body[1] == 0]

    @cached_property
    def pictures(self) -> list[Picture]:
        pictures, header = [], b""
        for tag in self._of(VIDEO):
            if tag.body[0] & 0x0F != 7:
                raise ValueError(f"video at {tag.time_ms} ms is not AVC")
            if tag.body[1] == 0:
                header = tag.body[5:]
            elif tag.body[1] == 1:
                avcc = tag.body[5:]
                crc = crc_of_slices(nal_units(avcc))
                pictures.append(Picture(tag.time_ms, tag.body[0] >> 4 == 1, crc, header, avcc))
        return pictures

    @cached_property
    def frames(self) -> list[Frame]:
        frames, header = [], b""
        for tag in self._of(AUDIO):
            if tag.body[0] >> 4 != 10:
                raise ValueError(f"audio at {tag.time_ms} ms is not AAC")
            if tag.body[1] == 0:
                header = tag.body[2:]
            else:
                frames.append(Frame(tag.time_ms, tag.body[2:], header))
        return frames

    def check_monotone(self) -> None:
        """Raises AssertionError when a picture is not later than the one before, or sound is earlier."""
        for before, after in pairwise(self.pictures):
            assert after.time_ms > before.time_ms, f"a picture at {after.time_ms} ms after one at {before.time_ms} ms"
        for former, latter in pairwise(self.frames):
            assert latter.time_ms >= former.time_ms, f"sound at {latter.time_ms} ms after {former.time_ms} ms"

    def check_gapless_sound(self, tolerance_ms: float = 1.0) -> None:
        """Raises AssertionError when AAC frames are not 1024 samples apart, as far as ms can say."""
        for number, frame in enumerate(self.frames):
            expected = self.frames[0].time_ms + number * 1024 * 1000 / SAMPLE_RATE
            off = frame.time_ms - expected
            assert abs(off) <= tolerance_ms, f"sound at {frame.time_ms} ms is {off:+.1f} ms off"


def _parse(data: bytes) -> Iterator[Tag]:
    if data[:4] != b"FLV\x01" or len(data) < 13:
        raise ValueError("not an FLV file")
    at = int.from_bytes(data[5:9]) + 4
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4])
        end = at + 11 + size
        if end + 4 > len(data):
            return
        if int.from_bytes(data[end : end + 4]) != size + 11:
            raise ValueError(f"the tag at byte {at} has a wrong length behind it")
        time_ms = int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24
        yield Tag(data[at] & 0x1F, time_ms, data[at + 11 : end])
        at = end + 4


# ------------------------------------------------------------------------------------------------ pictures


def nal_units(avcc: bytes) -> Iterator[bytes]:
    """NAL units of an access unit with 4-byte lengths. Raises ValueError when the lengths do not add up."""
    at = 0
    while at < len(avcc):
        size = int.from_bytes(avcc[at : at + 4])
        if at + 4 + size > len(avcc) or size == 0:
            raise ValueError("NAL unit lengths do not add up")
        yield avcc[at + 4 : at + 4 + size]
        at += 4 + size


def crc_of_slices(units: Iterable[bytes]) -> int:
    """CRC-32 over the NAL units of types 1 and 5, one after the other, without lengths or start codes."""
    crc = 0
    for unit in units:
        if unit[0] & 0x1F in _SLICES:
            crc = zlib.crc32(unit, crc)
    return crc


def brightness(flv: Flv) -> list[tuple[float, float]]:
    """(time, mean luma 0...255) of each decoded picture. Raises av.FFmpegError for a picture that does not decode."""
    levels: list[tuple[float, float]] = []
    decoder: av.VideoCodecContext | None = None
    header = b""
    for picture in flv.pictures:
        if decoder is None or picture.sequence_header != header:
            levels += _levels(decoder, None)
            header = picture.sequence_header
            decoder = av.CodecContext.create("h264", "r")
            decoder.extradata = header
            decoder.thread_count = 1
        packet = av.Packet(picture.avcc)
        packet.pts = packet.dts = picture.time_ms
        levels += _levels(decoder, packet)
    return levels + _levels(decoder, None)


def _levels(decoder: "av.VideoCodecContext | None", packet: "av.Packet | None") -> list[tuple[float, float]]:
    if decoder is None:
        return []
    found = []
    for frame in decoder.decode(packet):
        plane = frame.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height : 8, : frame.width : 8]
        found.append((frame.pts / 1000, float(luma.mean())))
    return found


def flashes(flv: Flv) -> list[float]:
    """When the picture turns from dark to white."""
    levels = brightness(flv)
    values = [level for _, level in levels]
    middle = (min(values) + max(values)) / 2
    return [time for (_, before), (time, level) in pairwise(levels) if before < middle <= level]


# ------------------------------------------------------------------------------------------------ sound


def decode_sound(flv: Flv) -> Sound:
    """All AAC frames where their times put them; gaps are silence. Times off by less than 2 ms count as rounding."""
    placed: list[tuple[int, Sound]] = []
    decoder: av.AudioCodecContext | None = None
    header, position = b"", 0
    for frame in flv.frames:
        if decoder is None or frame.sequence_header != header:
            header = frame.sequence_header
            decoder = av.CodecContext.create("aac", "r")
            decoder.extradata = header
        wanted = frame.time_ms * SAMPLE_RATE // 1000
        if not placed or abs(wanted - position) > SAMPLE_RATE // 500:
            position = wanted
        for decoded in decoder.decode(av.Packet(frame.raw)):
            assert decoded.sample_rate == SAMPLE_RATE
            samples = decoded.to_ndarray().mean(axis=0, dtype=np.float32)
            placed.append((position, samples))
            position += len(samples)
    sound = np.zeros(max((at + len(samples) for at, samples in placed), default=0), np.float32)
    for at, samples in placed:
        sound[at : at + len(samples)] = samples
    return sound


def tone_level(sound: Sound, frequency: float, window: float = 0.005) -> npt.NDArray[np.float64]:
    """Amplitude of `frequency` in a window (s, whole periods) centred at each sample. A beep's edge is where the level
    is half of the plateau, since there half of the window is filled."""
    width = round(window * SAMPLE_RATE)
    turning = np.exp(-2j * np.pi * frequency / SAMPLE_RATE * np.arange(len(sound)))
    total = np.concatenate(([0], np.cumsum(sound * turning)))
    centred = np.abs(total[width:] - total[:-width]) * 2 / width
    before = width // 2
    return np.concatenate((np.zeros(before), centred, np.zeros(len(sound) - before - len(centred))))


def tones(sound: Sound, frequency: float, shortest: float = 0.02) -> list[Interval]:
    """Where `frequency` is heard at more than half of its usual level; a single louder click does not hide the rest."""
    level = tone_level(sound, frequency)
    peak = float(level.max(initial=0.0))
    if peak < 0.01:
        return []
    usual = float(np.median(level[level > peak / 4]))
    return [i for i in _intervals(level > usual / 2) if i.length >= shortest]


def silences(sound: Sound, shortest: float = 0.05, threshold: float = 1e-3) -> list[Interval]:
    """Where no sample exceeds `threshold` (full scale is 1)."""
    return [i for i in _intervals(np.abs(sound) <= threshold) if i.length >= shortest]


def _intervals(mask: npt.NDArray[np.bool_]) -> list[Interval]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [Interval(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in edges.reshape(-1, 2).tolist()]


def skews(flv: Flv, frequency: float = 1000.0, within: float = 0.4) -> list[float]:
    """For each flash with a beep within `within` s of it: ms by which the beep comes later."""
    beeps = [interval.start for interval in tones(decode_sound(flv), frequency)]
    found = []
    for flash in flashes(flv):
        nearest = min(beeps, key=lambda beep: abs(beep - flash), default=None)
        if nearest is not None and abs(nearest - flash) <= within:
            found.append((nearest - flash) * 1000)
    return found


# ------------------------------------------------------------------------------------------------ FFmpeg's opinion


def ffprobe(path: Path) -> dict[str, Any]:
    """Streams and format, as JSON. Raises CalledProcessError."""
    command = ["ffprobe", "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json", str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    return found


def missing_references(path: Path) -> list[str]:
    """What a decoder notes of jumps in frame_num: FFmpeg conceals them, and tells only who asks for debugging."""
    command = ["ffmpeg", "-v", "debug", "-threads", "1", "-i", str(path), "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr
    assert "nal_unit_type: 5(IDR)" in told, "this FFmpeg tells what it decodes"
    return [line for line in told.splitlines() if "Frame num gap" in line or "reference picture missing" in line]


def decode_errors(path: Path) -> str:
    """What FFmpeg complains of when it decodes the whole file; empty when all is well."""
    # times as they are: a browser's picture rate varies, and none may fall together when rounded to a guessed rate
    as_is = ["-fps_mode", "passthrough", "-enc_time_base", "-1"]
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), *as_is, "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
