"""A UDP path between two hosts with faults: loss, bursts, delay, jitter, reordering, duplication, each way by itself.

    async with LossyProxy(there=Faults(loss=0.05, delay=0.02)) as proxy:
        await sender.accept(await proxy.redirect(answer))

Only media and its feedback suffer (SRTP and SRTCP, by the first byte, RFC 7983): connecting is not what such a test is
about, and a lost DTLS flight costs a second. Delay and jitter are for all packets.
"""

import asyncio
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

import aioice

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to packets of one direction. Shares are of packets, times seconds."""

    loss: float = 0.0
    burst: float = 1.0
    """Packets lost one after the other, in the mean; `loss` stays the share of all (a Gilbert channel)."""
    delay: float = 0.0
    jitter: float = 0.0
    """Added to `delay`, from 0 to this, evenly; never lets a packet overtake the one before."""
    reorder: float = 0.0
    """Packets that are held back by `reorder_by`, so that those behind them overtake."""
    reorder_by: float = 0.01
    duplicate: float = 0.0


@dataclass(slots=True)
class Passed:
    """What happened to the media of one direction."""

    packets: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0


class _Way:
    """One direction: decides for each packet when it arrives, if at all."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self.passed = Passed()
        self._random = random.Random(seed)
        self._losing = False
        self._last = 0.0

    def arrivals(self, data: bytes, now: float) -> list[float]:
        """Loop times at which the packet arrives."""
        faults, draw = self.faults, self._random.random
        due = self._last = max(self._last, now + faults.delay + faults.jitter * draw())
        if data[0] <= 127:
            return [due]
        self.passed.packets += 1
        if self._is_lost():
            self.passed.lost += 1
            return []
        if draw() < faults.reorder:
            self.passed.reordered += 1
            due += faults.reorder_by
        if draw() < faults.duplicate:
            self.passed.duplicated += 1
            return [due, due + 0.001]
        return [due]

    def _is_lost(self) -> bool:
        faults = self.faults
        if faults.burst <= 1:
            return self._random.random() < faults.loss
        end = 1 / faults.burst
        begin = end * faults.loss / (1 - faults.loss)
        self._losing = self._random.random() < (1 - end if self._losing else begin)
        return self._losing


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, proxy: "LossyProxy", outside: bool) -> None:
        self._proxy, self._outside = proxy, outside
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._proxy.received(data, addr, self._outside)


class LossyProxy:
    """Stands for the relay towards the publisher, and for the publisher towards the relay."""

    def __init__(self, there: Faults | None = None, back: Faults | None = None, seed: int = 1) -> None:
        """`there`: from the publisher to the relay; `back`: the feedback."""
        self._there, self._back = _Way(there or Faults(), seed), _Way(back or Faults(), seed + 1)
        self._publisher: Address | None = None
        self._relay: Address | None = None
        self._handles: set[asyncio.TimerHandle] = set()

    @property
    def there(self) -> Passed:
        return self._there.passed

    @property
    def back(self) -> Passed:
        return self._back.passed

    def change(self, there: Faults) -> None:
        """Another weather from now on."""
        self._there.faults = there

    async def redirect(self, answer: str) -> str:
        """The relay's SDP answer with this proxy in place of its first candidate, and without the others."""
        lines, here = [], self._outside.transport.get_extra_info("sockname")
        for line in answer.splitlines():
            if line.startswith("a=candidate:"):
                candidate = aioice.Candidate.from_sdp(line[12:])
                if self._relay is None:
                    self._relay = (candidate.host, candidate.port)
                if (candidate.host, candidate.port) != self._relay:
                    continue
                candidate.host, candidate.port = here
                line = f"a=candidate:{candidate.to_sdp()}"
            lines.append(line)
        assert self._relay, "the answer has no candidate"
        return "".join(line + "\r\n" for line in lines)

    def received(self, data: bytes, address: Address, outside: bool) -> None:
        if outside:
            self._publisher = address
        way = self._there if outside else self._back
        loop = asyncio.get_running_loop()
        for due in way.arrivals(data, loop.time()):
            self._pass_on(data, outside, due)

    def _pass_on(self, data: bytes, outside: bool, due: float) -> None:
        def send() -> None:
            self._handles.discard(handle)
            sock, target = (self._inside, self._relay) if outside else (self._outside, self._publisher)
            if target is not None and not sock.transport.is_closing():
                sock.transport.sendto(data, target)

        handle = asyncio.get_running_loop().call_at(due, send)
        self._handles.add(handle)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        local = ("127.0.0.1", 0)
        _, self._outside = await loop.create_datagram_endpoint(lambda: _Socket(self, True), local_addr=local)
        _, self._inside = await loop.create_datagram_endpoint(lambda: _Socket(self, False), local_addr=local)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.cancel()
        self._outside.transport.close()
        self._inside.transport.close()
