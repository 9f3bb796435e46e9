"""A real API server for all tests of this folder; each has a namespace and a farm of relays of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest
from cluster.control_plane import ControlPlane, control_plane, free_ports
from support.api_server import Namespace, namespace
from support.operator_process import OperatorProcess, operator_process
from support.relay_farm import RelayFarm
from support.unavailable import skipped_without


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with skipped_without(), control_plane() as running:
        yield running


@pytest.fixture
async def space(plane: ControlPlane) -> AsyncIterator[Namespace]:
    async with namespace(plane.kubeconfig) as made:
        yield made


@pytest.fixture
async def farm() -> AsyncIterator[RelayFarm]:
    async with RelayFarm() as made:
        yield made


class StartOperator(Protocol):
    def __call__(
        self, *, kubeconfig: Path | None = None, leads: bool = True, **settings: str
    ) -> AbstractAsyncContextManager[OperatorProcess]: ...


@pytest.fixture
def start_operator(plane: ControlPlane, space: Namespace, farm: RelayFarm, tmp_path: Path) -> StartOperator:
    """An operator of that namespace, with the relays of that farm."""

    def start(
        *, kubeconfig: Path | None = None, leads: bool = True, **settings: str
    ) -> AbstractAsyncContextManager[OperatorProcess]:
        (port,) = free_ports(1)
        settings = {"namespace": space.name, **settings}
        return operator_process(tmp_path, kubeconfig or plane.kubeconfig, farm.url, port, leads=leads, **settings)

    return start
