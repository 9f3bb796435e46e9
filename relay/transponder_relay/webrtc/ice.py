"""The ICE agent of one peer, and its sockets, borrowed from aioice.

The only module that touches names of aioice which it does not document; tests/relay/webrtc/test_contract.py pins them.
What is changed, and why:

* Datagrams are told apart by their first byte (RFC 7983) before aioice parses anything.
* RTP and DTLS are taken only from an address whose connectivity check was authenticated; aioice takes them from anyone.
* Sockets are bound to chosen addresses and ports (`sockets`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import aioice
from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from transponder_relay.webrtc.answer import IceCandidate
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.sockets import bind_host, udp_socket

logger = logging.getLogger(__name__)

SEND_LIMIT = 1 << 18
"""Bytes that may wait for a socket which takes no more; what comes then is lost, as it would be on the way."""

Address = tuple[Any, ...]
"""(host, port) as the socket gives it; IPv6 has two more elements."""


def ignore(_data: bytes) -> None:
    """Where SRTP goes while nobody takes it."""


class MediaProtocol(StunProtocol):
    """A socket: STUN goes to aioice, DTLS to the handshake, SRTP straight to the sink."""

    def __init__(self, receiver: "IceConnection") -> None:
        super().__init__(receiver)
        self._connection = receiver
        self._peer: Address = ()

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        if not isinstance(data, bytes) or not data:
            return
        first = data[0]
        if first > 127:
            if addr == self._peer or self._admit(addr):
                self._connection.on_srtp(data)
        elif first < 4:
            try:
                super().datagram_received(data, addr)
            except Exception as error:  # aioice lets parse errors of several kinds through, from anyone's datagram
                logger.debug("STUN message ignored: %s", type(error).__name__)
        elif 19 < first < 64 and (addr == self._peer or self._admit(addr)):
            self._connection.on_dtls(data)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        began = time.monotonic()
        answer = await super().request(request, addr, integrity_key, retransmissions)
        self._connection.on_round_trip(time.monotonic() - began)
        return answer

    def _admit(self, addr: Address) -> bool:
        if (addr[0], addr[1]) not in self._connection.admitted:
            return False
        self._peer = addr
        return True


class IceConnection(aioice.Connection):
    """The ICE agent; it looks to RTCDtlsTransport like the part of RTCIceTransport that it uses."""

    role = "controlled"

    def __init__(self, settings: TransportSettings, on_round_trip: Callable[[float], None]) -> None:
        super().__init__(ice_controlling=False)
        self._settings = settings
        self.on_round_trip = on_round_trip
        self._dtls_queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.admitted: set[tuple[str, int]] = set()
        """Addresses that sent an authenticated check."""
        self.nominated = asyncio.Event()
        self.offered: list[IceCandidate] = []
        self.on_srtp: Callable[[bytes], None] = ignore

    # what aioice calls

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ARG002
    ) -> list[aioice.Candidate]:
        wanted = self._settings.addresses or [*addresses, "127.0.0.1"]
        ordered = sorted(dict.fromkeys(wanted), key=lambda a: ":" in a)
        outer = self._settings.nat and bool(self._settings.addresses)
        opened: dict[str, MediaProtocol] = {}
        for preference, address in enumerate(ordered):
            host = bind_host(address, outer=outer)
            try:
                protocol = opened.get(host) or await self._open(host)
            except OSError as error:
                logger.warning("no UDP socket at %s: %s", address, error.strerror)
                continue
            opened[host] = protocol
            self._offer(protocol, address, component, 65535 - preference)
        if not self._protocols:
            raise OSError("no UDP socket could be opened at any media address")
        return [protocol.local_candidate for protocol in self._protocols]

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        if "PRIORITY" in message.attributes:  # RFC 8445 section 7.1.1; aioice relies on it
            self.admitted.add(addr)
            super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: CandidatePair) -> None:
        super().check_complete(pair)
        if self._nominated:
            self.nominated.set()

    def data_received(self, data: bytes, component: int) -> None:
        """What looked like STUN and is not."""

    # what RTCDtlsTransport calls

    async def _recv(self) -> bytes:
        data = await self._dtls_queue.get()
        if data is None:
            raise ConnectionError("the transport is closed")
        return data

    async def _send(self, data: bytes) -> None:
        self.send_now(data)

    # ours

    def on_dtls(self, data: bytes) -> None:
        if self._dtls_queue.qsize() < 100:
            self._dtls_queue.put_nowait(data)

    def send_now(self, data: bytes) -> None:
        """Send to the nominated pair; nowhere if there is none."""
        pair = self._nominated.get(1)
        if pair is None:
            return
        transport: Any = pair.protocol.transport  # asyncio's and uvloop's both tell what waits; their type does not
        if not transport.is_closing() and transport.get_write_buffer_size() <= SEND_LIMIT:
            transport.sendto(data, pair.remote_addr)

    def interrupt(self) -> None:
        """Let whoever waits for DTLS data see the end."""
        self._dtls_queue.put_nowait(None)

    def _offer(self, protocol: MediaProtocol, address: str, component: int, preference: int) -> None:
        port = protocol.transport.get_extra_info("sockname")[1]
        foundation = candidate_foundation("host", "udp", address)
        priority = candidate_priority(component, "host", preference)
        if protocol not in self._protocols:
            protocol.local_candidate = aioice.Candidate(foundation, component, "udp", priority, address, port, "host")
            self._protocols.append(protocol)
        self.offered.append(IceCandidate(foundation, priority, address, port))

    async def _open(self, host: str) -> MediaProtocol:
        sock = udp_socket(host, self._settings.port_range)
        try:
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_datagram_endpoint(lambda: MediaProtocol(self), sock=sock)
        except BaseException:
            sock.close()
            raise
        return protocol
