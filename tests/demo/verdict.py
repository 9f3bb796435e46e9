"""What arrived at the RTMP server, measured, in plain words."""

import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from support.flv import SAMPLE_RATE, Flv, Interval, Sound, decode_errors, decode_sound, ffprobe

MARGIN = 0.15
"""Seconds by which an interval is shortened at its start: what was on its way when the call returned."""

HEARD, SILENT = 0.01, 0.001
"""Peaks, full scale 1."""

LONGEST_GOP = 2.5


@dataclass(frozen=True)
class Marks:
    """Parts of the recording, in its seconds: from the return of one call to the start of the next."""

    live: Interval
    muted: Interval
    sound: Interval
    live_again: Interval


@dataclass(frozen=True)
class Finding:
    good: bool
    text: str


def examine(path: Path, marks: Marks, hertz: float) -> list[Finding]:
    """`hertz`: the tone of the inserted sound file."""
    flv = Flv.read(path)
    sound = decode_sound(flv)
    return [*_described(path, flv), _undamaged(path), _keyframes(flv), *_heard(sound, marks, hertz)]


def _described(path: Path, flv: Flv) -> list[Finding]:
    found = ffprobe(path)
    video: dict[str, Any] = next((s for s in found["streams"] if s["codec_type"] == "video"), {})
    audio: dict[str, Any] = next((s for s in found["streams"] if s["codec_type"] == "audio"), {})
    times = [picture.time_ms / 1000 for picture in flv.pictures]
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0  # ffprobe's guess is none at times
    picture = f"{video.get('codec_name')} {video.get('width')}x{video.get('height')}, {fps:.1f} pictures/s"
    heard = f"{audio.get('codec_name')} {audio.get('sample_rate')} Hz, {audio.get('channels')} channels"
    seconds = float(found["format"]["duration"])
    return [
        Finding(video.get("codec_name") == "h264" and fps > 5, f"video: {picture}"),
        Finding((audio.get("codec_name"), audio.get("sample_rate")) == ("aac", "48000"), f"audio: {heard}"),
        Finding(seconds > 5, f"length: {seconds:.1f} s"),
    ]


def _undamaged(path: Path) -> Finding:
    errors = decode_errors(path)
    return Finding(not errors, f"FFmpeg decodes all of it without an error {errors[:200]}".strip())


def _keyframes(flv: Flv) -> Finding:
    times = [picture.time_ms / 1000 for picture in flv.pictures if picture.keyframe]
    ends = [*times, flv.pictures[-1].time_ms / 1000]
    longest = max((b - a for a, b in pairwise(ends)), default=0.0)
    return Finding(longest <= LONGEST_GOP, f"keyframes: {len(times)}, at most {longest:.1f} s apart")


def _heard(sound: Sound, marks: Marks, hertz: float) -> list[Finding]:
    live, muted, again = (_peak(part(sound, i)) for i in (marks.live, marks.muted, marks.live_again))
    inserted = part(sound, marks.sound)
    found, level = strongest(inserted), _peak(inserted)
    after = strongest(part(sound, marks.live_again))
    return [
        Finding(live > HEARD, f"live sound: {_loud(live)}"),
        Finding(muted < SILENT, f"mute: {'silence' if muted < SILENT else _loud(muted)}"),
        Finding(abs(found - hertz) < 5 and level > HEARD, f"sound_on: {found:.0f} Hz, {_loud(level)}"),
        Finding(again > HEARD and abs(after - hertz) > 5, f"sound_off: live sound again, {_loud(again)}"),
    ]


def part(sound: Sound, interval: Interval) -> Sound:
    """The samples of an interval without its first `MARGIN`."""
    return sound[int((interval.start + MARGIN) * SAMPLE_RATE) : int(interval.end * SAMPLE_RATE)]


def strongest(sound: Sound) -> float:
    """The strongest frequency, Hz; 0 for no sound."""
    if len(sound) == 0 or _peak(sound) == 0:
        return 0.0
    return float(np.argmax(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))))) * SAMPLE_RATE / len(sound)


def _peak(sound: Sound) -> float:
    return float(np.abs(sound).max(initial=0.0))


def _loud(peak: float) -> str:
    return f"heard, peak {20 * np.log10(peak):.0f} dBFS" if peak > SILENT else "nothing heard"


def contact_sheet(flv: Path, sheet: Path, seconds: float) -> None:
    """Twelve pictures of the recording in one. Raises CalledProcessError."""
    layout = f"fps=12/{seconds:.3f},scale=320:-2,tile=4x3:padding=4:margin=4"
    # a browser changes its picture size as it likes: one filter graph for all sizes, or the sheet begins anew
    read = ["ffmpeg", "-v", "error", "-y", "-reinit_filter", "0", "-i", str(flv)]
    subprocess.run([*read, "-vf", layout, "-frames:v", "1", str(sheet)], check=True, timeout=60)
