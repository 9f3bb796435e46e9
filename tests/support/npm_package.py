"""Packages of npm as they are published: fetched once into a cache folder, never installed, never changed."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

_FETCH_SECONDS = 120


def npm_package(name: str, version: str) -> Path:
    """The folder of the package, or skip with the reason."""
    found = _fetched(name, version)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@cache
def _fetched(name: str, version: str) -> Path | str:
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache_home / "rtmp-transponder" / "npm" / f"{name.lstrip('@').replace('/', '-')}-{version}"
    if not home.exists():
        if shutil.which("npm") is None:
            return "npm is not installed (Debian: npm)"
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:  # several test runs may fetch it at once
            try:
                unpacked = _unpack(f"{name}@{version}", Path(scratch))
            except (subprocess.SubprocessError, OSError) as error:
                return f"{name} {version} cannot be had from npm: {type(error).__name__}"
            with contextlib.suppress(OSError):  # another run was faster
                unpacked.rename(home)
    return home


def _unpack(package: str, folder: Path) -> Path:
    """`npm pack` runs no script of a package that comes from a registry."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", package]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_SECONDS)
    (archive,) = folder.glob("*.tgz")
    subprocess.run(["tar", "xzf", archive.name], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder / "package"
