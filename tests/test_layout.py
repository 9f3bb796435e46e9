"""Rules of the source tree that no tool checks."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["operator", "relay", "api", "crds", "local", "tests"])
def test_source_roots_are_no_packages(folder: str) -> None:
    """An `operator/__init__.py` would hide Python's own `operator` from whatever is started in this folder."""
    assert not (ROOT / folder / "__init__.py").exists()
