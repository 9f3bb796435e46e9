"""ICE, DTLS and SRTP of one peer, borrowed from aioice, aiortc and pylibsrtp.

The only module that touches names of those libraries which they do not document; tests/relay/webrtc/test_contract.py
pins each of them. What is changed, and why:

* Datagrams are told apart by their first byte (RFC 7983) before aioice parses anything, and SRTP is decrypted right
  there: no queue and no task switch for a packet of media.
* RTP and DTLS are taken only from an address whose connectivity check was authenticated; aioice takes them from anyone.
* DTLS begins when a pair is nominated; aioice's connect() returns up to 20 ms later.
* Sockets are bound to chosen addresses and ports (`sockets`).
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import aioice
import pylibsrtp
from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]

from transponder_relay.webrtc.answer import IceCandidate, LocalTransport
from transponder_relay.webrtc.rtp import is_rtcp
from transponder_relay.webrtc.sdp import OfferedTransport
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.sockets import bind_host, udp_socket

logger = logging.getLogger(__name__)

SEND_LIMIT = 1 << 18
"""Bytes that may wait for a socket which takes no more; what comes then is lost, as it would be on the way."""
CERTIFICATE_AGE = timedelta(days=7)
CLOSE_TIMEOUT = 2.0

Address = tuple[Any, ...]
"""(host, port) as the socket gives it; IPv6 has two more elements."""
Transform = Callable[[bytes], bytes]


class TransportSink(Protocol):
    """Where decrypted packets go; called in the event loop, right out of the socket."""

    def on_rtp(self, data: bytes, arrival: float) -> None: ...
    def on_rtcp(self, data: bytes, arrival: float) -> None: ...
    def on_round_trip(self, seconds: float) -> None:
        """Of a connectivity check: at the start, and each 5 s."""
        ...

    def on_transport_closed(self, by_peer: bool) -> None:
        """After `connect` returned: DTLS was closed by the peer, or ICE consent expired."""
        ...


class DtlsError(Exception):
    """The handshake failed, or the certificate is not the one in the offer."""


def _no_keys(_data: bytes) -> bytes:
    raise pylibsrtp.Error("no keys yet")


def _ignore(_data: bytes) -> None:
    pass


def _unprotect_of(session: Any) -> Transform:
    """`session.unprotect`, but without what it makes anew for each packet: a third less time."""
    context, plain, view, length = session._srtp[0], session._cdata, session._buffer, ffi.new("int *")
    unprotect, limit, valid = lib.srtp_unprotect, len(session._cdata), lib.srtp_err_status_ok

    def transform(data: bytes, _session: Any = session) -> bytes:  # its end would free the context
        size = length[0] = len(data)
        if size > limit:
            raise ValueError("the packet is too long")
        view[0:size] = data
        status = unprotect(context, plain, length)
        if status != valid:
            raise pylibsrtp.Error(f"libsrtp status {status}")
        packet: bytes = view[0 : length[0]]
        return packet

    return transform


class _MediaProtocol(StunProtocol):
    """A socket: STUN goes to aioice, DTLS to the handshake, SRTP straight to the sink."""

    def __init__(self, receiver: "_IceConnection") -> None:
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


class _IceConnection(aioice.Connection):
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
        self.on_srtp: Callable[[bytes], None] = _ignore

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
        opened: dict[str, _MediaProtocol] = {}
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

    def _offer(self, protocol: _MediaProtocol, address: str, component: int, preference: int) -> None:
        port = protocol.transport.get_extra_info("sockname")[1]
        foundation = candidate_foundation("host", "udp", address)
        priority = candidate_priority(component, "host", preference)
        if protocol not in self._protocols:
            protocol.local_candidate = aioice.Candidate(foundation, component, "udp", priority, address, port, "host")
            self._protocols.append(protocol)
        self.offered.append(IceCandidate(foundation, priority, address, port))

    async def _open(self, host: str) -> _MediaProtocol:
        sock = udp_socket(host, self._settings.port_range)
        try:
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_datagram_endpoint(lambda: _MediaProtocol(self), sock=sock)
        except BaseException:
            sock.close()
            raise
        return protocol


@functools.cache
def _keep_certificate() -> list[RTCCertificate]:
    return []


def local_certificate() -> RTCCertificate:
    """This process's certificate, made anew each week (8 ms)."""
    kept = _keep_certificate()
    if not kept or kept[0].expires - datetime.now(UTC) < timedelta(days=30) - CERTIFICATE_AGE:
        kept[:] = [RTCCertificate.generateCertificate()]
    return kept[0]


