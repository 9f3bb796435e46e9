"""checkov, a checker of manifests, from PyPI; fetched once into a folder of its own: it brings a hundred packages."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cluster.folders import Unavailable, cache, say

VERSION = "3.3.30"
_FETCH_SECONDS = 600


def failed_checks(folder: Path) -> set[tuple[str, str, str]]:
    """Of all YAML files of the folder: the file, the failed check, and the object that it is about
    (`Kind.namespace.name`). Sends nothing. Raises Unavailable."""
    command = [sys.executable, "-S", "-m", "checkov.main", "--framework", "kubernetes", "--directory", folder]
    quiet = ["--output", "json", "--compact", "--skip-download", "--skip-results-upload"]
    done = subprocess.run(
        [*command, *quiet],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_packages()), "HOME": str(folder), "LOG_LEVEL": "ERROR"},
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["passed"] > 100, "checkov did not read the manifests"
    return {(c["file_path"].lstrip("/"), c["check_id"], c["resource"]) for c in report["results"]["failed_checks"]}


def _packages() -> Path:
    home = cache() / f"checkov-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not home.exists():
        say(f"fetching checkov {VERSION}")
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            folder = Path(scratch) / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, f"checkov=={VERSION}"]
            done = subprocess.run(pip, capture_output=True, text=True, timeout=_FETCH_SECONDS)
            if done.returncode:
                raise Unavailable(f"checkov {VERSION} cannot be fetched: {done.stderr[-1000:]}")
            if not home.exists():  # another test run may have been faster
                folder.rename(home)
    return home
