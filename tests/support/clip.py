"""A pre-encoded test clip: what a publisher sends, made once per machine by ffmpeg and kept in the cache folder.

H.264 constrained baseline with one slice a picture, an IDR picture each 2 s and the parameter sets before each; Opus in
packets of 20 ms. At each full second the picture is white for 3 frames and a 1 kHz beep sounds for 0.1 s. The beep is
made early by the look-ahead of the Opus encoder (312 samples), so that in the decoded sound it starts exactly where the
flash does.
"""

import hashlib
import os
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av

FPS = 30
GOP = 60
SOUND_PACKET = 960
"""48 kHz samples."""

_PICTURE = (
    "-f lavfi -i testsrc2=s={width}x{height}:r=30:d={seconds} -vf noise=alls=4:allf=t,"
    "drawbox=x=iw/4:y=ih/4:w=iw/2:h=ih/2:color=white:t=fill:enable='lt(mod(n,30),3)',format=yuv420p "
    "-c:v libx264 -profile:v baseline -level 3.1 -preset veryfast -tune zerolatency -b:v {bitrate} -maxrate {bitrate} "
    "-bufsize {bitrate} -x264-params keyint=60:min-keyint=60:scenecut=0:slices={slices}:sliced-threads=0:"
    "repeat-headers=1:annexb=1 -f h264"
)
_SOUND = (
    "-f lavfi -i aevalsrc=if(lt(mod(t+0.0065\\,1)\\,0.1)\\,0.5*sin(2*PI*1000*(t+0.0065))\\,0):c=stereo:s=48000:"
    "d={seconds} -c:a libopus -b:a 64k -vbr off -application audio -frame_duration 20 -f ogg"
)


@dataclass(frozen=True, slots=True)
class Picture:
    nals: tuple[bytes, ...] = field(repr=False)
    """Parameter sets and slices, without start codes."""
    keyframe: bool
    crc: int
    """CRC-32 over the slices."""


@dataclass(frozen=True, slots=True)
class Clip:
    pictures: tuple[Picture, ...] = field(repr=False)
    sound: tuple[bytes, ...] = field(repr=False)
    """Opus packets."""
    width: int
    height: int


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
def clip(seconds: int = 12, width: int = 640, height: int = 360, bitrate: str = "800k", slices: int = 1) -> Clip:
    """The clip; the first call on a machine makes it, with ffmpeg, libx264 and libopus."""
    values = {"seconds": seconds, "width": width, "height": height, "bitrate": bitrate, "slices": slices}
    video = _made(_PICTURE.format(**values), "h264").read_bytes()
    sound = _made(_SOUND.format(**values), "ogg")
    with av.open(str(sound)) as container:
        packets = tuple(bytes(p) for p in container.demux(audio=0) if p.size)
    pictures = tuple(_pictures(video))
    assert len(pictures) == seconds * FPS
    assert [p.keyframe for p in pictures] == [i % GOP == 0 for i in range(len(pictures))]
    return Clip(pictures, packets, width, height)


def _made(recipe: str, ending: str) -> Path:
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache_home / "rtmp-transponder" / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.{ending}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # several test runs may make it at the same time
            made = Path(scratch) / path.name
            command = ["ffmpeg", "-v", "error", "-y", *recipe.split(), str(made)]
            subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL)
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
