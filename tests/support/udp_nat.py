"""A 1:1 NAT before a host: what comes to a port of the outer address goes to that port of the inner one, and back."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

Address = tuple[str, int]


class _Inner(asyncio.DatagramProtocol):
    """The inner side of one flow."""

    def __init__(self, outer: "_Outer", client: Address) -> None:
        self._outer, self._client = outer, client
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _: Address) -> None:
        self._outer.send(data, self._client)


class _Outer(asyncio.DatagramProtocol):
    """One port of the outer address."""

    def __init__(self, inner: Address) -> None:
        self._inner = inner
        self._flows: dict[Address, asyncio.Task[_Inner]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def send(self, data: bytes, client: Address) -> None:
        if self._transport is not None:
            self._transport.sendto(data, client)

    def datagram_received(self, data: bytes, client: Address) -> None:
        if client not in self._flows:
            self._flows[client] = asyncio.create_task(self._open(client))
        self._flows[client].add_done_callback(lambda flow: _pass_on(flow, data))

    async def _open(self, client: Address) -> _Inner:
        loop = asyncio.get_running_loop()
        _, flow = await loop.create_datagram_endpoint(lambda: _Inner(self, client), remote_addr=self._inner)
        return flow

    async def close(self) -> None:
        for flow in self._flows.values():
            inner = await flow
            if inner.transport is not None:
                inner.transport.close()
        if self._transport is not None:
            self._transport.close()


def _pass_on(flow: asyncio.Task[_Inner], data: bytes) -> None:
    if not flow.cancelled() and flow.result().transport is not None:
        cast(asyncio.DatagramTransport, flow.result().transport).sendto(data)


@asynccontextmanager
async def udp_nat(outer: str, inner: str, ports: Iterable[int]) -> AsyncIterator[None]:
    """For the length of the block. `outer` must be an address of this machine."""
    loop = asyncio.get_running_loop()
    sides = []
    try:
        for port in ports:
            _, side = await loop.create_datagram_endpoint(
                lambda port=port: _Outer((inner, port)),  # type: ignore[misc]
                local_addr=(outer, port),
            )
            sides.append(side)
        yield
    finally:
        for side in sides:
            await side.close()
