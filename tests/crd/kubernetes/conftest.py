"""An API server that says what a test tells it to, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.scripted_api import ScriptedApi, scripted_api

from transponder_crd.kubernetes.client import Kube


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ScriptedApi]:
    async with scripted_api(tmp_path) as api:
        yield api


@pytest.fixture
async def kube(api: ScriptedApi) -> AsyncIterator[Kube]:
    kube = Kube.connect(api.kubeconfig)
    yield kube
    await kube.close()
