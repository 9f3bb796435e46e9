"""A short run: what the operator writes for each transponder. `make scale` measures a thousand."""

from pathlib import Path

import pytest
from cluster.control_plane import control_plane
from scale.run import measure
from support.unavailable import skipped_without

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

COUNT = 40
MOST_WRITES = {"create": 2.5, "restart": 0, "publish": 3, "mute": 1.5, "delete": 3}
"""create: the finalizer and the status. publish: the status of the Stream and of the transponder. delete: the status
and the finalizer. And some to spare, since reports may come in pieces."""


async def test_writes_are_few(tmp_path: Path) -> None:
    with skipped_without(), control_plane() as plane:
        rows = await measure(COUNT, plane.kubeconfig, tmp_path)
    assert [row.step for row in rows] == list(MOST_WRITES)
    for row in rows:
        assert row.writes <= MOST_WRITES[row.step], row
