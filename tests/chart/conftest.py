"""Helm 4 and Helm 3, from the packages of PyPI that hold them; skipped with the reason where they cannot be had."""

from pathlib import Path

import pytest
from cluster import tools
from support.unavailable import skipped_without


def _program(which: str) -> Path:
    with skipped_without():
        return {"helm4": tools.helm, "helm3": tools.helm3}[which]()


@pytest.fixture(scope="session")
def helm() -> Path:
    return _program("helm4")


@pytest.fixture(scope="session", params=["helm4", "helm3"])
def any_helm(request: pytest.FixtureRequest) -> Path:
    return _program(request.param)
