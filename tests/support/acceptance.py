"""YouTube's list of faults of a live stream, as far as a recording shows them, each found by ffprobe or in the bytes.

https://developers.google.com/youtube/v3/live/docs/liveStreams#status.healthStatus.configurationIssues[].type
"""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from support.flv import Flv, nal_units

_IDR = 5


@dataclass(frozen=True)
class Recording:
    path: Path

    @cached_property
    def _found(self) -> dict[str, Any]:
        command = ["ffprobe", "-v", "error", "-show_streams", "-show_packets", "-of", "json", str(self.path)]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
        return found

    def stream(self, kind: str) -> Mapping[str, Any]:
        """What ffprobe says of the first stream of that kind; empty if there is none."""
        return next((s for s in self._found["streams"] if s["codec_type"] == kind), {})

    def packets(self, kind: str) -> list[Mapping[str, Any]]:
        return [p for p in self._found["packets"] if p["codec_type"] == kind]

    def bitrate(self, kind: str) -> float:
        """bit/s from the first packet to the last."""
        packets = self.packets(kind)
        seconds = float(packets[-1]["dts_time"]) - float(packets[0]["dts_time"])
        return sum(8 * int(packet["size"]) for packet in packets) / seconds

    def keyframe_times(self) -> list[float]:
        return [float(p["pts_time"]) for p in self.packets("video") if "K" in p["flags"]]

    def longest_group(self) -> float:
        """Seconds, that up to the last packet included."""
        last = float(self.packets("video")[-1]["pts_time"])
        return max(after - before for before, after in pairwise([*self.keyframe_times(), last]))

    def has_open_group(self) -> bool:
        """A keyframe that is no IDR picture, or a picture that is shown before the keyframe it comes after."""
        flv, start = Flv.read(self.path), 0.0
        for packet in self.packets("video"):
            start = float(packet["pts_time"]) if "K" in packet["flags"] else start
            if float(packet["pts_time"]) < start:
                return True
        return any(p.keyframe and not any(n[0] & 31 == _IDR for n in nal_units(p.avcc)) for p in flv.pictures)

    def is_monotonic(self) -> bool:
        """Decoding times grow, strictly for pictures."""
        pictures = [float(packet["dts_time"]) for packet in self.packets("video")]
        sound = [float(packet["dts_time"]) for packet in self.packets("audio")]
        return all(a < b for a, b in pairwise(pictures)) and all(a <= b for a, b in pairwise(sound))


FAULTS: Final[dict[str, Callable[[Recording], bool]]] = {
    "noVideoStream": lambda r: not r.stream("video"),
    "noAudioStream": lambda r: not r.stream("audio"),
    "videoCodec": lambda r: r.stream("video").get("codec_name") != "h264",
    "audioCodec": lambda r: (r.stream("audio").get("codec_name"), r.stream("audio").get("profile")) != ("aac", "LC"),
    "audioSampleRate": lambda r: r.stream("audio").get("sample_rate") not in ("44100", "48000"),
    "audioTooManyChannels": lambda r: r.stream("audio").get("channels", 0) > 2,
    "audioStereoMismatch": lambda r: r.stream("audio").get("channels") != 2,
    "audioBitrateLow": lambda r: r.bitrate("audio") < 64_000,
    "audioBitrateHigh": lambda r: r.bitrate("audio") > 400_000,
    "videoBitrateLow": lambda r: r.bitrate("video") < 300_000,
    "videoInterlaceMismatch": lambda r: r.stream("video").get("field_order", "progressive") != "progressive",
    "videoProfileMismatch": lambda r: "4:2:2" in str(r.stream("video").get("profile")),
    "gopSizeLong": lambda r: r.longest_group() > 4.0,
    "gopSizeShort": lambda r: len(r.keyframe_times()) > 2 and r.longest_group() < 0.5,
    "openGop": lambda r: r.has_open_group(),
    "badTimestamps": lambda r: not r.is_monotonic(),
}
"""Names are YouTube's where it has one. A check may raise where an earlier fault leaves it nothing to look at."""


def faults(path: Path) -> list[str]:
    """The names of what is wrong with a recording, in the order of FAULTS."""
    recording, found = Recording(path), []
    for name, is_wrong in FAULTS.items():
        try:
            wrong = is_wrong(recording)
        except (IndexError, ValueError, ZeroDivisionError):
            wrong = True
        if wrong:
            found.append(name)
    return found
