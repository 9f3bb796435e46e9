"""Where a sound file of a name is: the same for the API, which refuses what does not exist, and for relays."""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from transponder_crd.resource import SOUND_FILE_RULE


class SoundFile(NamedTuple):
    path: Path
    """Without links."""
    status: os.stat_result


class SoundRefused(Exception):
    """The rule that a name or its file breaks; no path."""


def find_sound(folder: Path, name: str) -> SoundFile:
    """A regular file in `folder`. Links within the folder are followed, since a mounted ConfigMap is made of them;
    none leads out of it. Raises SoundRefused, OSError."""
    if not re.fullmatch(SOUND_FILE_RULE, name):
        raise SoundRefused("must be the name of a file in the sounds folder")
    path = Path(os.path.realpath(folder / name))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise SoundRefused("must not lie outside the sounds folder")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise SoundRefused("must be a regular file")
    return SoundFile(path, status)
