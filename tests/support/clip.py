"""A pre-encoded test clip: what a publisher sends, made once per machine by ffmpeg and kept in the cache folder.

H.264 constrained baseline with one slice a picture, an IDR picture each 2 s and the parameter sets before each, or VP8,
or VP9; Opus in packets of 20 ms. At each full second the picture is white for 3 frames and a 1 kHz beep sounds for
0.1 s. The beep is made early by the look-ahead of the Opus encoder (312 samples), so that in the decoded sound it
starts exactly where the flash does.
"""

import hashlib
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import av

FPS = 30
GOP = 60
SOUND_PACKET = 960
"""48 kHz samples."""

_DRAWN = (
    "-f lavfi -i testsrc2=s={width}x{height}:r=30:d={seconds} -vf noise=alls=4:allf=t,"
    "drawbox=x=iw/4:y=ih/4:w=iw/2:h=ih/2:color=white:t=fill:enable='lt(mod(n,30),3)',format=yuv420p "
)
_PICTURE = _DRAWN + (
    "-c:v libx264 -profile:v baseline -level 3.1 -preset veryfast -tune zerolatency -b:v {bitrate} -maxrate {bitrate} "
    "-bufsize {bitrate} -x264-params keyint=60:min-keyint=60:scenecut=0:slices={slices}:sliced-threads=0:"
    "repeat-headers=1:annexb=1{more} -f h264"
)
_VPX_PICTURE = _DRAWN + (
    "-c:v {encoder} -deadline realtime -cpu-used 8 -lag-in-frames 0 -auto-alt-ref 0 -b:v {bitrate} -minrate {bitrate} "
    "-maxrate {bitrate} -bufsize {bitrate} -g {gop} -keyint_min {gop} -f ivf"
)
_VPX = {"VP8": "libvpx", "VP9": "libvpx-vp9"}
_AV1_PICTURE = _DRAWN + (
    "-c:v libaom-av1 -usage realtime -cpu-used 8 -lag-in-frames 0 -b:v 800k -g {gop} -keyint_min {gop} -f ivf"
)
_HEVC_PICTURE = _DRAWN + (
    "-c:v libx265 -preset ultrafast -tune zerolatency -b:v 800k "
    "-x265-params keyint={gop}:min-keyint={gop}:scenecut=0:repeat-headers=1:open-gop=0:log-level=error -f hevc"
)
_SOUND = (
    "-f lavfi -i aevalsrc=if(lt(mod(t+0.0065\\,1)\\,0.1)\\,0.5*sin(2*PI*1000*(t+0.0065))\\,0):c=stereo:s=48000:"
    "d={seconds} -c:a libopus -b:a 64k -vbr off -application audio -frame_duration 20 -f ogg"
)


@dataclass(frozen=True, slots=True)
class Picture:
    nals: tuple[bytes, ...] = field(repr=False)
    """Parameter sets and slices, without start codes; of VP8 and VP9 the whole frame; of AV1 the OBUs with sizes."""
    keyframe: bool
    crc: int
    """CRC-32 over the slices, or over the frame."""


@dataclass(frozen=True, slots=True)
class Clip:
    pictures: tuple[Picture, ...] = field(repr=False)
    sound: tuple[bytes, ...] = field(repr=False)
    """Opus packets."""
    width: int
    height: int
    codec: str = "H264"
    """As in SDP."""

    def cut(self, pictures: int) -> "Clip":
        """The first of them, under the whole sound."""
        return replace(self, pictures=self.pictures[:pictures])

    def then(self, other: "Clip") -> "Clip":
        """This clip's pictures, then the other's, under this clip's sound."""
        return replace(self, pictures=self.pictures + other.pictures)


def slice_crc(nals: Iterator[bytes] | tuple[bytes, ...] | list[bytes]) -> int:
    """What tells a coded picture from all others, whatever its framing: the CRC-32 over its slices (types 1 and 5)."""
    crc = 0
    for nal in nals:
        if nal[0] & 31 in (1, 5):
            crc = zlib.crc32(nal, crc)
    return crc


def avcc_nals(avcc: bytes) -> list[bytes]:
    """NAL units with 4-byte lengths."""
    nals, position = [], 0
    while position < len(avcc):
        end = position + 4 + int.from_bytes(avcc[position : position + 4], "big")
        nals.append(avcc[position + 4 : end])
        position = end
    assert position == len(avcc)
    return nals


@cache
def clip(
    seconds: int = 12, width: int = 640, height: int = 360, bitrate: str = "800k", slices: int = 1, more: str = ""
) -> Clip:
    """The clip, from the cache; the first call on a machine takes some seconds. Needs ffmpeg with libx264 and libopus.
    `more`: further x264 parameters, as in `:key=value`."""
    values = {"seconds": seconds, "width": width, "height": height, "bitrate": bitrate, "slices": slices, "more": more}
    pictures = tuple(_pictures(_made(_PICTURE.format(**values), "h264").read_bytes()))
    assert len(pictures) == seconds * FPS
    assert [p.keyframe for p in pictures] == [i % GOP == 0 for i in range(len(pictures))]
    return Clip(pictures, _sound(seconds), width, height)


