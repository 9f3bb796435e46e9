"""One running API for all tests of a module; each test finds it empty."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.api import Api, running_api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    waits = {"effect_timeout": 10, "close_timeout": 10, "relay_timeout": 10, "offer_timeout": 10}
    async with running_api(tmp_path_factory.mktemp("api"), **waits) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    waits = {"effect_timeout": 0.1, "close_timeout": 0.1, "relay_timeout": 0.1, "offer_timeout": 0.1}
    async with running_api(tmp_path_factory.mktemp("api"), **waits) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def api(patient: Api) -> AsyncIterator[Api]:
    """Waits long for what happens."""
    yield patient
    await patient.reset()


@pytest_asyncio.fixture(loop_scope="module")
async def impatient_api(hasty: Api) -> AsyncIterator[Api]:
    """Waits short for what never happens."""
    yield hasty
    await hasty.reset()
