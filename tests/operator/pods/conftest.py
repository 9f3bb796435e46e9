"""One API server for all tests of a file."""

from collections.abc import AsyncIterator, Iterator

import pytest
from cluster.control_plane import ControlPlane, control_plane
from support.pod_site import Site, pod_site
from support.unavailable import skipped_without


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """With the controller manager where the file has `CONTROLLERS = True`."""
    with skipped_without(), control_plane(controllers=getattr(request.module, "CONTROLLERS", False)) as started:
        yield started


@pytest.fixture
async def site(plane: ControlPlane) -> AsyncIterator[Site]:
    async with pod_site(plane.kubeconfig) as site:
        yield site
