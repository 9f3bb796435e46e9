"""Real tags for outputs: H.264 and AAC, encoded once, with a white flash and a 1 kHz beep at each full second."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache

import av
import numpy as np
from av.codec.context import Flags

from transponder_relay.media import AccessUnit, AudioConfig, AudioTag, ParameterSets, VideoTag
from transponder_relay.outputs import flv
from transponder_relay.outputs.output import Output
from transponder_relay.sound.aac import FRAME, SEQUENCE_HEADER

SECONDS, FRAME_RATE, SAMPLE_RATE = 3, 30, 48_000
BITRATE = 128_000


@cache
def clip(width: int = 320, height: int = 180, profile: str = "baseline") -> tuple[VideoTag | AudioTag, ...]:
    """3 s, a keyframe each second, in the order of their times."""
    tags: list[VideoTag | AudioTag] = [*_pictures(width, height, profile), *_sound()]
    return tuple(sorted(tags, key=lambda tag: tag.time))


def _video_encoder(width: int, height: int, profile: str) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.gop_size, encoder.thread_count = Fraction(FRAME_RATE), FRAME_RATE, 1
    encoder.time_base = Fraction(1, FRAME_RATE)
    encoder.flags |= Flags.global_header
    encoder.options = {"profile": profile, "preset": "veryfast", "tune": "zerolatency", "sc_threshold": "0", "bf": "0"}
    return encoder


def _pictures(width: int, height: int, profile: str) -> list[VideoTag]:
    encoder = _video_encoder(width, height, profile)
    encoder.open()
    sps, pps = _parameter_sets(bytes(encoder.extradata or b""))
    sets = ParameterSets(sps, pps, width, height)
    tagger = flv.VideoTagger()
    tags = []
    noise = np.random.default_rng(1)
    for number in range(SECONDS * FRAME_RATE):
        level = 235 if number % FRAME_RATE < 3 else 30
        luma = noise.integers(level - 10, level, (height * 3 // 2, width), np.uint8)
        luma[height:] = 128
        frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            unit = AccessUnit(0, 0.0, packet.is_keyframe, _avcc(bytes(packet)), sets)
            tags.append(tagger.tag(unit, round((packet.pts or 0) * 1000 / FRAME_RATE)))
    return tags


def _sound() -> list[AudioTag]:
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = SAMPLE_RATE, "stereo", "fltp", BITRATE
    encoder.flags |= Flags.global_header
    encoder.open()
    config = AudioConfig(SAMPLE_RATE, 2, BITRATE, SEQUENCE_HEADER + bytes(encoder.extradata or b""))
    at = np.arange(SECONDS * SAMPLE_RATE)
    beep = np.where(at % SAMPLE_RATE < SAMPLE_RATE // 10, 0.5 * np.sin(2 * np.pi * 1000 * at / SAMPLE_RATE), 0.0)
    tags = []
    for start in range(0, len(at) - 1023, 1024):
        block = np.repeat(beep[None, start : start + 1024], 2, axis=0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        for packet in encoder.encode(frame):
            if packet.pts is not None and packet.pts >= 0:
                tags.append(AudioTag(round(packet.pts * 1000 / SAMPLE_RATE), FRAME + bytes(packet), config))
    return tags


def _nal_units(annex_b: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in annex_b.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]


def _parameter_sets(annex_b: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    units = _nal_units(annex_b)
    return tuple(u for u in units if u[0] & 31 == 7), tuple(u for u in units if u[0] & 31 == 8)


def _avcc(annex_b: bytes) -> bytes:
    units = [unit for unit in _nal_units(annex_b) if unit[0] & 31 in (1, 5)]
    return b"".join(len(unit).to_bytes(4) + unit for unit in units)


async def feed(outputs: Iterable[Output], tags: Iterable[VideoTag | AudioTag], speed: float = 10.0) -> None:
    """Hand the tags to all outputs at their times, `speed` times as fast."""
    outputs = list(outputs)
    loop = asyncio.get_running_loop()
    start: float | None = None
    for tag in tags:
        due = tag.time / 1000 / speed
        start = loop.time() - due if start is None else start
        await asyncio.sleep(max(0.0, start + due - loop.time()))
        for output in outputs:
            if isinstance(tag, VideoTag):
                output.video(tag)
            else:
                output.audio(tag)


def shifted(tags: Iterable[VideoTag | AudioTag], by_ms: int) -> list[VideoTag | AudioTag]:
    return [replace(tag, time=tag.time + by_ms) for tag in tags]
