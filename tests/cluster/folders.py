"""Where things lie: what is worth keeping between runs, and what one cluster leaves while it runs."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


class Unavailable(Exception):
    """A cluster cannot be made on this machine; the text says why."""


def cache() -> Path:
    """What may be kept for years: binaries, images. Named by version: a new one never meets files of an old one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "rtmp-transponder"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say(text: str) -> None:
    """Progress, for whoever waits: some steps take minutes."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)
