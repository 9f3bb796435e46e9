"""The sounds folder: names in, clips out."""

import os
from pathlib import Path
from threading import Lock
from typing import Final
from weakref import WeakValueDictionary

from transponder_crd.sounds import SoundRefused, find_sound
from transponder_relay.sound.clip import Clip
from transponder_relay.sound.wav import WavError, parse_wav

BIGGEST_FILE: Final = 50 * 1024 * 1024


class SoundFileError(Exception):
    """A sound file cannot be played. The text names the file as it was asked for and the rule; no path."""


class Library:
    """Reads sound files of one folder. A file that did not change is loaded once, for as long as somebody plays it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._clips: WeakValueDictionary[tuple[str, int, int], Clip] = WeakValueDictionary()
        self._lock = Lock()

    def load(self, name: str) -> Clip:
        """Read and check a file (blocks; call it from a thread). Raises SoundFileError."""
        try:
            path, status = self._find(name)
            with self._lock:
                key = (name, status.st_mtime_ns, status.st_size)
                clip = self._clips.get(key) or Clip(parse_wav(_read(path)))
                self._clips[key] = clip
                return clip
        except WavError as error:
            raise SoundFileError(f"sound file {name!r}: {error}") from None
        except OSError as error:
            raise SoundFileError(f"sound file {name!r}: {error.strerror or 'cannot be read'}") from None

    def _find(self, name: str) -> tuple[Path, os.stat_result]:
        if self._folder is None:
            raise SoundFileError(f"sound file {name!r}: there is no sounds folder")
        try:
            path, status = find_sound(self._folder, name)
        except SoundRefused as error:
            raise SoundFileError(f"sound file {name!r}: {error}") from None
        if status.st_size > BIGGEST_FILE:
            raise SoundFileError(f"sound file {name!r}: must not be bigger than {BIGGEST_FILE >> 20} MiB")
        return path, status


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(BIGGEST_FILE + 1)
    if len(content) > BIGGEST_FILE:
        raise WavError(f"must not be bigger than {BIGGEST_FILE >> 20} MiB")
    return content
