"""The relay host interface: who makes relays run, and where they are.

Adapters: pods (Kubernetes) and child processes (`transponder_local`). One relay serves one stream.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from transponder_crd.meta import OwnerReference


class RelayAddress(NamedTuple):
    """Where a relay's control port is. The token is a secret: it is shown in no log."""

    instance: str
    """Name of the process or pod; equals `RelayReport.instance`."""
    url: str
    """Base URL, no trailing slash."""
    token: str

    def __repr__(self) -> str:
        return f"RelayAddress({self.instance} at {self.url})"


class Absence(NamedTuple):
    """Why a relay is not there."""

    reason: str
    """A condition reason: one word in CamelCase."""
    message: str
    """A sentence without secrets. It stays as it is while nothing happens, since statuses are written on changes."""


class RelayDirectory(Protocol):
    """The part of a relay host that the API needs: to hand over an SDP offer."""

    async def address(self, stream_name: str) -> RelayAddress | None:
        """None while no relay of that stream is ready."""
        ...


class RelayHost(RelayDirectory, Protocol):
    """The part that the reconciler needs."""

    async def ensure(self, stream_name: str, owners: Sequence[OwnerReference]) -> RelayAddress | None:
        """Have a relay run for the stream, a new one in place of one that ended (with backoff). Returns at once;
        None until it is ready, and the host then wakes the reconciler for that stream."""
        ...

    def absence(self, stream_name: str) -> Absence | None:
        """Why the last `ensure` gave no address; None: nothing is known but that it is not ready yet."""
        ...

    async def delete(self, stream_name: str) -> None:
        """End the relay in order (SIGTERM, then by force). No relay of that name is no error."""
        ...
