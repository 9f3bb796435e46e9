"""Says when each FLV tag of growing files was written: `python -m bench.tail FOLDER` until its standard input ends.

Prints "ready", and at the end one JSON object: stream name → [[monotonic seconds, tag type, time stamp ms, CRC32], …].
The CRC is that of a picture's slices; other tags have 0 if they are headers, else 1. A process of its own, so that
nothing else delays its clock.
"""

import ctypes
import json
import os
import select
import struct
import sys
import time
import zlib
from pathlib import Path

IN_MODIFY = 0x2
VIDEO = 9
SLICES = frozenset((1, 5))

Row = tuple[float, int, int, int]


class GrowingFlv:
    """The tags of one file, as they come."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._buffer = b""
        self._at = 13
        """Where the next tag starts: behind the file header and the first previous-tag-size."""
        self.rows: list[Row] = []

    def close(self) -> None:
        self._file.close()

    def read(self) -> None:
        self._buffer += self._file.read()
        now, buffer, at = time.monotonic(), self._buffer, self._at
        while len(buffer) - at >= 11:
            size = int.from_bytes(buffer[at + 1 : at + 4])
            if len(buffer) - at < 15 + size:
                break
            stamp = int.from_bytes(buffer[at + 4 : at + 7]) | buffer[at + 7] << 24
            body = buffer[at + 11 : at + 11 + size]
            self.rows.append((now, buffer[at], stamp, picture_crc(body) if buffer[at] == VIDEO else body[1]))
            at += 15 + size
        self._buffer, self._at = (buffer[at:], 0) if at <= len(buffer) else (buffer, at)


def picture_crc(body: bytes) -> int:
    """CRC32 over the slice NAL units of a VIDEODATA body with 4-byte lengths; 0 for a sequence header."""
    crc, at = 0, 5
    if len(body) < 6 or body[1] != 1:
        return 0
    while at + 4 < len(body):
        size = int.from_bytes(body[at : at + 4])
        if body[at + 4] & 31 in SLICES:
            crc = zlib.crc32(body[at + 4 : at + 4 + size], crc)
        at += 4 + size
    return crc


def main() -> None:
    folder = Path(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    notify = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(notify, os.fsencode(folder), IN_MODIFY)
    files: dict[str, GrowingFlv] = {}
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([notify, sys.stdin], [], [])
        if notify in ready:
            for name in written_names(os.read(notify, 65536)):
                files.setdefault(name, GrowingFlv(folder / name)).read()
        if sys.stdin in ready:
            break
    for file in files.values():
        file.close()
    json.dump({name.removesuffix(".flv"): file.rows for name, file in files.items()}, sys.stdout)


def written_names(events: bytes) -> set[str]:
    """File names in a block of `struct inotify_event`."""
    names, at = set(), 0
    while at < len(events):
        (length,) = struct.unpack_from("I", events, at + 12)
        names.add(events[at + 16 : at + 16 + length].rstrip(b"\0").decode())
        at += 16 + length
    return {name for name in names if name.endswith(".flv")}


if __name__ == "__main__":
    main()