@cache
def vpx_clip(
    codec: str = "VP8",
    seconds: int = 12,
    width: int = 640,
    height: int = 360,
    bitrate: str = "800k",
    gop: int = GOP,
) -> Clip:
    """As `clip`, in VP8 or VP9. Needs ffmpeg with libvpx. `gop`: pictures from keyframe to keyframe; a WhipSender that
    jumps needs it as it is."""
    values = {"seconds": seconds, "width": width, "height": height, "bitrate": bitrate, "gop": gop}
    path = _made(_VPX_PICTURE.format(encoder=_VPX[codec], **values), "ivf")
    with av.open(str(path)) as container:
        packets = [(bytes(p), p.is_keyframe) for p in container.demux(video=0) if p.size]
    pictures = tuple(Picture((frame,), keyframe, zlib.crc32(frame)) for frame, keyframe in packets)
    assert len(pictures) == seconds * FPS
    assert [p.keyframe for p in pictures] == [i % gop == 0 for i in range(len(pictures))]
    return Clip(pictures, _sound(seconds), width, height, codec)


@cache
def av1_clip(seconds: int = 4, width: int = 640, height: int = 360, gop: int = GOP) -> Clip:
    """As `clip`, in AV1. Needs ffmpeg with libaom."""
    values = {"seconds": seconds, "width": width, "height": height, "gop": gop}
    with av.open(str(_made(_AV1_PICTURE.format(**values), "ivf"))) as container:
        units = [list(_obus(bytes(p))) for p in container.demux(video=0) if p.size]
    pictures = [
        (tuple(o for o in obus if o[0] >> 3 & 15 != 2), any(o[0] >> 3 & 15 == 1 for o in obus)) for obus in units
    ]
    made = tuple(Picture(obus, keyframe, zlib.crc32(b"".join(obus))) for obus, keyframe in pictures)
    assert [p.keyframe for p in made] == [i % gop == 0 for i in range(seconds * FPS)]
    return Clip(made, _sound(seconds), width, height, "AV1")


@cache
def hevc_clip(seconds: int = 4, width: int = 640, height: int = 360, gop: int = GOP) -> Clip:
    """As `clip`, in HEVC. Needs ffmpeg with libx265."""
    values = {"seconds": seconds, "width": width, "height": height, "gop": gop}
    pictures: list[list[bytes]] = []
    begun = True
    for nal in _split(_made(_HEVC_PICTURE.format(**values), "hevc").read_bytes()):
        kind = nal[0] >> 1 & 63
        if begun and (kind >= 32 or nal[2] > 127):  # what is no slice, or the first slice, begins a picture
            pictures.append([])
        begun = kind < 32
        pictures[-1].append(nal)
    keyframes = [any(16 <= nal[0] >> 1 & 63 <= 21 for nal in nals) for nals in pictures]
    assert keyframes == [i % gop == 0 for i in range(seconds * FPS)]
    made = (Picture(tuple(n), k, hevc_crc(n)) for n, k in zip(pictures, keyframes, strict=True))
    return Clip(tuple(made), _sound(seconds), width, height, "H265")


def hevc_crc(nals: Iterator[bytes] | list[bytes]) -> int:
    """Over the slices."""
    return zlib.crc32(b"".join(nal for nal in nals if nal[0] >> 1 & 63 < 32))


def _obus(unit: bytes) -> Iterator[bytes]:
    """OBUs with their sizes (AV1, 5.3)."""
    at = 0
    while at < len(unit):
        start = at + (2 if unit[at] & 4 else 1)
        size = shift = 0
        while True:
            size |= (unit[start] & 127) << shift
            shift, start = shift + 7, start + 1
            if unit[start - 1] < 128:
                break
        yield unit[at : start + size]
        at = start + size


def _sound(seconds: int) -> tuple[bytes, ...]:
    with av.open(str(_made(_SOUND.format(seconds=seconds), "ogg"))) as container:
        return tuple(bytes(p) for p in container.demux(audio=0) if p.size)


def _made(recipe: str, ending: str) -> Path:
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache_home / "rtmp-transponder" / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.{ending}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # several test runs may make it at the same time
            made = Path(scratch) / path.name
            command = ["ffmpeg", "-v", "error", "-y", *recipe.split(), str(made)]
            subprocess.run(command, check=True, timeout=50, stdin=subprocess.DEVNULL)
            made.replace(path)
    return path


def _pictures(annex_b: bytes) -> Iterator[Picture]:
    nals: list[bytes] = []
    for nal in _split(annex_b):
        kind = nal[0] & 31
        first_slice = kind in (1, 5) and nal[1] & 0x80
        if nals and nals[-1][0] & 31 in (1, 5) and (first_slice or kind not in (1, 5)):
            yield _picture(nals)
            nals = []
        if kind in (1, 5, 7, 8):
            nals.append(nal)
    yield _picture(nals)


def _picture(nals: list[bytes]) -> Picture:
    return Picture(tuple(nals), any(n[0] & 31 == 5 for n in nals), slice_crc(nals))


def _split(annex_b: bytes) -> Iterator[bytes]:
    for part in annex_b.split(b"\0\0\1")[1:]:
        yield part.rstrip(b"\0")  # the next start code may have four bytes; RBSP never ends with zeros
