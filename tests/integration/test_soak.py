"""A short soak, of a minute and a half: what comes and goes leaves nothing behind. `make soak` is the long one."""

from pathlib import Path

import pytest
from soak.run import soak

pytestmark = pytest.mark.integration

GROWTH_MIB = 8.0
"""From the second round to the third: pools and caches of the processes are still filling."""


@pytest.mark.timeout(240)
async def test_three_rounds_leave_nothing_behind(tmp_path: Path) -> None:
    assert await soak(tmp_path, seconds=0, growth_mib=GROWTH_MIB) == []
