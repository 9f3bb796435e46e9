"""The transport of one peer: ICE (`ice`), DTLS by aiortc, SRTP (`srtp`).

The only module that touches names of aiortc which it does not document; tests/relay/webrtc/test_contract.py pins them.
SRTP is decrypted where the socket delivers it: no queue and no task switch for a packet of media. DTLS begins when a
pair is nominated; aioice's connect() returns up to 20 ms later.
"""

import asyncio
import functools
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pylibsrtp
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from transponder_relay.webrtc.answer import LocalTransport
from transponder_relay.webrtc.ice import IceConnection, ignore
from transponder_relay.webrtc.rtp import is_rtcp
from transponder_relay.webrtc.sdp import OfferedTransport
from transponder_relay.webrtc.settings import TransportSettings
from transponder_relay.webrtc.srtp import Transform, unprotect_of

CERTIFICATE_AGE = timedelta(days=7)
CLOSE_TIMEOUT = 2.0


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
        self._ice = IceConnection(settings, sink.on_round_trip)
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
        self._rtp = unprotect_of(self._dtls._rx_srtp)
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
        self._ice.on_srtp = ignore
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