class MediaTransport:
    """ICE, DTLS and SRTP of one peer."""

    def __init__(self, settings: TransportSettings, sink: TransportSink) -> None:
        self._sink = sink
        self._ice = _IceConnection(settings, sink.on_round_trip)
        self._certificate = local_certificate()
        self._dtls: Any = RTCDtlsTransport(self._ice, [self._certificate])  # type: ignore[arg-type]
        self._rtp: Transform = _no_keys
        self._rtcp: Transform = _no_keys
        self._protect_rtp: Transform | None = None
        self._protect_rtcp: Transform | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self.rejected = 0
        """Datagrams that failed authentication or replay protection."""

    @property
    def nominated(self) -> bool:
        """Whether ICE has found a pair."""
        return self._ice.nominated.is_set()

    async def gather(self) -> LocalTransport:
        """Open the sockets. Raises OSError if none can be opened, or when it was closed meanwhile."""
        await self._ice.gather_candidates()
        if self._closed:
            await self._ice.close()  # once more: these sockets were not there yet
            raise OSError("closed while its sockets were being opened")
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        return LocalTransport(
            ufrag=self._ice.local_username,
            pwd=self._ice.local_password,
            fingerprint=f"{fingerprint.algorithm} {fingerprint.value}",
            candidates=self._ice.offered,
        )

    def prepare(self, offered: OfferedTransport) -> None:
        """Answer checks from now on. Candidates of the offer are not needed: its checks tell the addresses."""
        self._ice.remote_username = offered.ice_ufrag
        self._ice.remote_password = offered.ice_pwd
        self._dtls._set_role("client" if offered.dtls_client else "server")
        self._connecting = asyncio.create_task(self._connect_ice())

    async def connect(self, offered: OfferedTransport) -> None:
        """Wait for a nominated pair, then shake hands. Raises DtlsError; waits for ever unless cancelled."""
        await self._ice.nominated.wait()
        fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in offered.fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            raise DtlsError("the DTLS handshake failed")
        self._rtp = _unprotect_of(self._dtls._rx_srtp)
        self._rtcp = self._dtls._rx_srtp.unprotect_rtcp
        self._protect_rtp = self._dtls._tx_srtp.protect
        self._protect_rtcp = self._dtls._tx_srtp.protect_rtcp
        self._ice.on_srtp = self._on_srtp
        self._dtls.on("statechange", self._on_dtls_state)
        self._watch = asyncio.create_task(self._watch_consent())

    def send_rtp(self, data: bytes) -> None:
        """As `send_rtcp`, for an RTP packet, also one that was sent before; one of more than 1500 bytes is lost."""
        if self._protect_rtp is not None and not self._closed:
            with suppress(pylibsrtp.Error, ValueError):  # whatever it is, it must not stop who fed us
                self._ice.send_now(self._protect_rtp(data))

    def send_rtcp(self, data: bytes) -> None:
        """Send a plain RTCP datagram; dropped before the handshake and after the end, or with more than 1500 bytes."""
        if self._protect_rtcp is not None and not self._closed:
            with suppress(pylibsrtp.Error, ValueError):
                self._ice.send_now(self._protect_rtcp(data))

    async def close(self) -> None:
        """close_notify, then the sockets; idempotent, done within `CLOSE_TIMEOUT`."""
        if self._closed:
            return
        self._closed = True
        self._ice.on_srtp = _ignore
        self._dtls.remove_all_listeners()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._dtls.stop()
                self._ice.interrupt()
                await self._ice.close()  # ends `_connecting` and `_watch` too
        tasks = [task for task in (self._connecting, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ inside

    async def _connect_ice(self) -> None:
        with suppress(ConnectionError):
            await self._ice.connect()

    def _on_srtp(self, data: bytes) -> None:
        arrival = time.monotonic()
        if len(data) < 12:  # shorter than any SRTP or SRTCP packet
            self.rejected += 1
            return
        control = is_rtcp(data)
        try:
            plain = self._rtcp(data) if control else self._rtp(data)
        except (pylibsrtp.Error, ValueError):  # ValueError: longer than libsrtp's buffer
            self.rejected += 1
            return
        if control:
            self._sink.on_rtcp(plain, arrival)
        else:
            self._sink.on_rtp(plain, arrival)

    def _on_dtls_state(self) -> None:
        if self._dtls.state in ("closed", "failed") and not self._closed:
            self._sink.on_transport_closed(by_peer=True)

    async def _watch_consent(self) -> None:
        """aioice closes itself when consent to send has expired (RFC 7675)."""
        if await self._ice.get_event() is not None and not self._closed:
            self._sink.on_transport_closed(by_peer=False)
